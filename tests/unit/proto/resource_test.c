// SPDX-License-Identifier: Apache-2.0
// Resources: each kind survives a round trip and matches its golden bytes; what is out of bounds is
// refused with the field named; nothing is allocated for what is refused.
#include "proto/resource.h"

#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "tests/unit/proto/golden.h"

#define USD 1000000000ULL

static const struct resource_pair pairs[] = {{"x-team", "blue"}, {"env", "prod"}};
static const char *const star[] = {"*"};
static const char *const two[] = {"openai/gpt-4o-mini", "anthropic/*"};
static const struct resource_limit limits[] = {
    {RESOURCE_REQUESTS, 1000, 60000000, RESOURCE_ROLLING, NULL, true, 0},
    {RESOURCE_USD, 25 * USD, 0, RESOURCE_MONTH, "Europe/Berlin", false, 2},
};
static const struct resource_target targets[] = {{"openai", NULL, 1000}, {"gemini", "g-2", 250}};
static const struct resource_mapping mappings[] = {{"gpt-4o-mini", two, 2}, {"x", star, 1}};
static const struct resource_balance balances[] = {
    {"chat", RESOURCE_LATENCY, targets, 2},
    {"any", RESOURCE_WEIGHTED, targets, 1},
};
static const struct resource_price_tier tiers[] = {
    {272000, 300000, UINT64_MAX, UINT64_MAX, 900000, 0},
    {500000, 600000, 1, 2, 1800000, 3},
};
static const struct resource_price_change changes[] = {
    {1796083200000000, {.input = 300000, .cached = 1, .cache_write = UINT64_MAX, .output = 2}},
};
static const struct resource_model_at at[] = {
    {"openai",
     "gpt-4o-mini-2024",
     {150000, 75000, UINT64_MAX, 600000, 7, 8, 9, 10, 11, tiers, 2},
     changes,
     1},
    {"azure",
     "mini",
     {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX, 0, 0, 0, 0, 0, NULL, 0},
     NULL,
     0},
};
static const struct resource_traits traits = {
    .flags = RESOURCE_NO_SAMPLING | RESOURCE_STREAM_ONLY,
    .thinking = RESOURCE_THINKING_ADAPTIVE,
    .thinking_off = RESOURCE_OFF_NEVER,
    .efforts = two,
    .n_efforts = 2,
    .drop = star,
    .n_drop = 1,
};
static const struct resource_family families[] = {
    {.match = two, .n_match = 2, .traits = {.thinking = RESOURCE_THINKING_NONE}},
};

static struct resource *sample_provider(void)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER, SLICE("openai"), 3);

    *r->u.provider = (struct resource_provider){
        .dialect = "openai",
        .base_url = "https://api.openai.com/v1/",
        .raw_url = "https://api.openai.com/",
        .auth_header = "authorization",
        .auth_scheme = "Bearer",
        .key_variable = "OPENAI_API_KEY",
        .needs_key = true,
        .models = two,
        .n_models = 2,
        .headers = pairs,
        .n_headers = 2,
        .query = pairs,
        .n_query = 1,
        .quirks = {.flags = RESOURCE_NO_DEVELOPER_ROLE | RESOURCE_REPORTS_COST,
                   .drop = two,
                   .n_drop = 2,
                   .refuse = star,
                   .n_refuse = 1,
                   .takes = star,
                   .n_takes = 1,
                   .rename = pairs,
                   .n_rename = 2,
                   .efforts = two,
                   .n_efforts = 1,
                   .tool_choices = RESOURCE_CHOICE_AUTO,
                   .formats = RESOURCE_FORMAT_JSON_OBJECT,
                   .max_tokens_name = RESOURCE_MAX_TOKENS_EITHER,
                   .reasoning = RESOURCE_REASONING_SPLIT,
                   .reasoning_history = RESOURCE_HISTORY_PARTS,
                   .temperature_min = 10,
                   .temperature_max = 1000,
                   .top_p_max = 990,
                   .stop_max = 1,
                   .plain_max_tokens = 4096,
                   .tool_id_length = 9,
                   .tool_id_exact = true,
                   .tool_id_punctuation = "_-",
                   .prefill = "prefix"},
        .paths = pairs,
        .n_paths = 1,
        .limit_headers = pairs,
        .n_limit_headers = 2,
    };
    return r;
}

