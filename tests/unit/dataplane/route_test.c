// SPDX-License-Identifier: Apache-2.0
// From a request to candidates: names in every form, mappings, permissions, preferences,
// degradations, and what is said where nothing is left.
#include "dataplane/route.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mono.h"
#include "tests/unit/dataplane/build.h"

#define UNKNOWN UINT64_MAX

static const struct resource_model_at at_mini[] = {
    {.provider = "openai",
     .id = "gpt-4o-mini",
     .price = {.input = 15, .cached = 7, .cache_write = 15, .output = 60}},
    {.provider = "azure",
     .id = "mini-deployment",
     .price = {.input = 16, .cached = 8, .cache_write = 16, .output = 61}}};
static const char *const nitro[] = {":nitro"};
static const struct resource_model_at at_dated[] = {
    {.provider = "openai",
     .id = "gpt-4o",
     .price = {.input = 1, .cached = 1, .cache_write = 1, .output = 1}},
    {.provider = "openai",
     .id = "gpt-4o-2024-08-06",
     .price = {.input = 2, .cached = 2, .cache_write = 2, .output = 2}}};
static const struct resource_model_at at_haiku[] = {
    {.provider = "anthropic",
     .id = "claude-haiku",
     .price = {.input = 9, .cached = 9, .cache_write = 9, .output = 9}},
    {.provider = "bedrock",
     .id = "us.anthropic.haiku-v1:0",
     .price = {.input = 10, .cached = UNKNOWN, .cache_write = UNKNOWN, .output = 10}}};
static const struct resource_model_at at_llama[] = {
    {.provider = "together",
     .id = "meta-llama/Llama-3",
     .price = {.input = 1, .cached = 1, .cache_write = 1, .output = 1}}};
static const char *const haiku_for_mini[] = {"claude-haiku"};
static const char *const mini_for_haiku[] = {"gpt-4o-mini"};
static const char *const aliases[] = {"fast", "small"};
static const char *const everything[] = {"*"};
static const char *const gpts[] = {"gpt-*", "o1*"};

static struct build b;
static struct snapshot *snap;
static struct target_table *table;
static struct arena arena;
static struct resource *router;
static struct resource_key *key;
static struct resource_settings *settings;

