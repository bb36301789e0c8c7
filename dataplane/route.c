// SPDX-License-Identifier: Apache-2.0
// Candidates for one request.
//
//   asked-for model --resolve--> name: what the client named
//        for each target of the router's balance (or, unified API, the named provider):
//            provider has the model?  yes: as named
//                                     no:  first mapping that it has (router, settings, catalogue)
//            x each active key of the provider = one candidate, tier 0
//   then fallbacks of the router and models[] of the request: tiers 1, 2, ...
//
// Whether a provider "has" a model: the catalogue says so, or the name was given as
// "provider/model" with that very provider (unknown models of a known provider pass through), or
// its `models` globs name it.
#include "dataplane/route.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/text.h"

// A model as asked for, taken apart.
struct wanted {
    struct slice full; // without suffix: "openai/gpt-4o-mini" or "gpt-4o-mini"
    struct slice
        provider;    // "openai" when the part before the first '/' is a provider of the snapshot
    struct slice id; // the rest, or all of it
    struct snapshot_model known; // res NULL: not in the catalogue
    enum resource_strategy sort; // 0, or by suffix
};

struct builder {
    const struct route_query *q;
    struct arena *a;
    struct route_plan *plan;
    const struct resource_balance *balance; // NULL: unified API
    uint8_t tier;
    bool model_found;  // some provider has the model, key or not
    struct buf no_key; // "openai (set OPENAI_API_KEY), ..."
};

static bool has_provider(const struct snapshot *s, struct slice name)
{
    return snapshot_provider(s, name) != NULL;
}

static struct slice strip_suffix(struct slice model, enum resource_strategy *ret_sort)
{
    if (slice_ends(model, SLICE(":nitro"))) {
        *ret_sort = RESOURCE_LATENCY;
        return slice_head(model, model.n - 6);
    }
    if (slice_ends(model, SLICE(":floor"))) {
        *ret_sort = RESOURCE_COST;
        return slice_head(model, model.n - 6);
    }
    return model;
}

static struct wanted resolve(const struct snapshot *s, struct slice model)
{
    struct wanted w = {.provider = SLICE_NULL};
    size_t slash;

    w.full = strip_suffix(model, &w.sort);
    w.id = w.full;
    slash = slice_find_char(w.full, '/');
    if (slash != SIZE_MAX && has_provider(s, slice_head(w.full, slash))) {
        w.provider = slice_head(w.full, slash);
        w.id = slice_from(w.full, slash + 1);
        if (!snapshot_model_at(s, w.provider, w.id, &w.known) &&
            !snapshot_model_by_name(s, w.id, &w.known)) {
            w.known.res = NULL;
        }
        return w;
    }
    if (!snapshot_model_by_name(s, w.full, &w.known)) {
        w.known.res = NULL;
    }
    return w;
}

static const struct resource_model_at *model_at(const struct resource *m, struct slice provider)
{
    for (size_t i = 0; m != NULL && i < m->u.model->n_at; i++) {
        if (slice_eq_str(provider, m->u.model->at[i].provider)) {
            return &m->u.model->at[i];
        }
    }
    return NULL;
}

static bool lists_model(const struct resource_provider *p, struct slice id)
{
    for (size_t i = 0; i < p->n_models; i++) {
        if (text_glob(slice_str(p->models[i]), id)) {
            return true;
        }
    }
    return false;
}

// The provider's own id for w, without mappings; SLICE_NULL when it does not have it.
static struct slice direct_id(const struct snapshot_provider *p, const struct wanted *w,
                              const struct resource_model_at **ret_at)
{
    struct slice name = slice_str(p->res->id);
    const struct resource_model_at *at = model_at(w->known.res, name);

    if (at != NULL) {
        *ret_at = at;
        // Named with this provider: the id stays exactly as the client wrote it (dated snapshots).
        return slice_eq(w->provider, name) ? w->id : slice_str(at->id);
    }
    *ret_at = NULL;
    if (slice_eq(w->provider, name) ||
        (w->provider.p == NULL && lists_model(p->res->u.provider, w->full))) {
        return w->id;
    }
    return SLICE_NULL;
}

