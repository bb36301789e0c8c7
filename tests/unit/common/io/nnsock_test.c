// SPDX-License-Identifier: Apache-2.0
// The three pairs of sockets over ipc, tcp and within one loop; many requests under way at once;
// limits; closing inside a callback.
#include "common/io/nnsock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

// nanomsg 1.1.5 leaks its endpoint when a bind is refused.
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libnanomsg";
}

struct end {
    struct nnsock *s;
    struct buf got; // messages joined with '|'
    size_t count;
    bool echo, close;
    struct nnsock_route routes[64];
};

static struct loop *loop;
static char dir[32];

static void on_message(void *arg, struct slice body, const struct nnsock_route *route)
{
    struct end *e = arg;

    e->routes[e->count % 64] = *route;
    e->count++;
    (void)!buf_try_append(&e->got, slice_head(body, 32));
    (void)!buf_try_append(&e->got, SLICE("|"));
    if (e->echo) {
        assert_true(nnsock_send(e->s, body, route));
    }
    if (e->close) {
        nnsock_free(&e->s);
    }
}

static int setup(void **state)
{
    struct err e;

    (void)state;
    loop = loop_new(&e);
    memcpy(dir, "/tmp/sluice-nn-XXXXXX", 22);
    return loop == NULL || mkdtemp(dir) == NULL;
}

static int teardown(void **state)
{
    (void)state;
    loop_free(&loop);
    return rmdir(dir);
}

static void make(struct end *e, enum nnsock_kind kind)
{
    const struct nnsock_config c = {
        .loop = loop, .receive_max = 100000, .arg = e, .on_message = on_message};
    struct err err = {0};

    *e = (struct end){.s = nnsock_new(kind, &c, &err)};
    buf_init(&e->got, 1 << 20);
    if (e->s == NULL) {
        fail_msg("%s", err.message);
    }
}

static void done(struct end *e)
{
    nnsock_free(&e->s);
    buf_done(&e->got);
}

static void endpoint(char out[64], const char *name)
{
    (void)snprintf(out, 64, "ipc://%s/%s", dir, name);
}

// Turns until the condition holds; a test that hangs is killed by ctest.
#define UNTIL(cond)                                                                                \
    while (!(cond)) {                                                                              \
        loop_turn(loop, 10 * MONO_MS);                                                             \
    }

static void pub_reaches_every_subscriber(void **state)
{
    struct end pub, sub[3];
    struct err e;
    char at[64];

    (void)state;
    endpoint(at, "pub");
    make(&pub, NNSOCK_PUB);
    for (int i = 0; i < 3; i++) { // connecting before there is anybody to connect to
        make(&sub[i], NNSOCK_SUB);
        assert_true(nnsock_connect(sub[i].s, at, &e));
    }
    assert_true(nnsock_bind(pub.s, at, &e));
    while (sub[0].count == 0 || sub[1].count == 0 || sub[2].count == 0) {
        assert_true(nnsock_send(pub.s, SLICE("hello"), NULL));
        loop_turn(loop, 10 * MONO_MS);
    }
    assert_true(slice_starts(buf_slice(&sub[2].got), SLICE("hello|")));
    // A burst arrives whole and in order.
    for (int i = 0; i < 3; i++) {
        loop_turn(loop, 0);
        buf_clear(&sub[i].got);
        sub[i].count = 0;
    }
    for (int i = 0; i < 100; i++) {
        char text[8];

        (void)snprintf(text, sizeof(text), "%d", i);
        assert_true(nnsock_send(pub.s, slice_str(text), NULL));
    }
    UNTIL(slice_ends(buf_slice(&sub[0].got), SLICE("|99|")) &&
          slice_ends(buf_slice(&sub[1].got), SLICE("|99|")) &&
          slice_ends(buf_slice(&sub[2].got), SLICE("|99|")));
    assert_true(slice_find(buf_slice(&sub[1].got), SLICE("|41|42|43|")) != SIZE_MAX);
    done(&pub);
    for (int i = 0; i < 3; i++) {
        done(&sub[i]);
    }
}

static void requests_are_answered_in_any_order(void **state)
{
    struct end rep, req[2];
    struct err e;
    char at[64];

    (void)state;
    endpoint(at, "rep");
    make(&rep, NNSOCK_REP);
    assert_true(nnsock_bind(rep.s, at, &e));
    for (int i = 0; i < 2; i++) {
        make(&req[i], NNSOCK_REQ);
        assert_true(nnsock_connect(req[i].s, at, &e));
        UNTIL(nnsock_send(req[i].s, i == 0 ? SLICE("a") : SLICE("b"), NULL));
        UNTIL(rep.count == (size_t)i + 1);
    }
    UNTIL(nnsock_send(req[0].s, SLICE("c"), NULL));
    UNTIL(rep.count == 3);
    assert_true(slice_eq_str(buf_slice(&rep.got), "a|b|c|"));
    // Three under way; answered backwards, each by the one who asked.
    for (int i = 2; i >= 0; i--) {
        char text[] = {"ABC"[i]};

        assert_true(nnsock_send(rep.s, SLICE_MAKE(text, 1), &rep.routes[i]));
    }
    UNTIL(req[0].count == 2 && req[1].count == 1);
    assert_true(slice_eq_str(buf_slice(&req[0].got), "C|A|"));
    assert_true(slice_eq_str(buf_slice(&req[1].got), "B|"));
    // An answer to somebody who left is nobody's loss.
    done(&req[1]);
    UNTIL(nnsock_send(req[0].s, SLICE("d"), NULL));
    UNTIL(rep.count == 4);
    assert_true(nnsock_send(rep.s, SLICE("B"), &rep.routes[1]));
    assert_true(nnsock_send(rep.s, SLICE("D"), &rep.routes[3]));
    UNTIL(req[0].count == 3);
    done(&rep);
    done(&req[0]);
}

