// SPDX-License-Identifier: Apache-2.0
// The JSON scanner: what is accepted, what is refused, where members are; every text in a heap
// block of its exact size, so that a read past the end is seen by the sanitizer.
#include "dataplane/scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

// CPU time of this thread: other processes may have the machine.
static uint64_t cpu_us(void)
{
    struct timespec ts;

    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts), 0);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

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

// A copy that ends where its block ends.
static struct slice exact(struct slice s)
{
    char *p = mem_alloc(s.n == 0 ? 1 : s.n);

    if (s.n > 0) {
        memcpy(p, s.p, s.n);
    }
    return (struct slice){p, s.n};
}

static void drop(struct slice s)
{
    mem_free((void *)(uintptr_t)s.p);
}

static void count_member(void *ctx, struct slice name, struct slice value)
{
    (void)name;
    assert_true(scan_validate(value, NULL));
    ++*(size_t *)ctx;
}

// scan_validate and scan_members must not differ.
static bool is_valid(struct slice text)
{
    struct slice s = exact(text);
    bool ok = scan_validate(s, NULL);
    size_t n = 0;

    assert_int_equal(scan_members(s, count_member, &n), ok);

    drop(s);
    return ok;
}

#define S(lit)                                                                                     \
    {                                                                                              \
        (lit), sizeof(lit) - 1                                                                     \
    }

static void valid_texts(void **state)
{
    static const struct slice texts[] = {
        S("{}"),
        S("[]"),
        S(" \t\r\n{ } \n"),
        S("null"),
        S("true"),
        S("false"),
        S("0"),
        S("-0"),
        S("-0.0e-0"),
        S("123456789012345678901234567890"),
        S("1e400"),
        S("1E+2"),
        S("0.5"),
        S("\"\""),
        S("\"a\""),
        S("[1,2,3]"),
        S("[ 1 , [ ] , { } ]"),
        S("{\"a\":1,\"b\":[{\"c\":null}]}"),
        S("{ \"a\" : 1 , \"b\" : 2 }"),
        S("\"\\\" \\\\ \\/ \\b\\f\\n\\r\\t \\u00e9\""),
        S("\"\\ud83d\\ude00\""),
        S("\"\\ud800\""), // a lone surrogate is syntax; decoding refuses it
        S("\"\\u0000\""),
        S("\"\x7f\""),
        S("\"\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf\""),
        S("\"\xf0\x90\x80\x80 \xf4\x8f\xbf\xbf\""),
        S("{\"\":1}"),
        S("[\"]\",\"}\",\",\",\"\\\"\"]"),
        S("[{\"a\":1},{\"a\":2}]"),
        S("{\"x\":{\"a\":1,\"a\":2}}"), // nested repetition is not ours to judge
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        if (!is_valid(texts[i])) {
            fail_msg("refused: %.*s", (int)texts[i].n, texts[i].p);
        }
    }
}

static const struct slice refused[] = {
    S(""),
    S(" "),
    S("{"),
    S("["),
    S("\""),
    S("}"),
    S("]"),
    S("{]"),
    S("[}"),
    S("{}}"),
    S("[]]"),
    S("{} {}"),
    S("1 2"),
    S("[1 2]"),
    S("[1,]"),
    S("[,1]"),
    S("[,]"),
    S("{,}"),
    S("{\"a\"}"),
    S("{\"a\":}"),
    S("{\"a\":1,}"),
    S("{\"a\" 1}"),
    S("{\"a\":1 \"b\":2}"),
    S("{a:1}"),
    S("{'a':1}"),
    S("{1:1}"),
    S("{\"a\":1"),
    S("{\"a\":"),
    S("{\"a\""),
    S("[1"),
    S("[1,"),
    S("nul"),
    S("nulL"),
    S("truex"),
    S("NaN"),
    S("Infinity"),
    S("-"),
    S("+1"),
    S(".5"),
    S("1."),
    S("01"),
    S("-01"),
    S("1e"),
    S("1e+"),
    S("0x10"),
    S("1_000"),
    S("\"abc"),
    S("\"a\\"),
    S("\"\\x41\""),
    S("\"\\u12\""),
    S("\"\\u12g4\""),
    S("\"\\u"),
    S("\"\\u123"),
    S("\"\\\""),
    S("\"\x01\""),
    S("\"\n\""),
    S("\"\t\""),
    S("\"a\0b\""),
    S("\0"),
    S("[1]\0"),
    S("\"\x80\""),
    S("\"\xc0\xaf\""),
    S("\"\xc1\xbf\""),
    S("\"\xc3\""),
    S("\"\xc3"),
    S("\"\xe0\x80\x80\""),
    S("\"\xe2\x82\""),
    S("\"\xe2\x82"),
    S("\"\xed\xa0\x80\""),
    S("\"\xf0\x80\x80\x80\""),
    S("\"\xf0\x9f\x98\""),
    S("\"\xf0\x9f\x98"),
    S("\"\xf4\x90\x80\x80\""),
    S("\"\xf5\x80\x80\x80\""),
    S("\"\xff\""),
    S("\xef\xbb\xbf{}"),
    S("/* c */ {}"),
};

