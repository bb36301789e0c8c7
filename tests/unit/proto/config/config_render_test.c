// SPDX-License-Identifier: Apache-2.0
// What is rendered and read again makes the same resource: every sort of value there is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/io/document.h"
#include "common/io/json.h"
#include "proto/config/config.h"
#include "proto/config/config_render.h"

static const char *const documents[] = {
    "routers: {a: {load-balance: {chat: {strategy: latency, providers: [openai, gemini]}}}}",
    "routers: {a: {}}",
    "routers: {a: {load-balance: {any: {strategy: model-weighted, models: [{model: "
    "openai/gpt-4o-mini, weight: 0.25}, {model: gemini/gemini-2.5-flash, weight: 0.75}]}}, "
    "fallbacks: [anthropic/claude-haiku-4-5], model-mappings: {gpt-4o: [gemini/gemini-2.5-pro]}, "
    "cache: {directive: 'max-age=5, max-stale=7', buckets: 3, seed: s, scope: key}, "
    "retries: {max-attempts: 4}, timeouts: {timeout: 90s, connection-timeout: 250ms, idle-timeout: "
    "1m30s, hold: 3s, first-byte-timeout: 1h}, "
    "limits: [{unit: usd, amount: 0.000000001, per: week, time-zone: Europe/Berlin, "
    "on-control-loss: open}, {unit: tokens, amount: 1000000, per: 90s, scope: total}], "
    "rate-limit: {per-api-key: {capacity: 10, refill-frequency: 1500ms}}, "
    "forward-unknown: true, drop-unsupported: true}}",
    "routers: {a: {cache: {enabled: false}, load-balance: {chat: {strategy: cost, providers: "
    "[openai]}, embeddings: {strategy: least-busy, providers: [openai]}, messages: {strategy: "
    "priority, providers: [openai]}, completions: {strategy: model-latency, models: "
    "[openai/gpt-4o]}, images: {strategy: weighted, providers: [openai]}}}}",
    "providers: {p: {base-url: 'http://h:1/', path: '/', auth: {header: X-Key}, models: ['a-*'], "
    "stream-options: false, health: {probe: tcp, interval: 20s}, key-required: true}}",
    "providers: {p: {base-url: 'https://h/x/v2', raw-url: 'https://raw/', auth: {header: "
    "authorization, scheme: Token}, health: {probe: off}}}",
    "providers: {openai: {base-url: 'http://127.0.0.1:8000'}}",
    "providers: {p: {base-url: 'http://h/v1/', paths: {embeddings: 'e', rerank: ''}, limit-headers: "
    "{requests: {limit: X-Lim, reset: x-res}, tokens: {remaining: x-rem}}, quirks: {drop: [store], "
    "refuse: [n], takes: [top_k], rename: {seed: random_seed}, max-tokens: either, "
    "max-tokens-plain: 4096, tool-choice: [auto, required], response-format: [text, json_schema], "
    "no-images: true, stop-max: 4, temperature-min: 0.01, temperature-max: 1, top-p-max: 0.99, "
    "prefill: prefix, tool-id-length: 9, tool-id-exact: true, tool-id-punctuation: '_-', reasoning: "
    "thinking-budget, efforts: [high], reasoning-history: parts, reports-cost: true, "
    "forced-unreasoned: true, normalize: true, greedy: do_sample, user-min: 6, user-max: 128, price-flex: 0.5, "
    "price-priority: 1.8, price-batch: 0.25, price-fast: 2, price-us: 1.1, price-peak: 2, "
    "price-write: 1.25, price-write-long: 2, price-rate: 1.1, price-search: 10, peak-hours: ['01:00-04:00'], takes-headers: "
    "[X-Title]}}}",
    "models: {m: {at: [{provider: openai, price: {input: 1.25, cache-write-long: 2, reasoning: 3, "
    "audio-input: 4, audio-output: 5, image-output: 6, tiers: [{above: 200000, input: 2.5, cached: "
    "0.25}]}, changes: [{from: 2027-01-01, price: {input: 1, output: 2}}]}], outputs: [text, audio], "
    "released: 2026-11-17, traits: {thinking: budget, thinking-off: never, efforts: [low], drop: "
    "[logprobs], no-tools: true, old-schema: true}}}",
    "models: {m: {at: [{provider: openai, id: x, price: {input: 0.15, cached: 0.075, output: "
    "0.6}}, {provider: gemini}], equivalents: [openai/gpt-4o], aliases: [m2], modalities: [text, "
    "image], context: 4096, max-output: 100, kind: embeddings}}",
};

static struct config *parse(const char *text, struct env *env)
{
    const struct config_options o = {.env = env, .read = document_no_files};

    return config_parse("t", slice_str(text), &o);
}

