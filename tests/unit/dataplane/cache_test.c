// SPDX-License-Identifier: Apache-2.0
// The response cache: what policy and key say, ages, bounds, order of eviction, threads.
#include "dataplane/cache.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"

#define NOW  (1000 * MONO_SEC)
#define WEEK (7 * 86400 * MONO_SEC)
#define S(n) ((n)*MONO_SEC)

// --- policy ------------------------------------------------------------------------------------

static void policies(void **state)
{
    static const struct {
        const char *directive; // of the section; "-": no section, "!": not enabled
        const char *control, *enabled;
        const char *expected; // l(ookup) s(tore) o(nly if cached)
        uint64_t lifetime_us, max_age_us, max_stale_us;
    } cases[] = {
        {"-", NULL, NULL, "", WEEK, WEEK, 0},
        {"!", NULL, NULL, "", WEEK, WEEK, 0},
        {"!", NULL, "true", "ls", WEEK, WEEK, 0},
        {NULL, NULL, NULL, "ls", WEEK, WEEK, 0},
        {NULL, NULL, "false", "", WEEK, WEEK, 0},
        {NULL, NULL, "maybe", "ls", WEEK, WEEK, 0},
        {"-", NULL, "true", "ls", WEEK, WEEK, 0},
        {"-", NULL, " TRUE ", "ls", WEEK, WEEK, 0},
        {"-", "max-age=60", NULL, "", S(60), S(60), 0},
        {"-", "max-age=2592000", "true", "ls", S(2592000), S(2592000), 0}, // 30 days
        {"-", "max-age=999999999", "true", "ls", S(31536000), S(31536000), 0},
        {"max-age=3600", NULL, NULL, "ls", S(3600), S(3600), 0},
        {"max-age=3600, s-maxage=60", NULL, NULL, "ls", S(60), S(60), 0},
        {"max-age=3600, max-stale=30", NULL, NULL, "ls", S(3600), S(3600), S(30)},
        {"max-age=0", NULL, NULL, "ls", 0, 0, 0},
        {"no-store", NULL, NULL, "", WEEK, WEEK, 0},
        {"no-store", NULL, "true", "", WEEK, WEEK, 0}, // stronger than a client's wish
        {"no-cache", NULL, "true", "s", WEEK, WEEK, 0},
        {"max-age=3600", "no-cache", NULL, "s", S(3600), S(3600), 0},
        {"max-age=3600", "no-store", NULL, "", S(3600), S(3600), 0},
        {"max-age=3600", "max-age=60", NULL, "ls", S(3600), S(60), 0},
        {"max-age=60", "max-age=3600", NULL, "ls", S(60), S(60), 0},
        {"max-age=3600", "max-age=0", NULL, "ls", S(3600), 0, 0}, // asks anew, and is stored
        {"-", "max-age=0", "true", "ls", WEEK, 0, 0},
        {"max-age=3600", "min-fresh=600", NULL, "ls", S(3600), S(3000), 0},
        {"max-age=3600", "min-fresh=7200", NULL, "ls", S(3600), 0, 0},
        {"max-age=3600", "max-stale=5", NULL, "ls", S(3600), S(3600), S(5)},
        {"max-age=3600", "max-stale", NULL, "ls", S(3600), S(3600), S(2147483647)},
        {"max-age=3600, must-revalidate", "max-stale=5", NULL, "ls", S(3600), S(3600), 0},
        {"max-age=3600", "only-if-cached", NULL, "lso", S(3600), S(3600), 0},
        {"max-age=3600", "only-if-cached, no-cache", NULL, "s", S(3600), S(3600), 0},
        {"-", "only-if-cached", NULL, "", WEEK, WEEK, 0},
        {"max-age=3600", "foo, bar=1, max-age=10", NULL, "ls", S(3600), S(10), 0},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *d = cases[i].directive;
        bool off = d != NULL && d[0] == '!', none = d != NULL && d[0] == '-';
        struct resource_cache section = {
            .present = !none, .enabled = !off, .directive = off || none ? NULL : d, .buckets = 3};
        struct cache_policy p = cache_policy(&section, slice_str(cases[i].control),
                                             slice_str(cases[i].enabled), SLICE_NULL, SLICE_NULL);
        char got[4] = "";

        (void)snprintf(got, sizeof(got), "%s%s%s", p.lookup ? "l" : "", p.store ? "s" : "",
                       p.only_if_cached ? "o" : "");
        if (strcmp(got, cases[i].expected) != 0 || p.lifetime_us != cases[i].lifetime_us ||
            p.max_age_us != cases[i].max_age_us || p.max_stale_us != cases[i].max_stale_us) {
            fail_msg("case %zu: %s %s: %s, %llu, %llu, %llu", i, d == NULL ? "" : d,
                     cases[i].control == NULL ? "" : cases[i].control, got,
                     (unsigned long long)p.lifetime_us, (unsigned long long)p.max_age_us,
                     (unsigned long long)p.max_stale_us);
        }
        assert_int_equal(p.buckets, none ? 1 : 3);
    }
}

