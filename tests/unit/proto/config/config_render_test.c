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

static void check_one(struct resource *r, struct env *env)
{
    const char *section = config_render_section(r->kind);
    struct resource *again;
    struct buf text, x, y;
    struct config *c;
    struct json_out o;

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
        cmocka_unit_test(secrets_are_hidden),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
