// SPDX-License-Identifier: Apache-2.0
// The catalogue's two files against their rules, and what becomes of quirks and traits on the way
// to a resource.
#include "proto/config/catalog.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/text.h"
#include "proto/config/config.h"

static struct arena arena;
static struct problem_list problems;
static struct catalog cat;
static struct env *env;
static struct config *c;
static struct buf report;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 1 << 16, 0);
    problem_list_init(&problems);
    buf_init(&report, 1 << 20);
    env = env_new();
    return catalog_load(&cat, NULL, &arena, &problems) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    config_free(&c);
    env_free(&env);
    buf_done(&report);
    problem_list_done(&problems);
    arena_done(&arena);
    return 0;
}

static const char *parse(const char *text)
{
    const struct config_options o = {.env = env};

    config_free(&c);
    c = config_parse("f.yaml", slice_str(text), &o);
    buf_clear(&report);
    problem_render_all(&c->problems, &report);
    return config_ok(c) ? NULL : buf_cstr(&report);
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

static const struct resource_provider *provider(const char *name)
{
    const struct resource *r = find(RESOURCE_PROVIDER, name);

    assert_non_null(r);
    return r->u.provider;
}

static bool given(const struct node *section, const char *key)
{
    return section != NULL && node_get(section, slice_str(key)) != NULL;
}

// --- the files -----------------------------------------------------------------------------------

static void it_is_as_large_as_promised(void **state)
{
    uint64_t day;

    (void)state;
    assert_true(cat.providers.n >= 50);
    assert_true(cat.models.n >= 170);
    assert_int_equal(strlen(cat.as_of), 10);
    assert_true(
        text_parse_rfc3339(slice_str(arena_printf(&arena, "%sT00:00:00Z", cat.as_of)), &day));
}

static void providers_are_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < cat.providers.n; i++) {
        const char *name = cat.providers.items[i].name;
        const struct schema_provider *p = cat.providers.items[i].value;
        bool local = p->key_required == SCHEMA_FALSE;

        if (p->title.s == NULL || p->base_url.s == NULL || p->path.s == NULL) {
            fail_msg("%s: title, base-url or path is missing", name);
            return;
        }
        if (!local && (strncmp(p->base_url.s, "https://", 8) != 0 || p->key_variables.n == 0)) {
            fail_msg("%s: not https, or no variable for its key", name);
        }
        if (p->base_url.s[strlen(p->base_url.s) - 1] != '/') {
            fail_msg("%s: base-url does not end in a slash", name);
        }
        for (size_t k = 0; k < p->aliases.n; k++) {
            if (catalog_provider(&cat, slice_str(p->aliases.items[k].s)) !=
                &cat.providers.items[i]) {
                fail_msg("%s: alias %s is another provider", name, p->aliases.items[k].s);
            }
        }
    }
}

static void check_price(const char *model, const struct schema_price *p)
{
    bool in = given(p->node, "input"), out = given(p->node, "output");

    if (in != out) {
        fail_msg("%s: one of input and output has no price", model);
    }
    if (given(p->node, "cached") && p->cached > p->input) {
        fail_msg("%s: cached input costs more than other input", model);
    }
    if (p->cache_write_long != 0 && p->cache_write_long < p->cache_write) {
        fail_msg("%s: cache-write-long costs less than cache-write", model);
    }
    for (size_t i = 0; i < p->tiers.n; i++) {
        const struct schema_tier *t = p->tiers.items[i].value;

        if (t->input <= p->input || t->output <= p->output) {
            fail_msg("%s: a longer prompt is not dearer", model);
        }
    }
}

