// SPDX-License-Identifier: Apache-2.0
// Models: those of the document go before those of the catalogue. A model keeps only the places
// whose provider is there; one that is left without any is not published.
#include "controlplane/config_compile.h"

#include <string.h>

#include "common/base/text.h"

static bool from_catalogue(const struct config_compile *k, const struct conf_entry *e)
{
    return e >= k->catalog->models.items && e < k->catalog->models.items + k->catalog->models.n;
}

void config_model_collect(struct config_compile *k)
{
    map_init(&k->models);
    for (size_t i = 0; i < k->doc->models.n; i++) {
        const struct schema_model *m = k->doc->models.items[i].value;

        for (size_t j = 0; j < m->at.n; j++) {
            const struct schema_model_at *at = m->at.items[j].value;

            (void)config_provider_named(k, slice_str(at->provider.s));
        }
        (void)map_put(&k->models, slice_str(k->doc->models.items[i].name),
                      &k->doc->models.items[i]);
    }
    for (size_t i = 0; i < k->catalog->models.n; i++) {
        struct slice name = slice_str(k->catalog->models.items[i].name);

        if (map_get(&k->models, name) == NULL) {
            (void)map_put(&k->models, name, &k->catalog->models.items[i]);
        }
    }
}

// --- references
// -----------------------------------------------------------------------------------

static bool lists(const struct conf_texts *t, struct slice name)
{
    for (size_t i = 0; i < t->n; i++) {
        if (slice_eq_str(name, t->items[i].s)) {
            return true;
        }
    }
    return false;
}

static bool is_known(const struct config_compile *k, struct slice name)
{
    if (map_get(&k->models, name) != NULL) {
        return true;
    }
    map_foreach (it, &k->models) {
        const struct conf_entry *e = it->value;

        if (lists(&((const struct schema_model *)e->value)->aliases, name)) {
            return true;
        }
    }
    return false;
}

// A provider of the document that lists the model, or whose `model-names` match it.
static const char *vendor_of(const struct config_compile *k, struct slice name)
{
    const struct conf_entry *e;

    for (size_t i = 0; i < k->doc->providers.n; i++) {
        const struct schema_provider *p = k->doc->providers.items[i].value;

        if (lists(&p->models, name)) {
            return k->doc->providers.items[i].name;
        }
        for (size_t n = 0; n < p->model_names.n; n++) {
            if (text_glob(slice_str(p->model_names.items[n].s), name)) {
                return k->doc->providers.items[i].name;
            }
        }
    }
    e = catalog_vendor(k->catalog, name);
    return e == NULL ? NULL : e->name;
}

const char *config_model_ref(struct config_compile *k, struct arena *a, struct slice name)
{
    struct slice provider, model = slice_cut(name, '/', &provider);
    const struct config_provider *p;
    const char *vendor;

    if (name.n == 0) {
        return NULL;
    }
    if (model.n > 0) {
        p = config_provider_named(k, provider);
        if (p != NULL) {
            return arena_printf(a, "%s/" SLICE_FMT, p->name, SLICE_ARG(model));
        }
    }
    if (is_known(k, name)) {
        return arena_strndup(a, name.p, name.n);
    }
    vendor = vendor_of(k, name);
    return vendor == NULL ? NULL : arena_printf(a, "%s/" SLICE_FMT, vendor, SLICE_ARG(name));
}

// --- resources
// ------------------------------------------------------------------------------------

static uint64_t price_of(const struct schema_price *p, const char *key, uint64_t value)
{
    return node_get(p->node, slice_str(key)) == NULL ? UINT64_MAX : value;
}

