// SPDX-License-Identifier: Apache-2.0
// Models: those of the document go before those of the catalogue, key by key: what an entry of the
// document does not give is the catalogue's of that name. A model of the catalogue keeps
// its places also at providers that are not there: they may come by the admin API, and until then
// the model has its name, its price and its equivalents. Only servers of one's own that nobody
// named are left out, and a model that is nowhere else.
#include "proto/config/config_compile.h"

#include <string.h>

#include "common/base/text.h"

static bool from_catalogue(const struct config_compile *k, const struct conf_entry *e)
{
    return e >= k->catalog->models.items && e < k->catalog->models.items + k->catalog->models.n;
}

// What the catalogue says of a model of the document; NULL: it does not know the name.
static const struct schema_model *base_of(const struct config_compile *k,
                                          const struct conf_entry *e)
{
    const struct conf_entries *all = &k->catalog->models;

    for (size_t i = 0; i < all->n && !from_catalogue(k, e); i++) {
        if (strcmp(all->items[i].name, e->name) == 0) {
            return all->items[i].value;
        }
    }
    return NULL;
}

// Whichever of the two gives the key.
static const struct schema_model *giver(const struct config_compile *k, const struct conf_entry *e,
                                        const char *key)
{
    const struct schema_model *own = e->value, *base = base_of(k, e);
    bool gives = own->node != NULL && node_get(own->node, slice_str(key)) != NULL;

    return gives || base == NULL ? own : base;
}

// The model of the document or catalogue that has a name or alias.
static void claim(struct config_compile *k, const struct conf_entry *e,
                  const struct conf_text *alias)
{
    struct slice name = slice_str(alias == NULL ? e->name : alias->s);
    const struct conf_entry *other = map_get(&k->model_names, name);

    if (other == NULL) {
        (void)map_put(&k->model_names, name, (void *)(uintptr_t)e);
    } else if (alias != NULL && other != e && giver(k, e, "aliases") == e->value &&
               !from_catalogue(k, e)) {
        conf_complain(k->ctx, PROBLEM_ERROR, alias->node, false, "\"%s\" has this name already",
                      other->name);
    }
}

static void claim_aliases(struct config_compile *k, const struct conf_entry *e)
{
    const struct schema_model *m = giver(k, e, "aliases");
    size_t one = conf_enter(k->ctx, e->name, SIZE_MAX);

    for (size_t i = 0; i < m->aliases.n; i++) {
        size_t mark = conf_enter(k->ctx, "aliases", i);

        claim(k, e, &m->aliases.items[i]);
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, one);
}

// Providers that list a model by its full name, so that a bare name finds them.
static void collect_listed(struct config_compile *k)
{
    map_init(&k->listed);
    for (size_t i = 0; i < k->doc->providers.n; i++) {
        const struct conf_entry *e = &k->doc->providers.items[i];
        const struct conf_texts *t = &((const struct schema_provider *)e->value)->models;

        for (size_t j = 0; j < t->n; j++) {
            if (map_get(&k->listed, slice_str(t->items[j].s)) == NULL) {
                (void)map_put(&k->listed, slice_str(t->items[j].s), (void *)(uintptr_t)e);
            }
        }
    }
}

static void name_providers(struct config_compile *k, const struct schema_model *m)
{
    for (size_t i = 0; i < m->at.n; i++) {
        const struct schema_model_at *at = m->at.items[i].value;

        (void)config_provider_named(k, slice_str(at->provider.s));
    }
}

void config_model_collect(struct config_compile *k)
{
    const struct conf_entries *from[] = {&k->doc->models, &k->catalog->models};
    size_t mark = conf_enter(k->ctx, "models", SIZE_MAX);

    map_init(&k->models);
    map_init(&k->model_names);
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        for (size_t j = 0; j < from[i]->n; j++) {
            struct conf_entry *e = &from[i]->items[j];

            if (map_get(&k->models, slice_str(e->name)) == NULL) {
                (void)map_put(&k->models, slice_str(e->name), e);
                claim(k, e, NULL);
            }
        }
    }
    map_foreach (it, &k->models) {
        claim_aliases(k, it->value);
    }
    for (size_t i = 0; i < k->doc->models.n; i++) {
        name_providers(k, k->doc->models.items[i].value);
    }
    conf_leave(k->ctx, mark);
    collect_listed(k);
}

