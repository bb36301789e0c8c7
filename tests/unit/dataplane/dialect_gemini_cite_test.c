// SPDX-License-Identifier: Apache-2.0
// Places in bytes of a text become places in characters.
#include "dataplane/dialect_gemini_cite.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"

#define META(supports)                                                                             \
    "{\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{\"uri\":\"u\"}}],"                     \
    "\"groundingSupports\":[" supports "]}}"

static const struct place_case {
    const char *text; // jtext
    unsigned begin, end, want_begin, want_end;
} cases[] = {
    {"abc", 1, 3, 1, 3},
    {"abc", 0, 9, 0, 3}, // behind its end
    {"", 0, 5, 0, 0},
    {"\xc3\x89t\xc3\xa9", 2, 5, 1, 3},
    {"\xc3\x89t\xc3\xa9", 3, 4, 2, 3}, // in the middle of one
    {"\\u00c9t\\ud83d\\ude00.", 3, 7, 2, 3},
    {"a\\n\xe2\x82\xac\xe2\x82\xac"
     "b",
     5, 9, 3, 5},
};

static void places(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct place_case *k = &cases[i];
        struct dialect_gemini_cite s = {.n = 0};
        struct tape t = {.tokens = NULL};
        struct canon_citation *got;
        struct arena a;
        char meta[300];

        arena_init(&a, 4096, 0);
        (void)snprintf(meta, sizeof(meta),
                       META("{\"segment\":{\"startIndex\":%u,\"endIndex\":%u},"
                            "\"groundingChunkIndices\":[0]}"),
                       k->begin, k->end);
        assert_true(tape_parse(&t, slice_str(meta), NULL));
        dialect_gemini_cite_text(&s, slice_str(k->text), &a);
        got = dialect_gemini_cite_sources(&s, &t, 0, &a);
        assert_non_null(got);
        assert_int_equal(got->begin, k->want_begin);
        assert_int_equal(got->end, k->want_end);
        assert_null(got->next);
        tape_done(&t);
        arena_done(&a);
    }
}

// Widths that change with every character, and very many places: no walk for each of them.
static void many_places(void **state)
{
    struct dialect_gemini_cite s = {.n = 0};
    struct tape t = {.tokens = NULL};
    struct canon_citation *got;
    struct buf meta;
    struct arena a;

    (void)state;
    arena_init(&a, 4096, 0);
    for (int i = 0; i < 30000; i++) {
        dialect_gemini_cite_text(&s, SLICE("a\xc3\xa9"), &a);
    }
    assert_true(a.used < 700000); // a stream in another language than English has as many
    buf_init(&meta, 64 * 1024 * 1024);
    buf_append_str(&meta, "{\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{\"uri\":\"u\"}}],"
                          "\"groundingSupports\":[{\"segment\":{\"startIndex\":89997,"
                          "\"endIndex\":90000},\"groundingChunkIndices\":[0]}");
    for (int i = 0; i < 200000; i++) {
        buf_append_str(&meta, ",{\"segment\":{\"endIndex\":90000}}");
    }
    buf_append_str(&meta, "]}}");
    assert_true(tape_parse(&t, buf_slice(&meta), NULL));
    got = dialect_gemini_cite_sources(&s, &t, 0, &a);
    assert_int_equal(got->begin, 59998);
    assert_int_equal(got->end, 60000);
    assert_null(got->next);
    buf_done(&meta);
    tape_done(&t);
    arena_done(&a);
}

// Every byte of some hundred runs.
static void every_place(void **state)
{
    struct dialect_gemini_cite s = {.n = 0};
    struct tape t = {.tokens = NULL};
    struct canon_citation *got;
    struct buf meta;
    struct arena a;

    (void)state;
    arena_init(&a, 4096, 0);
    for (int i = 0; i < 200; i++) {
        dialect_gemini_cite_text(&s, SLICE("a\xc3\xa9"), &a);
    }
    buf_init(&meta, 1 << 20);
    buf_append_str(&meta, "{\"groundingMetadata\":{\"groundingChunks\":[{\"web\":{\"uri\":\"u\"}}],"
                          "\"groundingSupports\":[");
    for (unsigned i = 0; i < 250; i++) {
        buf_printf(&meta,
                   "%s{\"segment\":{\"startIndex\":%u,\"endIndex\":%u},"
                   "\"groundingChunkIndices\":[0]}",
                   i == 0 ? "" : ",", i, i + 300);
    }
    buf_append_str(&meta, "]}}");
    assert_true(tape_parse(&t, buf_slice(&meta), NULL));
    got = dialect_gemini_cite_sources(&s, &t, 0, &a);
    for (unsigned i = 0; i < 250; i++, got = got->next) {
        assert_int_equal(got->begin, i / 3 * 2 + i % 3);
        assert_int_equal(got->end, (i + 300) / 3 * 2 + i % 3);
    }
    assert_null(got);
    buf_done(&meta);
    tape_done(&t);
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(places),
        cmocka_unit_test(many_places),
        cmocka_unit_test(every_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