// One entry of a mapping list: "provider/model" only for that provider, or a bare name.
static struct slice mapped_one(const struct snapshot *s, const struct snapshot_provider *p,
                               const char *to, const struct resource_model_at **ret_at)
{
    struct wanted w = resolve(s, slice_str(to));

    if (w.provider.p != NULL && !slice_eq_str(w.provider, p->res->id)) {
        // Named at another provider: the same model may still be served here.
        w.provider = SLICE_NULL;
        if (w.known.res == NULL) {
            return SLICE_NULL;
        }
    }
    return direct_id(p, &w, ret_at);
}

static bool mapping_matches(const struct resource_mapping *m, const struct wanted *w)
{
    return slice_eq_str(w->full, m->from) || slice_eq_str(w->id, m->from) ||
           (w->known.res != NULL && slice_eq_str(slice_str(w->known.res->id), m->from));
}

static struct slice mapped_by(const struct snapshot *s, const struct resource_mapping *list,
                              size_t n, const struct snapshot_provider *p, const struct wanted *w,
                              const struct resource_model_at **ret_at)
{
    for (size_t i = 0; i < n; i++) {
        if (!mapping_matches(&list[i], w)) {
            continue;
        }
        for (size_t j = 0; j < list[i].n_to; j++) {
            struct slice id = mapped_one(s, p, list[i].to[j], ret_at);

            if (id.p != NULL) {
                return id;
            }
        }
    }
    return SLICE_NULL;
}

static struct slice mapped_id(const struct route_query *q, const struct snapshot_provider *p,
                              const struct wanted *w, const struct resource_model_at **ret_at)
{
    const struct resource_settings *set = snapshot_settings(q->snap);
    struct slice id = SLICE_NULL;

    if (q->router != NULL) {
        id = mapped_by(q->snap, q->router->u.router->mappings, q->router->u.router->n_mappings, p,
                       w, ret_at);
    }
    if (id.p == NULL) {
        id = mapped_by(q->snap, set->mappings, set->n_mappings, p, w, ret_at);
    }
    for (size_t i = 0;
         id.p == NULL && w->known.res != NULL && i < w->known.res->u.model->n_equivalents; i++) {
        id = mapped_one(q->snap, p, w->known.res->u.model->equivalents[i], ret_at);
    }
    return id;
}

static bool in_list(const struct slice *list, size_t n, struct slice s)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_nocase(list[i], s)) {
            return true;
        }
    }
    return false;
}

static bool model_allowed(const struct resource *key, struct slice provider, struct slice id)
{
    char full[640];

    if (key == NULL) {
        return true;
    }
    if (provider.n + id.n + 1 > sizeof(full)) {
        return false;
    }
    memcpy(full, provider.p, provider.n);
    full[provider.n] = '/';
    memcpy(full + provider.n + 1, id.p, id.n);
    struct slice both = {full, provider.n + 1 + id.n};
    for (size_t i = 0; i < key->u.key->n_models; i++) {
        struct slice glob = slice_str(key->u.key->models[i]);

        if (text_glob(glob, both) || text_glob(glob, id)) {
            return true;
        }
    }
    return false;
}

// Static reason why this provider must not serve the request, or NULL.
static const char *exclusion(const struct route_query *q, const struct snapshot_provider *p,
                             struct slice id)
{
    const struct dialect_request *r = q->request;
    struct slice name = slice_str(p->res->id);

    if (!model_allowed(q->key, name, id)) {
        return "not_allowed";
    }
    if (q->forced_provider.p != NULL && !slice_eq_nocase(q->forced_provider, name)) {
        return "not_forced";
    }
    if (r->n_only > 0 && !in_list(r->only, r->n_only, name)) {
        return "not_in_only";
    }
    if (in_list(r->ignore, r->n_ignore, name)) {
        return "ignored";
    }
    if (p->res->u.provider->needs_key && p->n_keys == 0) {
        return "no_key";
    }
    return NULL;
}

