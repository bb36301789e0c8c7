// SPDX-License-Identifier: Apache-2.0
// Routers: which targets by which strategy for each endpoint, what comes after them, and the
// router's own policy.
#include <string.h>

#include "proto/config/config_compile.h"

#define NAME_MAX_BYTES 64u

static const char *const endpoints[] = {
    "any",      "chat",        "completions", "embeddings", "responses",
    "messages", "moderations", "rerank",      "images",     "audio",
};

// --- targets -------------------------------------------------------------------------------------

// Splits what was written into provider and model; complaints at s->node.
static bool read_target(struct config_compile *k, struct resource *r, const struct schema_target *s,
                        struct resource_target *out)
{
    struct slice provider = slice_str(s->provider.s), model = slice_str(s->model.s);
    const struct node *n = s->provider.node != NULL ? s->provider.node : s->model.node;
    const struct config_provider *p;

    if (provider.p == NULL && model.p == NULL) {
        conf_complain(k->ctx, PROBLEM_ERROR, s->node, false,
                      "expected a provider or provider/model");
        return false;
    }
    if (provider.p == NULL) {
        model = slice_cut(model, '/', &provider);
        if (model.n == 0) {
            conf_complain(k->ctx, PROBLEM_ERROR, n, false, "expected provider/model, found %s",
                          problem_show(k->ctx->problems, n));
            return false;
        }
    } else if (model.p == NULL) {
        model = slice_cut(provider, '/', &provider);
    }
    p = config_provider_want(k, n, provider);
    if (p == NULL) {
        return false;
    }
    *out = (struct resource_target){
        .provider = arena_strdup(&r->arena, p->name),
        .model = model.n == 0 ? NULL : arena_strndup(&r->arena, model.p, model.n),
        .weight = (uint32_t)s->weight,
    };
    return true;
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

// Appends the targets of a list; a target that was there is an error.
static void read_targets(struct config_compile *k, struct resource *r, const struct conf_entries *e,
                         struct resource_target *out, size_t *n)
{
    for (size_t i = 0; i < e->n; i++) {
        size_t mark = conf_enter(k->ctx, NULL, i), j = 0;

        if (read_target(k, r, e->items[i].value, &out[*n])) {
            while (j < *n && !(same_text(out[j].provider, out[*n].provider) &&
                               same_text(out[j].model, out[*n].model))) {
                j++;
            }
            if (j < *n) {
                conf_complain(k->ctx, PROBLEM_ERROR, e->items[i].node, false,
                              "is in the list already");
            } else {
                (*n)++;
            }
        }
        conf_leave(k->ctx, mark);
    }
}

// `models`: a list of targets, or Helicone's older map from a name to a list of ids.
static struct conf_entries models_of(struct config_compile *k, const struct node *n)
{
    struct conf_entries out = {.node = n};
    size_t max = 1, used = 0;

    if (n == NULL) {
        return out;
    }
    if (n->kind == NODE_SCALAR) {
        conf_complain(k->ctx, PROBLEM_ERROR, n, false,
                      "expected a list of provider/model, found %s",
                      problem_show(k->ctx->problems, n));
        return out;
    }
    for (const struct node *it = n->first; it != NULL; it = it->next) {
        max += 1 + node_count(it);
    }
    if (max > CONF_ITEMS_MAX) {
        conf_complain(k->ctx, PROBLEM_ERROR, n, false, "has more than %u entries", CONF_ITEMS_MAX);
        return out;
    }
    out.items = arena_zalloc(k->ctx->arena, max * sizeof(*out.items));
    for (const struct node *it = n->first; it != NULL; it = it->next) {
        const struct node *one = n->kind == NODE_MAP && it->kind == NODE_LIST ? it->first : it;
        bool many = one != it;

        while (one != NULL) {
            struct schema_target *t = arena_zalloc(k->ctx->arena, sizeof(*t));
            size_t mark = conf_enter(k->ctx, NULL, used);

            (void)conf_read(k->ctx, &schema_target_table, one, t);
            conf_leave(k->ctx, mark);
            out.items[used++] = (struct conf_entry){NULL, one, t};
            one = many ? one->next : NULL;
        }
    }
    out.n = used;
    return out;
}

// --- balances ------------------------------------------------------------------------------------

static bool is_by_model(int strategy)
{
    return strategy == RESOURCE_MODEL_WEIGHTED || strategy == RESOURCE_MODEL_LATENCY;
}

static void read_balance(struct config_compile *k, struct resource *r, const struct conf_entry *e,
                         struct resource_balance *out)
{
    const struct schema_balance *s = e->value;
    struct resource_target *targets;
    struct conf_entries models;
    size_t n = 0, mark = conf_enter(k->ctx, "models", SIZE_MAX);