static void buckets_and_seeds(void **state)
{
    static const struct {
        const char *header;
        uint32_t section, expected;
    } buckets[] = {{NULL, 0, 1},  {NULL, 5, 5}, {"7", 5, 7},  {"0", 5, 5},
                   {"99", 5, 20}, {"x", 5, 5},  {" 2 ", 1, 2}};
    struct cache_policy p;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(buckets); i++) {
        struct resource_cache section = {
            .present = true, .enabled = true, .buckets = buckets[i].section, .seed = "own"};

        p = cache_policy(&section, SLICE_NULL, SLICE_NULL, slice_str(buckets[i].header),
                         SLICE_NULL);
        assert_int_equal(p.buckets, buckets[i].expected);
        assert_true(slice_eq_str(p.seed, "own"));
        p = cache_policy(&section, SLICE_NULL, SLICE_NULL, SLICE_NULL, SLICE("theirs"));
        assert_true(slice_eq_str(p.seed, "theirs"));
    }
    p = cache_policy(NULL, SLICE_NULL, SLICE_NULL, SLICE_NULL, SLICE_NULL);
    assert_false(p.lookup || p.store);
    assert_int_equal(p.buckets, 1);
    assert_null(p.seed.p);
}

// --- key ---------------------------------------------------------------------------------------

static struct cache_key key_of(const char *body, const char *scope, const char *seed,
                               const char *path, uint32_t bucket)
{
    struct dialect_request r = {.n = 1};
    struct cache_key k;
    struct arena a;
    const char *code, *param;
    struct err e;

    arena_init(&a, 4096, 0);
    assert_true(
        dialect_openai.parse_request(slice_str(body), DIALECT_CHAT, &a, &r, &code, &param, &e));
    cache_key(&k, slice_str(scope), slice_str(seed), slice_str(path), &r, bucket);
    arena_done(&a);
    return k;
}

static bool same(const char *a, const char *b)
{
    struct cache_key x = key_of(a, "s", NULL, "p", 0), y = key_of(b, "s", NULL, "p", 0);

    return memcmp(&x, &y, sizeof(x)) == 0;
}

static void keys(void **state)
{
    static const struct {
        const char *a, *b;
        bool same;
    } cases[] = {
        {"{\"model\":\"m\",\"x\":1}", "{\"model\":\"m\",\"x\":1}", true},
        {"{\"model\":\"m\",\"x\":1}", "{\"x\":1,\"model\":\"m\"}", true},
        {"{\"model\":\"m\",\"x\":[1,{\"a\":\"b c\"}]}",
         " {\n\"x\" : [ 1 ,\t{ \"a\" : \"b c\" } ] , \"model\" : \"m\" } ", true},
        {"{\"model\":\"m\"}", "{\"mod\\u0065l\":\"\\u006d\"}", true},
        {"{\"model\":\"m\",\"x\":1}",
         "{\"model\":\"m\",\"x\":1,\"user\":\"u\",\"metadata\":{},\"stream_options\":{},"
         "\"models\":[],\"provider\":{},\"route\":1,\"transforms\":[],\"usage\":{}}",
         true},
        {"{\"model\":\"m\",\"x\":1}", "{\"model\":\"n\",\"x\":1}", false},
        {"{\"model\":\"m\",\"x\":1}", "{\"model\":\"m\",\"x\":2}", false},
        {"{\"model\":\"m\",\"x\":1}", "{\"model\":\"m\",\"y\":1}", false},
        {"{\"model\":\"m\",\"x\":1}", "{\"model\":\"m\"}", false},
        {"{\"model\":\"m\",\"x\":\"a b\"}", "{\"model\":\"m\",\"x\":\"ab\"}", false},
        {"{\"model\":\"m\",\"x\":\"\\\" \"}", "{\"model\":\"m\",\"x\":\"\\\"\"}", false},
        {"{\"model\":\"m\",\"x\":\"\\\\\",\"y\":1}", "{\"model\":\"m\",\"x\":\"\\\\\",\"y\": 1}",
         true},
        {"{\"model\":\"m\",\"stream\":true}", "{\"model\":\"m\",\"stream\":false}", false},
        {"{\"model\":\"m\",\"x\":[1,2]}", "{\"model\":\"m\",\"x\":[12]}", false},
        {"{\"model\":\"m\",\"a\":1,\"b\":2}", "{\"model\":\"m\",\"ab\":12}", false},
        {"{\"model\":\"m\",\"a\":1,\"b\":2}", "{\"model\":\"m\",\"a\":2,\"b\":1}", false},
    };
    struct buf a, b;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        if (same(cases[i].a, cases[i].b) != cases[i].same) {
            fail_msg("%s %s", cases[i].a, cases[i].b);
        }
    }
    // Many members, turned round.
    buf_init(&a, 1 << 16);
    buf_init(&b, 1 << 16);
    buf_append_str(&a, "{\"model\":\"m\"");
    buf_append_str(&b, "{");
    for (int i = 0; i < 200; i++) {
        buf_printf(&a, ",\"k%d\":%d", i, i);
        buf_printf(&b, "\"k%d\":%d,", 199 - i, 199 - i);
    }
    buf_append_str(&a, "}");
    buf_append_str(&b, "\"model\":\"m\"}");
    assert_true(same(buf_cstr(&a), buf_cstr(&b)));
    buf_done(&a);
    buf_done(&b);
}