// --- references ----------------------------------------------------------------------------------

// A provider of the document that lists the model, or one whose `model-names` match it.
static const char *vendor_of(const struct config_compile *k, struct slice name)
{
    const struct conf_entry *e = map_get(&k->listed, name);

    for (size_t i = 0; i < k->doc->providers.n && e == NULL; i++) {
        const struct schema_provider *p = k->doc->providers.items[i].value;

        for (size_t n = 0; n < p->model_names.n; n++) {
            if (text_glob(slice_str(p->model_names.items[n].s), name)) {
                return k->doc->providers.items[i].name;
            }
        }
    }
    e = e != NULL ? e : catalog_vendor(k->catalog, name);
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
        if (config_provider_outside(k, provider)) {
            return arena_strndup(a, name.p, name.n);
        }
    }
    if (map_get(&k->model_names, name) != NULL) {
        return arena_strndup(a, name.p, name.n);
    }
    vendor = vendor_of(k, name);
    return vendor == NULL ? NULL : arena_printf(a, "%s/" SLICE_FMT, vendor, SLICE_ARG(name));
}

// --- resources -----------------------------------------------------------------------------------

// Not given: `unknown` (UINT64_MAX, or 0 where 0 means "no price of its own").
static uint64_t given(const struct node *section, const char *key, uint64_t value, uint64_t unknown)
{
    return node_get(section, slice_str(key)) == NULL ? unknown : value;
}

static const struct resource_price_tier *tiers_of(struct config_compile *k, struct resource *r,
                                                  const struct conf_entries *e, size_t *ret_n)
{
    struct resource_price_tier *out = arena_zalloc(&r->arena, (e->n + 1) * sizeof(*out));

    for (size_t i = 0; i < e->n; i++) {
        const struct schema_tier *t = e->items[i].value;

        out[i] = (struct resource_price_tier){
            .above = t->above,
            .input = given(t->node, "input", t->input, UINT64_MAX),
            .cached = given(t->node, "cached", t->cached, UINT64_MAX),
            .cache_write = given(t->node, "cache-write", t->cache_write, UINT64_MAX),
            .output = given(t->node, "output", t->output, UINT64_MAX),
            .cache_write_long = t->cache_write_long,
        };
        if (i > 0 && out[i].above <= out[i - 1].above) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->items[i].node, false,
                          "tiers must rise: `above` is not more than that of the tier before");
        }
    }
    *ret_n = e->n;
    return out;
}

static struct resource_price price_of(struct config_compile *k, struct resource *r,
                                      const struct schema_price *p)
{
    struct resource_price out = {
        .input = given(p->node, "input", p->input, UINT64_MAX),
        .cached = given(p->node, "cached", p->cached, UINT64_MAX),
        .cache_write = given(p->node, "cache-write", p->cache_write, UINT64_MAX),
        .output = given(p->node, "output", p->output, UINT64_MAX),
        .cache_write_long = p->cache_write_long,
        .reasoning = p->reasoning,
        .audio_input = p->audio_input,
        .audio_output = p->audio_output,
        .image_output = p->image_output,
    };

    out.tiers = tiers_of(k, r, &p->tiers, &out.n_tiers);
    return out;
}

// "2026-12-01": its first microsecond in UTC. False: a complaint.
static bool day_of(struct config_compile *k, const struct conf_text *t, uint64_t *ret_wall_us)
{
    if (t->s == NULL) {
        return false; // reported as missing, or not given
    }
    if (strlen(t->s) == 10 &&
        text_parse_rfc3339(slice_str(arena_printf(k->ctx->arena, "%sT00:00:00Z", t->s)),
                           ret_wall_us)) {
        return true;
    }
    conf_complain(k->ctx, PROBLEM_ERROR, t->node, false, "expected a day such as 2026-12-01");
    return false;
}