static void push_needs_somebody(void **state)
{
    struct end push, pull;
    struct err e;
    char at[64];

    (void)state;
    endpoint(at, "pull");
    make(&push, NNSOCK_PUSH);
    assert_true(nnsock_connect(push.s, at, &e));
    assert_false(nnsock_send(push.s, SLICE("lost"), NULL));
    make(&pull, NNSOCK_PULL);
    assert_true(nnsock_bind(pull.s, at, &e));
    UNTIL(nnsock_send(push.s, SLICE("kept"), NULL));
    UNTIL(pull.count == 1);
    assert_true(slice_eq_str(buf_slice(&pull.got), "kept|"));
    done(&push);
    done(&pull);
}

static void too_large_never_arrives(void **state)
{
    static char big[200000];
    struct end push, pull;
    struct err e;
    char at[64];

    (void)state;
    endpoint(at, "big");
    make(&push, NNSOCK_PUSH);
    make(&pull, NNSOCK_PULL);
    assert_true(nnsock_bind(pull.s, at, &e));
    assert_true(nnsock_connect(push.s, at, &e));
    UNTIL(nnsock_send(push.s, SLICE_MAKE(big, sizeof(big)), NULL));
    // The connection is closed and made again; a decent message gets through.
    while (pull.count == 0) {
        (void)!nnsock_send(push.s, SLICE("small"), NULL);
        loop_turn(loop, 10 * MONO_MS);
    }
    assert_true(slice_starts(buf_slice(&pull.got), SLICE("small|")));
    done(&push);
    done(&pull);
}

static void closing_inside_a_callback(void **state)
{
    struct end push, pull;
    struct err e;
    char at[64];

    (void)state;
    endpoint(at, "close");
    make(&push, NNSOCK_PUSH);
    make(&pull, NNSOCK_PULL);
    pull.close = true;
    assert_true(nnsock_bind(pull.s, at, &e));
    assert_true(nnsock_connect(push.s, at, &e));
    UNTIL(nnsock_send(push.s, SLICE("x"), NULL));
    (void)!nnsock_send(push.s, SLICE("y"), NULL);
    UNTIL(pull.s == NULL);
    loop_turn(loop, 0);
    assert_int_equal(pull.count, 1);
    done(&push);
    done(&pull);
}

static void bad_endpoints(void **state)
{
    struct end a, b;
    struct err e = {0};
    char at[64];

    (void)state;
    endpoint(at, "twice");
    make(&a, NNSOCK_REP);
    make(&b, NNSOCK_REP);
    assert_false(nnsock_bind(a.s, "http://x", &e));
    assert_false(nnsock_bind(a.s, "tcp://127.0.0.1:99999", &e));
    assert_false(nnsock_connect(a.s, "tcp://127.0.0.1", &e));
    assert_true(nnsock_bind(a.s, at, &e));
    assert_false(nnsock_bind(b.s, at, &e));
    assert_non_null(strstr(e.message, at));
    done(&a);
    done(&b);
}

static void tcp_in_both_families(void **state)
{
    static const char *const hosts[] = {"127.0.0.1", "[::1]"};

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(hosts); i++) {
        struct end rep, req;
        struct err e;
        char at[64];
        int port = 20000 + (getpid() % 20000);

        make(&rep, NNSOCK_REP);
        rep.echo = true;
        do { // any free port
            (void)snprintf(at, sizeof(at), "tcp://%s:%d", hosts[i], ++port);
        } while (!nnsock_bind(rep.s, at, &e) && e.code == ERR_CONFLICT);
        if (i == 1 && e.code == ERR_IO) { // no IPv6 here
            done(&rep);
            continue;
        }
        make(&req, NNSOCK_REQ);
        assert_true(nnsock_connect(req.s, at, &e));
        UNTIL(nnsock_send(req.s, SLICE("ping"), NULL));
        UNTIL(req.count == 1);
        assert_true(slice_eq_str(buf_slice(&req.got), "ping|"));
        done(&req);
        done(&rep);
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pub_reaches_every_subscriber), TEST(requests_are_answered_in_any_order),
        TEST(push_needs_somebody),          TEST(too_large_never_arrives),
        TEST(closing_inside_a_callback),    TEST(bad_endpoints),
        TEST(tcp_in_both_families),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
