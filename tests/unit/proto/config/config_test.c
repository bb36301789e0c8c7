// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/document.h"
#include "proto/config/config.h"
#include "proto/router_check.h"

#define SAMPLES SLUICE_SOURCE_DIR "/tests/config"

static struct env *env;
static struct config *c;
static struct buf report;

static int setup(void **state)
{
    (void)state;
    env = env_new();
    buf_init(&report, 1 << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_free(&c);
    env_free(&env);
    buf_done(&report);
    return c != NULL;
}

static void set(const char *name, const char *value)
{
    assert_true(env_set(env, slice_str(name), slice_str(value)));
}

static const char *problems(void)
{
    buf_clear(&report);
    problem_render_all(&c->problems, &report);
    return buf_cstr(&report);
}

static bool parse_with(const char *text, bool demo)
{
    const struct config_options o = {.env = env, .demo = demo};

    config_free(&c);
    c = config_parse("f.yaml", slice_str(text), &o);
    return config_ok(c);
}

static bool parse(const char *text)
{
    return parse_with(text, false);
}

static bool load(const char *path)
{
    const struct config_options o = {.env = env};

    config_free(&c);
    c = config_load(path, &o);
    return config_ok(c);
}

static const struct resource *find(enum resource_kind kind, const char *id)
{
    for (size_t i = 0; i < c->n_resources; i++) {
        if (c->resources[i]->kind == kind && strcmp(c->resources[i]->id, id) == 0) {
            return c->resources[i];
        }
    }
    return NULL;
}

static const struct resource_provider *provider(const char *id)
{
    const struct resource *r = find(RESOURCE_PROVIDER, id);

    return r == NULL ? NULL : r->u.provider;
}

static const struct resource_router *router(const char *id)
{
    const struct resource *r = find(RESOURCE_ROUTER, id);

    return r == NULL ? NULL : r->u.router;
}

static const struct resource_settings *settings(void)
{
    return find(RESOURCE_SETTINGS, "global")->u.settings;
}

static size_t count(enum resource_kind kind)
{
    size_t n = 0;

    for (size_t i = 0; i < c->n_resources; i++) {
        n += c->resources[i]->kind == kind;
    }
    return n;
}

// --- the file of the walk-through ----------------------------------------------------------------

static void the_walk_through_file_loads(void **state)
{
    const struct resource_router *r;
    const struct resource *key;

    (void)state;
    set("OPENAI_API_KEY", "sk-test-0123456789");
    set("ANTHROPIC_API_KEY", "sk-ant-0123456789");
    set("GEMINI_API_KEY", "AIza0123456789");
    assert_true(load(SAMPLES "/ai-gateway-config.yaml"));
    assert_true(c->helicone);
    assert_int_equal(c->problems.warnings, 0);
    assert_int_equal(c->problems.notices, 1);
    assert_non_null(strstr(problems(),
                           "/ai-gateway-config.yaml:16:5: note: helicone: has no effect: "
                           "this version has no Helicone exporter, nothing is sent "
                           "anywhere\n"));
    r = router("production");
    assert_int_equal(r->n_balances, 1);
    assert_string_equal(r->balances[0].endpoint, "chat");
    assert_int_equal(r->balances[0].strategy, RESOURCE_LATENCY);
    assert_int_equal(r->balances[0].n_targets, 3);
    assert_string_equal(r->balances[0].targets[2].provider, "gemini");
    assert_null(r->balances[0].targets[2].model);
    assert_int_equal(r->balances[0].targets[2].weight, 1000);
    assert_true(r->cache.present && r->cache.enabled);
    assert_string_equal(r->cache.directive, "max-age=3600");
    assert_int_equal(r->cache.buckets, 1);
    assert_int_equal(r->n_limits, 1);
    assert_int_equal(r->limits[0].unit, RESOURCE_REQUESTS);
    assert_int_equal(r->limits[0].amount, 1000);
    assert_int_equal(r->limits[0].per_us, 60000000);
    assert_true(r->limits[0].per_principal);
    assert_string_equal(r->origin, "file");
    assert_non_null(strstr(r->where, "/ai-gateway-config.yaml:2"));
    assert_int_equal(count(RESOURCE_PROVIDER), 3);
    assert_int_equal(count(RESOURCE_PROVIDER_KEY), 3);
    assert_string_equal(provider("gemini")->base_url,
                        "https://generativelanguage.googleapis.com/v1beta/");
    assert_string_equal(provider("gemini")->raw_url, "https://generativelanguage.googleapis.com/");
    assert_string_equal(provider("openai")->auth_header, "authorization");
    assert_string_equal(provider("openai")->auth_scheme, "Bearer");
    assert_string_equal(provider("openai")->key_variable, "OPENAI_API_KEY");
    assert_true(provider("openai")->needs_key);
    key = find(RESOURCE_PROVIDER_KEY, "openai.OPENAI_API_KEY");
    assert_non_null(key);
    assert_string_equal(key->parent, "openai");
    assert_string_equal(key->u.provider_key->origin, "env");
    assert_string_equal(key->u.provider_key->hint, "...6789");
    assert_int_equal(key->u.provider_key->weight, 1);
    assert_true(slice_eq_str(secret_reveal(key->u.provider_key->value), "sk-test-0123456789"));
    assert_null(settings()->default_router);
    assert_int_equal(settings()->max_attempts, 5);
    assert_int_equal(settings()->timeouts.total_us, 900000000);
    assert_int_equal(settings()->timeouts.connect_us, 10000000);
    assert_int_equal(settings()->timeouts.hold_us, 15000000);
    assert_int_equal(settings()->default_rtt_us, 250000);
    assert_int_equal(settings()->decay_us, 30000000);
    assert_int_equal(settings()->ejection_us, 30000000);
    assert_int_equal(settings()->cache_bytes, 256 << 20);
}

static void without_keys_the_variables_are_named(void **state)
{
    (void)state;
    set("OPENAI_API_KEY", "  ");
    assert_true(load(SAMPLES "/ai-gateway-config.yaml"));
    assert_int_equal(count(RESOURCE_PROVIDER), 3);
    assert_int_equal(count(RESOURCE_PROVIDER_KEY), 0);
    assert_int_equal(c->problems.notices, 4);
    assert_non_null(strstr(problems(),
                           "note: providers.openai: has no key and is left out of routing "
                           "until it has one: set OPENAI_API_KEY or"));
    assert_non_null(strstr(problems(), "set GEMINI_API_KEY"));
}

static void overrides_point_providers_at_a_mock(void **state)
{
    (void)state;
    set("SLUICE__PROVIDERS__OPENAI__BASE_URL", "http://127.0.0.1:9001/v1/");
    set("SLUICE__PROVIDERS__ANTHROPIC__BASE_URL", "http://127.0.0.1:9002");
    set("SLUICE__PROVIDERS__GEMINI__BASE_URL", "http://127.0.0.1:9003/v1");
    set("SLUICE__ROUTERS__PRODUCTION__CACHE__BUCKETS", "3");
    set("SLUICE__SERVER__PORT", "9999");
    set("GOOGLE_API_KEY", "from-the-other-name");
    assert_true(load(SAMPLES "/ai-gateway-config.yaml"));
    assert_string_equal(provider("openai")->base_url, "http://127.0.0.1:9001/v1/");
    assert_string_equal(provider("openai")->raw_url, "http://127.0.0.1:9001/");
    assert_string_equal(provider("anthropic")->base_url, "http://127.0.0.1:9002/v1/");
    assert_string_equal(provider("gemini")->base_url, "http://127.0.0.1:9003/v1/");
    assert_string_equal(provider("gemini")->raw_url, "http://127.0.0.1:9003/v1/");
    assert_int_equal(router("production")->cache.buckets, 3);
    assert_int_equal(config_boot(c)->server.port, 9999);
    assert_non_null(find(RESOURCE_PROVIDER_KEY, "gemini.GOOGLE_API_KEY"));
}

// --- every sample of Helicone's documentation ----------------------------------------------------

// "# Expected warnings: N" in the first line; none without.
static size_t expected_warnings(const char *path)
{
    struct err err;
    size_t n;
    char *text = document_read_file(NULL, path, 1 << 20, &n, &err);
    const struct slice word = SLICE("# Expected warnings: ");
    uint64_t warnings = 0;

    assert_non_null(text);
    if (slice_starts((struct slice){text, n}, word)) {
        struct slice line;

        (void)slice_cut(slice_from((struct slice){text, n}, word.n), '\n', &line);
        assert_true(slice_to_u64(line, &warnings));
    }
    mem_free(text);
    return (size_t)warnings;
}

static void helicones_samples_load_unmodified(void **state)
{
    struct dirent *e;
    DIR *d = opendir(SAMPLES "/helicone");
    size_t n = 0;

    (void)state;
    assert_non_null(d);
    while ((e = readdir(d)) != NULL) {
        char path[1024];

        if (e->d_name[0] == '.') {
            continue;
        }
        assert_true(snprintf(path, sizeof(path), "%s/helicone/%s", SAMPLES, e->d_name) < 1024);
        if (!load(path) || c->problems.warnings != expected_warnings(path)) {
            fail_msg("%s: %zu errors, %zu warnings\n%s", path, c->problems.errors,
                     c->problems.warnings, problems());
        }
        n++;
    }
    assert_true(n >= 15);
    assert_int_equal(closedir(d), 0);
}

static void helicones_spellings_mean_the_same(void **state)
{
    const struct resource_router *r;

    (void)state;
    assert_true(load(SAMPLES "/helicone/weighted.yaml"));
    r = router("development");
    assert_int_equal(r->balances[0].strategy, RESOURCE_WEIGHTED);
    assert_int_equal(r->balances[0].targets[0].weight, 950);
    assert_int_equal(r->balances[0].targets[1].weight, 50);
    r = router("cost-optimized");
    assert_string_equal(r->balances[0].targets[1].provider, "gemini");
    assert_int_equal(r->balances[0].targets[1].weight, 200);
    assert_int_equal(router("local")->balances[0].targets[0].weight, 1000);
    assert_non_null(provider("ollama"));
    assert_false(provider("ollama")->needs_key);

    assert_true(load(SAMPLES "/helicone/strategies.yaml"));
    assert_int_equal(router("a")->balances[0].strategy, RESOURCE_LATENCY);
    r = router("b");
    assert_int_equal(r->balances[0].strategy, RESOURCE_MODEL_WEIGHTED);
    assert_string_equal(r->balances[0].targets[1].provider, "anthropic");
    assert_string_equal(r->balances[0].targets[1].model, "claude-3-5-sonnet");
    assert_int_equal(r->balances[0].targets[1].weight, 100);
    assert_int_equal(router("c")->balances[0].n_targets, 2);
    assert_string_equal(router("d")->balances[0].targets[1].model, "llama-3.3-70b-versatile");
    assert_non_null(provider("groq"));

    assert_true(load(SAMPLES "/helicone/mappings.yaml"));
    assert_string_equal(router("production")->mappings[0].to[0], "anthropic/claude-3-opus");
    assert_int_equal(settings()->n_mappings, 2);
    assert_int_equal(settings()->mappings[1].n_to, 3);
    assert_string_equal(settings()->mappings[1].to[1], "gemini/gemini-1.5-pro");

    assert_true(load(SAMPLES "/helicone/server-tls.yaml"));
    assert_true(config_boot(c)->server.tls.enabled);
    assert_string_equal(config_boot(c)->server.tls.key.s, "/etc/ssl/gateway.key");
    assert_true(load(SAMPLES "/helicone/server.yaml"));
    assert_false(config_boot(c)->server.tls.enabled);
    assert_string_equal(config_boot(c)->server.address.s, "0.0.0.0");

    assert_true(load(SAMPLES "/helicone/retries.yaml"));
    assert_int_equal(settings()->max_attempts, 3);
    assert_int_equal(router("staging")->max_attempts, 4);

    assert_true(load(SAMPLES "/helicone/cache-size.yaml"));
    assert_int_equal(settings()->cache_bytes, 10000 * 16384);

    assert_true(load(SAMPLES "/helicone/telemetry.yaml"));
    assert_int_equal(config_boot(c)->logging.level, LOG_INFO);

    assert_true(load(SAMPLES "/helicone/environments.yaml"));
    assert_string_equal(settings()->default_router, "default");
    assert_int_equal(router("frontend-team")->limits[0].per_us, 1000000);

    assert_true(load(SAMPLES "/helicone/providers.yaml"));
    assert_string_equal(provider("anthropic")->base_url, "https://api.anthropic.com/v1/");
    assert_string_equal(provider("anthropic")->headers[0].name, "anthropic-version");
    assert_string_equal(provider("ollama")->base_url, "http://192.168.1.100:11434/v1/");
    assert_string_equal(provider("ollama")->models[1], "deepseek-r1");
    assert_string_equal(provider("bedrock")->dialect, "bedrock-converse");
    assert_true(provider("bedrock")->needs_key);
}

static void a_router_without_load_balance_gets_helicones_default(void **state)
{
    (void)state;
    assert_true(parse("routers: {r: {}}"));
    assert_string_equal(router("r")->balances[0].endpoint, "any");
    assert_int_equal(router("r")->balances[0].n_targets, 3);
}

// --- providers -----------------------------------------------------------------------------------

static void base_urls_are_normalised(void **state)
{
    static const struct {
        const char *text, *base, *raw;
    } cases[] = {
        {"base-url: http://h", "http://h/v1/", "http://h/"},
        {"base-url: http://h:1/", "http://h:1/v1/", "http://h:1/"},
        {"base-url: http://h:1/v1", "http://h:1/v1/", "http://h:1/"},
        {"base-url: http://h:1/v1/", "http://h:1/v1/", "http://h:1/"},
        {"base-url: https://h/proxy/v1", "https://h/proxy/v1/", "https://h/proxy/"},
        {"base-url: https://h/api", "https://h/api/", "https://h/api/"},
        {"base-url: https://h/xv1", "https://h/xv1/", "https://h/xv1/"},
        {"base-url: 'http://[::1]:8/v1'", "http://[::1]:8/v1/", "http://[::1]:8/"},
        {"{base-url: https://h, path: /openai/v2}", "https://h/openai/v2/", "https://h/"},
        {"{base-url: https://h, path: /}", "https://h/", "https://h/"},
        {"{base-url: https://h/v1, raw-url: 'http://r:2'}", "https://h/v1/", "http://r:2/"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        char text[256];
        bool flow = cases[i].text[0] == '{';

        (void)snprintf(text, sizeof(text), "providers:\n  mine:%s%s\n", flow ? " " : "\n    ",
                       cases[i].text);
        if (!parse(text)) {
            fail_msg("%s", problems());
        }
        assert_string_equal(provider("mine")->base_url, cases[i].base);
        assert_string_equal(provider("mine")->raw_url, cases[i].raw);
    }
}

static void a_provider_by_configuration_alone(void **state)
{
    const struct resource_provider *p;
    const struct resource *key;

    (void)state;
    set("VLLM_KEY", "key-of-vllm-12345");
    set("VLLM_KEY_2", "second-key-12345");
    assert_true(parse("providers:\n  my-vllm:\n    dialect: openai\n"
                      "    base-url: http://10.0.0.5:8000/v1/\n"
                      "    auth: {header: X-Api-Key}\n"
                      "    keys: [{env: VLLM_KEY, weight: 3}, '${VLLM_KEY_2}', {env: UNSET}]\n"
                      "    models: ['*']\n    headers: {x-team: a}\n    query: {v: 1}\n"
                      "    stream-options: false\n"));
    p = provider("my-vllm");
    assert_string_equal(p->auth_header, "x-api-key");
    assert_string_equal(p->auth_scheme, "");
    assert_true(p->needs_key && p->no_stream_options);
    assert_string_equal(p->headers[0].value, "a");
    assert_string_equal(p->query[0].value, "1");
    assert_int_equal(count(RESOURCE_PROVIDER_KEY), 2);
    key = find(RESOURCE_PROVIDER_KEY, "my-vllm.VLLM_KEY");
    assert_int_equal(key->u.provider_key->weight, 3);
    assert_non_null(find(RESOURCE_PROVIDER_KEY, "my-vllm.key-2"));

    // Without a list: the derived variable; none set: a local server that needs no key.
    assert_true(parse("providers: {my-vllm: {base-url: 'http://h'}}"));
    assert_false(provider("my-vllm")->needs_key);
    assert_string_equal(provider("my-vllm")->key_variable, "MY_VLLM_API_KEY");
    set("MY_VLLM_API_KEY", "key-of-vllm-12345");
    assert_true(parse("providers: {my-vllm: {base-url: 'http://h'}}"));
    assert_true(provider("my-vllm")->needs_key);
    assert_non_null(find(RESOURCE_PROVIDER_KEY, "my-vllm.MY_VLLM_API_KEY"));
    assert_true(parse("providers: {my-vllm: {base-url: 'http://h', keys: [{env: NOPE}]}}"));
    assert_true(provider("my-vllm")->needs_key);
    assert_non_null(strstr(problems(), "set NOPE"));
}

static void demo_adds_the_mock(void **state)
{
    const struct resource *m;

    (void)state;
    assert_true(parse(""));
    assert_null(provider("mock"));
    assert_null(find(RESOURCE_MODEL, "mock-gpt"));
    assert_non_null(find(RESOURCE_MODEL, "gpt-4o-mini"));
    set("SLUICE__PROVIDERS__MOCK__BASE_URL", "http://127.0.0.1:4711");
    assert_true(parse_with("", true));
    assert_string_equal(provider("mock")->base_url, "http://127.0.0.1:4711/v1/");
    assert_false(provider("mock")->needs_key);
    m = find(RESOURCE_MODEL, "mock-gpt");
    assert_string_equal(m->u.model->at[0].provider, "mock");
    assert_string_equal(m->u.model->at[0].id, "gpt");
}

static void provider_mistakes(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"providers: {v1: {base-url: 'http://h'}}",
         "f.yaml:1:13: providers.v1: a provider cannot be called so: \"/v1\" is a path"},
        {"providers: {'a/b': {base-url: 'http://h'}}", "providers.a/b: a name is 1 to 64 of"},
        {"providers: {mine: {}}", "f.yaml:1:13: providers.mine: \"base-url\" is missing"},
        {"providers: {mine: {base-url: 'ftp://h'}}",
         "f.yaml:1:30: providers.mine.base-url: expected a URL that starts with http"},
        {"providers: {mine: {base-url: 'http://u:p@h/'}}", "without user, query or fragment"},
        {"providers: {mine: {base-url: 'http://h/?k=v'}}", "without user, query or fragment"},
        {"providers: {openai: {base_url: 'http://h'}}",
         "providers.openai.base_url: unknown key (did you mean \"base-url\"?)"},
        {"providers: {openai: {dialect: opnai}}", "no such dialect (did you mean \"openai\"?)"},
        {"providers: {anthropic: {dialect: cohere}}", "does not speak that dialect"},
        {"providers: {gemini: {}, google: {}}",
         "providers.google: \"gemini\" in line 1 is the same provider"},
        {"providers: {openai: {keys: [{env: A, file: /b}]}}",
         "providers.openai.keys[0]: expected exactly one of env, file, value"},
        {"providers: {openai: {keys: [{env: A}, {env: A}]}}",
         "providers.openai.keys[1]: another key of this provider has the name \"A\""},
        {"providers: {openai: {keys: [{file: /nonexistent}]}}",
         "providers.openai.keys[0]: cannot open /nonexistent"},
        {"providers: {openai: {keys: [{env: A, weight: 0}]}}",
         "providers.openai.keys[0].weight: must be at least 1"},
        {"providers: {openai: {headers: {Host: x}}}",
         "providers.openai.headers.Host: this header is the gateway's own"},
        {"providers: {openai: {headers: {'a b': x}}}", "not a header name"},
        {"providers: {openai: {headers: {a: \"x\\ny\"}}}", "control characters"},
        {"providers: {openai: {auth: {header: 'a:b'}}}", "expected the name of a header"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_false(parse(cases[i].text));
        assert_int_equal(c->n_resources, 0);
        if (strstr(problems(), cases[i].problem) == NULL) {
            fail_msg("case %zu: %s", i, problems());
        }
    }
}

// --- secrets -------------------------------------------------------------------------------------

static void secrets_are_in_no_message(void **state)
{
    (void)state;
    set("OPENAI_API_KEY", "sk-very secret");
    set("BAD", "sk-secret-2");
    assert_false(
        parse("providers:\n  openai: {}\n  x: {base-url: '${BAD}'}\n  y: {dialect: '${BAD}', "
              "base-url: 'http://h'}\nkeys: {k: {key: '${BAD}'}}\n"
              "routers: {r: {load-balance: {chat: {strategy: '${BAD}', providers: ['${BAD}']}},"
              " cache: {directive: '${BAD}'}}}\nredis: {url: 'rediss://sk-secret-3'}\n"));
    assert_true(c->problems.errors >= 6);
    assert_null(strstr(problems(), "sk-secret"));
    assert_null(strstr(problems(), "sk-very"));
    assert_non_null(strstr(problems(), "the key \"OPENAI_API_KEY\" holds spaces"));
}

// --- routers -------------------------------------------------------------------------------------

static void router_mistakes(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"routers: {'a b': {}}", "f.yaml:1:11: routers.a b: a router's name is 1 to 64 of"},
        {"router: {a: {}}", "f.yaml:1:1: router: unknown key (did you mean \"routers\"?)"},
        {"routers:\n  p:\n    load-balance:\n      chat:\n        strategy: latency\n"
         "        providers: [openai, antropic]\n",
         "f.yaml:6:29: routers.p.load-balance.chat.providers[1]: no provider is called \"antropic\" "
         "(did you mean \"anthropic\"?): add it under providers\n"},
        {"routers: {p: {load-balance: {chat: {strategy: latncy, providers: [openai]}}}}",
         "routers.p.load-balance.chat.strategy: expected one of latency, "},
        {"routers: {p: {load-balance: {chat: {strategy: latncy, providers: [openai]}}}}",
         "found \"latncy\" (did you mean \"latency\"?)"},
        {"routers: {p: {load-balance: {chat: {providers: [openai]}}}}", "\"strategy\" is missing"},
        {"routers: {p: {load-balance: {chat: {strategy: latency}}}}",
         "\"providers\" is missing or empty"},
        {"routers: {p: {load-balance: {chat: {strategy: model-latency}}}}",
         "\"models\" is missing or empty"},
        {"routers: {p: {load-balance: {chat: {strategy: model-latency, models: [openai]}}}}",
         "this strategy needs provider/model, \"openai\" has no model"},
        {"routers: {p: {load-balance: {chat: {strategy: latency, providers: [openai, openai]}}}}",
         "providers[1]: is in the list already"},
        {"routers: {p: {load-balance: {chat: {strategy: weighted, providers: [{provider: openai, "
         "weight: -1}]}}}}",
         "weight: expected a number, found \"-1\""},
        {"routers: {p: {load-balance: {chat: {strategy: weighted, providers: [{provider: openai, "
         "weight: 0}]}}}}",
         "weight: must be at least 0.001"},
        {"routers: {p: {load-balance: {chats: {strategy: latency, providers: [openai]}}}}",
         "routers.p.load-balance.chats: no such endpoint (did you mean \"chat\"?)"},
        {"routers: {p: {load-balance: {chat: {strategy: model-weighted, models: [{model: gpt-4o}]}}}}",
         "models[0]: expected provider/model, found \"gpt-4o\""},
        {"routers: {p: {cache: {directive: max-age}}}",
         "routers.p.cache.directive: \"max-age\" is not a Cache-Control directive"},
        {"routers: {p: {cache: {buckets: 0}}}", "routers.p.cache.buckets: must be at least 1"},
        {"routers: {p: {rate-limit: {per-api-key: {capacity: 0}}}}",
         "routers.p.rate-limit.per-api-key.capacity: must be at least 1"},
        {"routers: {p: {rate-limit: {per-api-key: {refill-frequency: 1 minute}}}}",
         "expected a duration such as 250ms, 10s, 5m, 1h, 1d, found \"1 minute\""},
        {"routers: {p: {limits: [{amount: 5}]}}", "routers.p.limits[0]: \"per\" is missing"},
        {"routers: {p: {rate-limit: {per-api-key: {}}, limits: ["
         "{amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, "
         "{amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, "
         "{amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, "
         "{amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}, {amount: 5, per: 1m}]}}",
         "routers.p: 17 limits in one place, 16 at most"},
        {"routers: {p: {limits: [{amount: x, per: 1m}]}}",
         "routers.p.limits[0].amount: expected a whole number above 0, found \"x\""},
        {"routers: {p: {limits: [{unit: usd, amount: 1.23, per: 31d}]}}",
         "routers.p.limits[0].per: expected 1s to 30d, or day, week, month, found \"31d\""},
        {"routers: {p: {limits: [{amount: 1, per: 1m, time-zone: UTC}]}}",
         "expected no time zone where `per` is a duration"},
        {"routers: {p: {retries: {max-attempts: 2, max-retries: 5}}}", "say different things"},
        {"routers: {p: {retries: {max-attempts: 21}}}", "must be at most 20"},
        {"routers: [a]", "f.yaml:1:10: routers: expected a map, found a list"},
        {"[a]", "f.yaml:1:1: expected a map of sections, found a list"},
        {"server: {port: 65536}", "f.yaml:1:16: server.port: must be at most 65535"},
        {"server: {address: localhos}", "server.address: expected an IPv4 or IPv6 address"},
        {"server: {tls: {cert: x}}", "server.tls: \"key\" is missing"},
        {"egress: {allowed-networks: [10.0.0.0/33]}", "expected a network such as 10.0.0.0/8"},
        {"egress: {proxy: 'gopher://x'}",
         "egress.proxy: expected a proxy such as http://host:port"},
        {"control: {endpoints: ['http://x']}", "expected tcp://host:port or ipc:///directory"},
        {"redis: 'http://x'", "redis.url: expected unix:/path or redis://"},
        {"models: {m: {at: [{provider: nope}]}}", "models.m.at[0]: no provider is called \"nope\""},
        {"models: {m: {at: [openai], equivalents: [what-is-it]}}",
         "models.m.equivalents[0]: no provider is known for \"what-is-it\""},
        {"models: {m: {at: [openai], aliases: [gpt-4o]}}",
         "models.m.aliases[0]: \"gpt-4o\" has this name already"},
        {"models: {m: {}}", "models.m: \"at\" is missing"},
        {"keys: {k: {key: sk-sluice-x}}", "keys.k.key: expected sk-sluice-<id>-<secret>"},
        {"auth: {mode: on}", "auth.mode: expected one of default, optional, required, off"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool ok = parse(cases[i].text);

        if (ok || strstr(problems(), cases[i].problem) == NULL) {
            fail_msg("case %zu: %s", i, problems());
        }
    }
}