static struct resource *sample_provider_key(void)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER_KEY, SLICE("k7Gk2"), 1);

    r->parent = "openai";
    *r->u.provider_key = (struct resource_provider_key){
        .provider = "openai",
        .name = "main",
        .value = secret_new(SLICE("sk-very-secret-abcd")),
        .weight = 1,
        .origin = "env",
        .hint = "...abcd",
    };
    return r;
}

static struct resource *sample_router(void)
{
    struct resource *r = resource_new(RESOURCE_ROUTER, SLICE("production"), 9);

    *r->u.router = (struct resource_router){
        .balances = balances,
        .n_balances = 2,
        .fallbacks = targets,
        .n_fallbacks = 1,
        .max_attempts = 4,
        .cache = {true, true, "max-age=3600", 2, "s1", 1},
        .limits = limits,
        .n_limits = 2,
        .timeouts = {1, 2, 3, 4, UINT64_MAX},
        .mappings = mappings,
        .n_mappings = 2,
        .forward_unknown = true,
        .origin = "file",
        .where = "ai-gateway-config.yaml:2",
    };
    return r;
}

static struct resource *sample_key(void)
{
    struct resource *r = resource_new(RESOURCE_KEY, SLICE("7Gk2abcdefgh"), 1);

    *r->u.key = (struct resource_key){
        .name = "ci",
        .team = "blue",
        .state = RESOURCE_DISABLED,
        .expires_wall_us = 1,
        .created_wall_us = 1795000000000000,
        .models = star,
        .n_models = 1,
        .routers = two,
        .n_routers = 2,
        .limits = limits,
        .n_limits = 2,
        .metadata = pairs,
        .n_metadata = 2,
        .origin = "api",
    };
    memset(r->u.key->hash, 0xa5, sizeof(r->u.key->hash));
    return r;
}

static struct resource *sample_team(void)
{
    struct resource *r = resource_new(RESOURCE_TEAM, SLICE("blue"), 2);

    *r->u.team = (struct resource_team){.name = "Blue", .limits = limits, .n_limits = 1};
    return r;
}

static struct resource *sample_user(void)
{
    struct resource *r = resource_new(RESOURCE_USER, SLICE("ann@example.com"), 3);

    *r->u.user = (struct resource_user){.name = "Ann", .limits = limits, .n_limits = 2};
    return r;
}

static struct resource *sample_model(void)
{
    struct resource *r = resource_new(RESOURCE_MODEL, SLICE("gpt-4o-mini"), 5);

    *r->u.model = (struct resource_model){
        .at = at,
        .n_at = 2,
        .equivalents = two,
        .n_equivalents = 2,
        .aliases = star,
        .n_aliases = 1,
        .modalities = two,
        .n_modalities = 1,
        .context = 128000,
        .max_output = 16384,
        .kind = "chat",
        .outputs = two,
        .n_outputs = 1,
        .released_wall_us = 1795000000000000,
        .traits = traits,
    };
    return r;
}

static struct resource *sample_settings(void)
{
    struct resource *r = resource_new(RESOURCE_SETTINGS, SLICE("global"), 1);

    *r->u.settings = (struct resource_settings){
        .auth_mode = RESOURCE_AUTH_REQUIRED,
        .timeouts = {900000000, 10000000, 0, 0, 15000000},
        .default_rtt_us = 250000,
        .decay_us = 30000000,
        .ejection_us = 30000000,
        .max_attempts = 5,
        .mappings = mappings,
        .n_mappings = 1,
        .cache = {.buckets = 1},
        .cache_bytes = 1 << 26,
        .limits = limits,
        .n_limits = 1,
        .unified_cache = {.buckets = 1},
        .unified_limits = limits,
        .n_unified_limits = 2,
        .default_router = "production",
        .families = families,
        .n_families = 1,
        .prices_as_of = "2026-11-22",
    };
    memset(r->u.settings->key_hash_key, 7, 32);
    return r;
}

static struct resource *(*const samples[])(void) = {
    NULL,        sample_provider, sample_provider_key, sample_router, sample_key,
    sample_team, sample_model,    sample_settings,     sample_user,
};

// The file with a kind's bytes as this version writes them.
static void golden_name(unsigned kind, char out[64])
{
    bool second = kind == RESOURCE_PROVIDER || kind == RESOURCE_MODEL || kind == RESOURCE_SETTINGS;

    (void)snprintf(out, 64, "resource-%s%s.bin", resource_kind_name(kind), second ? "-2" : "");
}