static void models_are_complete(void **state)
{
    struct map ids, names;

    (void)state;
    map_init(&ids);
    map_init(&names);
    for (size_t i = 0; i < cat.models.n; i++) {
        const char *name = cat.models.items[i].name;
        const struct schema_model *m = cat.models.items[i].value;

        assert_null(map_put(&names, slice_str(name), (void *)(uintptr_t)name));
        if (m->context == 0 || m->modalities.n == 0 || m->at.n == 0) {
            fail_msg("%s: context, modalities or at is missing", name);
        }
        for (size_t k = 0; k < m->at.n; k++) {
            const struct schema_model_at *at = m->at.items[k].value;
            const char *id = at->id.s != NULL ? at->id.s : name;
            const char *key = arena_printf(&arena, "%s/%s", at->provider.s, id);
            const struct conf_entry *p = catalog_provider(&cat, slice_str(at->provider.s));

            if (p == NULL || strcmp(p->name, at->provider.s) != 0) {
                fail_msg("%s: there is no provider %s", name, at->provider.s);
            }
            if (map_get(&ids, slice_str(key)) != NULL) {
                fail_msg("%s: %s is another model", name, key);
            }
            (void)map_put(&ids, slice_str(key), (void *)(uintptr_t)name);
            check_price(name, &at->price);
        }
    }
    for (size_t i = 0; i < cat.models.n; i++) {
        const struct schema_model *m = cat.models.items[i].value;

        for (size_t k = 0; k < m->aliases.n; k++) {
            const char *alias = m->aliases.items[k].s;

            if (map_get(&names, slice_str(alias)) != NULL) {
                fail_msg("%s: alias %s is taken", cat.models.items[i].name, alias);
            }
            (void)map_put(&names, slice_str(alias), (void *)(uintptr_t)alias);
        }
    }
    map_done(&ids);
    map_done(&names);
}

static bool served_by(const struct schema_model *m, const char *provider_name)
{
    for (size_t i = 0; i < m->at.n; i++) {
        if (strcmp(((const struct schema_model_at *)m->at.items[i].value)->provider.s,
                   provider_name) == 0) {
            return true;
        }
    }
    return false;
}

// A model of the catalogue by name or alias; NULL if absent.
static const struct conf_entry *model_called(struct slice name)
{
    for (size_t i = 0; i < cat.models.n; i++) {
        const struct conf_entry *e = &cat.models.items[i];
        const struct conf_texts *aliases = &((const struct schema_model *)e->value)->aliases;
        bool found = slice_eq_str(name, e->name);

        for (size_t k = 0; k < aliases->n && !found; k++) {
            found = slice_eq_str(name, aliases->items[k].s);
        }
        if (found) {
            return e;
        }
    }
    return NULL;
}

// Each chat model of the large vendors has a stand-in at each other of them.
static void equivalents_reach_every_large_vendor(void **state)
{
    static const char *const large[] = {"openai",  "anthropic", "gemini",    "xai",    "deepseek",
                                        "mistral", "moonshot",  "dashscope", "minimax"};

    (void)state;
    for (size_t i = 0; i < cat.models.n; i++) {
        const struct schema_model *m = cat.models.items[i].value;
        const char *name = cat.models.items[i].name;

        for (size_t v = 0; m->equivalents.n > 0 && v < ARRAY_LEN(large); v++) {
            bool found = served_by(m, large[v]);

            for (size_t k = 0; k < m->equivalents.n; k++) {
                const struct conf_entry *e = model_called(slice_str(m->equivalents.items[k].s));

                if (e == NULL || strcmp(e->name, name) == 0) {
                    fail_msg("%s: equivalent %s", name, m->equivalents.items[k].s);
                    return;
                }
                found = found || served_by(e->value, large[v]);
            }
            if (!found) {
                fail_msg("%s: nothing stands in for it at %s", name, large[v]);
            }
        }
    }
}

// With every provider named, everything compiles.
static void all_of_it_compiles(void **state)
{
    struct buf text;
    const char *wrong;

    (void)state;
    buf_init(&text, 1 << 16);
    assert_true(env_set(env, SLICE("AZURE_RESOURCE_NAME"), SLICE("mine")));
    assert_true(env_set(env, SLICE("CLOUDFLARE_ACCOUNT_ID"), SLICE("0123")));
    assert_true(env_set(env, SLICE("DATABRICKS_HOST"), SLICE("https://dbc-1.cloud/")));
    assert_true(env_set(env, SLICE("SNOWFLAKE_ACCOUNT"), SLICE("acme")));
    buf_append_str(&text, "providers:\n");
    for (size_t i = 0; i < cat.providers.n; i++) {
        buf_printf(&text, "  %s: {}\n", cat.providers.items[i].name);
    }
    wrong = parse(buf_cstr(&text));
    if (wrong != NULL) {
        fail_msg("%s", wrong);
    }
    for (size_t i = 0; i < cat.providers.n; i++) {
        assert_non_null(find(RESOURCE_PROVIDER, cat.providers.items[i].name));
    }
    for (size_t i = 0; i < cat.models.n; i++) {
        assert_non_null(find(RESOURCE_MODEL, cat.models.items[i].name));
    }
    assert_string_equal(provider("azure")->base_url, "https://mine.openai.azure.com/openai/v1/");
    assert_string_equal(provider("azure")->auth_header, "api-key");
    assert_string_equal(provider("databricks")->base_url, "https://dbc-1.cloud/serving-endpoints/");
    assert_string_equal(provider("cloudflare")->base_url,
                        "https://api.cloudflare.com/client/v4/accounts/0123/ai/v1/");
    buf_done(&text);
}

