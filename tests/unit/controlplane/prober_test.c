// SPDX-License-Identifier: Apache-2.0
// Probes of real servers on this machine, over a real Redis: what is asked, what counts as good,
// and that connections go where `egress` lets them.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/mono.h"
#include "common/io/httpd.h"
#include "controlplane/egress.h"
#include "controlplane/prober.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/redis_server.h"

static const uint8_t master[CRYPTO_KEY_BYTES] = "0123456789abcdef0123456789abcde";

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct meters *meters;
    struct upstream *upstream;
    struct prober *prober;
    struct httpd *provider; // answers with `status`
    unsigned status;
    unsigned asked;
    char target[100], authorization[100];
    bool applied;
    // of the last probe
    unsigned probes;
    bool good;
    char reason[200];
};

#define WAIT(f, cond) FAKE_MONO_LATER((f)->loop, cond)

// --- the provider -------------------------------------------------------------------------------

static void copy(char *out, size_t max, struct slice s)
{
    (void)snprintf(out, max, SLICE_FMT, SLICE_ARG(s));
}

static void on_head(void *arg, struct httpd_req *q)
{
    struct fixture *f = arg;

    f->asked++;
    copy(f->target, sizeof(f->target), httpd_target(q));
    copy(f->authorization, sizeof(f->authorization), httpd_header(q, "authorization"));
    httpd_reply(q, f->status, NULL, 0, NULL);
}

static void on_ready(void *arg, struct httpd_req *q)
{
    (void)arg;
    (void)q;
}

static void on_refused(void *arg, struct httpd_req *q, enum httpd_refusal why)
{
    (void)arg;
    (void)why;
    httpd_reply(q, 400, NULL, 0, NULL);
}

static void on_gone(void *arg, struct httpd_req *q)
{
    (void)arg;
    (void)q;
}

static void on_done(void *arg, struct httpd_req *q, enum httpd_end how)
{
    (void)arg;
    (void)q;
    (void)how;
}

// --- the control plane --------------------------------------------------------------------------

static void on_status(void *arg, enum follow_status s, const char *message)
{
    (void)arg;
    (void)s;
    (void)message;
}

static void on_probed(void *arg, const struct message_probe *p, size_t n)
{
    struct fixture *f = arg;

    assert_int_equal(n, 1);
    assert_string_equal(p->provider, "lab");
    f->probes++;
    f->good = p->good;
    (void)snprintf(f->reason, sizeof(f->reason), "%s", p->reason);
}

static void on_applied(void *arg, const struct store_result *r)
{
    assert_int_equal(r->outcome, STORE_DONE);
    ((struct fixture *)arg)->applied = true;
}

// The provider as it is to be from now on, with a key where it needs one.
static void apply(struct fixture *f, enum resource_probe probe, bool needs_key, bool has_key)
{
    struct resource *all[3] = {resource_new(RESOURCE_SETTINGS, SLICE("global"), 1),
                               resource_new(RESOURCE_PROVIDER, SLICE("lab"), 1),
                               resource_new(RESOURCE_PROVIDER_KEY, SLICE("k"), 1)};
    struct resource_provider *p = all[1]->u.provider;
    size_t n = has_key ? 3 : 2, changes;

    *p = (struct resource_provider){.dialect = "openai",
                                    .auth_header = "authorization",
                                    .auth_scheme = "Bearer",
                                    .needs_key = needs_key,
                                    .probe = probe,
                                    .probe_interval_us = MONO_SEC};
    p->base_url = arena_printf(&all[1]->arena, "http://127.0.0.1:%u/v1/", httpd_port(f->provider));
    p->raw_url = p->base_url;
    *all[2]->u.provider_key = (struct resource_provider_key){
        .provider = "lab", .name = "a", .value = secret_new(SLICE("sk-1")), .weight = 1};
    f->applied = false;
    store_file_apply(f->store, &(const struct store_file){.wanted = all, .n = n}, on_applied, f,
                     &changes);
    WAIT(f, f->applied);
    for (size_t i = 0; i < 3; i++) {
        resource_unref(&all[i]);
    }
}

static void start(struct fixture *f, const char *allowed)
{
    const struct conf_text network = {allowed, NULL};
    const struct boot_egress settings = {
        .allowed_networks = {&network, allowed == NULL ? 0 : 1, NULL}};
    static struct egress egress;
    struct err e;

    egress_init(&egress, &settings);
    f->upstream = upstream_new(f->loop, &(const struct upstream_config){.dial = egress.dial}, &e);
    f->prober = prober_new(&(const struct prober_config){.loop = f->loop,
                                                         .store = f->store,
                                                         .upstream = f->upstream,
                                                         .dial = egress.dial,
                                                         .meters = f->meters,
                                                         .publish = on_probed,
                                                         .arg = f},
                           &e);
    assert_non_null(f->prober);
}