static void each_kind_round_trips_and_matches_golden(void **state)
{
    (void)state;
    for (unsigned kind = 1; kind <= RESOURCE_KIND_MAX; kind++) {
        struct resource *r = samples[kind](), *back;
        struct buf first, second;
        struct err e = {0};
        char name[64];

        buf_init(&first, RESOURCE_BYTES_MAX);
        buf_init(&second, RESOURCE_BYTES_MAX);
        resource_encode(r, &first);
        back = resource_decode(buf_slice(&first), &e);
        if (back == NULL) {
            fail_msg("%s: %s", resource_kind_name(kind), e.message);
            return;
        }
        assert_int_equal(back->kind, kind);
        assert_string_equal(back->id, r->id);
        assert_int_equal(back->version, r->version);
        resource_encode(back, &second);
        assert_true(slice_eq(buf_slice(&first), buf_slice(&second)));
        golden_name(kind, name);
        golden_check(name, buf_slice(&first));
        resource_unref(&r);
        resource_unref(&back);
        assert_null(back);
        buf_done(&first);
        buf_done(&second);
    }
}

// Of builds before quirks, traits and tiers of prices: an absent field is its zero.
static void what_earlier_builds_wrote_is_read(void **state)
{
    struct resource *r[3];
    static const char *const names[] = {"resource-provider.bin", "resource-model.bin",
                                        "resource-settings.bin"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct buf b;

        buf_init(&b, RESOURCE_BYTES_MAX);
        golden_read(names[i], &b);
        r[i] = resource_decode(buf_slice(&b), NULL);
        assert_non_null(r[i]);
        buf_done(&b);
    }
    assert_string_equal(r[0]->u.provider->base_url, "https://api.openai.com/v1/");
    assert_true(r[0]->u.provider->quirks.flags == 0);
    assert_int_equal(r[0]->u.provider->quirks.n_drop, 0);
    assert_int_equal(r[0]->u.provider->n_paths, 0);
    assert_true(r[1]->u.model->at[0].price.output == 600000);
    assert_true(r[1]->u.model->at[0].price.cache_write_long == 0);
    assert_int_equal(r[1]->u.model->at[0].price.n_tiers, 0);
    assert_int_equal(r[1]->u.model->at[0].n_changes, 0);
    assert_true(r[1]->u.model->traits.flags == 0);
    assert_int_equal(r[2]->u.settings->n_families, 0);
    assert_null(r[2]->u.settings->prices_as_of);
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        resource_unref(&r[i]);
    }
}

static struct resource *through(struct resource *r)
{
    struct resource *back;
    struct buf b;

    buf_init(&b, RESOURCE_BYTES_MAX);
    resource_encode(r, &b);
    back = resource_decode(buf_slice(&b), NULL);
    buf_done(&b);
    resource_unref(&r);
    assert_non_null(back);
    return back;
}

static void fields_survive(void **state)
{
    struct resource *r = through(sample_router());

    (void)state;
    assert_int_equal(r->u.router->n_balances, 2);
    assert_null(r->u.router->balances[0].targets[0].model);
    assert_string_equal(r->u.router->balances[0].targets[1].model, "g-2");
    assert_string_equal(r->u.router->limits[1].time_zone, "Europe/Berlin");
    assert_null(r->u.router->limits[0].time_zone);
    assert_true(r->u.router->timeouts.hold_us == UINT64_MAX);
    assert_string_equal(r->u.router->mappings[0].to[1], "anthropic/*");
    assert_null(r->parent);
    resource_unref(&r);

    r = through(sample_provider_key());
    assert_string_equal(r->parent, "openai");
    assert_true(slice_eq_str(secret_reveal(r->u.provider_key->value), "sk-very-secret-abcd"));
    resource_unref(&r);

    r = through(sample_key());
    assert_null(r->u.key->owner);
    assert_string_equal(r->u.key->team, "blue");
    assert_int_equal(r->u.key->hash[31], 0xa5);
    assert_string_equal(r->u.key->models[0], "*");
    resource_unref(&r);

    r = through(sample_model());
    assert_true(r->u.model->at[0].price.cache_write == UINT64_MAX);
    assert_true(r->u.model->at[0].price.output == 600000);
    assert_true(r->u.model->at[0].price.tiers[1].above == 500000);
    assert_true(r->u.model->at[0].changes[0].price.input == 300000);
    assert_int_equal(r->u.model->traits.thinking_off, RESOURCE_OFF_NEVER);
    assert_string_equal(r->u.model->traits.efforts[0], "openai/gpt-4o-mini");
    resource_unref(&r);

    r = through(sample_provider());
    assert_true(r->u.provider->quirks.flags & RESOURCE_REPORTS_COST);
    assert_string_equal(r->u.provider->quirks.rename[1].value, "prod");
    assert_string_equal(r->u.provider->quirks.tool_id_punctuation, "_-");
    assert_int_equal(r->u.provider->quirks.top_p_max, 990);
    assert_string_equal(r->u.provider->limit_headers[0].name, "x-team");
    resource_unref(&r);

    r = through(sample_settings());
    assert_int_equal(r->u.settings->families[0].traits.thinking, RESOURCE_THINKING_NONE);
    assert_string_equal(r->u.settings->families[0].match[1], "anthropic/*");
    resource_unref(&r);
}