static void invalid_texts(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
        if (is_valid(refused[i])) {
            fail_msg("accepted %zu: %.*s", i, (int)refused[i].n, refused[i].p);
        }
    }
    assert_false(scan_validate(SLICE_NULL, NULL));
}

// Every prefix of a good text is refused, without reading past it.
static void prefixes(void **state)
{
    struct slice text =
        SLICE("{\"model\":\"gpt-4o \\u00e9 \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80 0123456789abcdef"
              "0123456789abcdef\",\"n\":[-1.5e+3,true,false,null,{\"\":\"\\\\\"}],\"z\":{}}");

    (void)state;
    assert_true(is_valid(text));
    for (size_t n = 0; n < text.n; n++) {
        assert_false(is_valid(slice_head(text, n)));
    }
}

// A stop byte at each offset around the 16-byte steps, at the end of the block.
static void every_alignment(void **state)
{
    static const char *const stops[] = {"", "\\n", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};
    static const char *const bads[] = {"\x01", "\x1f", "\x80", "\xc3", "\\", "\\q", "\xed\xa0\x80"};

    (void)state;
    for (size_t before = 0; before < 40; before++) {
        for (size_t after = 0; after < 20; after++) {
            char text[128];

            for (size_t i = 0; i < ARRAY_LEN(stops); i++) {
                int n = snprintf(text, sizeof(text), "\"%.*s%s%.*s\"", (int)before,
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", stops[i],
                                 (int)after, "bbbbbbbbbbbbbbbbbbbbbbbbbbbb");

                assert_true(is_valid((struct slice){text, (size_t)n}));
                assert_false(is_valid((struct slice){text, (size_t)n - 1}));
            }
            for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
                int n = snprintf(text, sizeof(text), "\"%.*s%s%.*s\"", (int)before,
                                 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", bads[i],
                                 (int)after, "bbbbbbbbbbbbbbbbbbbbbbbbbbbb");

                if (strcmp(bads[i], "\\") == 0 && after > 0) {
                    continue; // "\b" is an escape
                }
                assert_false(is_valid((struct slice){text, (size_t)n}));
            }
        }
    }
}

static struct slice nested(struct buf *b, size_t depth, char open)
{
    buf_clear(b);
    for (size_t i = 0; i < depth; i++) {
        buf_append_str(b, open == '[' ? "[" : "{\"a\":");
    }
    buf_append_str(b, "1");
    for (size_t i = 0; i < depth; i++) {
        buf_append_char(b, open == '[' ? ']' : '}');
    }
    return buf_slice(b);
}

static void depth_64_and_no_more(void **state)
{
    struct scan_object o;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 2; i++) {
        char open = i == 0 ? '[' : '{';

        assert_true(is_valid(nested(&b, 64, open)));
        assert_false(is_valid(nested(&b, 65, open)));
        assert_false(is_valid(nested(&b, 10000, open)));
    }
    assert_true(scan_object(nested(&b, 64, '{'), &arena, &o, NULL));
    assert_false(scan_object(nested(&b, 65, '{'), &arena, &o, NULL));
    // Empty containers count as well.
    buf_clear(&b);
    for (int i = 0; i < 64; i++) {
        buf_append_str(&b, "[");
    }
    buf_append_str(&b, "[]");
    for (int i = 0; i < 64; i++) {
        buf_append_str(&b, "]");
    }
    assert_false(is_valid(buf_slice(&b)));
    assert_false(is_valid(slice_head(buf_slice(&b), 100)));
    buf_done(&b);
}

