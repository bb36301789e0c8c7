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
// What names mean, and whether a provider "has" a model, is route_name.c's.
#include "dataplane/route.h"

#include <string.h>

#include "common/base/buf.h"
#include "common/base/text.h"
#include "dataplane/price.h"
#include "dataplane/route_name.h"

struct builder {
    const struct route_query *q;
    struct arena *a;
    struct route_plan *plan;
    const struct resource_balance *balance; // NULL: unified API
    uint16_t tier;
    bool model_found;  // some provider has the model, key or not
    struct buf no_key; // "openai (set OPENAI_API_KEY), ..."
};

static bool in_list(const struct slice *list, size_t n, struct slice s)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_eq_nocase(list[i], s)) {
            return true;
        }
    }
    return false;
}

static bool may_use(const struct resource_key *key, struct slice name)
{
    for (size_t i = 0; i < key->n_models; i++) {
        if (text_glob(slice_str(key->models[i]), name)) {
            return true;
        }
    }
    return false;
}

// By "provider/id", the id alone, or the catalogue's name of that model.
static bool model_allowed(const struct snapshot *s, const struct resource *key,
                          struct slice provider, struct slice id)
{
    struct snapshot_model m = {NULL, NULL};
    char full[640];
    size_t n = provider.n + 1 + id.n;

    if (key == NULL) {
        return true;
    }
    if (n > sizeof(full) || provider.n == 0 || id.n == 0) {
        return false;
    }
    memcpy(full, provider.p, provider.n);
    full[provider.n] = '/';
    memcpy(full + provider.n + 1, id.p, id.n);
    return may_use(key->u.key, (struct slice){full, n}) || may_use(key->u.key, id) ||
           (snapshot_model_at(s, provider, id, &m) && may_use(key->u.key, slice_str(m.res->id)));
}

// Static reason why this provider must not serve the request, or NULL.
static const char *exclusion(const struct route_query *q, const struct snapshot_provider *p,
                             struct slice id)
{
    const struct dialect_request *r = q->request;
    struct slice name = slice_str(p->res->id);

    if (!model_allowed(q->snap, q->key, name, id)) {
        return "not_allowed";
    }
    if (q->forced_provider.n > 0 && !slice_eq_nocase(q->forced_provider, name)) {
        return "not_forced";
    }
    if (r->n_only > 0 && !in_list(r->only, r->n_only, name)) {
        return "not_in_only";
    }
    if (in_list(r->ignore, r->n_ignore, name)) {
        return "ignored";
    }
    if (r->no_fallbacks && r->n_order > 0 && !in_list(r->order, r->n_order, name)) {
        return "not_in_order";
    }
    if (p->res->u.provider->needs_key && p->n_keys == 0) {
        return "no_key";
    }
    return NULL;
}

// A provider with a model, before its keys are looked at.
struct found {
    const struct snapshot_provider *p;
    struct slice id;
    const struct resource_model_at *at; // NULL: not in the catalogue
    bool configured;                    // the id is the configuration's, not the client's
    uint32_t weight;
};

static void add_candidate(struct builder *b, const struct found *f, const struct resource *key,
                          uint32_t weight, const char *excluded)
{
    const struct snapshot_provider *p = f->p;
    struct route_candidate *c;
    bool listed;

    for (size_t i = 0; i < b->plan->n; i++) {
        c = &b->plan->candidates[i];
        if (c->provider == p && c->key == key && slice_eq(c->model, f->id)) {
            return; // a fallback that the strategy has already
        }
    }
    if (b->plan->n == ROUTE_CANDIDATES_MAX) {
        return;
    }
    c = &b->plan->candidates[b->plan->n++];
    *c = (struct route_candidate){.provider = p,
                                  .key = key,
                                  .model = f->id,
                                  .price = f->at == NULL ? NULL : price_at(f->at, b->q->wall_us),
                                  .weight = weight,
                                  .tier = b->tier,
                                  .excluded = excluded};
    if (excluded != NULL) {
        return; // no target: what is never called needs no health, and would be listed
    }
    listed = f->at != NULL || f->configured;
    c->target = (listed ? target_get : target_get_unlisted)(
        b->q->targets, slice_str(p->res->id), f->id, key == NULL ? SLICE_NULL : slice_str(key->id),
        slice_str(p->res->u.provider->base_url));
    b->plan->usable++;
}

static bool is_excluded(const struct route_candidate *c, const char *why)
{
    return c->excluded != NULL && strcmp(c->excluded, why) == 0;
}

static void note_no_key(struct builder *b, const struct snapshot_provider *p)
{
    const char *variable = p->res->u.provider->key_variable;

    for (size_t i = 0; i < b->plan->n; i++) {
        const struct route_candidate *c = &b->plan->candidates[i];

        if (c->provider == p && is_excluded(c, "no_key")) {
            return;
        }
    }
    // Text for a message: what does not fit is left out.
    (void)!buf_try_printf(&b->no_key, "%s%s%s%s%s", b->no_key.n > 0 ? ", " : "", p->res->id,
                          variable != NULL ? " (set " : "", variable != NULL ? variable : "",
                          variable != NULL ? ")" : "");
}

// One candidate for each of the provider's keys, which share the weight.
static void add_provider(struct builder *b, const struct found *f)
{
    const struct snapshot_provider *p = f->p;
    const char *excluded = exclusion(b->q, p, f->id);
    uint64_t sum = 0;

    b->model_found = true;
    if (excluded != NULL || p->n_keys == 0) {
        if (excluded != NULL && strcmp(excluded, "no_key") == 0) {
            note_no_key(b, p);
        }
        add_candidate(b, f, NULL, f->weight, excluded);
        return;
    }
    for (size_t i = 0; i < p->n_keys; i++) {
        sum += p->keys[i]->u.provider_key->weight;
    }
    for (size_t i = 0; i < p->n_keys; i++) {
        uint64_t share =
            sum == 0 ? f->weight : (uint64_t)f->weight * p->keys[i]->u.provider_key->weight / sum;

        add_candidate(b, f, p->keys[i], (uint32_t)(share == 0 && f->weight > 0 ? 1 : share), NULL);
    }
}