static void limits_are_translated(void **state)
{
    const struct resource_router *r;

    (void)state;
    assert_true(parse("routers:\n  p:\n    rate-limit: {per-api-key: {}}\n    limits:\n"
                      "      - {unit: tokens, amount: 100000, per: 1m}\n"
                      "      - {unit: usd, amount: 12.5, per: month, time-zone: Europe/Berlin, "
                      "scope: total, on-control-loss: open}\n"));
    r = router("p");
    assert_int_equal(r->n_limits, 3);
    assert_int_equal(r->limits[0].amount, 500);
    assert_int_equal(r->limits[1].unit, RESOURCE_TOKENS);
    assert_int_equal(r->limits[1].per_us, 60000000);
    assert_true(r->limits[1].per_principal);
    assert_int_equal(r->limits[2].amount, 12500000000);
    assert_int_equal(r->limits[2].calendar, RESOURCE_MONTH);
    assert_string_equal(r->limits[2].time_zone, "Europe/Berlin");
    assert_false(r->limits[2].per_principal);
    assert_int_equal(r->limits[2].on_control_loss, 1);
}

static void a_whole_router(void **state)
{
    const struct resource_router *r;

    (void)state;
    assert_true(
        parse("routers:\n  p:\n    load-balance:\n"
              "      chat: {strategy: priority, providers: [openai, anthropic/claude-opus-5-5]}\n"
              "      embeddings: {strategy: cost, providers: [openai]}\n"
              "    fallbacks: [gemini/gemini-2.5-pro, {provider: openai, model: gpt-4o}]\n"
              "    model-mappings: {x: [anthropic/a, gpt-4o-mini]}\n"
              "    retries: {enabled: false}\n"
              "    timeouts: {timeout: 1m, connect: 2s, first-byte: 3s, idle: 4s, hold: 5s}\n"
              "    cache: {scope: key, seed: s1}\n    forward-unknown: true\n"));
    r = router("p");
    assert_int_equal(r->n_balances, 2);
    assert_string_equal(r->balances[0].targets[1].model, "claude-opus-5-5");
    assert_string_equal(r->fallbacks[1].model, "gpt-4o");
    assert_int_equal(r->mappings[0].n_to, 2);
    assert_string_equal(r->mappings[0].to[0], "anthropic/a");
    assert_int_equal(r->max_attempts, 1);
    assert_int_equal(r->timeouts.total_us, 60000000);
    assert_int_equal(r->timeouts.connect_us, 2000000);
    assert_int_equal(r->timeouts.first_byte_us, 3000000);
    assert_int_equal(r->timeouts.idle_us, 4000000);
    assert_int_equal(r->timeouts.hold_us, 5000000);
    assert_int_equal(r->cache.scope, 1);
    assert_string_equal(r->cache.seed, "s1");
    assert_true(r->forward_unknown);
}

