// SPDX-License-Identifier: Apache-2.0
// Names of tools that a provider does not take: made ones, one to one, and back.
#include "dataplane/canon_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/rng.h"
#include "common/io/crypto.h"

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define A64 A50 "aaaaaaaaaaaaaa"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    return 0;
}

static struct canon_request request_of(struct canon_tool *tools, const char *const *names, size_t n)
{
    memset(tools, 0, n * sizeof(*tools));
    for (size_t i = 0; i < n; i++) {
        tools[i].name = slice_str(names[i]);
        tools[i].next = i + 1 < n ? &tools[i + 1] : NULL;
    }
    return (struct canon_request){.tools = tools};
}

static void names_are_made(void **state)
{
    static const struct {
        const struct dialect *provider;
        const char *in, *out;
    } cases[] = {
        {&dialect_openai, "get_tide-2", "get_tide-2"},
        {&dialect_openai, "fs.read", "fs_read"},
        {&dialect_openai, "\\u00e9\xc3\xa9\\/", "___"},
        {&dialect_openai, A64, A64},
        {&dialect_openai, A64 "b", A50 "aaaaa_3e63da2d"},
        {&dialect_openai, A64 "\xc3\xa9", A50 "aaaaa_a8570b55"},
        {&dialect_gemini, A64 "b", A64 "b"},
        {&dialect_gemini, "fs.read:1", "fs.read:1"},
        {&dialect_gemini, "2nd", "_2nd"},
        {&dialect_gemini, "-2nd", "_-2nd"},
        {&dialect_ollama, "any thing", "any thing"},
        {&dialect_openai, "", ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct canon_tool tools[1];
        struct canon_request r = request_of(tools, &cases[i].in, 1);
        struct canon_names n;

        canon_names_make(&n, &r, cases[i].provider, &arena);
        canon_names_put(&n, &r);
        if (!slice_eq_str(tools[0].name, cases[i].out)) {
            fail_msg("%s: " SLICE_FMT, cases[i].in, SLICE_ARG(tools[0].name));
        }
        assert_true(slice_eq_str(canon_names_client(&n, tools[0].name), cases[i].in));
        canon_names_take(&n, &r);
        assert_true(slice_eq_str(tools[0].name, cases[i].in));
    }
}

// Two that come to the same, one of which fits; and two that are cut to the same.
static void no_two_are_one(void **state)
{
    static const char *const in[] = {"a.b", "a:b", "a_b", A64 "1", A64 "2", "a.b"};
    static const char *const other[] = {"a_b", "a:b", "a.b"};
    struct canon_tool tools[ARRAY_LEN(in)];
    struct canon_request r = request_of(tools, in, ARRAY_LEN(in));
    struct canon_names n, again;
    struct slice made;

    (void)state;
    canon_names_make(&n, &r, &dialect_openai, &arena);
    canon_names_put(&n, &r);
    assert_true(slice_eq_str(tools[2].name, "a_b"));
    for (size_t i = 0; i < 5; i++) {
        for (size_t k = i + 1; k < 5; k++) {
            assert_false(slice_eq(tools[i].name, tools[k].name));
        }
        assert_true(tools[i].name.n <= 64);
    }
    assert_true(slice_eq(tools[0].name, tools[5].name)); // one name, one other
    made = tools[0].name;
    canon_names_take(&n, &r);
    for (size_t i = 0; i < ARRAY_LEN(in); i++) {
        assert_true(slice_eq_str(tools[i].name, in[i]));
    }
    // in another request, in another order
    r = request_of(tools, other, ARRAY_LEN(other));
    canon_names_make(&again, &r, &dialect_openai, &arena);
    canon_names_put(&again, &r);
    assert_true(slice_eq(tools[2].name, made));
}

#define RANDOM_TOOLS 40

// A few characters that one, both or none of the providers take, so that many names come to the
// same; some around their greatest lengths.
static struct slice random_name(struct rng *rng)
{
    static const char *const pieces[] = {"a", "_", ".", "\\u00e9", "1", "\xc3\xa9"};
    size_t n = rng_below(rng, 8) == 0 ? 60 + rng_below(rng, 70) : 1 + rng_below(rng, 3);
    struct slice name = SLICE("");

    while (n-- > 0) {
        name = slice_str(arena_printf(&arena, SLICE_FMT "%s", SLICE_ARG(name),
                                      pieces[rng_below(rng, ARRAY_LEN(pieces))]));
    }
    return name;
}

static void check_names(const struct canon_tool *tools, const struct slice *in,
                        const struct canon_names *n, const struct dialect *provider)
{
    for (size_t i = 0; i < RANDOM_TOOLS; i++) {
        assert_true(tools[i].name.n > 0 && tools[i].name.n <= provider->name_max);
        assert_true(slice_eq(canon_names_client(n, tools[i].name), in[i]));
        for (size_t k = 0; k < i; k++) {
            assert_int_equal(slice_eq(tools[i].name, tools[k].name), slice_eq(in[i], in[k]));
        }
    }
}

static void one_to_one_whatever_they_are(void **state)
{
    static const struct dialect *const providers[] = {&dialect_openai, &dialect_gemini};
    struct rng rng;

    (void)state;
    rng_init(&rng, 1);
    for (int round = 0; round < 300; round++) {
        const struct dialect *provider = providers[round % 2];
        struct canon_tool tools[RANDOM_TOOLS] = {{.next = NULL}};
        struct canon_request r = {.tools = tools};
        struct slice in[RANDOM_TOOLS];
        struct canon_names n;

        arena_reset(&arena);
        for (size_t i = 0; i < RANDOM_TOOLS; i++) {
            in[i] = tools[i].name = random_name(&rng);
            tools[i].next = i + 1 < RANDOM_TOOLS ? &tools[i + 1] : NULL;
        }
        canon_names_make(&n, &r, provider, &arena);
        canon_names_put(&n, &r);
        check_names(tools, in, &n, provider);
        canon_names_take(&n, &r);
        for (size_t i = 0; i < RANDOM_TOOLS; i++) {
            assert_true(slice_eq(tools[i].name, in[i]));
        }
    }
}

// What is missing or empty is nothing to make another of, and stays what it was.
static void empty_names_stay(void **state)
{
    struct canon_tool tools[3] = {
        {.name = SLICE("")}, {.name = SLICE_NULL}, {.name = SLICE("a.b")}};
    struct canon_request r = {.tools = tools};
    struct canon_names n;

    (void)state;
    tools[0].next = &tools[1];
    tools[1].next = &tools[2];
    canon_names_make(&n, &r, &dialect_openai, &arena);
    canon_names_put(&n, &r);
    assert_true(slice_eq_str(tools[2].name, "a_b"));
    canon_names_take(&n, &r);
    assert_true(tools[0].name.p != NULL && tools[0].name.n == 0);
    assert_null(tools[1].name.p);
    assert_true(slice_eq_str(tools[2].name, "a.b"));
}

// --- hostile requests ----------------------------------------------------------------------------

#define LONG_BYTES ((size_t)1 << 20)
#define TAKEN      20000

// CPU time of this thread: other processes may have the machine.
static uint64_t cpu_us(void)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

// The name that is tried when so many others were taken.
static struct slice tried(const uint8_t *hash, const char *head, unsigned again)
{
    const uint8_t *h = hash + again % 8 * 4;
    const char *number = again == 0 ? "" : arena_printf(&arena, "_%u", again + 1);
    int room = 64 - 9 - (int)strlen(number);

    return slice_str(arena_printf(&arena, "%.*s_%02x%02x%02x%02x%s", room, head, h[0], h[1], h[2],
                                  h[3], number));
}

// A name as long as a body, whose first 20,000 other names are other tools: it is read once.
static void a_name_is_read_once(void **state)
{
    struct canon_tool *tools = arena_zalloc(&arena, (TAKEN + 1) * sizeof(*tools));
    struct slice name = {memset(arena_alloc(&arena, LONG_BYTES), 'a', LONG_BYTES), LONG_BYTES};
    struct canon_request r = {.tools = tools};
    uint64_t began = cpu_us();
    uint8_t hash[CRYPTO_SHA256_BYTES];
    struct canon_names n;

    (void)state;
    crypto_sha256(hash, &name, 1);
    for (unsigned i = 0; i < TAKEN; i++) {
        tools[i].name = tried(hash, name.p, i);
        tools[i].next = &tools[i + 1];
    }
    tools[TAKEN].name = name;
    canon_names_make(&n, &r, &dialect_openai, &arena);
    canon_names_put(&n, &r);
    assert_true(slice_eq(tools[TAKEN].name, tried(hash, name.p, TAKEN)));
    assert_true(cpu_us() - began < 10 * 1000000ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(names_are_made, setup, teardown),
        cmocka_unit_test_setup_teardown(no_two_are_one, setup, teardown),
        cmocka_unit_test_setup_teardown(one_to_one_whatever_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_names_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_name_is_read_once, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