static void add_candidate(struct builder *b, const struct snapshot_provider *p,
                          const struct resource *key, struct slice id,
                          const struct resource_model_at *at, uint32_t weight, const char *excluded)
{
    struct route_candidate *c;

    if (b->plan->n == ROUTE_CANDIDATES_MAX) {
        return;
    }
    for (size_t i = 0; i < b->plan->n; i++) {
        c = &b->plan->candidates[i];
        if (c->provider == p && c->key == key && slice_eq(c->model, id)) {
            return; // a fallback that the strategy has already
        }
    }
    c = &b->plan->candidates[b->plan->n++];
    *c = (struct route_candidate){.provider = p,
                                  .key = key,
                                  .model = id,
                                  .priced = at,
                                  .weight = weight,
                                  .tier = b->tier,
                                  .excluded = excluded};
    c->target = target_get(b->q->targets, slice_str(p->res->id), id,
                           key == NULL ? SLICE_NULL : slice_str(key->id),
                           slice_str(p->res->u.provider->base_url));
    b->plan->usable += excluded == NULL ? 1 : 0;
}

static void note_no_key(struct builder *b, const struct snapshot_provider *p)
{
    const char *variable = p->res->u.provider->key_variable;
    bool known = slice_find(buf_slice(&b->no_key), slice_str(p->res->id)) != SIZE_MAX;

    if (known) {
        return;
    }
    // Text for a message: cut silently at the buffer's ceiling.
    (void)!buf_try_printf(&b->no_key, "%s%s%s%s%s", b->no_key.n > 0 ? ", " : "", p->res->id,
                          variable != NULL ? " (set " : "", variable != NULL ? variable : "",
                          variable != NULL ? ")" : "");
}

// A provider with a model: one candidate for each of its keys, which share the weight.
static void add_provider(struct builder *b, const struct snapshot_provider *p, struct slice id,
                         const struct resource_model_at *at, uint32_t weight)
{
    const char *excluded = exclusion(b->q, p, id);
    uint64_t sum = 0;

    b->model_found = true;
    if (excluded != NULL || p->n_keys == 0) {
        if (excluded != NULL && strcmp(excluded, "no_key") == 0) {
            note_no_key(b, p);
        }
        add_candidate(b, p, NULL, id, at, weight, excluded);
        return;
    }
    for (size_t i = 0; i < p->n_keys; i++) {
        sum += p->keys[i]->u.provider_key->weight;
    }
    for (size_t i = 0; i < p->n_keys; i++) {
        uint64_t share =
            sum == 0 ? weight : (uint64_t)weight * p->keys[i]->u.provider_key->weight / sum;

        add_candidate(b, p, p->keys[i], id, at, (uint32_t)(share == 0 && weight > 0 ? 1 : share),
                      NULL);
    }
}

static void add_target(struct builder *b, const struct resource_target *t, const struct wanted *w)
{
    const struct snapshot_provider *p = snapshot_provider(b->q->snap, slice_str(t->provider));
    const struct resource_model_at *at = NULL;
    struct slice id = SLICE_NULL;

    if (p == NULL) {
        return;
    }
    if (t->model != NULL) {
        struct snapshot_model m = {NULL, NULL};

        id = slice_str(t->model);
        at = snapshot_model_at(b->q->snap, slice_str(t->provider), id, &m) ? m.at : NULL;
    } else {
        id = direct_id(p, w, &at);
        if (id.p == NULL) {
            id = mapped_id(b->q, p, w, &at);
        }
    }
    if (id.p != NULL) {
        add_provider(b, p, id, at, t->weight);
    }
}

static const char *endpoint_name(enum dialect_endpoint ep)
{
    switch (ep) {
    case DIALECT_EMBEDDINGS:
        return "embeddings";
    case DIALECT_COMPLETIONS:
        return "completions";
    case DIALECT_CHAT:
    case DIALECT_RESPONSES:
    case DIALECT_MESSAGES:
        return "chat";
    case DIALECT_OTHER:
        break;
    }
    return "any";
}

// The balance for the endpoint, else "any", else the first (usually "chat").
static const struct resource_balance *balance_for(const struct resource *router,
                                                  enum dialect_endpoint ep)
{
    const struct resource_router *r = router->u.router;
    const struct resource_balance *any = NULL;