// --- models, keys, settings ----------------------------------------------------------------------

static void the_catalogue_has_prices_and_equivalents(void **state)
{
    const struct resource_model *m;

    (void)state;
    assert_true(parse(""));
    m = find(RESOURCE_MODEL, "gpt-4o-mini")->u.model;
    assert_string_equal(m->at[0].provider, "openai");
    assert_string_equal(m->at[0].id, "gpt-4o-mini");
    assert_int_equal(m->at[0].price.input, 150000);
    assert_int_equal(m->at[0].price.cached, 75000);
    assert_int_equal(m->at[0].price.output, 600000);
    assert_true(m->at[0].price.cache_write == UINT64_MAX);
    assert_true(m->n_equivalents >= 2);
    assert_non_null(find(RESOURCE_MODEL, m->equivalents[0]));
    assert_non_null(find(RESOURCE_MODEL, m->equivalents[1]));
    assert_int_equal(m->context, 128000);
    assert_string_equal(find(RESOURCE_MODEL, "gemini-embedding-001")->u.model->kind, "embeddings");
    // Each provider of the walk-through has an equivalent of every chat model of the others.
    for (size_t i = 0; i < c->n_resources; i++) {
        if (c->resources[i]->kind == RESOURCE_MODEL &&
            strcmp(c->resources[i]->u.model->kind, "chat") == 0) {
            assert_true(c->resources[i]->u.model->n_equivalents >= 2);
        }
    }
    assert_string_equal(c->catalog.as_of, "2026-11-22");
}