static void add_target(struct builder *b, const struct resource_target *t,
                       const struct route_name *w)
{
    const struct snapshot *s = b->q->snap;
    struct found f = {.p = snapshot_provider(s, slice_str(t->provider)), .weight = t->weight};

    if (f.p == NULL) {
        return;
    }
    if (t->model != NULL) {
        struct snapshot_model m = {NULL, NULL};

        f.id = slice_str(t->model);
        f.at = snapshot_model_at(s, slice_str(t->provider), f.id, &m) ? m.at : NULL;
        f.configured = true;
    } else {
        struct route_id found = route_name_at(w, f.p);

        if (found.id.p == NULL) {
            found = route_name_mapped(w, f.p, s, b->q->router, b->a);
            f.configured = true;
        }
        f.id = found.id;
        f.at = found.at;
    }
    if (f.id.p != NULL) {
        add_provider(b, &f);
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
    case DIALECT_COUNT_TOKENS:
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
static void add_unified(struct builder *b, const struct route_name *w)
{
    size_t n = 0;
    const struct snapshot_provider *const *all = snapshot_providers(b->q->snap, &n);

    for (size_t i = 0; i < n; i++) {
        struct route_id found;

        if (w->provider.p != NULL && !slice_eq_str(w->provider, all[i]->res->id)) {
            continue;
        }
        found = route_name_at(w, all[i]);
        if (found.id.p != NULL) {
            struct found f = {.p = all[i], .id = found.id, .at = found.at, .weight = 1000};

            add_provider(b, &f);
        }
    }
}

static void add_wanted(struct builder *b, const struct route_name *w)
{
    if (b->balance == NULL) {
        add_unified(b, w);
        return;
    }
    for (size_t i = 0; i < b->balance->n_targets; i++) {
        add_target(b, &b->balance->targets[i], w);
    }
}

static void add_degradations(struct builder *b, const struct route_name *w)
{
    const struct route_query *q = b->q;

    if (q->no_fallback || q->request->no_fallbacks) {
        return;
    }
    for (size_t i = 0; q->router != NULL && i < q->router->u.router->n_fallbacks; i++) {
        b->tier++;
        add_target(b, &q->router->u.router->fallbacks[i], w);
    }
    for (size_t i = 0; i < q->request->n_models; i++) {
        struct route_name other = route_name_resolve(q->snap, q->request->models[i], b->a);

        b->tier++;
        add_wanted(b, &other);
    }
}

// provider.order: those first, in that order, the rest behind.
static void apply_order(struct route_plan *p, const struct dialect_request *r)
{
    for (size_t i = 0; i < p->n; i++) {
        uint16_t at = 0;

        while (at < r->n_order &&
               !slice_eq_nocase(r->order[at], slice_str(p->candidates[i].provider->res->id))) {
            at++;
        }
        p->candidates[i].order = at;
    }
}

struct near {
    struct slice names[1024];
    size_t n;
    struct arena *a;
};

static bool add_near(void *ctx, const struct resource *m)
{
    struct near *n = ctx;

    n->names[n->n++] = slice_str(m->id);
    for (size_t i = 0; i < m->u.model->n_at && n->n < ARRAY_LEN(n->names); i++) {
        n->names[n->n++] = slice_str(
            arena_printf(n->a, "%s/%s", m->u.model->at[i].provider, m->u.model->at[i].id));
    }
    return n->n < ARRAY_LEN(n->names);
}

static enum route_result model_not_found(struct builder *b, const struct route_name *w,
                                         struct err *e)
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

static enum route_result nothing_usable(struct builder *b, const struct route_name *w,
                                        struct err *e)
{
    size_t not_allowed = 0, no_key = 0;

    for (size_t i = 0; i < b->plan->n; i++) {
        const struct route_candidate *c = &b->plan->candidates[i];

        not_allowed += is_excluded(c, "not_allowed") ? 1 : 0;
        no_key += is_excluded(c, "no_key") ? 1 : 0;
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

static enum route_result finish(struct builder *b, const struct route_name *w, struct err *e)
{
    if (b->plan->n == 0 || !b->model_found) {
        return model_not_found(b, w, e);
    }
    if (b->plan->usable == 0) {
        return nothing_usable(b, w, e);
    }
    apply_order(b->plan, b->q->request);
    return ROUTE_OK;
}

enum route_result route_plan(const struct route_query *q, struct arena *a, struct route_plan *ret,
                             struct err *e)
{
    struct builder b = {.q = q, .a = a, .plan = ret};
    struct route_name w = route_name_resolve(q->snap, q->request->model, a);
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

// A target without a model takes any of its provider's, one with a model that one only.
static bool router_has(const struct listing *l, const struct resource_model_at *at)
{
    const struct resource_router *r;

    if (l->router == NULL) {
        return true;
    }
    r = l->router->u.router;
    for (size_t i = 0; i < r->n_balances; i++) {
        for (size_t j = 0; j < r->balances[i].n_targets; j++) {
            const struct resource_target *t = &r->balances[i].targets[j];

            if (strcmp(t->provider, at->provider) == 0 &&
                (t->model == NULL || strcmp(t->model, at->id) == 0)) {
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

        if (p != NULL && (p->n_keys > 0 || !p->res->u.provider->needs_key) && router_has(l, at) &&
            model_allowed(l->s, l->key, slice_str(at->provider), slice_str(at->id))) {
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