    for (size_t i = 0; i < r->n_balances; i++) {
        if (strcmp(r->balances[i].endpoint, endpoint_name(ep)) == 0) {
            return &r->balances[i];
        }
        if (strcmp(r->balances[i].endpoint, "any") == 0) {
            any = &r->balances[i];
        }
    }
    return any != NULL ? any : (r->n_balances > 0 ? &r->balances[0] : NULL);
}

// Unified API: the named provider; a bare name at every provider that serves it.
static void add_unified(struct builder *b, const struct wanted *w)
{
    size_t n = 0;
    const struct snapshot_provider *const *all = snapshot_providers(b->q->snap, &n);

    for (size_t i = 0; i < n; i++) {
        const struct resource_model_at *at = NULL;
        struct slice id;

        if (w->provider.p != NULL && !slice_eq_str(w->provider, all[i]->res->id)) {
            continue;
        }
        id = direct_id(all[i], w, &at);
        if (id.p != NULL) {
            add_provider(b, all[i], id, at, 1000);
        }
    }
}

static void add_wanted(struct builder *b, const struct wanted *w)
{
    if (b->balance == NULL) {
        add_unified(b, w);
        return;
    }
    for (size_t i = 0; i < b->balance->n_targets; i++) {
        add_target(b, &b->balance->targets[i], w);
    }
}

static void add_degradations(struct builder *b, const struct wanted *w)
{
    const struct route_query *q = b->q;

    if (q->no_fallback || q->request->no_fallbacks) {
        return;
    }
    for (size_t i = 0; q->router != NULL && i < q->router->u.router->n_fallbacks; i++) {
        b->tier++;
        add_target(b, &q->router->u.router->fallbacks[i], w);
    }
    for (size_t i = 0; i < q->request->n_models && b->tier < 200; i++) {
        struct wanted other = resolve(q->snap, q->request->models[i]);

        b->tier++;
        add_wanted(b, &other);
    }
}

// provider.order: those first, in that order, the rest behind; as tiers among the strategy's own.
static void apply_order(struct route_plan *p, const struct dialect_request *r)
{
    for (size_t i = 0; i < p->n; i++) {
        size_t at = 0;

        while (at < r->n_order &&
               !slice_eq_nocase(r->order[at], slice_str(p->candidates[i].provider->res->id))) {
            at++;
        }
        p->candidates[i].tier = (uint8_t)(p->candidates[i].tier + at);
    }
}

struct near {
    struct slice names[512];
    size_t n;
    struct arena *a;
};

static bool add_near(void *ctx, const struct resource *m)
{
    struct near *n = ctx;

    for (size_t i = 0; i < m->u.model->n_at && n->n < ARRAY_LEN(n->names); i++) {
        n->names[n->n++] = slice_str(
            arena_printf(n->a, "%s/%s", m->u.model->at[i].provider, m->u.model->at[i].id));
    }
    if (n->n < ARRAY_LEN(n->names)) {
        n->names[n->n++] = slice_str(m->id);
    }
    return n->n < ARRAY_LEN(n->names);
}

static enum route_result model_not_found(struct builder *b, const struct wanted *w, struct err *e)
{
    struct near *near = arena_zalloc(b->a, sizeof(*near));
    struct slice shown = slice_head(w->full, 128);
    struct slice best;

    near->a = b->a;
    snapshot_each(b->q->snap, RESOURCE_MODEL, add_near, near);
    best = text_nearest(w->full, near->names, near->n);
    (void)err_set(e, ERR_NOT_FOUND,
                  "the model `" SLICE_FMT "` is not known to any provider of this route%s" SLICE_FMT
                  "%s",
                  SLICE_ARG(shown), best.p != NULL ? "; did you mean `" : "",
                  SLICE_ARG(best.p != NULL ? best : SLICE("")), best.p != NULL ? "`?" : "");
    return ROUTE_MODEL_NOT_FOUND;
}

static enum route_result nothing_usable(struct builder *b, const struct wanted *w, struct err *e)
{
    size_t not_allowed = 0, no_key = 0;