static void put_places(struct config_compile *k, struct resource *r, const struct schema_model *m,
                       bool strict)
{
    struct resource_model_at *at = arena_zalloc(&r->arena, (m->at.n + 1) * sizeof(*at));
    size_t n = 0;

    for (size_t i = 0; i < m->at.n; i++) {
        const struct schema_model_at *s = m->at.items[i].value;
        const struct config_provider *p = NULL;
        size_t mark;

        if (s->provider.s == NULL) {
            continue; // reported as missing
        }
        mark = conf_enter(k->ctx, "at", i);
        for (size_t j = 0; !strict && j < k->n_providers; j++) {
            if (strcmp(k->providers[j].name, s->provider.s) == 0) {
                p = &k->providers[j]; // the catalogue naming a provider does not publish it
            }
        }
        if (strict) {
            p = config_provider_want(k, s->provider.node, slice_str(s->provider.s));
        }
        conf_leave(k->ctx, mark);
        if (p == NULL || !config_provider_present(k, p)) {
            continue;
        }
        at[n++] = (struct resource_model_at){
            .provider = arena_strdup(&r->arena, p->name),
            .id = s->id.s == NULL ? r->id : config_compile_str(r, &s->id),
            .price = {price_of(&s->price, "input", s->price.input),
                      price_of(&s->price, "cached", s->price.cached),
                      price_of(&s->price, "cache-write", s->price.cache_write),
                      price_of(&s->price, "output", s->price.output)},
        };
    }
    r->u.model->at = at;
    r->u.model->n_at = n;
}

static void put_equivalents(struct config_compile *k, struct resource *r,
                            const struct schema_model *m, bool strict)
{
    const char **out = arena_zalloc(&r->arena, (m->equivalents.n + 1) * sizeof(*out));
    size_t n = 0, list = conf_enter(k->ctx, "equivalents", SIZE_MAX);

    for (size_t i = 0; i < m->equivalents.n; i++) {
        const struct conf_text *t = &m->equivalents.items[i];
        const char *ref = config_model_ref(k, &r->arena, slice_str(t->s));
        size_t mark;

        if (ref != NULL) {
            out[n++] = ref;
        } else if (strict) {
            mark = conf_enter(k->ctx, NULL, i);
            conf_complain(k->ctx, PROBLEM_ERROR, t->node, false,
                          "no provider is known for %s: write provider/model",
                          problem_show(k->ctx->problems, t->node));
            conf_leave(k->ctx, mark);
        }
    }
    conf_leave(k->ctx, list);
    r->u.model->equivalents = out;
    r->u.model->n_equivalents = n;
}

// Names that two models claim, the document's against everybody's.
static void check_aliases(struct config_compile *k, const struct conf_entry *e)
{
    const struct schema_model *m = e->value;

    for (size_t i = 0; i < m->aliases.n; i++) {
        struct slice alias = slice_str(m->aliases.items[i].s);

        map_foreach (it, &k->models) {
            const struct conf_entry *other = it->value;

            if (other != e &&
                (slice_eq_str(alias, other->name) ||
                 lists(&((const struct schema_model *)other->value)->aliases, alias))) {
                size_t mark = conf_enter(k->ctx, "aliases", i);

                conf_complain(k->ctx, PROBLEM_ERROR, m->aliases.items[i].node, false,
                              "\"%s\" has this name already", other->name);
                conf_leave(k->ctx, mark);
            }
        }
    }
}

static void emit_one(struct config_compile *k, const struct conf_entry *e)
{
    const struct schema_model *m = e->value;
    bool strict = !from_catalogue(k, e);
    struct slice id = slice_str(e->name);
    struct resource *r;

    if (id.n == 0 || id.n > RESOURCE_ID_MAX) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true, "a name has 1 to %u bytes",
                      RESOURCE_ID_MAX);
        return;
    }
    r = resource_new(RESOURCE_MODEL, id, 1);
    put_places(k, r, m, strict);
    put_equivalents(k, r, m, strict);
    if (strict) {
        check_aliases(k, e);
    }
    r->u.model->aliases = config_compile_strs(r, &m->aliases, &r->u.model->n_aliases);
    r->u.model->modalities = config_compile_strs(r, &m->modalities, &r->u.model->n_modalities);
    r->u.model->context = (uint32_t)m->context;
    r->u.model->max_output = (uint32_t)m->max_output;
    r->u.model->kind = config_compile_str(r, &m->kind);
    if (r->u.model->n_at == 0) {
        resource_unref(&r);
        return;
    }
    config_compile_add(k, r);
}

void config_model_emit(struct config_compile *k)
{
    size_t top = conf_enter(k->ctx, "models", SIZE_MAX);

    map_foreach (it, &k->models) {
        const struct conf_entry *e = it->value;
        size_t mark = conf_enter(k->ctx, e->name, SIZE_MAX);

        emit_one(k, e);
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
    map_done(&k->models);
}
