// SPDX-License-Identifier: Apache-2.0
// GET /catalog: the providers and models that are known without being told, and which of them are
// in force here.
#include "controlplane/api_priv.h"

static bool has(struct api_call *c, enum resource_kind kind, const char *id)
{
    return state_find(store_state(c->api->store), kind, slice_str(id)) != NULL;
}

static void put_texts(struct json_out *o, const char *name, const struct conf_texts *t)
{
    json_out_key(o, name);
    json_out_open(o, '[');
    for (size_t i = 0; i < t->n; i++) {
        json_out_text(o, slice_str(t->items[i].s));
    }
    json_out_close(o, ']');
}

static void put_catalogue_provider(struct api_call *c, struct json_out *o,
                                   const struct conf_entry *e)
{
    const struct schema_provider *p = e->value;

    json_out_open(o, '{');
    json_out_field_str(o, "id", e->name);
    json_out_field_str(o, "dialect", p->dialect.s == NULL ? "openai" : p->dialect.s);
    json_out_field_str(o, "base_url", p->base_url.s);
    put_texts(o, "key_variables", &p->key_variables);
    put_texts(o, "aliases", &p->aliases);
    json_out_field_bool(o, "only_when_named", p->only_when_named);
    json_out_field_bool(o, "configured", has(c, RESOURCE_PROVIDER, e->name));
    json_out_close(o, '}');
}

static void put_catalogue_model(struct api_call *c, struct json_out *o, const struct conf_entry *e)
{
    const struct schema_model *m = e->value;

    json_out_open(o, '{');
    json_out_field_str(o, "id", e->name);
    json_out_field_str(o, "kind", m->kind.s);
    json_out_field_u64(o, "context", m->context);
    json_out_field_u64(o, "max_output", m->max_output);
    put_texts(o, "aliases", &m->aliases);
    json_out_key(o, "providers");
    json_out_open(o, '[');
    for (size_t i = 0; i < m->at.n; i++) {
        const struct schema_model_at *at = m->at.items[i].value;

        json_out_text(o, slice_str(at->provider.s));
    }
    json_out_close(o, ']');
    json_out_field_bool(o, "configured", has(c, RESOURCE_MODEL, e->name));
    json_out_close(o, '}');
}

static void put_entries(struct api_call *c, struct json_out *o, const char *name,
                        const struct conf_entries *list,
                        void (*fn)(struct api_call *c, struct json_out *o,
                                   const struct conf_entry *e))
{
    json_out_key(o, name);
    json_out_open(o, '[');
    for (size_t i = 0; i < list->n; i++) {
        fn(c, o, &list->items[i]);
    }
    json_out_close(o, ']');
}

void api_catalog_get(struct api_call *c)
{
    static const struct catalog none;
    const struct catalog *catalog = catalog_builtin();
    struct json_out o;
    struct buf body;

    if (catalog == NULL) {
        catalog = &none; // it is compiled in: a test loads it
    }
    buf_init(&body, API_ANSWER_MAX);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_str(&o, "as_of", catalog->as_of);
    put_entries(c, &o, "providers", &catalog->providers, put_catalogue_provider);
    put_entries(c, &o, "models", &catalog->models, put_catalogue_model);
    json_out_close(&o, '}');
    api_send(c, 200, &body, 0);
}
