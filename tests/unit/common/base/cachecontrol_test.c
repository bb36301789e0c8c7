// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/cachecontrol.h"

static void directives_are_read(void **state)
{
    struct cachecontrol cc;
    struct slice bad;

    (void)state;
    cachecontrol_init(&cc);
    assert_true(cachecontrol_parse(
        &cc, SLICE("Max-Age=3600 , max-stale=1800,no-store, ,min-fresh=\"5\", s-maxage=7"), &bad));
    assert_null(bad.p);
    assert_true(cc.has_max_age && cc.has_max_stale && cc.has_min_fresh && cc.has_s_maxage);
    assert_int_equal(cc.max_age_s, 3600);
    assert_int_equal(cc.max_stale_s, 1800);
    assert_int_equal(cc.min_fresh_s, 5);
    assert_int_equal(cc.s_maxage_s, 7);
    assert_true(cc.no_store);
    assert_false(cc.no_cache || cc.only_if_cached || cc.is_private || cc.is_public);
}

static void flags_are_read(void **state)
{
    struct cachecontrol cc;

    (void)state;
    cachecontrol_init(&cc);
    assert_true(cachecontrol_parse(
        &cc, SLICE("no-cache=\"a, b\",only-if-cached,private,public,must-revalidate,max-stale"),
        NULL));
    assert_true(cc.no_cache && cc.only_if_cached && cc.is_private && cc.is_public);
    assert_true(cc.must_revalidate && cc.has_max_stale);
    assert_int_equal(cc.max_stale_s, CACHECONTROL_MAX_S);
}

static void the_first_value_counts_and_large_ones_are_capped(void **state)
{
    struct cachecontrol cc;

    (void)state;
    cachecontrol_init(&cc);
    assert_true(cachecontrol_parse(&cc, SLICE("max-age=5, max-age=6"), NULL));
    assert_int_equal(cc.max_age_s, 5);
    cachecontrol_init(&cc);
    assert_true(cachecontrol_parse(&cc, SLICE("max-age=99999999999999999999999"), NULL));
    assert_int_equal(cc.max_age_s, CACHECONTROL_MAX_S);
}

static void what_is_wrong_is_named(void **state)
{
    static const struct {
        struct slice value, bad;
    } cases[] = {
        {SLICE("max-age"), SLICE("max-age")},
        {SLICE("max-age=-1"), SLICE("max-age=-1")},
        {SLICE("max-age=1h"), SLICE("max-age=1h")},
        {SLICE("no-store, maxage=5, x"), SLICE("maxage=5")},
        {SLICE("\"max-age=5"), SLICE("\"max-age=5")},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct cachecontrol cc;
        struct slice bad;

        cachecontrol_init(&cc);
        assert_false(cachecontrol_parse(&cc, cases[i].value, &bad));
        assert_true(slice_eq(bad, cases[i].bad));
        assert_int_equal(cc.max_age_s, 0);
    }
}

static void nothing_is_fine(void **state)
{
    struct cachecontrol cc;

    (void)state;
    cachecontrol_init(&cc);
    assert_true(cachecontrol_parse(&cc, SLICE(""), NULL));
    assert_true(cachecontrol_parse(&cc, SLICE_NULL, NULL));
    assert_false(cc.has_max_age);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(directives_are_read),
        cmocka_unit_test(flags_are_read),
        cmocka_unit_test(the_first_value_counts_and_large_ones_are_capped),
        cmocka_unit_test(what_is_wrong_is_named),
        cmocka_unit_test(nothing_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
