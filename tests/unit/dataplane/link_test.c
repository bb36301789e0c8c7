// SPDX-License-Identifier: Apache-2.0
// The link by itself: what it refuses to start with, what it does with nobody there, its name, and
// an orderly end. With a control plane: tests/integration/planes_test.c.
#include "dataplane/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "tests/unit/proto/keydir.h"

struct fixture {
    char dir[64];
    struct keys *keys;
    atomic_uint snapshots, lost;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    keydir_make(f->dir);
    assert_true(keys_create(f->dir, NULL));
    f->keys = keydir_load(f->dir, false);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    keys_unref(&f->keys);
    keydir_remove(f->dir);
    mem_free(f);
    return 0;
}

static void on_snapshot(void *arg, struct snapshot *s)
{
    struct fixture *f = arg;

    (void)s;
    atomic_fetch_add(&f->snapshots, 1);
}

static struct link_config config(struct fixture *f, const char *const *endpoint)
{
    return (struct link_config){
        .endpoints = endpoint,
        .n_endpoints = 1,
        .keys = f->keys,
        .n_workers = 2,
        .arg = f,
        .on_snapshot = on_snapshot,
    };
}

static void unfit_settings(void **state)
{
    static const struct {
        const char *endpoint, *data_dir, *proxy_id, *error;
    } cases[] = {
        {"http://x", NULL, NULL, "expected tcp://"},
        {"tcp://host:0", NULL, NULL, "a port is needed"},
        {"ipc:///tmp/x", "/proc/nowhere", NULL, "/proc/nowhere"},
        {"ipc:///tmp/x", NULL, "has space", "proxy id"},
        {"ipc:///tmp/x", NULL, "", "proxy id"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct link_config lc = config(f, &cases[i].endpoint);
        struct err e = {0};

        lc.data_dir = cases[i].data_dir;
        lc.proxy_id = cases[i].proxy_id;
        assert_null(link_new(&lc, &e));
        if (strstr(e.message, cases[i].error) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", e.message, cases[i].error);
        }
    }
}

static void a_name_of_its_own(void **state)
{
    const char *endpoint = "ipc:///tmp/sluice-nobody";
    struct fixture *f = *state;
    struct link_config lc = config(f, &endpoint);
    struct link *a, *b;
    char first[80];

    lc.proxy_id = "edge-1.eu_west";
    a = link_new(&lc, NULL);
    assert_string_equal(link_proxy_id(a), "edge-1.eu_west");
    link_stop(&a, 0); // never started
    assert_null(a);
    link_stop(&a, 0);
    lc.proxy_id = NULL;
    a = link_new(&lc, NULL);
    b = link_new(&lc, NULL);
    assert_string_not_equal(link_proxy_id(a), link_proxy_id(b));
    link_stop(&a, 0);
    link_stop(&b, 0);
    lc.data_dir = f->dir;
    a = link_new(&lc, NULL);
    (void)snprintf(first, sizeof(first), "%s", link_proxy_id(a));
    link_stop(&a, 0);
    a = link_new(&lc, NULL);
    assert_string_equal(link_proxy_id(a), first);
    link_stop(&a, 0);
}

static void nobody_is_there(void **state)
{
    const char *endpoint = "tcp://127.0.0.1:1";
    struct fixture *f = *state;
    struct link_config lc = config(f, &endpoint);
    const struct message_usage_record record = {.provider = "openai"};
    const struct message_lease_item item = {.limit_id = "a", .want = 1};
    struct link_stats s;
    struct link *l;

    lc.data_dir = f->dir;
    l = link_new(&lc, NULL);
    assert_true(link_start(l, NULL));
    assert_false(link_lease(l, &item, 1));
    assert_true(link_lease(l, NULL, 0));
    assert_true(link_usage(l, &record));
    link_health(l, 3, NULL, 0);
    do {
        link_stats(l, &s);
    } while (s.usage_pending == 0);
    assert_false(s.connected);
    link_mute(l);
    link_stop(&l, 100 * MONO_MS); // the flush has a limit: this would wait for ever
    assert_int_equal(atomic_load(&f->snapshots), 0);
    link_mute(NULL);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unfit_settings),
        TEST(a_name_of_its_own),
        TEST(nobody_is_there),
    };

    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