static void an_address_waits_for_its_variable(void **state)
{
    (void)state;
    assert_null(parse("providers: {cloudflare: {}}"));
    assert_null(find(RESOURCE_PROVIDER, "cloudflare"));
    assert_non_null(strstr(buf_cstr(&report), "needs the variable CLOUDFLARE_ACCOUNT_ID"));
    assert_null(parse("providers: {cloudflare: {base-url: 'https://h/v1/'}}"));
    assert_string_equal(provider("cloudflare")->base_url, "https://h/v1/");
}

static void a_key_in_the_environment_brings_its_provider(void **state)
{
    (void)state;
    assert_null(parse(""));
    assert_null(find(RESOURCE_PROVIDER, "groq"));
    assert_true(env_set(env, SLICE("GROQ_API_KEY"), SLICE("gsk_0123456789")));
    assert_true(env_set(env, SLICE("GITHUB_TOKEN"), SLICE("ghp_0123456789")));
    assert_null(parse(""));
    assert_non_null(find(RESOURCE_PROVIDER, "groq"));
    assert_non_null(find(RESOURCE_PROVIDER_KEY, "groq.GROQ_API_KEY"));
    assert_null(find(RESOURCE_PROVIDER, "github")); // a token of many uses: only when named
    assert_non_null(find(RESOURCE_MODEL, "llama-3.3-70b"));
}

// A provider may come by the admin API: its models are there with their names and prices.
static void models_do_not_wait_for_their_providers(void **state)
{
    (void)state;
    assert_null(parse(""));
    assert_null(find(RESOURCE_PROVIDER, "together"));
    assert_true(find(RESOURCE_MODEL, "glm-5.2")->u.model->n_at > 3);
    assert_null(find(RESOURCE_MODEL, "bge-m3")); // a server of one's own that nobody named
    assert_null(find(RESOURCE_MODEL, "mock-gpt"));
}

// --- prices --------------------------------------------------------------------------------------

static const struct resource_model_at *at(const char *model, const char *provider_name)
{
    const struct resource *m = find(RESOURCE_MODEL, model);

    assert_non_null(m);
    for (size_t i = 0; i < m->u.model->n_at; i++) {
        if (strcmp(m->u.model->at[i].provider, provider_name) == 0) {
            return &m->u.model->at[i];
        }
    }
    fail_msg("%s is not at %s", model, provider_name);
    return NULL;
}

static void prices_arrive(void **state)
{
    const struct resource_model_at *x;

    (void)state;
    assert_null(parse("providers: {deepinfra: {}, openrouter: {}, mistral: {}}"));
    x = at("gpt-6.1-terra", "openai");
    assert_true(x->price.input == 1000000 && x->price.cached == 50000);
    assert_true(x->price.cache_write == 1250000 && x->price.cache_write_long == 2500000);
    assert_int_equal(x->price.n_tiers, 1);
    assert_true(x->price.tiers[0].above == 272000 && x->price.tiers[0].output == 7500000);
    assert_true(x->price.tiers[0].cached == 100000 && x->price.tiers[0].cache_write == 2500000);
    x = at("gemini-4-argon", "gemini");
    assert_int_equal(x->n_changes, 1);
    assert_true(x->changes[0].from_wall_us == 1796083200ULL * 1000000); // 2026-12-01
    assert_true(x->changes[0].price.input == 4000000 && x->price.input == 2000000);
    x = at("gpt-audio", "openai");
    assert_true(x->price.audio_input == 32000000 && x->price.audio_output == 64000000);
    x = at("gpt-oss-120b", "deepinfra");
    assert_true(x->price.input == 39000 && x->price.cached == UINT64_MAX);
    assert_string_equal(x->id, "openai/gpt-oss-120b");
    x = at("claude-opus-4-8", "openrouter");
    assert_string_equal(x->id, "anthropic/claude-opus-4.8");
    assert_true(x->price.input == UINT64_MAX && x->price.output == UINT64_MAX);
    x = at("gemma-4-31b-it", "gemini");
    assert_true(x->price.input == UINT64_MAX); // unknown, not 0
    x = at("claude-sonnet-4-5", "anthropic");
    assert_string_equal(x->id, "claude-sonnet-4-5-20250929");
    assert_true(x->price.cache_write == 3750000 && x->price.cache_write_long == 6000000);
    assert_string_equal(find(RESOURCE_SETTINGS, "global")->u.settings->prices_as_of, cat.as_of);
}