static void top_level_members(void **state)
{
    struct slice src = exact(SLICE(" { \"model\" : \"m\" ,\n\"mess\\u0061ges\":[1, 2],\"x\":{\"y\":"
                                   "null},\"t\":true,\"f\":false,\"n\":null,\"d\":-1.5 } "));
    static const struct {
        const char *key, *value;
        enum scan_type type;
        bool escaped;
    } expected[] = {
        {"model", "\"m\"", SCAN_STRING, false},    {"messages", "[1, 2]", SCAN_ARRAY, true},
        {"x", "{\"y\":null}", SCAN_OBJECT, false}, {"t", "true", SCAN_TRUE, false},
        {"f", "false", SCAN_FALSE, false},         {"n", "null", SCAN_NULL, false},
        {"d", "-1.5", SCAN_NUMBER, false},
    };
    struct scan_object o;

    (void)state;
    assert_true(scan_object(src, &arena, &o, NULL));
    assert_int_equal(o.n, ARRAY_LEN(expected));
    assert_int_equal(o.open, 1);
    assert_int_equal(src.p[o.close], '}');
    for (size_t i = 0; i < o.n; i++) {
        const struct scan_member *m = scan_find(&o, expected[i].key);

        assert_ptr_equal(m, &o.members[i]);
        assert_true(slice_eq_str(m->value, expected[i].value));
        assert_int_equal(m->type, expected[i].type);
        assert_int_equal(m->key_escaped, expected[i].escaped);
        assert_int_equal(src.p[m->begin], '"');
        assert_ptr_equal(src.p + m->end, m->value.p + m->value.n);
    }
    assert_null(scan_find(&o, "y"));
    assert_null(scan_find(&o, ""));
    drop(src);
}

static void refused_objects(void **state)
{
    static const struct {
        struct slice text;
        const char *message;
    } cases[] = {
        {S(""), "at byte 0: expected an object, found nothing"},
        {S("  "), "at byte 2: expected an object, found nothing"},
        {S("[]"), "at byte 0: expected an object"},
        {S("\"a\""), "at byte 0: expected an object"},
        {S("{\"a\":1}x"), "at byte 7: unexpected bytes behind the object"},
        {S("{\"a\":1,\"a\":2}"), "at byte 7: this member occurs twice"},
        {S("{\"a\":1, \"\\u0061\":2}"), "at byte 8: this member occurs twice"},
        {S("{\"a\":1,"), "at byte 7: expected a member name"},
        {S("{\"a\" 1}"), "at byte 5: expected ':'"},
        {S("{\"a\":1;"), "at byte 6: expected ',' or '}'"},
        {S("{\"a\":[1;"), "at byte 7: expected ',' or ']'"},
        {S("{\"a\":[1"), "at byte 7: the text ends inside an object or array"},
        {S("{\"a\":\"x"), "at byte 7: the text ends inside a string"},
        {S("{\"a\":\"\x01\"}"), "at byte 6: unescaped control byte in a string"},
        {S("{\"a\":\"\xff\"}"), "at byte 6: invalid UTF-8"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = exact(cases[i].text);
        struct scan_object o;
        struct err e = {.code = ERR_NONE};

        assert_false(scan_object(s, &arena, &o, &e));
        assert_int_equal(e.code, ERR_INVALID);
        assert_string_equal(e.message, cases[i].message);
        drop(s);
    }
}

static struct slice many_members(struct buf *b, size_t n, const char *last)
{
    buf_clear(b);
    buf_append_char(b, '{');
    for (size_t i = 0; i < n; i++) {
        buf_printf(b, "%s\"k%zu\":1", i == 0 ? "" : ",", i);
    }
    buf_append_str(b, last);
    buf_append_char(b, '}');
    return buf_slice(b);
}

static void member_count_and_repetition(void **state)
{
    static const size_t counts[] = {1, 31, 32, 33, 34, 100, 4096};
    struct scan_object o;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        assert_true(scan_object(many_members(&b, counts[i], ""), &arena, &o, NULL));
        assert_int_equal(o.n, counts[i]);
        assert_non_null(scan_find(&o, "k0"));
        assert_false(scan_object(many_members(&b, counts[i], ",\"k0\":2"), &arena, &o, NULL));
    }
    assert_false(scan_object(many_members(&b, 4097, ""), &arena, &o, NULL));
    buf_done(&b);
}

