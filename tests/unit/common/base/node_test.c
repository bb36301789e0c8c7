// SPDX-License-Identifier: Apache-2.0
// The configuration tree: order, lookups, null.
#include "common/base/node.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct node *scalar(struct arena *a, const char *key, const char *text, bool quoted)
{
    struct node *n = node_new(a, NODE_SCALAR);

    n->key = slice_str(key);
    n->text = slice_str(text);
    n->quoted = quoted;
    return n;
}

static void test_tree(void **state)
{
    struct arena a;
    struct node *map, *list;

    (void)state;
    arena_init(&a, 256, 0);
    map = node_new(&a, NODE_MAP);
    list = node_new(&a, NODE_LIST);
    list->key = SLICE("items");
    node_append(map, scalar(&a, "a", "1", false));
    node_append(map, list);
    node_append(map, scalar(&a, "b", "2", false));
    for (int i = 0; i < 3; i++) {
        node_append(list, scalar(&a, NULL, "x", false));
    }
    assert_int_equal(node_count(map), 3);
    assert_int_equal(node_count(list), 3);
    assert_true(slice_eq_str(node_get(map, SLICE("a"))->text, "1"));
    assert_true(slice_eq_str(node_get(map, SLICE("b"))->text, "2"));
    assert_ptr_equal(node_get(map, SLICE("items")), list);
    assert_ptr_equal(map->first->next, list);
    assert_null(node_get(map, SLICE("c")));
    assert_null(node_get(list, SLICE("a")));
    assert_null(node_get(NULL, SLICE("a")));
    assert_int_equal(node_count(node_get(map, SLICE("a"))), 0);
    assert_string_equal(node_kind_name(map), "a map");
    assert_string_equal(node_kind_name(list), "a list");
    assert_string_equal(node_kind_name(map->first), "a scalar");
    arena_done(&a);
}

static void test_null(void **state)
{
    static const struct {
        const char *text;
        bool quoted, null;
    } cases[] = {
        {"", false, true},     {"~", false, true},     {"null", false, true}, {"NULL", false, true},
        {"Null", false, true}, {"", true, false},      {"null", true, false}, {"0", false, false},
        {"nul", false, false}, {"none", false, false},
    };
    struct arena a;

    (void)state;
    arena_init(&a, 256, 0);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct node *n = scalar(&a, NULL, cases[i].text, cases[i].quoted);

        assert_int_equal(node_is_null(n), cases[i].null);
    }
    assert_false(node_is_null(node_new(&a, NODE_MAP)));
    assert_false(node_is_null(node_new(&a, NODE_LIST)));
    arena_done(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tree),
        cmocka_unit_test(test_null),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