static void key_parts(void **state)
{
    static const struct {
        const char *scope, *seed, *path;
        uint32_t bucket;
    } parts[] = {{"s", NULL, "p", 0}, {"t", NULL, "p", 0}, {"s", "x", "p", 0}, {"s", NULL, "q", 0},
                 {"s", NULL, "p", 1}, {"sp", NULL, "", 0}, {"", "s", "p", 0}};
    struct cache_key k[ARRAY_LEN(parts)];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        k[i] = key_of("{\"model\":\"m\"}", parts[i].scope, parts[i].seed, parts[i].path,
                      parts[i].bucket);
        for (size_t j = 0; j < i; j++) {
            assert_memory_not_equal(&k[i], &k[j], sizeof(k[i]));
        }
    }
}

// --- store -------------------------------------------------------------------------------------

static const struct cache_policy any_age = {
    .lookup = true, .max_age_us = UINT64_MAX, .max_stale_us = 0};

// Shard by the first byte.
static struct cache_key numbered(uint8_t shard, uint32_t n)
{
    struct cache_key k = {{shard}};

    memcpy(k.bytes + 4, &n, sizeof(n));
    return k;
}

static void put(struct cache *c, struct cache_key k, size_t bytes, uint64_t now_us)
{
    char *body = mem_zalloc(bytes + 1);
    struct cache_value v = {.status = 200, .body = {body, bytes}};

    cache_put(c, &k, &v, S(60), now_us);
    mem_free(body);
}

static bool has(struct cache *c, struct cache_key k, uint64_t now_us)
{
    struct cache_entry *e = cache_get(c, &k, &any_age, now_us);
    bool found = e != NULL;

    cache_entry_unref(&e);
    return found;
}

static void values_are_copied(void **state)
{
    struct cache *c = cache_new(1 << 20);
    struct cache_key k = numbered(1, 1);
    char body[] = "data: x\n\n", type[] = "text/event-stream";
    struct cache_value v = {.status = 200,
                            .stream = true,
                            .content_type = slice_str(type),
                            .provider = SLICE("openai"),
                            .model = SLICE_NULL,
                            .usage = {.known = true, .input = 5},
                            .body = slice_str(body)};
    struct cache_entry *e;

    (void)state;
    assert_null(cache_get(c, &k, &any_age, NOW));
    cache_put(c, &k, &v, S(60), NOW);
    memset(body, 'z', sizeof(body) - 1);
    memset(type, 'z', sizeof(type) - 1);
    e = cache_get(c, &k, &any_age, NOW + 5);
    assert_non_null(e);
    assert_int_equal(cache_entry_age_us(e, NOW + 5), 5);
    assert_int_equal(cache_entry_age_us(e, NOW - 5), 0);
    assert_true(slice_eq_str(cache_entry_value(e)->body, "data: x\n\n"));
    assert_true(slice_eq_str(cache_entry_value(e)->content_type, "text/event-stream"));
    assert_true(slice_eq_str(cache_entry_value(e)->provider, "openai"));
    assert_int_equal(cache_entry_value(e)->model.n, 0);
    assert_int_equal(cache_entry_value(e)->usage.input, 5);
    assert_true(cache_entry_value(e)->stream);
    // A reader keeps its entry when it is replaced, and when the cache is gone.
    put(c, k, 3, NOW);
    assert_int_equal(cache_stats(c).entries, 1);
    cache_free(&c);
    assert_null(c);
    assert_true(slice_eq_str(cache_entry_value(e)->body, "data: x\n\n"));
    cache_entry_unref(&e);
    assert_null(e);
    cache_entry_unref(&e);
    cache_free(&c);
}