// Fields of later versions than the golden bytes.
static void later_fields_survive(void **state)
{
    static const char *const hours[] = {"01:00-04:00", "06:00-10:00"};
    static const char *const headers[] = {"x-title"};
    const struct resource_quirks set = {.flags = RESOURCE_FORCED_UNREASONED,
                                        .greedy = "do_sample",
                                        .user_min = 6,
                                        .user_max = 128,
                                        .price_flex = 500,
                                        .price_priority = 2000,
                                        .price_batch = 501,
                                        .price_fast = 2001,
                                        .price_us = 1100,
                                        .price_peak = 2002,
                                        .price_write = 1250,
                                        .price_write_long = 2003,
                                        .price_rate = 1101,
                                        .price_search = 10000,
                                        .peak_hours = hours,
                                        .n_peak_hours = 2,
                                        .takes_headers = headers,
                                        .n_takes_headers = 1};
    struct resource *r = sample_provider();
    const struct resource_quirks *q;

    (void)state;
    r->u.provider->quirks = set;
    r = through(r);
    q = &r->u.provider->quirks;
    assert_true(q->flags == set.flags);
    assert_string_equal(q->greedy, "do_sample");
    assert_true(q->user_min == 6 && q->user_max == 128);
    assert_true(q->price_flex == 500 && q->price_priority == 2000 && q->price_batch == 501);
    assert_true(q->price_fast == 2001 && q->price_us == 1100 && q->price_peak == 2002);
    assert_true(q->price_write == 1250 && q->price_write_long == 2003);
    assert_true(q->price_rate == 1101 && q->price_search == 10000);
    assert_int_equal(q->n_peak_hours, 2);
    assert_string_equal(q->peak_hours[1], hours[1]);
    assert_int_equal(q->n_takes_headers, 1);
    assert_string_equal(q->takes_headers[0], headers[0]);
    resource_unref(&r);
}

static void refuse(struct slice bytes, const char *expect)
{
    struct err e = {0};

    assert_null(resource_decode(bytes, &e));
    assert_int_not_equal(e.code, ERR_NONE);
    if (strstr(e.message, expect) == NULL) {
        fail_msg("\"%s\" does not say \"%s\"", e.message, expect);
    }
}

// Hand-made encodings: tag = field << 3 | type.
static void damaged_input_is_refused(void **state)
{
    static const struct {
        const char *bytes;
        size_t n;
        const char *expect;
    } cases[] = {
        {"", 0, "kind"},
        {"\x08", 1, "damaged"},                                              // varint cut
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "damaged"}, // 11 byte varint
        {"\x08\x09\x12\x01x\x20\x01", 7, "kind: 9"},                         // unknown kind
        {"\x08\x04\x12\x01x\x20\x01", 7, "key: missing"},                    // no body
        {"\x08\x04\x20\x01\x72\x00", 6, "id"},                               // no id
        {"\x08\x04\x12\x01x\x72\x00", 7, "version"},                         // no version
        {"\x08\x04\x12\x02x\x00\x20\x01", 8, "id: contains a NUL"},
        {"\x08\x04\x12\x01\xff\x20\x01", 7, "id: is not UTF-8"},
        {"\x08\x04\x12\x05x", 5, "damaged"}, // length past the end
        {"\x0a\x01x", 3, "kind: has wire type 2"},
        {"\x0b", 1, "damaged"}, // group
        {"\x08\x04\x08\x04", 4, "kind: too many"},
        {"\x08\x04\x12\x01x\x20\x01\x72\x03\x0a\x01z", 12, "hash: 1 bytes instead of 32"},
        {"\x08\x04\x12\x01x\x20\x01\x72\x02\x28\x07", 11, "state: 7 is not in 0..1"},
        {"\x08\x04\x12\x01x\x20\x01\x72\x04\x52\x02\x08\x09", 13, "limits[0]: unit"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        refuse(SLICE_MAKE(cases[i].bytes, cases[i].n), cases[i].expect);
    }
}

