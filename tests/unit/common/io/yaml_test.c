// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/io/yaml.h"

static struct arena arena;
static struct problem_list problems;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    problem_list_init(&problems);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    problem_list_done(&problems);
    return 0;
}

static struct node *parse(const char *text)
{
    return yaml_parse(&arena, "f.yaml", slice_str(text), &problems);
}

static const char *complaints(void)
{
    static struct buf b;

    buf_done(&b);
    buf_init(&b, 1 << 20);
    problem_render_all(&problems, &b);
    return arena_strdup(&arena, buf_cstr(&b));
}

static void maps_lists_and_scalars_keep_their_place(void **state)
{
    const struct node *root = parse("a: 1\nlist:\n  - x\n  - {k: \"2\"}\nempty:\n");
    const struct node *list, *item;

    (void)state;
    assert_non_null(root);
    assert_int_equal(root->kind, NODE_MAP);
    assert_int_equal(node_count(root), 3);
    assert_string_equal(node_get(root, SLICE("a"))->text.p, "1");
    assert_false(node_get(root, SLICE("a"))->quoted);
    list = node_get(root, SLICE("list"));
    assert_int_equal(list->kind, NODE_LIST);
    assert_int_equal(list->key_line, 2);
    item = node_get(list->first->next, SLICE("k"));
    assert_true(item->quoted);
    assert_int_equal(item->line, 4);
    assert_int_equal(item->col, 9);
    assert_int_equal(item->key_col, 6);
    assert_true(node_is_null(node_get(root, SLICE("empty"))));
    assert_string_equal(item->file, "f.yaml");
}

static void an_empty_document_is_an_empty_map(void **state)
{
    static const char *const texts[] = {"", "\n\n", "# only a comment\n", "---\n", "~\n"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        const struct node *root = parse(texts[i]);

        assert_non_null(root);
        assert_int_equal(root->kind, NODE_MAP);
        assert_null(root->first);
    }
}

static void every_duplicate_key_is_reported(void **state)
{
    (void)state;
    assert_null(parse("a: 1\nb: {x: 1, x: 2}\na: 2\n"));
    assert_int_equal(problems.errors, 2);
    assert_string_equal(complaints(), "f.yaml:2:11: the key \"x\" is already there, in line 2\n"
                                      "f.yaml:3:1: the key \"a\" is already there, in line 1\n");
}