    models = models_of(k, s->models);
    targets = arena_zalloc(&r->arena, (s->providers.n + models.n + 1) * sizeof(*targets));
    read_targets(k, r, &models, targets, &n);
    conf_leave(k->ctx, mark);
    mark = conf_enter(k->ctx, "providers", SIZE_MAX);
    read_targets(k, r, &s->providers, targets, &n);
    conf_leave(k->ctx, mark);
    if (s->providers.n + models.n == 0 && s->strategy != 0) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true, "\"%s\" is missing or empty",
                      is_by_model(s->strategy) ? "models" : "providers");
    }
    for (size_t i = 0; i < n && is_by_model(s->strategy); i++) {
        if (targets[i].model == NULL) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->node, true,
                          "this strategy needs provider/model, \"%s\" has no model",
                          targets[i].provider);
        }
    }
    *out = (struct resource_balance){
        .endpoint = arena_strdup(&r->arena, e->name),
        .strategy = (enum resource_strategy)s->strategy,
        .targets = targets,
        .n_targets = n,
    };
}

static void check_endpoint(struct config_compile *k, const struct conf_entry *e)
{
    struct slice known[ARRAY_LEN(endpoints)];

    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        known[i] = slice_str(endpoints[i]);
        if (strcmp(endpoints[i], e->name) == 0) {
            return;
        }
    }
    conf_complain(
        k->ctx, PROBLEM_ERROR, e->node, true,
        "no such endpoint%s: expected chat, completions, embeddings, responses, messages, "
        "moderations, rerank, images, audio or any",
        conf_did_you_mean(k->ctx, slice_str(e->name), known, ARRAY_LEN(known)));
}

// Helicone's default for a router that says nothing.
static void default_balance(struct config_compile *k, struct resource *r)
{
    static const char *const names[] = {"openai", "anthropic", "gemini"};
    struct resource_balance *b = arena_zalloc(&r->arena, sizeof(*b));
    struct resource_target *t = arena_zalloc(&r->arena, ARRAY_LEN(names) * sizeof(*t));

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (config_provider_named(k, slice_str(names[i])) != NULL) {
            t[b->n_targets++] = (struct resource_target){names[i], NULL, 1000};
        }
    }
    b->endpoint = "any";
    b->strategy = RESOURCE_LATENCY;
    b->targets = t;
    r->u.router->balances = b;
    r->u.router->n_balances = 1;
}

static void put_balances(struct config_compile *k, struct resource *r,
                         const struct schema_router *s)
{
    const struct conf_entries *e = &s->load_balance;
    struct resource_balance *out = arena_zalloc(&r->arena, (e->n + 1) * sizeof(*out));
    size_t top = conf_enter(k->ctx, "load-balance", SIZE_MAX);

    if (e->n == 0) {
        default_balance(k, r);
        conf_leave(k->ctx, top);
        return;
    }
    if (e->n > RESOURCE_ENDPOINT_MAX) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true, "at most %u endpoints",
                      RESOURCE_ENDPOINT_MAX);
    }
    for (size_t i = 0; i < e->n; i++) {
        size_t mark = conf_enter(k->ctx, e->items[i].name, SIZE_MAX);

        check_endpoint(k, &e->items[i]);
        read_balance(k, r, &e->items[i], &out[i]);
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
    r->u.router->balances = out;
    r->u.router->n_balances = e->n;
}