static struct resource *find(const struct config *c, enum resource_kind kind, const char *id)
{
    for (size_t i = 0; i < c->n_resources; i++) {
        if (c->resources[i]->kind == kind && strcmp(c->resources[i]->id, id) == 0) {
            return c->resources[i];
        }
    }
    return NULL;
}

static void fail_with(const struct config *c, const char *text)
{
    struct buf b;

    buf_init(&b, 1 << 20);
    problem_render_all(&c->problems, &b);
    fail_msg("%s\n%s", text, buf_cstr(&b));
}

// What is rendered of a header's value is all that can come back.
static void hide(struct resource *r)
{
    struct resource_pair *all;

    if (r->kind != RESOURCE_PROVIDER) {
        return;
    }
    all = arena_zalloc(&r->arena, (r->u.provider->n_headers + 1) * sizeof(*all));
    for (size_t i = 0; i < r->u.provider->n_headers; i++) {
        all[i] = (struct resource_pair){r->u.provider->headers[i].name, CONFIG_RENDER_HIDDEN};
    }
    r->u.provider->headers = all;
}

static void check_one(struct resource *r, struct env *env)
{
    const char *section = config_render_section(r->kind);
    struct resource *again;
    struct buf text, x, y;
    struct config *c;
    struct json_out o;

    hide(r);
    buf_init(&text, 1 << 20);
    buf_init(&x, 1 << 20);
    buf_init(&y, 1 << 20);
    o = json_out_to(&text);
    json_out_open(&o, '{');
    json_out_key(&o, section);
    json_out_open(&o, '{');
    json_out_key(&o, r->id);
    config_render(&o, r);
    json_out_close(&o, '}');
    json_out_close(&o, '}');
    c = parse(buf_cstr(&text), env);
    again = config_ok(c) ? find(c, r->kind, r->id) : NULL;
    if (again == NULL) {
        fail_with(c, buf_cstr(&text));
        return;
    }
    if (r->kind == RESOURCE_ROUTER) { // the line is another
        r->u.router->where = again->u.router->where = NULL;
    }
    resource_encode(r, &x);
    resource_encode(again, &y);
    if (!slice_eq(buf_slice(&x), buf_slice(&y))) {
        fail_msg("not the same again: %s", buf_cstr(&text));
    }
    buf_done(&text);
    buf_done(&x);
    buf_done(&y);
    config_free(&c);
}

static void same_again(void **state)
{
    static const struct {
        enum resource_kind kind;
        const char *id;
    } what[] = {{RESOURCE_ROUTER, "a"},
                {RESOURCE_PROVIDER, "p"},
                {RESOURCE_PROVIDER, "openai"},
                {RESOURCE_MODEL, "m"}};
    struct env *env = env_new();
    size_t checked = 0;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(documents); i++) {
        struct config *c = parse(documents[i], env);

        if (!config_ok(c)) {
            fail_with(c, documents[i]);
        }
        for (size_t k = 0; k < ARRAY_LEN(what); k++) {
            struct resource *r = find(c, what[k].kind, what[k].id);

            if (r != NULL) {
                check_one(r, env);
                checked++;
            }
        }
        config_free(&c);
    }
    assert_true(checked >= ARRAY_LEN(documents));
    env_free(&env);
}

// Every provider and model of the catalogue, as it is in force: whatever fields there are.
static void the_catalogue_comes_back(void **state)
{
    struct env *env = env_new();
    struct config *c = parse("{}", env);
    size_t n = 0;

    (void)state;
    assert_true(config_ok(c));
    for (size_t i = 0; i < c->n_resources; i++) {
        if (c->resources[i]->kind == RESOURCE_PROVIDER || c->resources[i]->kind == RESOURCE_MODEL) {
            check_one(c->resources[i], env);
            n++;
        }
    }
    assert_true(n > 10);
    config_free(&c);
    env_free(&env);
}

static void secrets_are_hidden(void **state)
{
    struct env *env = env_new();
    struct config *c = parse("providers: {p: {base-url: 'http://h/', headers: {x-a: planted1}, "
                             "query: {k: planted2}}}",
                             env);
    struct resource *r = find(c, RESOURCE_PROVIDER, "p");
    struct json_out o;
    struct buf b;

    (void)state;
    assert_non_null(r);
    buf_init(&b, 1 << 16);
    o = json_out_to(&b);
    config_render(&o, r);
    assert_null(strstr(buf_cstr(&b), "planted"));
    assert_non_null(strstr(buf_cstr(&b), "\"x-a\":\"(hidden)\""));
    buf_done(&b);
    config_free(&c);
    env_free(&env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_again),
        cmocka_unit_test(the_catalogue_comes_back),
        cmocka_unit_test(secrets_are_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