// An arena at its ceiling is an error, never an abort.
static void arena_ceiling(void **state)
{
    struct arena small;
    struct scan_object o;
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    for (size_t max = 64; max < 200000; max += max / 2) {
        arena_init(&small, 256, max);
        (void)!scan_object(many_members(&b, 300, ""), &small, &o, NULL);
        arena_done(&small);
    }
    buf_done(&b);
}

// Hostile texts of a few megabytes take well under a second even unoptimised and sanitised.
static void linear_time(void **state)
{
    struct scan_object o;
    struct slice v;
    struct buf b;
    uint64_t began;

    (void)state;
    buf_init(&b, 64u << 20);
    began = cpu_us();
    for (int kind = 0; kind < 5; kind++) {
        buf_clear(&b);
        buf_append_str(&b, "{\"a\":[");
        for (size_t i = 0; i < 200000; i++) {
            static const char *const parts[] = {"[],", "{},", "\"\\\\\",", "\"\xc3\xa9\",",
                                                "       1,"};

            buf_append_str(&b, parts[kind]);
        }
        buf_append_str(&b, "0]}");
        assert_true(scan_object(buf_slice(&b), &arena, &o, NULL));
        assert_true(scan_get(buf_slice(&b), "a", &v));
        assert_false(scan_object(slice_head(buf_slice(&b), b.n - 1), &arena, &o, NULL));
    }
    // Names with a long common beginning, all of one length.
    buf_clear(&b);
    for (size_t i = 0; i < 4096; i++) {
        buf_printf(&b, "%s\"%0500zu\":0", i == 0 ? "{" : ",", i);
    }
    buf_append_char(&b, '}');
    assert_true(scan_object(buf_slice(&b), &arena, &o, NULL));
    assert_int_equal(o.n, 4096);
    assert_true(cpu_us() - began < 5 * MONO_SEC);
    buf_done(&b);
}

static void strings(void **state)
{
    static const struct {
        struct slice value, text;
        bool ok;
    } cases[] = {
        {S("\"\""), S(""), true},
        {S("\"abc\""), S("abc"), true},
        {S("\"a\\\"\\\\\\/\\b\\f\\n\\r\\tz\""), S("a\"\\/\b\f\n\r\tz"), true},
        {S("\"\\u0041\\u00e9\\u20AC\""), S("A\xc3\xa9\xe2\x82\xac"), true},
        {S("\"\\uD83D\\ude00!\""), S("\xf0\x9f\x98\x80!"), true},
        {S("\"\\udbff\\udfff\""), S("\xf4\x8f\xbf\xbf"), true},
        {S("\"\\u0000\""), S("\0"), true},
        {S("\"\\ud800\""), S(""), false},
        {S("\"\\ud800x\""), S(""), false},
        {S("\"\\ud800\\n\""), S(""), false},
        {S("\"\\ud800\\u0041\""), S(""), false},
        {S("\"\\udc00\""), S(""), false},
        {S("12"), S(""), false},
        {S("\""), S(""), false},
        {S(""), S(""), false},
        {S("null"), S(""), false},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice v = exact(cases[i].value), out = SLICE_NULL;

        assert_int_equal(scan_string(v, &arena, &out), cases[i].ok);
        if (cases[i].ok) {
            assert_true(slice_eq(out, cases[i].text));
            // Without escapes nothing is copied.
            assert_int_equal(out.p == v.p + 1, memchr(v.p, '\\', v.n) == NULL);
        }
        drop(v);
    }
}

static void nested_objects(void **state)
{
    struct scan_object o;

    (void)state;
    assert_true(scan_nested(SLICE("{ \"order\" : [ ] , \"a\\tb\":2 }"), &arena, &o));
    assert_int_equal(o.n, 2);
    assert_non_null(scan_find(&o, "a\tb"));
    assert_true(scan_nested(SLICE("{\"a\":1,\"a\":2}"), &arena, &o)); // repetition is allowed
    assert_int_equal(o.n, 2);
    assert_true(scan_nested(SLICE("{}"), &arena, &o));
    assert_int_equal(o.n, 0);
    assert_false(scan_nested(SLICE("[]"), &arena, &o));
    assert_false(scan_nested(SLICE(""), &arena, &o));
    assert_false(scan_nested(SLICE_NULL, &arena, &o));
}

struct elements {
    char text[128];
    size_t n, stop;
};