// The world: openai (2 keys), azure, anthropic, bedrock, together, vllm (takes anything, needs no
// key), nokey (has none).
static int setup(void **state)
{
    static const struct target_config c = {.default_rtt_us = 1, .decay_us = 1};
    struct resource_model *m;

    (void)state;
    b.n = 0;
    snap = NULL;
    build_provider(&b, "openai", "OPENAI_API_KEY")->models = gpts;
    b.list[b.n - 1]->u.provider->n_models = 2;
    (void)build_provider_key(&b, "ok1", "openai", 3);
    (void)build_provider_key(&b, "ok2", "openai", 1);
    (void)build_provider(&b, "azure", "AZURE_API_KEY");
    (void)build_provider_key(&b, "az", "azure", 1);
    (void)build_provider(&b, "anthropic", "ANTHROPIC_API_KEY");
    (void)build_provider_key(&b, "an", "anthropic", 1);
    (void)build_provider(&b, "bedrock", NULL);
    (void)build_provider_key(&b, "br", "bedrock", 1);
    build_provider(&b, "together", "TOGETHER_API_KEY")->quirks.takes = nitro;
    b.list[b.n - 1]->u.provider->quirks.n_takes = 1;
    (void)build_provider_key(&b, "tg", "together", 1);
    build_provider(&b, "vllm", NULL)->models = everything;
    b.list[b.n - 1]->u.provider->n_models = 1;
    b.list[b.n - 1]->u.provider->needs_key = false;
    (void)build_provider(&b, "nokey", "NOKEY_API_KEY");
    (void)build_provider(&b, "okey", NULL); // its name is part of the one above
    m = build_model(&b, "gpt-4o-mini", at_mini, 2);
    m->aliases = aliases;
    m->n_aliases = 2;
    m->equivalents = haiku_for_mini;
    m->n_equivalents = 1;
    (void)build_model(&b, "gpt-4o", at_dated, 2);
    m = build_model(&b, "claude-haiku", at_haiku, 2);
    m->equivalents = mini_for_haiku;
    m->n_equivalents = 1;
    (void)build_model(&b, "llama-3", at_llama, 1);
    router = build_add(&b, RESOURCE_ROUTER, "production");
    settings = build_add(&b, RESOURCE_SETTINGS, "global")->u.settings;
    key = build_key(&b, "alice");
    table = target_table_new(&c, 256);
    arena_init(&arena, 4096, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    build_done(&b, &snap);
    target_table_free(&table);
    arena_done(&arena);
    return 0;
}

struct ask {
    const char *model;
    bool unified, with_key;
    struct dialect_request request;
    struct route_query q;
    struct err e;
    char text[1024]; // "provider/model[key]w=weight@tier.order!excluded ..."
};

static enum route_result plan(struct ask *a)
{
    struct route_plan p;
    enum route_result result;
    size_t n = 0;

    if (snap == NULL) {
        snap = build_snapshot(&b);
    }
    a->request.model = slice_str(a->model);
    a->q.snap = snap;
    a->q.targets = table;
    a->q.router = a->unified ? NULL : router;
    a->q.key = a->with_key ? snapshot_find(snap, RESOURCE_KEY, SLICE("alice")) : NULL;
    a->q.request = &a->request;
    a->e.message[0] = '\0';
    result = route_plan(&a->q, &arena, &p, &a->e);
    a->text[0] = '\0';
    for (size_t i = 0; i < p.n; i++) {
        const struct route_candidate *c = &p.candidates[i];

        n += (size_t)snprintf(a->text + n, sizeof(a->text) - n, "%s%s/%.*s[%s]", i > 0 ? " " : "",
                              c->provider->res->id, (int)c->model.n, c->model.p,
                              c->key == NULL ? "" : c->key->id);
        if (c->tier != 0 || c->order != 0) {
            n += (size_t)snprintf(a->text + n, sizeof(a->text) - n, "@%u.%u", c->tier, c->order);
        }
        if (c->excluded != NULL) {
            n += (size_t)snprintf(a->text + n, sizeof(a->text) - n, "!%s", c->excluded);
        }
        assert_int_equal(c->target == NULL, c->excluded != NULL);
    }
    return result;
}

static void expect(const char *model, bool unified, const char *expected)
{
    struct ask a = {.model = model, .unified = unified};
    enum route_result result = plan(&a);

    if (strcmp(a.text, expected) != 0) {
        fail_msg("%s: got %s, expected %s", model, a.text, expected);
    }
    assert_int_equal(result, expected[0] == '\0' ? ROUTE_MODEL_NOT_FOUND : ROUTE_OK);
}

static void unified_names(void **state)
{
    static const struct {
        const char *model, *expected;
    } cases[] = {
        {"openai/gpt-4o-mini", "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]"},
        {"azure/gpt-4o-mini", "azure/mini-deployment[az]"},     // its own name there
        {"azure/mini-deployment", "azure/mini-deployment[az]"}, //
        {"openai/gpt-4o-2024-08-06", "openai/gpt-4o-2024-08-06[ok1] "
                                     "openai/gpt-4o-2024-08-06[ok2]"},
        {"openai/brand-new", "openai/brand-new[ok1] openai/brand-new[ok2]"}, // passes through
        // dated ids that are not listed
        {"openai/gpt-4o-mini-2025-01-02", "openai/gpt-4o-mini-2025-01-02[ok1] "
                                          "openai/gpt-4o-mini-2025-01-02[ok2]"},
        {"anthropic/claude-haiku-20250102", "anthropic/claude-haiku-20250102[an]"},
        {"gpt-4o-mini-2025-01-02", "azure/mini-deployment[az] openai/gpt-4o-mini-2025-01-02[ok1] "
                                   "openai/gpt-4o-mini-2025-01-02[ok2] "
                                   "vllm/gpt-4o-mini-2025-01-02[]"},
        {"openai/gpt-4o-mini-2025-1-2", "openai/gpt-4o-mini-2025-1-2[ok1] "
                                        "openai/gpt-4o-mini-2025-1-2[ok2]"},
        {"openai/-2025-01-02", "openai/-2025-01-02[ok1] openai/-2025-01-02[ok2]"},
        {"bedrock/claude-haiku", "bedrock/us.anthropic.haiku-v1:0[br]"},
        {"bedrock/us.anthropic.haiku-v1:0", "bedrock/us.anthropic.haiku-v1:0[br]"},
        {"together/meta-llama/Llama-3", "together/meta-llama/Llama-3[tg]"},
        {"together/meta-llama%2FLlama-3", "together/meta-llama/Llama-3[tg]"},
        {"together%2fmeta-llama%2fLlama-3", "together/meta-llama/Llama-3[tg]"},
        {"together/org%2Fother", "together/org/other[tg]"},
        // bare: wherever the catalogue has it, and who takes anything
        {"claude-haiku", "anthropic/claude-haiku[an] bedrock/us.anthropic.haiku-v1:0[br] "
                         "vllm/claude-haiku[]"},
        {"fast", "azure/mini-deployment[az] openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2] "
                 "vllm/fast[]"},
        {"openai/fast", "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]"},
        // a vendor's prefix that is no provider of ours
        {"someone/claude-haiku", "anthropic/claude-haiku[an] bedrock/us.anthropic.haiku-v1:0[br] "
                                 "vllm/someone/claude-haiku[]"},
        {"gpt-9-unheard", "openai/gpt-9-unheard[ok1] openai/gpt-9-unheard[ok2] "
                          "vllm/gpt-9-unheard[]"},
        {"llama-7", "vllm/llama-7[]"},
        {"openai/gpt-4o-mini:nitro", "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]"},
        {"openai/gpt-4o-mini:floor", "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]"},
        // a suffix that the provider has itself
        {"together/meta-llama/Llama-3:nitro", "together/meta-llama/Llama-3:nitro[tg]"},
        {"together/llama-3:nitro", "together/meta-llama/Llama-3:nitro[tg]"},
        {"together/new:nitro", "together/new:nitro[tg]"},
        {"together%2Fnew:nitro", "together/new:nitro[tg]"},
        {"together/a%2Fnew:nitro", "together/a/new:nitro[tg]"},
        {"together/new:floor", "together/new[tg]"},
        {"openai/gpt-4o-mini:free", "openai/gpt-4o-mini:free[ok1] openai/gpt-4o-mini:free[ok2]"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        expect(cases[i].model, true, cases[i].expected);
    }
}

// An id that only the request knows becomes part of an upstream path: it has a bound.
static void endless_names(void **state)
{
    static char model[200000] = "openai/";

    (void)state;
    memset(model + 7, 'x', sizeof(model) - 8);
    expect(model, true, "");
    memcpy(model, "gpt-4o-", 7); // a bare name that a provider's pattern takes
    expect(model, true, "");
}

// A dated id has the price of the undated one, one of its own where it is listed, none where nobody
// knows what it is.
static void dated_ids_have_a_price(void **state)
{
    static const struct {
        const char *model;
        uint64_t input;
    } cases[] = {
        {"openai/gpt-4o-mini-2025-01-02", 15},    {"gpt-4o-mini-2025-01-02", 15},
        {"openai/gpt-4o-2024-08-06", 2},          {"openai/gpt-4o-2024-11-20", 1},
        {"anthropic/claude-haiku@20250102", 9},   {"anthropic/claude-haiku@default", 9},
        {"openai/brand-new-2025-01-02", UNKNOWN},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ask a = {.model = cases[i].model, .unified = true};
        uint64_t input = UNKNOWN;
        struct route_plan p;

        assert_int_equal(plan(&a), ROUTE_OK);
        assert_int_equal(route_plan(&a.q, &arena, &p, &a.e), ROUTE_OK);
        for (size_t k = 0; k < p.n && input == UNKNOWN; k++) {
            if (strcmp(p.candidates[k].provider->res->id, "azure") != 0 &&
                p.candidates[k].price != NULL) {
                input = p.candidates[k].price->input;
            }
        }
        assert_true(input == cases[i].input);
    }
}

static void suffixes_choose_the_strategy(void **state)
{
    static const struct {
        const char *model;
        enum resource_strategy strategy;
    } cases[] = {{"gpt-4o-mini", RESOURCE_WEIGHTED},
                 {"gpt-4o-mini:nitro", RESOURCE_LATENCY},
                 {"gpt-4o-mini:floor", RESOURCE_COST}};
    static const struct resource_target targets[] = {{"openai", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 1};

    (void)state;
    router->u.router->balances = &balance;
    router->u.router->n_balances = 1;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ask a = {.model = cases[i].model};
        struct route_plan p;

        assert_int_equal(plan(&a), ROUTE_OK);
        assert_int_equal(route_plan(&a.q, &arena, &p, &a.e), ROUTE_OK);
        assert_int_equal(p.strategy, cases[i].strategy);
        assert_int_equal(p.usable, 2);
    }
}

static void key_weights(void **state)
{
    static const struct {
        uint32_t target, a, b; // weight of the target, expected of its keys (3 : 1)
    } cases[] = {{1000, 750, 250}, {100, 75, 25}, {1, 1, 1}, {0, 0, 0}};
    static struct resource_target targets[] = {{"openai", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 1};

    (void)state;
    router->u.router->balances = &balance;
    router->u.router->n_balances = 1;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ask a = {.model = "gpt-4o-mini"};
        struct route_plan p;

        targets[0].weight = cases[i].target;
        assert_int_equal(plan(&a), ROUTE_OK);
        assert_int_equal(route_plan(&a.q, &arena, &p, &a.e), ROUTE_OK);
        assert_int_equal(p.candidates[0].weight, cases[i].a);
        assert_int_equal(p.candidates[1].weight, cases[i].b);
        assert_int_equal(p.candidates[0].price->input, 15);
    }
}

static void router_with(const struct resource_balance *balances, size_t n)
{
    router->u.router->balances = balances;
    router->u.router->n_balances = n;
}

static void routers_map(void **state)
{
    static const struct resource_target targets[] = {{"anthropic", NULL, 1000},
                                                     {"openai", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 2};

    (void)state;
    router_with(&balance, 1);
    // The catalogue's equivalents, both ways; also where the client named another provider.
    expect("gpt-4o-mini", false,
           "anthropic/claude-haiku[an] openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]");
    expect("claude-haiku", false,
           "anthropic/claude-haiku[an] openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]");
    expect("bedrock/claude-haiku", false,
           "anthropic/claude-haiku[an] openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]");
    expect("anthropic/claude-new", false, "anthropic/claude-new[an]");
    expect("together/llama-3", false, "");
    expect("nothing-like-it", false, "");
}

static void mapping_order(void **state)
{
    static const char *const of_router[] = {"nowhere", "anthropic/claude-by-router"};
    static const char *const of_settings[] = {"anthropic/claude-by-settings"};
    static const struct resource_mapping by_router[] = {{"gpt-4o-mini", of_router, 2}};
    static const struct resource_mapping by_settings[] = {
        {"gpt-4o-mini", of_settings, 1}, {"llama-3", of_settings, 1}, {"x", mini_for_haiku, 1}};
    static const struct resource_target targets[] = {{"anthropic", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 1};

    (void)state;
    router_with(&balance, 1);
    router->u.router->mappings = by_router;
    router->u.router->n_mappings = 1;
    settings->mappings = by_settings;
    settings->n_mappings = 3;
    expect("gpt-4o-mini", false, "anthropic/claude-by-router[an]");
    expect("openai/gpt-4o-mini", false, "anthropic/claude-by-router[an]");
    expect("fast", false, "anthropic/claude-by-router[an]"); // by the canonical name
    expect("together/meta-llama/Llama-3", false, "anthropic/claude-by-settings[an]");
    expect("x", false, ""); // mapped to what is not there either: no chains
}

static void targets_with_models_and_endpoints(void **state)
{
    static const struct resource_target chat[] = {
        {"azure", "mini-deployment", 1000}, {"openai", "gpt-tuned", 500}, {"gone", NULL, 1000}};
    static const struct resource_target embed[] = {{"vllm", "bge", 1000}};
    static const struct resource_target any[] = {{"together", "misc", 1000}};
    static const struct resource_balance balances[] = {
        {"chat", RESOURCE_MODEL_WEIGHTED, chat, 3},
        {"embeddings", RESOURCE_LATENCY, embed, 1},
        {"any", RESOURCE_LATENCY, any, 1},
    };
    static const struct {
        enum dialect_endpoint ep;
        const char *expected, *without_any;
    } cases[] = {
        {DIALECT_CHAT, "azure", "azure"},           {DIALECT_RESPONSES, "azure", "azure"},
        {DIALECT_MESSAGES, "azure", "azure"},       {DIALECT_EMBEDDINGS, "vllm", "vllm"},
        {DIALECT_COMPLETIONS, "together", "azure"}, {DIALECT_OTHER, "together", "azure"},
    };

    (void)state;
    for (size_t n = 3; n >= 2; n--) {
        router_with(balances, n);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
            struct ask a = {.model = "whatever", .request.endpoint = cases[i].ep};

            assert_int_equal(plan(&a), ROUTE_OK);
            assert_true(slice_starts(slice_str(a.text),
                                     slice_str(n == 3 ? cases[i].expected : cases[i].without_any)));
        }
    }
    expect("whatever", false,
           "azure/mini-deployment[az] openai/gpt-tuned[ok1] "
           "openai/gpt-tuned[ok2]");
    router_with(NULL, 0); // no balance at all: as the unified API
    expect("openai/gpt-4o", false, "openai/gpt-4o[ok1] openai/gpt-4o[ok2]");
}

static void permissions(void **state)
{
    static const struct {
        const char *const globs[2];
        const char *model, *expected;
    } cases[] = {
        {{"openai/*", NULL},
         "openai/gpt-4o-mini",
         "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]"},
        {{"gpt-4o-mini", NULL},
         "openai/gpt-4o-mini",
         "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2]"},
        {{"claude-haiku", NULL}, "bedrock/claude-haiku", "bedrock/us.anthropic.haiku-v1:0[br]"},
        {{"bedrock/*", NULL},
         "claude-haiku",
         "anthropic/claude-haiku[]!not_allowed bedrock/us.anthropic.haiku-v1:0[br] "
         "vllm/claude-haiku[]!not_allowed"},
        {{"claude-*", "gpt-4o"}, "openai/gpt-4o", "openai/gpt-4o[ok1] openai/gpt-4o[ok2]"},
    };
    struct ask a = {.with_key = true, .unified = true};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        key->models = cases[i].globs;
        key->n_models = cases[i].globs[1] == NULL ? 1 : 2;
        a.model = cases[i].model;
        assert_int_equal(plan(&a), ROUTE_OK);
        assert_string_equal(a.text, cases[i].expected);
    }
    key->n_models = 1; // claude-*
    a.model = "openai/gpt-4o";
    assert_int_equal(plan(&a), ROUTE_NOT_ALLOWED);
    assert_string_equal(a.e.message, "this key may not use the model `openai/gpt-4o`");
    key->n_models = 0; // nothing
    assert_int_equal(plan(&a), ROUTE_NOT_ALLOWED);
}

// A key that may use one model does not get another by way of a mapping.
static void mappings_need_permission(void **state)
{
    static const struct resource_target targets[] = {{"anthropic", NULL, 1000},
                                                     {"openai", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 2};
    static const char *const minis[] = {"gpt-4o-mini"};
    struct ask a = {.model = "gpt-4o-mini", .with_key = true};

    (void)state;
    router_with(&balance, 1);
    key->models = minis;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "anthropic/claude-haiku[]!not_allowed openai/gpt-4o-mini[ok1] "
                                "openai/gpt-4o-mini[ok2]");
}

static void routers_allowed(void **state)
{
    static const char *const globs[] = {"prod*", "ai"};
    struct resource *r = NULL;

    (void)state;
    for (size_t i = 0; i < b.n; i++) {
        r = b.list[i]->kind == RESOURCE_KEY ? b.list[i] : r;
    }
    key->routers = globs;
    key->n_routers = 2;
    assert_true(route_router_allowed(NULL, SLICE("x")));
    assert_true(route_router_allowed(r, SLICE("production")));
    assert_true(route_router_allowed(r, SLICE("ai")));
    assert_false(route_router_allowed(r, SLICE("staging")));
    key->n_routers = 0;
    assert_false(route_router_allowed(r, SLICE("ai")));
}

static void preferences(void **state)
{
    static const struct resource_target targets[] = {
        {"openai", NULL, 1000}, {"azure", NULL, 1000}, {"anthropic", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 3};
    static const struct slice azure[] = {{"Azure", 5}}, two[] = {{"anthropic", 9}, {"azure", 5}};
    struct ask a = {.model = "gpt-4o-mini"};

    (void)state;
    router_with(&balance, 1);
    a.request.only = azure;
    a.request.n_only = 1;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "openai/gpt-4o-mini[]!not_in_only azure/mini-deployment[az] "
                                "anthropic/claude-haiku[]!not_in_only");
    a = (struct ask){.model = "gpt-4o-mini", .request.ignore = two, .request.n_ignore = 2};
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "openai/gpt-4o-mini[ok1] openai/gpt-4o-mini[ok2] "
                                "azure/mini-deployment[]!ignored anthropic/claude-haiku[]!ignored");
    a = (struct ask){.model = "gpt-4o-mini", .request.order = two, .request.n_order = 2};
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "openai/gpt-4o-mini[ok1]@0.2 openai/gpt-4o-mini[ok2]@0.2 "
                                "azure/mini-deployment[az]@0.1 anthropic/claude-haiku[an]");
    a.request.no_fallbacks = true; // the listed ones and no others
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "openai/gpt-4o-mini[]@0.2!not_in_order "
                                "azure/mini-deployment[az]@0.1 anthropic/claude-haiku[an]");
    a = (struct ask){.model = "gpt-4o-mini", .q.forced_provider = {"AZURE", 5}};
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "openai/gpt-4o-mini[]!not_forced azure/mini-deployment[az] "
                                "anthropic/claude-haiku[]!not_forced");
    a = (struct ask){.model = "gpt-4o-mini", .request.only = azure, .request.n_only = 1};
    a.request.ignore = azure;
    a.request.n_ignore = 1;
    assert_int_equal(plan(&a), ROUTE_NO_PROVIDER);
    assert_string_equal(a.e.message,
                        "the request's provider preferences exclude every provider of this route");
}