static void put_fallbacks(struct config_compile *k, struct resource *r,
                          const struct schema_router *s)
{
    struct resource_target *t = arena_zalloc(&r->arena, (s->fallbacks.n + 1) * sizeof(*t));
    size_t n = 0, mark = conf_enter(k->ctx, "fallbacks", SIZE_MAX);

    read_targets(k, r, &s->fallbacks, t, &n);
    conf_leave(k->ctx, mark);
    r->u.router->fallbacks = t;
    r->u.router->n_fallbacks = n;
}

// --- mappings ------------------------------------------------------------------------------------

const struct resource_mapping *config_router_mappings(struct config_compile *k, struct resource *r,
                                                      const struct conf_entries *e, size_t *ret_n)
{
    struct resource_mapping *out = arena_zalloc(&r->arena, (e->n + 1) * sizeof(*out));

    for (size_t i = 0; i < e->n; i++) {
        const struct conf_texts *t = e->items[i].value;
        const char **to = arena_zalloc(&r->arena, (t->n + 1) * sizeof(*to));
        size_t mark = conf_enter(k->ctx, e->items[i].name, SIZE_MAX), n = 0;

        for (size_t j = 0; j < t->n; j++) {
            const char *ref = config_model_ref(k, &r->arena, slice_str(t->items[j].s));

            if (ref != NULL) {
                to[n++] = ref;
            } else {
                conf_complain(k->ctx, PROBLEM_WARNING, t->items[j].node, false,
                              "has no effect: no provider is known for %s, write provider/model",
                              problem_show(k->ctx->problems, t->items[j].node));
            }
        }
        conf_leave(k->ctx, mark);
        out[i] = (struct resource_mapping){arena_strdup(&r->arena, e->items[i].name), to, n};
    }
    *ret_n = e->n;
    return out;
}

// --- resources -----------------------------------------------------------------------------------

static bool usable_name(struct config_compile *k, const struct conf_entry *e)
{
    size_t n = strlen(e->name);
    bool ok = n >= 1 && n <= NAME_MAX_BYTES;

    for (size_t i = 0; i < n && ok; i++) {
        char c = e->name[i];

        ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
             c == '-' || c == '_';
    }
    if (!ok) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true,
                      "a router's name is 1 to 64 of A-Z a-z 0-9 _ -");
    }
    return ok;
}

static void emit_one(struct config_compile *k, const struct conf_entry *e)
{
    const struct schema_router *s = e->value;
    const struct config_limit_source limits = {&s->rate_limit, &s->limits};
    struct resource *r;
    size_t mark;

    if (!usable_name(k, e)) {
        return;
    }
    r = resource_new(RESOURCE_ROUTER, slice_str(e->name), 1);
    put_balances(k, r, s);
    put_fallbacks(k, r, s);
    mark = conf_enter(k->ctx, "model-mappings", SIZE_MAX);
    r->u.router->mappings = config_router_mappings(k, r, &s->mappings, &r->u.router->n_mappings);
    conf_leave(k->ctx, mark);
    r->u.router->max_attempts = config_limit_attempts(k, &s->retries);
    r->u.router->cache = config_limit_cache(k, r, &s->cache);
    r->u.router->limits = config_limit_all(k, r, &limits, &r->u.router->n_limits);
    r->u.router->timeouts = config_limit_timeouts(&s->timeouts);
    r->u.router->forward_unknown = s->forward_unknown;
    r->u.router->drop_unsupported = s->drop_unsupported;
    r->u.router->origin = "file";
    r->u.router->where = arena_strdup(&r->arena, config_compile_add(k, r, e->node));
}

void config_router_emit(struct config_compile *k)
{
    size_t top = conf_enter(k->ctx, "routers", SIZE_MAX);

    for (size_t i = 0; i < k->doc->routers.n; i++) {
        size_t mark = conf_enter(k->ctx, k->doc->routers.items[i].name, SIZE_MAX);

        emit_one(k, &k->doc->routers.items[i]);
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
}