// What a later version knows of vendors and models and this one does not: nothing is known. Refused
// settings would leave a proxy without any key.
static void knowledge_of_a_later_version_is_none(void **state)
{
    const struct resource_family family = {
        .match = two, .n_match = 2, .traits = {.thinking = 99, .thinking_off = 99}};
    struct resource *r = resource_new(RESOURCE_SETTINGS, SLICE("global"), 2);

    (void)state;
    *r->u.settings = (struct resource_settings){.families = &family, .n_families = 1};
    r = through(r);
    assert_int_equal(r->u.settings->families[0].traits.thinking, 0);
    assert_int_equal(r->u.settings->families[0].traits.thinking_off, 0);
    resource_unref(&r);
    r = sample_provider();
    r->u.provider->quirks.max_tokens_name = 99;
    r->u.provider->quirks.reasoning = 99;
    r->u.provider->quirks.reasoning_history = 99;
    r = through(r);
    assert_int_equal(r->u.provider->quirks.max_tokens_name, 0);
    assert_int_equal(r->u.provider->quirks.reasoning, 0);
    assert_int_equal(r->u.provider->quirks.reasoning_history, 0);
    assert_int_equal(r->u.provider->quirks.top_p_max, 990);
    resource_unref(&r);
}

static void bounds_hold(void **state)
{
    struct resource *r = sample_provider();
    const char *many[RESOURCE_ITEMS_MAX + 1];
    struct resource_balance nine[9];
    static char text[RESOURCE_STRING_MAX + 2];
    struct buf b;

    (void)state;
    buf_init(&b, 4 * RESOURCE_BYTES_MAX);
    for (size_t i = 0; i < ARRAY_LEN(many); i++) {
        many[i] = "m";
    }
    r->u.provider->models = many;
    r->u.provider->n_models = ARRAY_LEN(many);
    resource_encode(r, &b);
    refuse(buf_slice(&b), "provider: models: too many");

    memset(text, 'x', sizeof(text) - 1);
    r->u.provider->n_models = 0;
    r->u.provider->dialect = text;
    buf_clear(&b);
    resource_encode(r, &b);
    refuse(buf_slice(&b), "provider: dialect: longer than 4096");
    resource_unref(&r);

    r = sample_router();
    for (size_t i = 0; i < 9; i++) {
        nine[i] = balances[0];
    }
    r->u.router->balances = nine;
    r->u.router->n_balances = 9;
    buf_clear(&b);
    resource_encode(r, &b);
    refuse(buf_slice(&b), "balances: more than 8");
    resource_unref(&r);

    buf_clear(&b);
    while (b.n <= RESOURCE_BYTES_MAX) {
        buf_append(&b, SLICE_MAKE(text, 4096));
    }
    refuse(buf_slice(&b), "bytes, at most");
    buf_done(&b);
}

// A later version's fields are skipped.
static void unknown_fields_are_ignored(void **state)
{
    struct resource *r = sample_team(), *back;
    struct buf b;

    (void)state;
    buf_init(&b, RESOURCE_BYTES_MAX);
    resource_encode(r, &b);
    buf_append(&b, SLICE("\xfa\x07\x05hello\xf0\x07\x2a")); // 127: bytes, 126: varint
    back = resource_decode(buf_slice(&b), NULL);
    assert_non_null(back);
    assert_string_equal(back->u.team->name, "Blue");
    resource_unref(&r);
    resource_unref(&back);
    buf_done(&b);
}

static void every_truncation_is_handled(void **state)
{
    (void)state;
    for (unsigned kind = 1; kind <= RESOURCE_KIND_MAX; kind++) {
        struct resource *r = samples[kind]();
        struct buf b;

        buf_init(&b, RESOURCE_BYTES_MAX);
        resource_encode(r, &b);
        resource_unref(&r);
        for (size_t n = 0; n < b.n; n++) {
            r = resource_decode(SLICE_MAKE(b.p, n), NULL);
            resource_unref(&r);
        }
        buf_done(&b);
    }
}

