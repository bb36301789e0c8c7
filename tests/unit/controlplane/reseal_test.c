// SPDX-License-Identifier: Apache-2.0
// What an earlier version has left in clear is sealed as soon as this one looks; what needs no seal
// stays as it is.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/names.h"
#include "controlplane/reseal.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/redis_server.h"

static const uint8_t master[CRYPTO_KEY_BYTES] = "0123456789abcdef0123456789abcde";
static const uint8_t second[CRYPTO_KEY_BYTES] = "fedcba9876543210fedcba987654321";

struct fixture {
    struct redis_server server;
    struct record_keys keys;
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct reseal *reseal;
    struct buf got; // last answer
    bool answered;
};

#define WAIT(f, cond) FAKE_MONO_LATER((f)->loop, cond)

static void on_status(void *arg, enum follow_status s, const char *message)
{
    (void)arg;
    (void)s;
    (void)message;
}

static void on_stored(void *arg, const struct store_result *r)
{
    assert_int_equal(r->outcome, STORE_DONE);
    *(bool *)arg = true;
}

static const struct resource_pair header = {"x-secret", "planted-value"};

static struct resource *provider(const char *id, size_t n_headers)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER, slice_str(id), 1);

    *r->u.provider = (struct resource_provider){.dialect = "openai",
                                                .base_url = "http://127.0.0.1:1/v1/",
                                                .raw_url = "http://127.0.0.1:1/",
                                                .auth_header = "authorization",
                                                .auth_scheme = "Bearer",
                                                .headers = &header,
                                                .n_headers = n_headers};
    return r;
}

static int setup(void **state)
{
    static struct fixture f;
    struct resource *all[2];
    struct store_op ops[2];
    bool stored = false;

    f = (struct fixture){0};
    assert_true(record_keys_add(&f.keys, master));
    f.loop = loop_new(NULL);
    assert_true(redis_server_start(&f.server, NULL, NULL));
    f.state = state_new();
    f.store = store_new(&(const struct store_config){.loop = f.loop,
                                                     .redis_url = f.server.url,
                                                     .state = f.state,
                                                     .keys = &f.keys,
                                                     .init = true,
                                                     .on_status = on_status},
                        NULL);
    f.reseal = reseal_new(f.loop, f.store);
    buf_init(&f.got, 1u << 20);
    WAIT(&f, state_ready(f.state) && redis_is_up(store_redis(f.store)));
    all[0] = provider("plain", 0);
    all[1] = provider("secret", 1);
    for (size_t i = 0; i < 2; i++) {
        ops[i] = (struct store_op){.res = all[i], .origin = RECORD_API};
    }
    store_commit(f.store, &(const struct store_change){.ops = ops, .n = 2}, on_stored, &stored);
    WAIT(&f, stored);
    for (size_t i = 0; i < 2; i++) {
        resource_unref(&all[i]);
    }
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    reseal_free(&f->reseal);
    store_free(&f->store);
    state_free(&f->state);
    loop_free(&f->loop);
    buf_done(&f->got);
    redis_server_stop(&f->server);
    return 0;
}

static void on_reply(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct fixture *f = arg;

    assert_null(e);
    buf_clear(&f->got);
    buf_append(&f->got, redis_text(r));
    f->answered = true;
}

static void redis(struct fixture *f, const struct slice *argv, size_t n)
{
    f->answered = false;
    redis_command(store_redis(f->store), argv, n, MONO_SEC, on_reply, f);
    WAIT(f, f->answered);
}

static void get(struct fixture *f, const char *field)
{
    redis(f, (const struct slice[]){SLICE("HGET"), SLICE(NAMES_RESOURCES), slice_str(field)}, 3);
}

static bool is_clear(struct fixture *f, const char *field)
{
    get(f, field);
    return f->got.p[1] == 0;
}

// As the version before wrote it: the same header without the seal's mark, then the resource.
static void leave_in_clear(struct fixture *f)
{
    struct resource *r = provider("secret", 1);
    struct buf bare;

    get(f, "provider:secret");
    buf_init(&bare, 1u << 20);
    buf_append(&bare, slice_head(buf_slice(&f->got), 12));
    bare.p[1] = 0;
    resource_encode(r, &bare);
    redis(f,
          (const struct slice[]){SLICE("HSET"), SLICE(NAMES_RESOURCES), SLICE("provider:secret"),
                                 buf_slice(&bare)},
          4);
    buf_done(&bare);
    resource_unref(&r);
    assert_true(is_clear(f, "provider:secret"));
}

static bool sealed(struct fixture *f)
{
    struct record rec;
    bool ok;

    if (is_clear(f, "provider:secret")) {
        return false;
    }
    assert_true(record_decode(SLICE("provider:secret"), buf_slice(&f->got), &f->keys, &rec, NULL));
    ok = rec.res->version == 1 && rec.origin == RECORD_API &&
         strcmp(rec.res->u.provider->headers[0].value, "planted-value") == 0;
    resource_unref(&rec.res);
    assert_true(ok);
    return true;
}

static void what_was_left_in_clear_is_sealed(void **state)
{
    struct fixture *f = *state;

    assert_true(is_clear(f, "provider:plain"));
    assert_false(is_clear(f, "provider:secret"));
    leave_in_clear(f);
    reseal_start(f->reseal);
    WAIT(f, sealed(f));
    assert_true(is_clear(f, "provider:plain"));
    assert_int_equal(reseal_left(f->reseal), 0);
    // And on the way of a rotation.
    leave_in_clear(f);
    f->keys.n = 0;
    assert_true(record_keys_add(&f->keys, second) && record_keys_add(&f->keys, master));
    store_set_keys(f->store, &f->keys);
    reseal_start(f->reseal);
    WAIT(f, sealed(f));
    WAIT(f, reseal_left(f->reseal) == 0);
    assert_true(is_clear(f, "provider:plain"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_left_in_clear_is_sealed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