static void price_mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"models: {m: {at: [{provider: openai, price: {inptu: 1}}]}}",
         "unknown key (did you mean \"input\"?)"},
        {"models: {m: {at: [{provider: openai, price: {input: x}}]}}", "price.input"},
        {"models: {m: {at: [{provider: openai, price: {tiers: [{above: 9}, {above: 8}]}}]}}",
         "tiers must rise"},
        {"models: {m: {at: [{provider: openai, price: {tiers: [{input: 9}]}}]}}",
         "\"above\" is missing"},
        {"models: {m: {at: [{provider: openai, changes: [{from: soon}]}]}}",
         "changes[0]: expected a day such as 2026-12-01"},
        {"models: {m: {at: [{provider: openai, changes: [{from: '2026-12-02'}, "
         "{from: '2026-12-01'}]}]}}",
         "the days must rise"},
        {"models: {m: {at: [openai], released: yesterday}}", "released: expected a day"},
        {"models: {m: {at: [openai], traits: {no-tool: true}}}", "(did you mean \"no-tools\"?)"},
        {"models: {m: {at: [openai], traits: {thinking: maybe}}}", "traits.thinking"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *wrong = parse(cases[i].text);

        if (wrong == NULL || strstr(wrong, cases[i].problem) == NULL) {
            fail_msg("case %zu: %s", i, wrong == NULL ? "accepted" : wrong);
        }
    }
}

// --- quirks --------------------------------------------------------------------------------------

static bool lists(const char *const *list, size_t n, const char *word)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static void quirks_arrive(void **state)
{
    const struct resource_quirks *q;

    (void)state;
    assert_null(parse("providers: {mistral: {}, zai: {}, perplexity: {}, deepseek: {}, xai: {}, "
                      "fireworks: {}, cerebras: {}, voyage: {}, mine: {base-url: 'http://h'}}"));
    q = &provider("mistral")->quirks;
    assert_true(q->flags ==
                (RESOURCE_NO_DEVELOPER_ROLE | RESOURCE_NO_TOOL_STRICT | RESOURCE_NO_FILES));
    assert_true(lists(q->drop, q->n_drop, "logit_bias"));
    assert_string_equal(q->rename[0].name, "seed");
    assert_string_equal(q->rename[0].value, "random_seed");
    assert_int_equal(q->tool_id_length, 9);
    assert_true(q->tool_id_exact);
    assert_null(q->tool_id_punctuation);
    assert_string_equal(q->prefill, "prefix");
    assert_int_equal(q->reasoning_history, RESOURCE_HISTORY_PARTS);
    assert_true(provider("mistral")->no_stream_options);
    q = &provider("zai")->quirks;
    assert_int_equal(q->tool_choices, RESOURCE_CHOICE_AUTO);
    assert_int_equal(q->temperature_min, 10);
    assert_int_equal(q->temperature_max, 1000);
    assert_int_equal(q->top_p_max, 990);
    assert_int_equal(q->stop_max, 1);
    q = &provider("perplexity")->quirks;
    assert_true(lists(q->refuse, q->n_refuse, "tools"));
    assert_true(q->flags & RESOURCE_ALTERNATE_ROLES && q->flags & RESOURCE_LAST_USER);
    assert_string_equal(provider("perplexity")->base_url, "https://api.perplexity.ai/");
    q = &provider("deepseek")->quirks;
    assert_int_equal(q->formats, RESOURCE_FORMAT_TEXT | RESOURCE_FORMAT_JSON_OBJECT);
    assert_int_equal(q->reasoning, RESOURCE_REASONING_THINKING);
    assert_int_equal(q->reasoning_history, RESOURCE_HISTORY_REASONING_CONTENT);
    assert_int_equal(provider("fireworks")->quirks.plain_max_tokens, 4096);
    assert_int_equal(provider("cerebras")->quirks.max_tokens_name, RESOURCE_MAX_COMPLETION_TOKENS);
    assert_int_equal(provider("cerebras")->n_limit_headers, 6);
    assert_string_equal(provider("cerebras")->limit_headers[0].value,
                        "x-ratelimit-limit-requests-day");
    assert_string_equal(provider("voyage")->paths[0].name, "chat");
    assert_string_equal(provider("voyage")->paths[0].value, "");
    q = &provider("mine")->quirks;
    assert_true(q->flags == 0 && q->n_drop == 0 && q->tool_choices == 0);
}