static void models_of_the_file_go_first(void **state)
{
    const struct resource_model *m;

    (void)state;
    assert_true(parse("providers: {mine: {base-url: 'http://h', models: [llama]}}\n"
                      "models:\n  gpt-4o: {at: [{provider: mine, id: g, price: {input: 0}}], "
                      "equivalents: [llama], aliases: [best]}\n"));
    m = find(RESOURCE_MODEL, "gpt-4o")->u.model;
    assert_int_equal(m->n_at, 1);
    assert_string_equal(m->at[0].provider, "mine");
    assert_int_equal(m->at[0].price.input, 0);
    assert_true(m->at[0].price.output == UINT64_MAX);
    assert_string_equal(m->equivalents[0], "mine/llama");
    assert_string_equal(m->aliases[0], "best");
}

static void virtual_keys_keep_their_secret_apart(void **state)
{
    const struct resource_key *k;

    (void)state;
    set("CI_KEY", "sk-sluice-abcd1234-0123456789abcdefghijklmn");
    assert_true(parse("keys:\n  ci:\n    key: ${CI_KEY}\n    team: t\n    routers: [production]\n"
                      "    expires-at: 2027-01-31T00:00:00Z\n    metadata: {a: b}\n"
                      "    limits: [{amount: 5, per: 1s}]\n"));
    assert_int_equal(c->n_keys, 1);
    assert_string_equal(c->keys[0].resource->id, "abcd1234");
    assert_true(slice_eq_str(secret_reveal(c->keys[0].secret), "0123456789abcdefghijklmn"));
    k = c->keys[0].resource->u.key;
    assert_string_equal(k->name, "ci");
    assert_string_equal(k->models[0], "*");
    assert_string_equal(k->routers[0], "production");
    assert_int_equal(k->expires_wall_us, 1801353600000000);
    assert_int_equal(k->n_limits, 1);
    assert_string_equal(k->metadata[0].value, "b");
    assert_string_equal(k->origin, "file");
}