static void what_we_do_not_take_is_named(void **state)
{
    static const struct {
        const char *text, *complaint;
    } cases[] = {
        {"a: [1\n", "f.yaml:2:1: not YAML: "},
        {"a: b: c\n", "f.yaml:1:5: not YAML: "},
        {"a: 1\n--- \nb: 2\n", "f.yaml:2:1: only one document is allowed\n"},
        {"? [a]\n: 1\n", "f.yaml:1:3: a key must be a scalar\n"},
        {"a: &x {b: 1}\nc:\n  <<: *x\n", "f.yaml:3:3: merge keys (<<) are not supported"},
        {"a: *nope\n", "f.yaml:1:4: this alias names no anchor"},
        {"a: &a [*a]\n", "f.yaml:1:8: this alias names no anchor"},
        {"a: !!binary aGk=\n", "f.yaml:1:4: tags are not supported\n"},
        {"a: !local {b: 1}\n", "f.yaml:1:4: tags are not supported\n"},
        {"a: \"x\\0y\"\n", "f.yaml:1:4: a value holds a NUL byte\n"},
        {"a: \xff\n", "f.yaml:1:1: the document is not valid UTF-8\n"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        problem_list_done(&problems);
        assert_null(parse(cases[i].text));
        if (strncmp(complaints(), cases[i].complaint, strlen(cases[i].complaint)) != 0) {
            fail_msg("case %zu: %s", i, complaints());
        }
    }
}

static void aliases_are_copies(void **state)
{
    const struct node *root = parse("a: &x\n  k: [1, 2]\nb: *x\nc: [*x, *x]\n");
    const struct node *a = node_get(root, SLICE("a")), *b = node_get(root, SLICE("b"));

    (void)state;
    assert_non_null(root);
    assert_ptr_not_equal(a->first, b->first);
    assert_string_equal(node_get(b, SLICE("k"))->first->next->text.p, "2");
    assert_int_equal(node_count(node_get(root, SLICE("c"))), 2);
}

static void a_billion_laughs_ends_early(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    buf_append_str(&b, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for (int i = 1; i < 12; i++) {
        buf_printf(&b, "a%d: &a%d [", i, i);
        for (int k = 0; k < 10; k++) {
            buf_printf(&b, "*a%d, ", i - 1);
        }
        buf_append_str(&b, "]\n");
    }
    assert_null(parse(buf_cstr(&b)));
    assert_non_null(strstr(complaints(), "too large"));
    buf_done(&b);
}

// Few values, but long ones: who copies the tree's texts must not be led to gigabytes.
static void aliases_of_long_texts_are_bounded(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 20);
    buf_append_str(&b, "a: &x ");
    for (int i = 0; i < 4096; i++) {
        buf_append_char(&b, 'x');
    }
    for (size_t i = 0; i < YAML_BYTES_MAX / 4096 - 10; i++) {
        buf_printf(&b, "\nk%zu: *x", i);
    }
    assert_non_null(parse(buf_cstr(&b)));
    for (size_t i = 0; i < 20; i++) {
        buf_printf(&b, "\nl%zu: *x", i);
    }
    assert_null(parse(buf_cstr(&b)));
    assert_non_null(strstr(complaints(), "too large"));
    buf_done(&b);
}

static void depth_and_size_are_bounded(void **state)
{
    static char deep[YAML_DEPTH_MAX * 2 + 8];
    char *big = mem_zalloc(YAML_BYTES_MAX + 2);

    (void)state;
    memset(deep, '[', YAML_DEPTH_MAX);
    memset(deep + YAML_DEPTH_MAX, ']', YAML_DEPTH_MAX);
    assert_non_null(parse(deep));
    memset(deep, '[', YAML_DEPTH_MAX + 1);
    memset(deep + YAML_DEPTH_MAX + 1, ']', YAML_DEPTH_MAX + 1);
    assert_null(parse(deep));
    assert_non_null(strstr(complaints(), "nested too deep"));
    memset(big, '#', YAML_BYTES_MAX + 1);
    assert_null(parse(big));
    assert_non_null(strstr(complaints(), "larger than 4 MiB"));
    mem_free(big);
}

static void too_many_values_are_refused(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, YAML_BYTES_MAX);
    for (unsigned i = 0; i <= YAML_NODES_MAX; i++) {
        buf_append_str(&b, "- 1\n");
    }
    assert_null(parse(buf_cstr(&b)));
    assert_non_null(strstr(complaints(), "too many values"));
    buf_done(&b);
}

static void a_value_may_be_anything(void **state)
{
    struct node *n = yaml_parse_value(&arena, "e", SLICE("8080"), &problems);

    (void)state;
    assert_string_equal(n->text.p, "8080");
    n = yaml_parse_value(&arena, "e", SLICE("[a, b]"), &problems);
    assert_int_equal(n->kind, NODE_LIST);
    n = yaml_parse_value(&arena, "e", SLICE(""), &problems);
    assert_true(node_is_null(n));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(maps_lists_and_scalars_keep_their_place),
        T(an_empty_document_is_an_empty_map),
        T(every_duplicate_key_is_reported),
        T(what_we_do_not_take_is_named),
        T(aliases_are_copies),
        T(a_billion_laughs_ends_early),
        T(aliases_of_long_texts_are_bounded),
        T(depth_and_size_are_bounded),
        T(too_many_values_are_refused),
        T(a_value_may_be_anything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
