// SPDX-License-Identifier: Apache-2.0
// A scan and a replay that overlap leave the newest of each resource.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "controlplane/harvest.h"

static void put(struct harvest *h, const char *id, uint64_t version, const char *where)
{
    const struct record rec = {.res = resource_new(RESOURCE_TEAM, slice_str(id), version),
                               .origin = RECORD_FILE,
                               .where = slice_str(where)};

    harvest_put(h, slice_str(id), &rec);
}

static void newer_versions_win(void **state)
{
    const struct harvest_item *i;
    struct harvest h;

    (void)state;
    harvest_init(&h);
    put(&h, "a", 2, "gw.yaml:2");
    put(&h, "a", 1, "gw.yaml:1");
    put(&h, "a", 2, "gw.yaml:9");
    i = map_get(&h.items, SLICE("a"));
    assert_int_equal(i->res->version, 2);
    assert_string_equal(i->where, "gw.yaml:2");
    put(&h, "a", 3, "gw.yaml:3");
    i = map_get(&h.items, SLICE("a"));
    assert_int_equal(i->res->version, 3);
    assert_int_equal(i->origin, RECORD_FILE);
    assert_string_equal(i->where, "gw.yaml:3");
    harvest_done(&h);
}

static void made_again_is_new(void **state)
{
    struct harvest h;

    (void)state;
    harvest_init(&h);
    put(&h, "a", 9, "");
    harvest_del(&h, SLICE("a"));
    harvest_del(&h, SLICE("a"));
    put(&h, "a", 1, "");
    put(&h, "b", 1, "");
    assert_int_equal(map_count(&h.items), 2);
    harvest_clear(&h);
    assert_int_equal(map_count(&h.items), 0);
    put(&h, "a", 1, "");
    assert_int_equal(map_count(&h.items), 1);
    harvest_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(newer_versions_win),
        cmocka_unit_test(made_again_is_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