static int setup(void **state)
{
    static struct fixture f;
    static struct record_keys keys;
    struct err e;

    f = (struct fixture){.loop = loop_new(NULL), .status = 200};
    keys = (struct record_keys){0};
    assert_true(record_keys_add(&keys, master));
    assert_true(redis_server_start(&f.server, NULL, NULL));
    f.state = state_new();
    f.meters = meters_new();
    f.store = store_new(&(const struct store_config){.loop = f.loop,
                                                     .redis_url = f.server.url,
                                                     .state = f.state,
                                                     .keys = &keys,
                                                     .init = true,
                                                     .on_status = on_status},
                        &e);
    assert_non_null(f.store);
    f.provider = httpd_new(f.loop,
                           &(const struct httpd_config){.address = "127.0.0.1",
                                                        .max_body = 1000,
                                                        .max_connections = 10,
                                                        .on = {.on_head = on_head,
                                                               .on_ready = on_ready,
                                                               .on_refused = on_refused,
                                                               .on_gone = on_gone,
                                                               .on_done = on_done},
                                                        .arg = &f},
                           &e);
    assert_non_null(f.provider);
    WAIT(&f, state_ready(f.state));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    prober_free(&f->prober);
    store_free(&f->store);
    upstream_free(&f->upstream);
    httpd_free(&f->provider);
    meters_free(&f->meters);
    state_free(&f->state);
    loop_free(&f->loop);
    redis_server_stop(&f->server);
    return 0;
}

// --- tests --------------------------------------------------------------------------------------

static void models_are_asked_for_with_the_key(void **state)
{
    struct fixture *f = *state;

    apply(f, RESOURCE_PROBE_MODELS, true, true);
    start(f, NULL);
    WAIT(f, f->probes >= 1);
    assert_true(f->good);
    assert_string_equal(f->target, "/v1/models");
    assert_string_equal(f->authorization, "Bearer sk-1");
    // Refusing the key is an answer; breaking down is none.
    f->status = 401;
    f->probes = 0;
    WAIT(f, f->probes >= 1 && f->asked >= 2);
    assert_true(f->good);
    f->status = 503;
    WAIT(f, !f->good);
    assert_string_equal(f->reason, "status 503");
    f->status = 200;
    WAIT(f, f->good);
}

// Time for probes, if there were any.
static void pass(struct fixture *f, uint64_t us)
{
    for (uint64_t passed = 0; passed < us; passed += 50 * MONO_MS) {
        loop_turn(f->loop, 10 * MONO_MS); // an answer of Redis
        fake_mono_advance(50 * MONO_MS);
    }
}

static void one_that_lacks_its_key_is_left_alone(void **state)
{
    struct fixture *f = *state;

    apply(f, RESOURCE_PROBE_MODELS, true, false);
    start(f, NULL);
    pass(f, 3 * MONO_SEC);
    assert_int_equal(f->asked, 0);
    apply(f, RESOURCE_PROBE_MODELS, false, false);
    WAIT(f, f->probes >= 1);
    assert_true(f->good);
    assert_string_equal(f->authorization, "");
    // Turned off: the last one under way is dropped, and no more come.
    apply(f, RESOURCE_PROBE_OFF, false, false);
    f->asked = 0;
    pass(f, 3 * MONO_SEC);
    assert_true(f->asked <= 1);
}

static void a_connection_will_do(void **state)
{
    struct fixture *f = *state;

    apply(f, RESOURCE_PROBE_TCP, true, false);
    start(f, NULL);
    WAIT(f, f->probes >= 1);
    assert_true(f->good);
    assert_int_equal(f->asked, 0);
    httpd_free(&f->provider);
    WAIT(f, !f->good);
    assert_true(f->reason[0] != '\0');
}

static void where_egress_does_not_let_it_go(void **state)
{
    struct fixture *f = *state;

    apply(f, RESOURCE_PROBE_TCP, false, false);
    start(f, "10.0.0.0/8");
    WAIT(f, f->probes >= 1);
    assert_false(f->good);
    apply(f, RESOURCE_PROBE_MODELS, false, false);
    f->probes = 0;
    WAIT(f, f->probes >= 1);
    assert_false(f->good);
    assert_int_equal(f->asked, 0);
}

static void where_egress_lets_it_go(void **state)
{
    struct fixture *f = *state;

    apply(f, RESOURCE_PROBE_MODELS, false, false);
    start(f, "127.0.0.0/8");
    WAIT(f, f->probes >= 1);
    assert_true(f->good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(models_are_asked_for_with_the_key, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_lacks_its_key_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_connection_will_do, setup, teardown),
        cmocka_unit_test_setup_teardown(where_egress_does_not_let_it_go, setup, teardown),
        cmocka_unit_test_setup_teardown(where_egress_lets_it_go, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