static bool on_element(void *ctx, struct slice v, enum scan_type t)
{
    struct elements *e = ctx;

    e->n +=
        (size_t)snprintf(e->text + e->n, sizeof(e->text) - e->n, "%d:%.*s ", (int)t, (int)v.n, v.p);
    return --e->stop > 0;
}

static void arrays(void **state)
{
    static const struct {
        struct slice text;
        size_t stop;
        const char *expected;
    } cases[] = {
        {S("[]"), 9, ""},
        {S("[ ]"), 9, ""},
        {S("[1]"), 9, "3:1 "},
        {S("[ 1 , \"a,]\" , [2,3] , {\"x\":1}, null ]"), 9,
         "3:1 4:\"a,]\" 5:[2,3] 6:{\"x\":1} 0:null "},
        {S("[1,2,3]"), 2, "3:1 3:2 "},
        {S("[1,2"), 9, "3:1 3:2 "}, // not well formed: silently over
        {S("[1 2]"), 9, "3:1 "},
        {S("[1,x]"), 9, "3:1 "},
        {S("{}"), 9, ""},
        {S("["), 9, ""},
        {S(""), 9, ""},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = exact(cases[i].text);
        struct elements e = {"", 0, cases[i].stop};

        scan_array(s, on_element, &e);
        assert_string_equal(e.text, cases[i].expected);
        drop(s);
    }
}

static void get_without_trust(void **state)
{
    static const struct {
        struct slice text;
        const char *key, *value; // NULL: none
    } cases[] = {
        {S("{\"a\":1}"), "a", "1"},
        {S(" { \"b\" : [ ] , \"a\" : { \"a\" : 2 } } "), "a", "{ \"a\" : 2 }"},
        {S("{\"a\":1,\"a\":2}"), "a", "1"},
        {S("{\"aa\":1,\"a\":2}"), "a", "2"},
        {S("{\"x\":{\"a\":1}}"), "a", NULL},
        {S("{\"\\u0061\":1}"), "a", NULL}, // compared undecoded
        {S("{\"\":1}"), "", "1"},
        {S("{}"), "a", NULL},
        {S("{"), "a", NULL},
        {S("{\"a\""), "a", NULL},
        {S("{\"a\":"), "a", NULL},
        {S("{\"a\":1"), "a", "1"}, // well formed up to the member
        {S("{\"a\":tru"), "a", NULL},
        {S("{\"b\":x,\"a\":1}"), "a", NULL},
        {S("{\"b\":1 \"a\":1}"), "a", NULL},
        {S("[\"a\"]"), "a", NULL},
        {S("\"a\""), "a", NULL},
        {S(""), "a", NULL},
    };
    struct slice v;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice s = exact(cases[i].text);

        assert_int_equal(scan_get(s, cases[i].key, &v), cases[i].value != NULL);
        if (cases[i].value != NULL) {
            assert_true(slice_eq_str(v, cases[i].value));
        }
        drop(s);
    }
    assert_false(scan_get(SLICE_NULL, "a", &v));
}

static void numbers(void **state)
{
    uint64_t v = 7;

    (void)state;
    assert_true(scan_u64(SLICE("0"), &v) && v == 0);
    assert_true(scan_u64(SLICE("18446744073709551615"), &v) && v == UINT64_MAX);
    assert_false(scan_u64(SLICE("18446744073709551616"), &v));
    assert_false(scan_u64(SLICE("-1"), &v));
    assert_false(scan_u64(SLICE("1.0"), &v));
    assert_false(scan_u64(SLICE("1e3"), &v));
    assert_false(scan_u64(SLICE("\"1\""), &v));
    assert_false(scan_u64(SLICE("null"), &v));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(valid_texts),
        cmocka_unit_test(invalid_texts),
        cmocka_unit_test(prefixes),
        cmocka_unit_test(every_alignment),
        cmocka_unit_test(depth_64_and_no_more),
        cmocka_unit_test(top_level_members),
        cmocka_unit_test(refused_objects),
        cmocka_unit_test(member_count_and_repetition),
        cmocka_unit_test(arena_ceiling),
        cmocka_unit_test(linear_time),
        cmocka_unit_test(strings),
        cmocka_unit_test(nested_objects),
        cmocka_unit_test(arrays),
        cmocka_unit_test(get_without_trust),
        cmocka_unit_test(numbers),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