static void hashes_are_filled_in_with_the_stores_key(void **state)
{
    static const uint8_t hash_key[32] = {1, 2, 3};
    const struct slice secret = SLICE("0123456789abcdefghijklmn");
    uint8_t hash[32];

    (void)state;
    assert_true(parse("keys: {ci: {key: sk-sluice-abcd1234-0123456789abcdefghijklmn}}"));
    config_hash_keys(c, hash_key);
    crypto_keyed_hash(hash, sizeof(hash), hash_key, &secret, 1);
    assert_memory_equal(c->keys[0].resource->u.key->hash, hash, sizeof(hash));
}

static void places_are_kept(void **state)
{
    (void)state;
    set("OPENAI_API_KEY", "sk-test-0123456789");
    assert_true(parse("routers:\n  p:\nproviders:\n  mine:\n    base-url: http://h\n"));
    for (size_t i = 0; i < c->n_resources; i++) {
        const char *id = c->resources[i]->id;
        const char *want = strcmp(id, "p") == 0      ? "f.yaml:2"
                           : strcmp(id, "mine") == 0 ? "f.yaml:4"
                                                     : NULL;

        if (want == NULL) {
            assert_null(c->where[i]);
        } else {
            assert_string_equal(c->where[i], want);
        }
    }
    assert_string_equal(router("p")->where, "f.yaml:2");
}