// Key by key; a list as a whole.
static void the_document_goes_first(void **state)
{
    const struct resource_quirks *q;

    (void)state;
    assert_null(
        parse("providers:\n  mistral:\n    quirks: {drop: [user], no-developer-role: false, "
              "tool-id-length: 0, temperature-max: 1.5, tool-choice: [auto, none]}\n"
              "  mine:\n    base-url: http://h\n"
              "    quirks: {max-tokens: max_completion_tokens, reasoning: template, "
              "response-format: [json_object], split-think: true}\n"
              "    limit-headers: {tokens: {remaining: X-Left}}\n"
              "    paths: {embeddings: v2/embed, chat: ''}\n"));
    q = &provider("mistral")->quirks;
    assert_int_equal(q->n_drop, 1);
    assert_string_equal(q->drop[0], "user");
    assert_true(q->flags == (RESOURCE_NO_TOOL_STRICT | RESOURCE_NO_FILES));
    assert_int_equal(q->tool_id_length, 0);
    assert_int_equal(q->temperature_max, 1500);
    assert_int_equal(q->tool_choices, RESOURCE_CHOICE_AUTO | RESOURCE_CHOICE_NONE);
    assert_string_equal(q->rename[0].value, "random_seed"); // the catalogue's
    q = &provider("mine")->quirks;
    assert_int_equal(q->max_tokens_name, RESOURCE_MAX_COMPLETION_TOKENS);
    assert_int_equal(q->reasoning, RESOURCE_REASONING_TEMPLATE);
    assert_int_equal(q->formats, RESOURCE_FORMAT_JSON_OBJECT);
    assert_true(q->flags == RESOURCE_SPLIT_THINK);
    assert_string_equal(provider("mine")->limit_headers[0].name, "x-ratelimit-remaining-tokens");
    assert_string_equal(provider("mine")->limit_headers[0].value, "x-left");
    assert_int_equal(provider("mine")->n_paths, 2);
}