static void degradations(void **state)
{
    static const struct resource_target targets[] = {{"azure", NULL, 1000}};
    static const struct resource_target fallbacks[] = {
        {"anthropic", "claude-haiku", 1000}, {"azure", "mini-deployment", 1}, {"bedrock", NULL, 1}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 1};
    static const struct slice models[] = {{"gpt-4o-mini", 11}, {"azure/other", 11}};
    struct ask a = {.model = "gpt-4o-mini", .request.models = models, .request.n_models = 2};

    (void)state;
    router_with(&balance, 1);
    router->u.router->fallbacks = fallbacks;
    router->u.router->n_fallbacks = 3;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "azure/mini-deployment[az] anthropic/claude-haiku[an]@1.0 "
                                "bedrock/us.anthropic.haiku-v1:0[br]@3.0 azure/other[az]@5.0");
    a.q.no_fallback = true;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "azure/mini-deployment[az]");
    a.q.no_fallback = false;
    a.request.no_fallbacks = true;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "azure/mini-deployment[az]");
    // The unified API has no fallbacks but those of models[].
    a = (struct ask){.model = "together/x", .unified = true, .request.models = models};
    a.request.n_models = 2;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_string_equal(a.text, "together/x[tg] azure/mini-deployment[az]@1.0 "
                                "openai/gpt-4o-mini[ok1]@1.0 openai/gpt-4o-mini[ok2]@1.0 "
                                "vllm/gpt-4o-mini[]@1.0 azure/other[az]@2.0");
}