    for (size_t i = 0; i < b->plan->n; i++) {
        const char *why = b->plan->candidates[i].excluded;

        not_allowed += strcmp(why, "not_allowed") == 0 ? 1 : 0;
        no_key += strcmp(why, "no_key") == 0 ? 1 : 0;
    }
    if (not_allowed == b->plan->n) {
        (void)err_set(e, ERR_DENIED, "this key may not use the model `" SLICE_FMT "`",
                      SLICE_ARG(slice_head(w->full, 128)));
        return ROUTE_NOT_ALLOWED;
    }
    if (no_key > 0) {
        struct slice names = buf_slice(&b->no_key);

        (void)err_set(e, ERR_UNAVAILABLE, "no provider of this route has a key: " SLICE_FMT,
                      SLICE_ARG(names));
    } else {
        (void)err_set(e, ERR_UNAVAILABLE,
                      "the request's provider preferences exclude every provider of this route");
    }
    return ROUTE_NO_PROVIDER;
}

static enum route_result finish(struct builder *b, const struct wanted *w, struct err *e)
{
    if (b->plan->n == 0 || !b->model_found) {
        return model_not_found(b, w, e);
    }
    if (b->plan->usable == 0) {
        return nothing_usable(b, w, e);
    }
    if (b->q->request->n_order > 0) {
        apply_order(b->plan, b->q->request);
    }
    return ROUTE_OK;
}

enum route_result route_plan(const struct route_query *q, struct arena *a, struct route_plan *ret,
                             struct err *e)
{
    struct builder b = {.q = q, .a = a, .plan = ret};
    struct wanted w = resolve(q->snap, q->request->model);
    struct route_candidate room[ROUTE_CANDIDATES_MAX];

    *ret = (struct route_plan){.strategy = RESOURCE_LATENCY};
    ret->candidates = room; // most plans need a few of them: the arena gets those only
    buf_init(&b.no_key, 240);
    b.balance = q->router == NULL ? NULL : balance_for(q->router, q->request->endpoint);
    if (b.balance != NULL) {
        ret->strategy = b.balance->strategy;
    }
    if (w.sort != 0) {
        ret->strategy = w.sort;
    }
    add_wanted(&b, &w);
    add_degradations(&b, &w);
    enum route_result result = finish(&b, &w, e);
    ret->candidates = arena_alloc(a, ret->n * sizeof(room[0]) + 1);
    memcpy(ret->candidates, room, ret->n * sizeof(room[0]));
    buf_done(&b.no_key);
    return result;
}

// --- listings ----------------------------------------------------------------------------------

struct listing {
    const struct snapshot *s;
    const struct resource *router, *key;
    void (*fn)(void *ctx, const struct resource *model, const struct resource_model_at *at);
    void *ctx;
};

static bool router_has(const struct listing *l, const char *provider)
{
    const struct resource_router *r;

    if (l->router == NULL) {
        return true;
    }
    r = l->router->u.router;
    for (size_t i = 0; i < r->n_balances; i++) {
        for (size_t j = 0; j < r->balances[i].n_targets; j++) {
            if (strcmp(r->balances[i].targets[j].provider, provider) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool list_model(void *ctx, const struct resource *m)
{
    const struct listing *l = ctx;

    for (size_t i = 0; i < m->u.model->n_at; i++) {
        const struct resource_model_at *at = &m->u.model->at[i];
        const struct snapshot_provider *p = snapshot_provider(l->s, slice_str(at->provider));

        if (p != NULL && (p->n_keys > 0 || !p->res->u.provider->needs_key) &&
            router_has(l, at->provider) &&
            model_allowed(l->key, slice_str(at->provider), slice_str(at->id))) {
            l->fn(l->ctx, m, at);
        }
    }
    return true;
}

void route_models(const struct snapshot *s, const struct resource *router,
                  const struct resource *key,
                  void (*fn)(void *ctx, const struct resource *model,
                             const struct resource_model_at *at),
                  void *ctx)
{
    struct listing l = {s, router, key, fn, ctx};

    snapshot_each(s, RESOURCE_MODEL, list_model, &l);
}

bool route_router_allowed(const struct resource *key, struct slice router)
{
    if (key == NULL) {
        return true;
    }
    for (size_t i = 0; i < key->u.key->n_routers; i++) {
        if (text_glob(slice_str(key->u.key->routers[i]), router)) {
            return true;
        }
    }
    return false;
}