static void quirk_mistakes_are_named(void **state)
{
    static const struct {
        const char *text, *problem;
    } cases[] = {
        {"{quirks: {drops: [n]}}", "quirks.drops: unknown key (did you mean \"drop\"?)"},
        {"{quirks: {tool-choice: [atuo]}}",
         "quirks.tool-choice[0]: unknown word (did you mean \"auto\"?)"},
        {"{quirks: {max-tokens: maximum}}", "quirks.max-tokens"},
        {"{quirks: {no-files: perhaps}}", "quirks.no-files"},
        {"{quirks: {temperature-min: 2, temperature-max: 1}}", "above temperature-max"},
        {"{quirks: {stop-max: -1}}", "quirks.stop-max"},
        {"{paths: {embedings: x}}", "no such endpoint (did you mean \"embeddings\"?)"},
        {"{paths: {chat: /v1/chat}}", "expected a path below base-url"},
        {"{limit-headers: {request: {}}}", "(did you mean \"requests\"?)"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *wrong = parse(arena_printf(&arena, "providers: {openai: %s}", cases[i].text));

        if (wrong == NULL || strstr(wrong, cases[i].problem) == NULL) {
            fail_msg("case %zu: %s", i, wrong == NULL ? "accepted" : wrong);
        }
    }
}

static void other_dialects_are_reached_by_name_or_address(void **state)
{
    (void)state;
    assert_null(parse("providers: {gemini: {dialect: openai}, anthropic: {dialect: openai}}"));
    assert_string_equal(provider("gemini")->base_url,
                        "https://generativelanguage.googleapis.com/v1beta/openai/");
    assert_string_equal(provider("gemini")->raw_url, "https://generativelanguage.googleapis.com/");
    assert_string_equal(provider("gemini")->auth_header, "authorization");
    assert_string_equal(provider("anthropic")->auth_scheme, "Bearer");
    assert_null(parse("providers: {gemini: {base-url: 'http://h:1/v1beta/openai'}}"));
    assert_string_equal(provider("gemini")->dialect, "openai");
    assert_string_equal(provider("gemini")->base_url, "http://h:1/v1beta/openai/");
    assert_string_equal(provider("gemini")->raw_url, "http://h:1/");
    assert_null(parse("providers: {gemini: {base-url: 'http://h:1'}}"));
    assert_string_equal(provider("gemini")->dialect, "openai");
    assert_string_equal(provider("gemini")->base_url, "http://h:1/v1beta/openai/");
    assert_null(parse("providers: {gemini: {base-url: 'http://h:1/v1/'}, anthropic: {base-url: "
                      "'http://h:1'}, mistral: {base-url: 'http://h:1'}}"));
    assert_string_equal(provider("gemini")->dialect, "openai");
    assert_string_equal(provider("gemini")->base_url, "http://h:1/v1/");
    assert_string_equal(provider("anthropic")->dialect, "anthropic");
    assert_string_equal(provider("anthropic")->base_url, "http://h:1/v1/");
    assert_null(parse("providers: {gemini: {base-url: 'http://h:1/v1beta'}, ollama: {base-url: "
                      "'http://h/api'}, deepseek: {dialect: anthropic}}"));
    assert_string_equal(provider("gemini")->dialect, "gemini");
    assert_string_equal(provider("gemini")->auth_header, "x-goog-api-key");
    assert_string_equal(provider("gemini")->auth_scheme, "");
    assert_string_equal(provider("gemini")->base_url, "http://h:1/v1beta/");
    assert_string_equal(provider("ollama")->dialect, "ollama");
    assert_string_equal(provider("deepseek")->base_url, "https://api.deepseek.com/anthropic/v1/");
    assert_string_equal(provider("deepseek")->auth_header, "x-api-key");
    assert_string_equal(provider("deepseek")->headers[0].value, "2023-06-01");
    assert_null(parse(""));
    assert_string_equal(provider("gemini")->dialect, "gemini");
    assert_string_equal(provider("gemini")->base_url,
                        "https://generativelanguage.googleapis.com/v1beta/");
    assert_string_equal(provider("anthropic")->dialect, "anthropic");
    assert_string_equal(provider("anthropic")->auth_header, "x-api-key");
    assert_int_equal(provider("anthropic")->n_headers, 1);
}

// --- traits --------------------------------------------------------------------------------------

// What the vendors' pages say of models by the beginning of their names, one row each.
static void traits_are_the_familys(void **state)
{
    static const struct {
        const char *model;
        uint64_t has, lacks;
        enum resource_thinking thinking;
        enum resource_thinking_off off;
    } rows[] = {
        {"claude-opus-5-5", RESOURCE_NO_SAMPLING | RESOURCE_NO_FORCED_TOOLS, RESOURCE_NO_SCHEMA,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_NEVER},
        {"claude-sonnet-5-5", RESOURCE_NO_SAMPLING | RESOURCE_NO_FORCED_TOOLS, 0,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_BETWEEN_TOOLS},
        {"claude-haiku-5-5", RESOURCE_NO_SAMPLING, RESOURCE_NO_FORCED_TOOLS,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_DISABLED},
        {"claude-fable-5-1", RESOURCE_NO_FORCED_TOOLS, 0, RESOURCE_THINKING_ADAPTIVE,
         RESOURCE_OFF_NEVER},
        {"claude-fable-5", RESOURCE_NO_SAMPLING, RESOURCE_NO_FORCED_TOOLS,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_NEVER},
        {"claude-opus-5", RESOURCE_NO_SAMPLING, RESOURCE_SYSTEM_ANYWHERE | RESOURCE_NO_FORCED_TOOLS,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_DISABLED},
        {"claude-opus-4-8", RESOURCE_NO_SAMPLING, RESOURCE_SYSTEM_ANYWHERE,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_DISABLED},
        {"claude-opus-4-7", RESOURCE_NO_SAMPLING, RESOURCE_SYSTEM_ANYWHERE,
         RESOURCE_THINKING_ADAPTIVE, RESOURCE_OFF_DISABLED},
        {"claude-sonnet-4-6", RESOURCE_NO_PREFILL, RESOURCE_NO_SAMPLING, RESOURCE_THINKING_ADAPTIVE,
         RESOURCE_OFF_DISABLED},
        {"claude-haiku-4-5", 0, RESOURCE_NO_PREFILL | RESOURCE_NO_SCHEMA, RESOURCE_THINKING_MANUAL,
         RESOURCE_OFF_OMIT},
        {"claude-sonnet-4-0", RESOURCE_NO_SCHEMA, RESOURCE_NO_PREFILL, RESOURCE_THINKING_MANUAL,
         RESOURCE_OFF_OMIT},
        {"gemini-2.5-flash", 0, UINT64_MAX, RESOURCE_THINKING_BUDGET, RESOURCE_OFF_OMIT},
        {"gemini-3.5-flash", 0, UINT64_MAX, RESOURCE_THINKING_LEVEL, RESOURCE_OFF_NEVER},
        {"gemini-4-argon", 0, UINT64_MAX, RESOURCE_THINKING_LEVEL, RESOURCE_OFF_NEVER},
        {"gpt-4o", RESOURCE_NO_COMPLETIONS, ~(uint64_t)RESOURCE_NO_COMPLETIONS,
         RESOURCE_THINKING_NONE, RESOURCE_OFF_OMIT},
        {"gemini-2.5-pro", 0, UINT64_MAX, RESOURCE_THINKING_BUDGET, RESOURCE_OFF_NEVER},
        {"gpt-5-mini", RESOURCE_COMPLETION_TOKENS | RESOURCE_NO_SAMPLING,
         RESOURCE_SAMPLING_UNREASONED | RESOURCE_RESPONSES_ONLY, RESOURCE_THINKING_EFFORT,
         RESOURCE_OFF_OMIT},
        {"gpt-5.1", RESOURCE_SAMPLING_UNREASONED, RESOURCE_TOOLS_BY_RESPONSES,
         RESOURCE_THINKING_EFFORT, RESOURCE_OFF_OMIT},
        {"gpt-6-luna", RESOURCE_TOOLS_BY_RESPONSES, RESOURCE_RESPONSES_ONLY,
         RESOURCE_THINKING_EFFORT, RESOURCE_OFF_OMIT},
        {"gpt-6.2-sol", RESOURCE_COMPLETION_TOKENS, RESOURCE_TOOLS_BY_RESPONSES,
         RESOURCE_THINKING_EFFORT, RESOURCE_OFF_NEVER},
        {"gpt-5.5-pro", RESOURCE_RESPONSES_ONLY, 0, RESOURCE_THINKING_EFFORT, RESOURCE_OFF_OMIT},
        {"o3", RESOURCE_COMPLETION_TOKENS, RESOURCE_RESPONSES_ONLY, RESOURCE_THINKING_EFFORT,
         RESOURCE_OFF_OMIT},
    };

    (void)state;
    assert_null(parse(""));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        const struct resource *m = find(RESOURCE_MODEL, rows[i].model);
        const struct resource_traits *t;

        assert_non_null(m);
        t = &m->u.model->traits;
        if ((t->flags & rows[i].has) != rows[i].has || (t->flags & rows[i].lacks) != 0 ||
            t->thinking != rows[i].thinking || t->thinking_off != rows[i].off) {
            fail_msg("%s: flags %llx, thinking %u, off %u", rows[i].model,
                     (unsigned long long)t->flags, t->thinking, t->thinking_off);
        }
    }
    assert_true(find(RESOURCE_SETTINGS, "global")->u.settings->n_families >= 30);
    // Families know a limit too, for models that are not listed.
    assert_int_equal(find(RESOURCE_MODEL, "claude-opus-4-1")->u.model->traits.max_output, 32000);
    assert_int_equal(find(RESOURCE_MODEL, "claude-sonnet-4-0")->u.model->traits.max_output, 64000);
    assert_int_equal(find(RESOURCE_MODEL, "claude-opus-5")->u.model->traits.max_output, 128000);
}

