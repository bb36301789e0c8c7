// SPDX-License-Identifier: Apache-2.0
// The intrusive list: order, removal, counts, iteration that removes.
#include "common/base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct item {
    int value;
    struct list_node node;
};

// The values as digits, front to back.
static int digits(const struct list *l)
{
    int v = 0;

    list_foreach (n, l) {
        v = v * 10 + container_of(n, struct item, node)->value;
    }
    return v;
}

static void test_list(void **state)
{
    struct item items[] = {{.value = 1}, {.value = 2}, {.value = 3}, {.value = 4}};
    struct list l;

    (void)state;
    list_init(&l);
    assert_null(list_first(&l));
    assert_null(list_last(&l));
    assert_null(list_pop_front(&l));
    list_push_back(&l, &items[1].node);
    list_push_back(&l, &items[2].node);
    list_push_front(&l, &items[0].node);
    list_insert_before(&l, &items[2].node, &items[3].node);
    assert_int_equal(digits(&l), 1243);
    assert_int_equal(l.count, 4);
    assert_ptr_equal(list_first(&l), &items[0].node);
    assert_ptr_equal(list_last(&l), &items[2].node);
    list_remove(&l, &items[3].node);
    assert_false(list_in_one(&items[3].node));
    assert_true(list_in_one(&items[1].node));
    assert_int_equal(digits(&l), 123);
    assert_ptr_equal(list_pop_front(&l), &items[0].node);
    assert_int_equal(digits(&l), 23);
    list_foreach_safe (n, &l) {
        list_remove(&l, n);
    }
    assert_int_equal(l.count, 0);
    assert_int_equal(digits(&l), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