static void many_fallbacks(void **state)
{
    static const struct resource_target targets[] = {{"azure", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 1};
    static struct resource_target fallbacks[1000];
    static char names[1000][8];
    struct ask a = {.model = "gpt-4o-mini"};
    struct route_plan p;

    (void)state;
    for (size_t i = 0; i < 1000; i++) {
        (void)snprintf(names[i], sizeof(names[i]), "m%zu", i % 1000);
        fallbacks[i] = (struct resource_target){"vllm", i < 990 ? "same" : names[i], 1};
    }
    router_with(&balance, 1);
    router->u.router->fallbacks = fallbacks;
    router->u.router->n_fallbacks = 1000;
    assert_int_equal(plan(&a), ROUTE_OK);
    assert_int_equal(route_plan(&a.q, &arena, &p, &a.e), ROUTE_OK);
    assert_int_equal(p.n, 12);
    assert_int_equal(p.candidates[11].tier, 1000);
    for (size_t i = 0; i < 1000; i++) {
        fallbacks[i].model = names[i];
    }
    assert_int_equal(route_plan(&a.q, &arena, &p, &a.e), ROUTE_OK);
    assert_int_equal(p.n, ROUTE_CANDIDATES_MAX);
}

static void no_keys(void **state)
{
    static const struct resource_target targets[] = {
        {"nokey", "m", 1000}, {"okey", "m", 1000}, {"nokey", "n", 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 3};
    struct ask a = {.model = "gpt-4o-mini"};

    (void)state;
    router_with(&balance, 1);
    assert_int_equal(plan(&a), ROUTE_NO_PROVIDER);
    assert_int_equal(a.e.code, ERR_UNAVAILABLE);
    assert_string_equal(a.e.message, "no provider of this route has a key: nokey (set "
                                     "NOKEY_API_KEY), okey");
    assert_string_equal(a.text, "nokey/m[]!no_key okey/m[]!no_key nokey/n[]!no_key");
    a = (struct ask){.model = "nokey/x", .unified = true};
    assert_int_equal(plan(&a), ROUTE_NO_PROVIDER);
    assert_string_equal(a.e.message,
                        "no provider of this route has a key: nokey (set NOKEY_API_KEY)");
}

static void near_matches(void **state)
{
    static const struct resource_target targets[] = {{"anthropic", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 1};
    static const struct {
        const char *model, *message;
    } cases[] = {
        {"claude-haku", "the model `claude-haku` is not known to any provider of this route; did "
                        "you mean `claude-haiku`?"},
        {"antropic/claude-haiku-9", "the model `antropic/claude-haiku-9` is not known to any "
                                    "provider of this route; did you mean "
                                    "`anthropic/claude-haiku`?"},
        {"zzzzzzzzzzzz", "the model `zzzzzzzzzzzz` is not known to any provider of this route"},
    };
    char name[600];

    (void)state;
    router_with(&balance, 1);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct ask a = {.model = cases[i].model};

        assert_int_equal(plan(&a), ROUTE_MODEL_NOT_FOUND);
        assert_int_equal(a.e.code, ERR_NOT_FOUND);
        assert_string_equal(a.e.message, cases[i].message);
    }
    (void)snprintf(name, sizeof(name), "%0512d", 7);
    struct ask a = {.model = name, .with_key = true};
    assert_int_equal(plan(&a), ROUTE_MODEL_NOT_FOUND);
    assert_true(strlen(a.e.message) < 250);
}

// A rate limit of one new model says nothing about another.
static void unknown_models_have_their_own_health(void **state)
{
    struct target *seen[5];

    (void)state;
    for (int i = 0; i < 5; i++) {
        char name[32];
        struct ask a = {.unified = true};
        struct route_plan p;

        (void)snprintf(name, sizeof(name), "together/new-%d", i);
        a.model = name;
        assert_int_equal(plan(&a), ROUTE_OK);
        assert_int_equal(route_plan(&a.q, &arena, &p, &a.e), ROUTE_OK);
        seen[i] = p.candidates[0].target;
        for (int j = 0; j < i; j++) {
            assert_ptr_not_equal(seen[i], seen[j]);
        }
    }
}

static void on_model(void *ctx, const struct resource *m, const struct resource_model_at *at)
{
    buf_printf(ctx, "%s=%s/%s ", m->id, at->provider, at->id);
}

static void listings(void **state)
{
    static const struct resource_target targets[] = {
        {"anthropic", NULL, 1000}, {"openai", "gpt-4o", 1000}, {"nokey", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_WEIGHTED, targets, 3};
    static const char *const some[] = {"gpt-4o*"};
    const struct resource *alice;
    struct buf out;

    (void)state;
    buf_init(&out, 4096);
    router_with(&balance, 1);
    snap = build_snapshot(&b);
    alice = snapshot_find(snap, RESOURCE_KEY, SLICE("alice"));
    route_models(snap, NULL, NULL, on_model, &out);
    assert_string_equal(buf_cstr(&out),
                        "claude-haiku=anthropic/claude-haiku "
                        "claude-haiku=bedrock/us.anthropic.haiku-v1:0 gpt-4o=openai/gpt-4o "
                        "gpt-4o=openai/gpt-4o-2024-08-06 gpt-4o-mini=openai/gpt-4o-mini "
                        "gpt-4o-mini=azure/mini-deployment llama-3=together/meta-llama/Llama-3 ");
    buf_clear(&out);
    route_models(snap, router, NULL, on_model, &out);
    assert_string_equal(buf_cstr(&out),
                        "claude-haiku=anthropic/claude-haiku gpt-4o=openai/gpt-4o ");
    buf_clear(&out);
    key->models = some;
    route_models(snap, NULL, alice, on_model, &out);
    assert_string_equal(buf_cstr(&out),
                        "gpt-4o=openai/gpt-4o gpt-4o=openai/gpt-4o-2024-08-06 "
                        "gpt-4o-mini=openai/gpt-4o-mini gpt-4o-mini=azure/mini-deployment ");
    buf_done(&out);
}

#define T(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(unified_names),
        T(endless_names),
        T(dated_ids_have_a_price),
        T(suffixes_choose_the_strategy),
        T(key_weights),
        T(routers_map),
        T(mapping_order),
        T(targets_with_models_and_endpoints),
        T(permissions),
        T(mappings_need_permission),
        T(routers_allowed),
        T(preferences),
        T(degradations),
        T(many_fallbacks),
        T(no_keys),
        T(near_matches),
        T(unknown_models_have_their_own_health),
        T(listings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