static void ages(void **state)
{
    static const struct {
        uint64_t max_age_s, stale_s, age_s;
        bool hit;
    } cases[] = {
        {1000, 0, 0, true},
        {1000, 0, 60, true},
        {1000, 0, 61, false}, // lifetime is 60 s
        {10, 0, 10, true},
        {10, 0, 11, false},
        {1000, 30, 90, true},
        {1000, 30, 91, false},
        {10, 5, 15, true},
        {10, 5, 16, false},
        {1000, 2147483647, 5000, true},
        {0, 0, 1, false},
    };
    struct cache *c = cache_new(1 << 20);
    struct cache_key k = numbered(1, 1);
    struct cache_stats st;
    uint64_t hits = 0;

    (void)state;
    put(c, k, 10, NOW);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct cache_policy p = {.lookup = true,
                                 .max_age_us = S(cases[i].max_age_s),
                                 .max_stale_us = S(cases[i].stale_s)};
        struct cache_entry *e = cache_get(c, &k, &p, NOW + S(cases[i].age_s));

        assert_int_equal(e != NULL, cases[i].hit);
        hits += e != NULL ? 1 : 0;
        cache_entry_unref(&e);
    }
    st = cache_stats(c);
    assert_int_equal(st.hits, hits);
    assert_int_equal(st.misses, ARRAY_LEN(cases) - hits);
    cache_free(&c);
}

static void bounded_and_least_recent_first(void **state)
{
    struct cache *c = cache_new(16 * 16384); // 16 KiB a shard
    struct cache_stats st;

    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        put(c, numbered(3, i), 1700, NOW); // with its overhead just under 2 KiB
    }
    assert_int_equal(cache_stats(c).entries, 8);
    assert_true(has(c, numbered(3, 0), NOW)); // used: 1 is now the oldest
    put(c, numbered(3, 8), 1700, NOW);
    assert_false(has(c, numbered(3, 1), NOW));
    assert_true(has(c, numbered(3, 0), NOW));
    assert_true(has(c, numbered(3, 8), NOW));
    for (uint32_t i = 0; i < 1000; i++) {
        put(c, numbered((uint8_t)i, i), 1 + i * 7 % 1700, NOW);
        st = cache_stats(c);
        assert_true(st.bytes <= 16 * 16384);
    }
    assert_true(st.evictions > 0);
    // Too large for a shard's share, or for a cache of nothing.
    put(c, numbered(9, 1), 2000, NOW);
    assert_false(has(c, numbered(9, 1), NOW));
    cache_free(&c);
    c = cache_new(0);
    put(c, numbered(9, 1), 0, NOW);
    assert_false(has(c, numbered(9, 1), NOW));
    assert_int_equal(cache_stats(c).bytes, 0);
    cache_free(&c);
}

// --- threads -----------------------------------------------------------------------------------

static void put_pattern(struct cache *c, uint32_t n, size_t bytes)
{
    struct cache_key k = numbered((uint8_t)(n % 2), n);
    char body[1200];
    struct cache_value v = {.status = n, .body = {body, bytes}};

    memset(body, (int)n, sizeof(body));
    cache_put(c, &k, &v, S(60), NOW);
}

static void check_pattern(struct cache *c, uint32_t n)
{
    struct cache_key k = numbered((uint8_t)(n % 2), n);
    struct cache_entry *e = cache_get(c, &k, &any_age, NOW);

    if (e != NULL) {
        const struct cache_value *v = cache_entry_value(e);

        CHECK(v->status == n && (uint8_t)v->body.p[v->body.n - 1] == n);
    }
    cache_entry_unref(&e);
}

static void *worker(void *arg)
{
    struct rng rng;

    rng_init(&rng, (uint64_t)(uintptr_t)&rng | 1);
    for (int i = 0; i < 4000; i++) {
        uint32_t n = (uint32_t)rng_below(&rng, 40);

        if (rng_below(&rng, 3) == 0) {
            put_pattern(arg, n, 100 + rng_below(&rng, 1000));
        } else {
            check_pattern(arg, n);
        }
    }
    return NULL;
}

static void threads(void **state)
{
    struct cache *c = cache_new(16 * 12000);
    pthread_t t[4];
    struct cache_stats st;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        assert_int_equal(pthread_create(&t[i], NULL, worker, c), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(t); i++) {
        (void)pthread_join(t[i], NULL);
    }
    st = cache_stats(c);
    assert_true(st.bytes <= 2 * 12000 && st.entries > 0 && st.evictions > 0 && st.hits > 0);
    cache_free(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies),
        cmocka_unit_test(buckets_and_seeds),
        cmocka_unit_test(keys),
        cmocka_unit_test(key_parts),
        cmocka_unit_test(values_are_copied),
        cmocka_unit_test(ages),
        cmocka_unit_test(bounded_and_least_recent_first),
        cmocka_unit_test(threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