static void a_router_alone_can_be_checked(void **state)
{
    static const struct {
        const char *text, *why; // NULL: fine
    } cases[] = {
        {"{\"load-balance\":{\"chat\":{\"strategy\":\"latency\",\"providers\":[\"openai\"]}}}",
         NULL},
        {"{}", NULL},
        {"cache: {directive: max-age=5}\nload-balance: {chat: {strategy: latency, providers: [openai]}}\n",
         NULL},
        {"{\"load-balance\":{\"chat\":{\"strategy\":\"x\",\"providers\":[\"openai\"]}}}",
         "line 1: routers.checked.load-balance.chat.strategy: expected one of"},
        {"cache:\n  seed: x\n  sead: y\n", "line 3: "},
        {"{\"load-balance\":{\"chat\":{\"providers\":[\"mine\"]}}}", "mine"},
        {"[]", "routers.checked: "},
        {"{", "not YAML"},
        {"", "empty"},
        {"{\"cach\":{}}", "unknown key (did you mean \"cache\"?)"},
        {"{\"cache\":{\"seed\":\"file:/etc/hostname\"}}", "files are not read"},
        {"{\"cache\":{\"seed\":\"${HOME}\"}}", "HOME is not set"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        bool ok;

        buf_clear(&report);
        ok = router_check(slice_str(cases[i].text), &report);
        if (ok != (cases[i].why == NULL) ||
            (!ok && strstr(buf_cstr(&report), cases[i].why) == NULL)) {
            fail_msg("case %zu: %s", i, buf_cstr(&report));
        }
    }
}

static void settings_come_from_their_sections(void **state)
{
    (void)state;
    assert_true(
        parse("auth: required\nglobal: {cache: {directive: max-age=5}, limits: [{amount: 1, "
              "per: 1s}]}\nunified-api: {rate-limit: {per-api-key: {capacity: 7}}}\n"
              "control: {max-stale: 1h}\ncache-store: {max-bytes: 1MiB}\n"
              "dispatcher: {timeout: 1m, hold: 1s}\ndiscover: {health: {ejection: 10s}}\n"));
    assert_int_equal(settings()->auth_mode, RESOURCE_AUTH_REQUIRED);
    assert_true(settings()->cache.enabled);
    assert_int_equal(settings()->n_limits, 1);
    assert_int_equal(settings()->n_unified_limits, 1);
    assert_int_equal(settings()->unified_limits[0].amount, 7);
    assert_int_equal(settings()->max_stale_us, 3600000000);
    assert_int_equal(settings()->cache_bytes, 1 << 20);
    assert_int_equal(settings()->timeouts.total_us, 60000000);
    assert_int_equal(settings()->ejection_us, 10000000);
}

static void resources_survive_their_encoding(void **state)
{
    (void)state;
    set("OPENAI_API_KEY", "sk-test-0123456789");
    assert_true(load(SAMPLES "/ai-gateway-config.yaml"));
    for (size_t i = 0; i < c->n_resources; i++) {
        struct buf b;
        struct resource *back;
        struct err e;

        buf_init(&b, 1 << 20);
        resource_encode(c->resources[i], &b);
        back = resource_decode(buf_slice(&b), &e);
        assert_non_null(back);
        assert_string_equal(back->id, c->resources[i]->id);
        resource_unref(&back);
        buf_done(&b);
    }
}

static void check_config_prints_every_problem(void **state)
{
    (void)state;
    assert_true(config_check(SAMPLES "/ai-gateway-config.yaml", env, &report));
    assert_non_null(strstr(buf_cstr(&report), "ai-gateway-config.yaml: ok, 0 warnings\n"));
    buf_clear(&report);
    assert_false(config_check(SAMPLES "/bad/mistakes.yaml", env, &report));
    assert_non_null(
        strstr(buf_cstr(&report),
               "mistakes.yaml:2:3: server.prt: unknown key (did you mean \"port\"?)\n"));
    assert_non_null(strstr(buf_cstr(&report), "mistakes.yaml: 3 errors\n"));
    buf_clear(&report);
    assert_false(config_check("/nonexistent.yaml", env, &report));
    assert_non_null(strstr(buf_cstr(&report), "cannot open /nonexistent.yaml"));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(the_walk_through_file_loads),
        T(without_keys_the_variables_are_named),
        T(overrides_point_providers_at_a_mock),
        T(helicones_samples_load_unmodified),
        T(helicones_spellings_mean_the_same),
        T(a_router_without_load_balance_gets_helicones_default),
        T(base_urls_are_normalised),
        T(a_provider_by_configuration_alone),
        T(demo_adds_the_mock),
        T(provider_mistakes),
        T(secrets_are_in_no_message),
        T(router_mistakes),
        T(limits_are_translated),
        T(a_whole_router),
        T(the_catalogue_has_prices_and_equivalents),
        T(models_of_the_file_go_first),
        T(virtual_keys_keep_their_secret_apart),
        T(hashes_are_filled_in_with_the_stores_key),
        T(places_are_kept),
        T(a_router_alone_can_be_checked),
        T(settings_come_from_their_sections),
        T(resources_survive_their_encoding),
        T(check_config_prints_every_problem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
