// SPDX-License-Identifier: Apache-2.0
// What publish refuses to start with, ports, and that nothing is said before there is a state. With
// proxies: tests/integration/planes_test.c.
#include "controlplane/publish.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/proto/keydir.h"

// nanomsg 1.1.5 leaks its endpoint when a bind is refused.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnanomsg";
}

struct fixture {
    char dir[64], ipc[96];
    struct loop *loop;
    struct state *state;
    struct fleet *fleet;
    struct keys *keys, *proxy_keys;
    struct publish_config conf;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    keydir_make(f->dir);
    assert_true(keys_create(f->dir, NULL));
    (void)snprintf(f->ipc, sizeof(f->ipc), "ipc://%s/c", f->dir);
    f->keys = keydir_load(f->dir, true);
    f->proxy_keys = keydir_load(f->dir, false);
    f->loop = loop_new(NULL);
    f->state = state_new();
    f->fleet = fleet_new(f->loop);
    f->conf = (struct publish_config){
        .loop = f->loop, .state = f->state, .fleet = f->fleet, .keys = f->keys, .listen = f->ipc};
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fleet_free(&f->fleet);
    state_free(&f->state);
    loop_free(&f->loop);
    keys_unref(&f->keys);
    keys_unref(&f->proxy_keys);
    keydir_remove(f->dir);
    mem_free(f);
    return 0;
}

static void unfit_settings(void **state)
{
    struct fixture *f = *state;
    struct publish *p = publish_new(&f->conf, NULL), *q;
    struct err e = {0};

    assert_non_null(p);
    assert_string_equal(publish_endpoint(p), f->ipc);
    q = publish_new(&f->conf, &e); // the same endpoint again
    assert_null(q);
    assert_int_equal(e.code, ERR_CONFLICT);
    publish_free(&p);
    f->conf.keys = f->proxy_keys;
    assert_null(publish_new(&f->conf, &e));
    assert_non_null(strstr(e.message, "signing key"));
    f->conf.keys = f->keys;
    f->conf.listen = "tcp://nowhere";
    assert_null(publish_new(&f->conf, &e));
    f->conf.listen = "tcp://a.name:0";
    assert_null(publish_new(&f->conf, &e));
    assert_non_null(strstr(e.message, "numeric"));
}

static void any_port(void **state)
{
    struct fixture *f = *state;
    struct publish *p[3];
    struct err e = {0};

    f->conf.listen = "tcp://127.0.0.1:0";
    for (int i = 0; i < 3; i++) {
        p[i] = publish_new(&f->conf, &e);
        if (p[i] == NULL) {
            fail_msg("%s", e.message);
        }
        assert_null(strstr(publish_endpoint(p[i]), ":0"));
    }
    assert_string_not_equal(publish_endpoint(p[0]), publish_endpoint(p[1]));
    for (int i = 0; i < 3; i++) {
        publish_free(&p[i]);
    }
}

static void nothing_to_say(void **state)
{
    struct fixture *f = *state;
    struct publish *p = publish_new(&f->conf, NULL);
    static const uint8_t epoch[16] = {1};
    struct publish_stats s;

    for (int i = 0; i < 20; i++) { // two seconds
        fake_mono_advance(100 * MONO_MS);
        loop_turn(f->loop, 0);
    }
    publish_stats(p, &s);
    assert_int_equal(s.heartbeats, 0);
    publish_set_silent(p, true);
    state_load(f->state, epoch, 1, NULL, 0);
    publish_stats(p, &s);
    assert_int_equal(s.deltas, 0);
    publish_set_silent(p, false);
    fake_mono_advance(MONO_SEC);
    loop_turn(f->loop, 0);
    publish_stats(p, &s);
    assert_true(s.heartbeats > 0);
    publish_free(&p);
    assert_null(p);
    publish_free(&p);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(unfit_settings),
        TEST(any_port),
        TEST(nothing_to_say),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