// A failover must not end at a model that takes no tools in Chat Completions.
static void equivalents_take_tools(void **state)
{
    (void)state;
    assert_null(parse(""));
    for (size_t i = 0; i < c->n_resources; i++) {
        const struct resource *r = c->resources[i];

        for (size_t k = 0; r->kind == RESOURCE_MODEL && k < r->u.model->n_equivalents; k++) {
            const struct resource *e = find(RESOURCE_MODEL, r->u.model->equivalents[k]);

            if (e != NULL &&
                (e->u.model->traits.flags & (RESOURCE_TOOLS_BY_RESPONSES | RESOURCE_RESPONSES_ONLY |
                                             RESOURCE_NO_TOOLS)) != 0) {
                fail_msg("%s: its equivalent %s takes no tools", r->id, e->id);
            }
        }
    }
}

// An entry of the document goes before the catalogue's key by key.
static void a_model_is_overridden_by_keys(void **state)
{
    const struct resource_model *m;

    (void)state;
    assert_null(
        parse("models: {gpt-5.4: {context: 5, aliases: [best]}, claude-haiku-5-5: {at: "
              "[{provider: openai, id: x, price: {input: 3}}], equivalents: []}, gpt-5-pro: "
              "{traits: {responses-only: false}}}"));
    m = find(RESOURCE_MODEL, "gpt-5.4")->u.model;
    assert_int_equal(m->context, 5);
    assert_int_equal(m->max_output, 128000);
    assert_int_equal(m->n_aliases, 1);
    assert_string_equal(m->aliases[0], "best");
    assert_true(m->n_equivalents > 3);
    assert_true(m->n_at > 1);
    assert_string_equal(m->at[0].provider, "openai");
    assert_true(m->at[0].price.input == 2500000);
    m = find(RESOURCE_MODEL, "claude-haiku-5-5")->u.model;
    assert_int_equal(m->n_at, 1);
    assert_string_equal(m->at[0].id, "x");
    assert_int_equal(m->n_equivalents, 0);
    assert_int_equal(m->context, 1000000);
    assert_int_equal(m->traits.thinking, RESOURCE_THINKING_ADAPTIVE);
    m = find(RESOURCE_MODEL, "gpt-5-pro")->u.model;
    assert_false(m->traits.flags & RESOURCE_RESPONSES_ONLY);
    assert_true(m->traits.flags & RESOURCE_COMPLETION_TOKENS);
    assert_true(m->n_at > 0);
}