static const struct resource_price_change *changes_of(struct config_compile *k, struct resource *r,
                                                      const struct conf_entries *e, size_t *ret_n)
{
    struct resource_price_change *out = arena_zalloc(&r->arena, (e->n + 1) * sizeof(*out));
    size_t n = 0, list = conf_enter(k->ctx, "changes", SIZE_MAX);

    for (size_t i = 0; i < e->n; i++) {
        const struct schema_price_change *c = e->items[i].value;
        size_t mark = conf_enter(k->ctx, NULL, i);

        if (day_of(k, &c->from, &out[n].from_wall_us)) {
            if (n > 0 && out[n].from_wall_us <= out[n - 1].from_wall_us) {
                conf_complain(k->ctx, PROBLEM_ERROR, c->from.node, false,
                              "the days must rise: this one is not after the one before");
            }
            out[n++].price = price_of(k, r, &c->price);
        }
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, list);
    *ret_n = n;
    return out;
}

// Is this place of a model one to publish?
static bool is_place(const struct config_compile *k, const struct config_provider *p)
{
    return p != NULL && (config_provider_present(k, p) || p->cat->key_required != SCHEMA_FALSE);
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
        if (!is_place(k, p)) {
            continue;
        }
        at[n] = (struct resource_model_at){
            .provider = arena_strdup(&r->arena, p->name),
            .id = s->id.s == NULL ? r->id : config_compile_str(r, &s->id),
            .price = price_of(k, r, &s->price),
        };
        at[n].changes = changes_of(k, r, &s->changes, &at[n].n_changes);
        n++;
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

static void put_facts(struct config_compile *k, struct resource *r, const struct conf_entry *e)
{
    struct resource_model *m = r->u.model;
    const struct schema_model *by = giver(k, e, "released");

    m->aliases = config_compile_strs(r, &giver(k, e, "aliases")->aliases, &m->n_aliases);
    m->modalities =
        config_compile_strs(r, &giver(k, e, "modalities")->modalities, &m->n_modalities);
    m->outputs = config_compile_strs(r, &giver(k, e, "outputs")->outputs, &m->n_outputs);
    m->context = (uint32_t)giver(k, e, "context")->context;
    m->max_output = (uint32_t)giver(k, e, "max-output")->max_output;
    m->kind = config_compile_str(r, &giver(k, e, "kind")->kind);
    if (by->released.s != NULL) {
        size_t mark = conf_enter(k->ctx, "released", SIZE_MAX);

        (void)!day_of(k, &by->released, &m->released_wall_us);
        conf_leave(k->ctx, mark);
    }
}

static void emit_one(struct config_compile *k, const struct conf_entry *e)
{
    const struct schema_model *m = giver(k, e, "at");
    bool strict = !from_catalogue(k, e);
    struct slice id = slice_str(e->name);
    struct resource *r;

    if (id.n == 0 || id.n > RESOURCE_ID_MAX) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true, "a name has 1 to %u bytes",
                      RESOURCE_ID_MAX);
        return;
    }
    if (strict && m == e->value && node_get(m->node, SLICE("at")) == NULL) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true, "\"at\" is missing");
        return;
    }
    r = resource_new(RESOURCE_MODEL, id, 1);
    put_places(k, r, m, strict && m == e->value);
    m = giver(k, e, "equivalents");
    put_equivalents(k, r, m, strict && m == e->value);
    put_facts(k, r, e);
    config_traits_put(k, &giver(k, e, "traits")->traits, r);
    if (r->u.model->n_at == 0) {
        resource_unref(&r);
        return;
    }
    (void)config_compile_add(k, r, strict ? e->node : NULL);
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
    map_done(&k->model_names);
    map_done(&k->listed);
}
