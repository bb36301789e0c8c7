// SPDX-License-Identifier: Apache-2.0
// Put, replace, delete, order and iteration; a long random run against a plain model.
#include "common/base/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "common/base/rng.h"

static void test_basics(void **state)
{
    int one = 1, two = 2, three = 3;
    struct map m;

    (void)state;
    map_init(&m);
    assert_null(map_get(&m, SLICE("a")));
    assert_null(map_del(&m, SLICE("a")));
    assert_null(map_next(&m, NULL));
    assert_null(map_put(&m, SLICE("a"), &one));
    assert_null(map_put(&m, SLICE(""), &two));
    assert_null(map_put(&m, SLICE("a\0b"), &three));
    assert_ptr_equal(map_get(&m, SLICE("a")), &one);
    assert_ptr_equal(map_get(&m, SLICE_NULL), &two);
    assert_ptr_equal(map_get(&m, SLICE("a\0b")), &three);
    assert_null(map_get(&m, SLICE("a\0c")));
    assert_ptr_equal(map_put(&m, SLICE("a"), &two), &one);
    assert_int_equal(map_count(&m), 3);
    assert_ptr_equal(map_del(&m, SLICE("a")), &two);
    assert_null(map_get(&m, SLICE("a")));
    assert_int_equal(map_count(&m), 2);
    map_done(&m);
    assert_int_equal(map_count(&m), 0);
    assert_null(map_get(&m, SLICE("")));
}

static void test_order_and_delete_while_iterating(void **state)
{
    int values[100];
    struct map m;
    char key[16];
    size_t seen = 0;

    (void)state;
    map_init(&m);
    for (int i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof(key), "key%d", i);
        assert_null(map_put(&m, slice_str(key), &values[i]));
    }
    map_foreach (e, &m) {
        (void)snprintf(key, sizeof(key), "key%zu", seen);
        assert_true(slice_eq_str(e->key, key));
        assert_int_equal(e->key.p[e->key.n], '\0');
        assert_ptr_equal(e->value, &values[seen]);
        seen++;
        if (seen % 3 != 0) {
            // The key given may be the entry's own.
            assert_non_null(map_del(&m, e->key));
        }
    }
    assert_int_equal(seen, 100);
    assert_int_equal(map_count(&m), 33);
    seen = 0;
    map_foreach (e, &m) {
        assert_ptr_equal(e->value, &values[3 * seen + 2]);
        seen++;
    }
    assert_int_equal(seen, 33);
    map_done(&m);
}

static void test_random_against_model(void **state)
{
    enum { KEYS = 300 };
    char *model[KEYS] = {0};
    static char values[2];
    struct map m;
    struct rng r;
    size_t live = 0;
    char key[16];

    (void)state;
    rng_init(&r, 11);
    map_init(&m);
    for (int step = 0; step < 50000; step++) {
        size_t k = rng_below(&r, KEYS);
        struct slice s = {key, (size_t)snprintf(key, sizeof(key), "%zu", k * 7919)};

        switch (rng_below(&r, 3)) {
        case 0: {
            char *v = &values[rng_below(&r, 2)];

            assert_ptr_equal(map_put(&m, s, v), model[k]);
            live += model[k] == NULL;
            model[k] = v;
            break;
        }
        case 1:
            assert_ptr_equal(map_del(&m, s), model[k]);
            live -= model[k] != NULL;
            model[k] = NULL;
            break;
        default:
            assert_ptr_equal(map_get(&m, s), model[k]);
            break;
        }
        assert_int_equal(map_count(&m), live);
        // Deletes do not make it grow for ever.
        assert_true(m.cap <= 1024);
    }
    map_done(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),
        cmocka_unit_test(test_order_and_delete_while_iterating),
        cmocka_unit_test(test_random_against_model),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