static void a_models_own_traits_go_first(void **state)
{
    const struct resource_traits *t;

    (void)state;
    assert_null(parse("models:\n  gpt-5-mini: {at: [openai], traits: {no-sampling: false, "
                      "no-tools: true, efforts: [low]}}\n"));
    t = &find(RESOURCE_MODEL, "gpt-5-mini")->u.model->traits;
    assert_true(t->flags ==
                (RESOURCE_NO_TOOLS | RESOURCE_COMPLETION_TOKENS | RESOURCE_NO_COMPLETIONS));
    assert_int_equal(t->n_efforts, 1);
    assert_true(lists(t->drop, t->n_drop, "logit_bias")); // the family's
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_as_large_as_promised),
        cmocka_unit_test(a_model_is_overridden_by_keys),
        cmocka_unit_test(providers_are_complete),
        cmocka_unit_test(models_are_complete),
        cmocka_unit_test(equivalents_reach_every_large_vendor),
        cmocka_unit_test(an_address_waits_for_its_variable),
        cmocka_unit_test(all_of_it_compiles),
        cmocka_unit_test(a_key_in_the_environment_brings_its_provider),
        cmocka_unit_test(models_do_not_wait_for_their_providers),
        cmocka_unit_test(prices_arrive),
        cmocka_unit_test(price_mistakes_are_named),
        cmocka_unit_test(quirks_arrive),
        cmocka_unit_test(the_document_goes_first),
        cmocka_unit_test(quirk_mistakes_are_named),
        cmocka_unit_test(other_dialects_are_reached_by_name_or_address),
        cmocka_unit_test(traits_are_the_familys),
        cmocka_unit_test(equivalents_take_tools),
        cmocka_unit_test(a_models_own_traits_go_first),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