static void a_key_is_small(void **state)
{
    struct resource *r = resource_new(RESOURCE_KEY, SLICE("7Gk2abcdefgh0000000000"), 1), *back;

    (void)state;
    r->u.key->name = "load-test-000001";
    r->u.key->models = r->u.key->routers = star;
    r->u.key->n_models = r->u.key->n_routers = 1;
    r->u.key->origin = "api";
    r->u.key->limits = limits;
    r->u.key->n_limits = 1;
    back = through(r);
    assert_true(malloc_usable_size(back) < 384);
    assert_int_equal(back->arena.used, 0); // all of it is in that piece
    (void)arena_strdup(&back->arena, "and more can be put in");
    resource_unref(&back);
}

// Of any size: in one piece behind the struct, or in its arena.
static void keys_of_every_size_survive(void **state)
{
    char text[4000];

    (void)state;
    for (size_t n = 1; n < sizeof(text); n += 13) {
        struct resource *r = resource_new(RESOURCE_KEY, SLICE("k"), 1);
        const struct resource_pair pair = {"note", text};

        memset(text, 'x', n);
        text[n] = '\0';
        r->parent = "p";
        r->u.key->name = text;
        r->u.key->metadata = &pair;
        r->u.key->n_metadata = 1;
        r = through(r);
        assert_int_equal(strlen(r->u.key->name), n);
        assert_string_equal(r->u.key->metadata[0].value, text);
        assert_string_equal(r->id, "k");
        assert_string_equal(r->parent, "p");
        resource_unref(&r);
    }
}

// An aligned piece behind a string at the very end of what is measured.
static void keys_at_the_edge_survive(void **state)
{
    static const struct resource_pair pair = {"note", "v"};
    char text[2200];

    (void)state;
    for (size_t n = 1500; n < sizeof(text); n++) {
        struct resource *r = resource_new(RESOURCE_KEY, SLICE("k"), 1);

        memset(text, 'x', n);
        text[n] = '\0';
        r->u.key->name = text;
        r->u.key->metadata = &pair;
        r->u.key->n_metadata = 1;
        r = through(r);
        assert_int_equal(strlen(r->u.key->name), n);
        assert_string_equal(r->u.key->metadata[0].value, "v");
        resource_unref(&r);
    }
}

static void the_hash_before_a_rotation(void **state)
{
    struct resource *r = sample_key();
    struct buf b;

    (void)state;
    r->u.key->previous_hash = SLICE("0123456789abcdef0123456789abcdef");
    r = through(r);
    assert_true(slice_eq_str(r->u.key->previous_hash, "0123456789abcdef0123456789abcdef"));
    r->u.key->previous_hash = SLICE("0123456789abcdef0123456789abcde");
    buf_init(&b, RESOURCE_BYTES_MAX);
    resource_encode(r, &b);
    refuse(buf_slice(&b), "key: previous_hash: 31 bytes");
    buf_done(&b);
    resource_unref(&r);
}

static void digests_are_fixed(void **state)
{
    uint64_t d = resource_digest(RESOURCE_KEY, SLICE("abc"), 7);

    (void)state;
    // Proxies of other versions must compute the same: this number may never change.
    assert_true(d == 0x20b235a35ff9d41dULL);
    assert_true(d != resource_digest(RESOURCE_KEY, SLICE("abc"), 8));
    assert_true(d != resource_digest(RESOURCE_TEAM, SLICE("abc"), 7));
    assert_true(d != resource_digest(RESOURCE_KEY, SLICE("abd"), 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_kind_round_trips_and_matches_golden),
        cmocka_unit_test(what_earlier_builds_wrote_is_read),
        cmocka_unit_test(fields_survive),
        cmocka_unit_test(later_fields_survive),
        cmocka_unit_test(damaged_input_is_refused),
        cmocka_unit_test(bounds_hold),
        cmocka_unit_test(knowledge_of_a_later_version_is_none),
        cmocka_unit_test(unknown_fields_are_ignored),
        cmocka_unit_test(every_truncation_is_handled),
        cmocka_unit_test(a_key_is_small),
        cmocka_unit_test(keys_of_every_size_survive),
        cmocka_unit_test(keys_at_the_edge_survive),
        cmocka_unit_test(the_hash_before_a_rotation),
        cmocka_unit_test(digests_are_fixed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
