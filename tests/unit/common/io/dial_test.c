// SPDX-License-Identifier: Apache-2.0
// Names are resolved by a getaddrinfo of our own, which libcurl's resolver threads end up in:
//   quick.test -> 127.0.0.1    none.test -> fails    slow*.test -> 127.0.0.1 or (slow-none)
//   failure, once the test opens the gate
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>

#include "common/io/dial.h"
#include "tests/unit/common/io/peer.h"

#define PATIENCE (120 * MONO_SEC)

// --- resolver ------------------------------------------------------------------------------------

static pthread_mutex_t gate_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t gate_moved = PTHREAD_COND_INITIALIZER;
static bool gate_open = true;
static atomic_int lookups; // of the names above
static atomic_int waiting; // threads at the gate

static void gate_set(bool open)
{
    (void)pthread_mutex_lock(&gate_lock);
    gate_open = open;
    (void)pthread_cond_broadcast(&gate_moved);
    (void)pthread_mutex_unlock(&gate_lock);
}

static void gate_pass(void)
{
    (void)pthread_mutex_lock(&gate_lock);
    waiting++;
    while (!gate_open) {
        (void)pthread_cond_wait(&gate_moved, &gate_lock);
    }
    waiting--;
    (void)pthread_mutex_unlock(&gate_lock);
}

// In place of libc's: what the names of the tests resolve to.
int getaddrinfo(const char *name, const char *service, const struct addrinfo *req,
                struct addrinfo **pai)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (name == NULL || strstr(name, ".test") == NULL) {
        return real(name, service, req, pai);
    }
    lookups++;
    if (strncmp(name, "slow", 4) == 0) {
        gate_pass();
    }
    if (strstr(name, "none") != NULL) {
        return EAI_NONAME;
    }
    return real("127.0.0.1", service, req, pai);
}

// --- fixture -------------------------------------------------------------------------------------

struct probe {
    struct dial_conn *c;
    int calls;
    enum dial_result r;
    char message[256];
    bool close_inside;
};

static struct loop *l;
static struct dial *d;

static int setup(void **state)
{
    struct dial_config cfg = {.proxy = ""};

    (void)state;
    l = loop_new(NULL);
    d = l == NULL ? NULL : dial_new(l, &cfg, NULL);
    lookups = 0;
    gate_set(true);
    return d == NULL;
}

static int teardown(void **state)
{
    (void)state;
    dial_free(&d);
    loop_free(&l);
    return 0;
}

static void use_config(const struct dial_config *cfg)
{
    dial_free(&d);
    d = dial_new(l, cfg, NULL);
    assert_non_null(d);
}

static void on_result(void *arg, enum dial_result r, const char *message)
{
    struct probe *p = arg;

    p->calls++;
    p->r = r;
    (void)snprintf(p->message, sizeof(p->message), "%s", message);
    if (p->close_inside) {
        dial_close(&p->c);
    }
}

static void start(struct probe *p, const char *scheme, const char *host, uint16_t port,
                  uint64_t timeout_us)
{
    char origin[96];
    struct err e;

    (void)snprintf(origin, sizeof(origin), "%s://%s:%u", scheme, host, port);
    p->calls = 0;
    p->c = dial_start(d, origin, timeout_us, on_result, p, &e);
    assert_non_null(p->c);
    assert_int_equal(p->calls, 0); // never from inside dial_start
}

static void expect(struct probe *p, enum dial_result r)
{
    PEER_UNTIL(l, p->calls > 0);
    if (p->r != r) {
        print_message("result %d: %s\n", (int)p->r, p->message);
    }
    assert_int_equal(p->r, r);
    assert_int_equal(p->calls, 1);
}

// --- plain ---------------------------------------------------------------------------------------

static void plain_connections_belong_to_the_caller(void **state)
{
    struct probe p = {.calls = 0};
    char byte[4];
    uint16_t port;
    int listener = peer_listen(8, &port), s;

    (void)state;
    start(&p, "http", "127.0.0.1", port, PATIENCE);
    expect(&p, DIAL_OK);
    s = peer_accept(l, listener);
    assert_true(dial_is_plain(p.c));
    assert_true((fcntl(dial_fd(p.c), F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(dial_send(p.c, "abc", 3), 3);
    peer_expect(l, s, "abc");
    assert_int_equal(dial_recv(p.c, byte, sizeof(byte)), -1);
    assert_int_equal(errno, EAGAIN);
    peer_send(s, "xy");
    assert_int_equal(dial_recv(p.c, byte, sizeof(byte)), 2);

    // The fd is free for a watch of the caller's.
    struct loop_watch w = {.fd = dial_fd(p.c), .fn = NULL};
    w.fn = (void (*)(struct loop_watch *, uint32_t))abort;
    assert_true(loop_watch_add(l, &w, LOOP_WRITE | LOOP_EDGE, NULL));
    loop_watch_remove(l, &w);

    dial_close(&p.c);
    assert_null(p.c);
    dial_close(&p.c); // NULL allowed
    peer_expect_closed(l, s);
    (void)close(s);
    (void)close(listener);
}

static void failures_are_told_apart(void **state)
{
    struct probe p = {.calls = 0};
    uint16_t port;
    int closed = peer_listen(-1, &port);

    (void)state;
    start(&p, "http", "127.0.0.1", port, PATIENCE);
    expect(&p, DIAL_REFUSED);
    assert_true(p.message[0] != '\0');
    dial_close(&p.c);
    p.close_inside = true;
    start(&p, "http", "127.0.0.1", port, PATIENCE);
    expect(&p, DIAL_REFUSED);
    assert_null(p.c);
    start(&p, "http", "none.test", port, PATIENCE);
    expect(&p, DIAL_DNS_FAILED);
    (void)close(closed);
}

static void a_full_backlog_times_out(void **state)
{
    struct probe p = {.close_inside = true};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    uint16_t port;
    int listener = peer_listen(0, &port), fill[4];
    uint64_t before = mono_now_us();

    (void)state;
    a.sin_port = htons(port);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        fill[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        (void)connect(fill[i], (struct sockaddr *)&a, sizeof(a));
    }
    loop_turn(l, 0); // a fresh stamp
    start(&p, "http", "127.0.0.1", port, 100 * MONO_MS);
    expect(&p, DIAL_TIMED_OUT);
    assert_true(mono_now_us() - before >= 100 * MONO_MS);
    // Close while connecting.
    start(&p, "http", "127.0.0.1", port, PATIENCE);
    loop_turn(l, 0);
    loop_turn(l, 0);
    dial_close(&p.c);
    assert_int_equal(p.calls, 0);
    for (size_t i = 0; i < ARRAY_LEN(fill); i++) {
        (void)close(fill[i]);
    }
    (void)close(listener);
}

static void bad_origins_are_refused(void **state)
{
    static const char *const bad[] = {
        "",           "127.0.0.1:80",      "ftp://h",          "http://",        "http://:80",
        "http://h:",  "http://h:0",        "http://h:65536",   "http://h:x",     "http://h/path",
        "http://u@h", "http://h h",        "https://[::1",     "https://[::1]x", "http://h\r\nx",
        "http://[]",  "http://h:80?query", "http://h:80#frag",
    };
    struct err e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct probe p = {.calls = 0};

        e.message[0] = '\0';
        assert_null(dial_start(d, bad[i], MONO_SEC, on_result, &p, &e));
        assert_int_equal(e.code, ERR_INVALID);
        assert_true(e.message[0] != '\0');
    }
}

static void many_connections_spread_over_small_multis(void **state)
{
    enum { N = 100 };
    static struct probe p[N];
    static int s[N];
    uint16_t port;
    int listener = peer_listen(N, &port);

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < N; i++) {
            p[i] = (struct probe){.calls = 0};
            start(&p[i], "http", "127.0.0.1", port, PATIENCE);
        }
        for (size_t i = 0; i < N; i++) {
            expect(&p[i], DIAL_OK);
            s[i] = peer_accept(l, listener);
        }
        for (size_t i = 0; i < N; i++) {
            dial_close(&p[i].c);
            peer_expect_closed(l, s[i]);
            (void)close(s[i]);
        }
    }
    (void)close(listener);
}

// --- names ---------------------------------------------------------------------------------------

static void one_resolution_per_name_at_a_time(void **state)
{
    struct probe p[5] = {{.calls = 0}}, other = {.calls = 0};
    uint16_t port;
    int listener = peer_listen(8, &port);

    (void)state;
    gate_set(false);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        start(&p[i], "http", "slow.test", port, PATIENCE);
    }
    start(&other, "http", "quick.test", port, PATIENCE);
    expect(&other, DIAL_OK); // another name is not held up
    PEER_UNTIL(l, waiting == 1);
    assert_int_equal(lookups, 2);
    gate_set(true);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        expect(&p[i], DIAL_OK);
        dial_close(&p[i].c);
    }
    dial_close(&other.c);
    assert_int_equal(lookups, 2); // and the cache is shared by all multis
    start(&other, "http", "slow.test", port, PATIENCE);
    expect(&other, DIAL_OK);
    dial_close(&other.c);
    assert_int_equal(lookups, 2);
    (void)close(listener);
}

static void a_failed_resolution_fails_all_who_wait(void **state)
{
    struct probe p[3] = {{.close_inside = true}, {.close_inside = true}, {.close_inside = true}};

    (void)state;
    gate_set(false);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        start(&p[i], "http", "slow-none.test", 80, PATIENCE);
    }
    PEER_UNTIL(l, waiting == 1);
    gate_set(true);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        expect(&p[i], DIAL_DNS_FAILED);
    }
    assert_int_equal(lookups, 1);
}

static void closing_never_waits_for_dns(void **state)
{
    struct probe p[3] = {{.calls = 0}};
    uint16_t port;
    int listener = peer_listen(8, &port);

    (void)state;
    gate_set(false);
    for (size_t i = 0; i < ARRAY_LEN(p); i++) {
        start(&p[i], "http", "slow2.test", port, PATIENCE);
    }
    PEER_UNTIL(l, waiting == 1);
    dial_close(&p[0].c); // the leader; returns although the gate is shut
    dial_close(&p[1].c); // one who waits
    start(&p[1], "http", "slow2.test", port, PATIENCE);
    loop_turn(l, 0);
    assert_int_equal(lookups, 1); // the orphan still leads
    gate_set(true);
    expect(&p[1], DIAL_OK);
    expect(&p[2], DIAL_OK);
    assert_int_equal(p[0].calls, 0);
    assert_int_equal(lookups, 1);
    dial_close(&p[1].c);
    dial_close(&p[2].c);
    (void)close(listener);
}

static void those_who_wait_time_out_by_themselves(void **state)
{
    struct probe leader = {.calls = 0}, brief = {.close_inside = true};

    (void)state;
    gate_set(false);
    start(&leader, "http", "slow3.test", 80, PATIENCE);
    start(&brief, "http", "slow3.test", 80, 30 * MONO_MS);
    expect(&brief, DIAL_TIMED_OUT);
    assert_int_equal(leader.calls, 0);
    dial_close(&leader.c);
    dial_free(&d); // with a resolution still hanging
    gate_set(true);
    while (waiting > 0) {
        (void)sched_yield(); // its thread ends before the next test counts
    }
}

static void a_leader_that_times_out_is_followed(void **state)
{
    struct probe leader = {.close_inside = true}, next = {.calls = 0};
    uint16_t port;
    int listener = peer_listen(8, &port);

    (void)state;
    gate_set(false);
    start(&leader, "http", "slow4.test", port, 30 * MONO_MS);
    start(&next, "http", "slow4.test", port, PATIENCE);
    expect(&leader, DIAL_TIMED_OUT);
    PEER_UNTIL(l, waiting == 2);
    gate_set(true);
    expect(&next, DIAL_OK);
    dial_close(&next.c);
    while (waiting > 0) {
        (void)sched_yield();
    }
    (void)close(listener);
}

// --- proxy ---------------------------------------------------------------------------------------

static void an_egress_proxy_is_asked_for_a_tunnel(void **state)
{
    struct probe p = {.calls = 0};
    uint16_t port;
    int listener = peer_listen(8, &port), s;
    char url[64], head[512] = "";
    size_t have = 0;
    ssize_t n = -1;

    (void)state;
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
    use_config(&(struct dial_config){.proxy = url});
    start(&p, "http", "far.away.test", 81, PATIENCE);
    s = peer_accept(l, listener);
    while (strstr(head, "\r\n\r\n") == NULL) {
        PEER_UNTIL(l, (n = recv(s, head + have, sizeof(head) - 1 - have, 0)) > 0);
        have += (size_t)n;
    }
    assert_int_equal(strncmp(head, "CONNECT far.away.test:81 HTTP/1.1\r\n", 35), 0);
    peer_send(s, "HTTP/1.1 200 OK\r\n\r\nfirst");
    expect(&p, DIAL_OK);
    assert_true(dial_is_plain(p.c));
    assert_int_equal(dial_recv(p.c, head, sizeof(head)), 5);
    assert_int_equal(lookups, 0); // the proxy resolves
    dial_close(&p.c);
    (void)close(s);

    start(&p, "http", "far.away.test", 81, PATIENCE);
    s = peer_accept(l, listener);
    PEER_UNTIL(l, recv(s, head, sizeof(head), 0) > 0);
    peer_send(s, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n");
    expect(&p, DIAL_FAILED);
    dial_close(&p.c);
    (void)close(s);
    (void)close(listener);
}

static void the_environment_is_not_asked(void **state)
{
    struct probe p = {.calls = 0};
    uint16_t port;
    int listener = peer_listen(8, &port);

    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(setenv("ALL_PROXY", "http://127.0.0.1:1", 1), 0);
    start(&p, "http", "127.0.0.1", port, PATIENCE);
    expect(&p, DIAL_OK);
    dial_close(&p.c);
    (void)unsetenv("http_proxy");
    (void)unsetenv("ALL_PROXY");
    (void)close(listener);
}

// --- TLS -----------------------------------------------------------------------------------------

static void exchange(struct probe *p, const char *request, const char *answer)
{
    char got[512];
    size_t have = 0, want = strlen(answer);
    ssize_t n = -1;

    assert_int_equal(dial_send(p->c, request, strlen(request)), strlen(request));
    while (have < want) {
        PEER_UNTIL(l, (n = dial_recv(p->c, got + have, sizeof(got) - 1 - have)) >= 0 ||
                          errno != EAGAIN);
        assert_true(n > 0);
        have += (size_t)n;
    }
    got[have] = '\0';
    assert_string_equal(got, answer);
}

static void tls_is_verified_and_speaks_http_1_1(void **state)
{
    struct peer_tls tls;
    struct probe p = {.calls = 0};
    const char *request = "GET /alpn HTTP/1.1\r\n\r\n";

    (void)state;
    if (!peer_tls_start(&tls)) {
        skip();
    }
    start(&p, "https", "127.0.0.1", tls.port, PATIENCE);
    expect(&p, DIAL_TLS_FAILED); // not signed by anyone we know
    dial_close(&p.c);

    use_config(&(struct dial_config){.proxy = "", .ca_file = tls.cert});
    for (int i = 0; i < 2; i++) {
        start(&p, "https", "localhost", tls.port, PATIENCE);
        expect(&p, DIAL_OK);
        assert_false(dial_is_plain(p.c));
        // The second connection resumes the first one's session: the cache is shared.
        exchange(&p, request,
                 i == 0 ? "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhttp/1.1 0"
                        : "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhttp/1.1 1");
        dial_close(&p.c);
    }
    start(&p, "https", "quick.test", tls.port, PATIENCE);
    expect(&p, DIAL_TLS_FAILED); // another name than the certificate's
    dial_close(&p.c);

    use_config(&(struct dial_config){.proxy = "", .insecure_tls = true});
    start(&p, "https", "quick.test", tls.port, PATIENCE);
    expect(&p, DIAL_OK);
    dial_close(&p.c);
    peer_tls_stop(&tls);
}

static void a_silent_tls_server_times_out(void **state)
{
    struct probe p = {.close_inside = true};
    uint16_t port;
    int listener = peer_listen(8, &port), s;

    (void)state;
    start(&p, "https", "127.0.0.1", port, 100 * MONO_MS);
    s = peer_accept(l, listener);
    expect(&p, DIAL_TIMED_OUT);
    (void)close(s);
    start(&p, "https", "127.0.0.1", port, PATIENCE);
    s = peer_accept(l, listener);
    peer_send(s, "HTTP/1.1 400 Bad Request\r\n\r\n");
    expect(&p, DIAL_TLS_FAILED);
    (void)close(s);
    (void)close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(plain_connections_belong_to_the_caller, setup, teardown),
        cmocka_unit_test_setup_teardown(failures_are_told_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_backlog_times_out, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_origins_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(many_connections_spread_over_small_multis, setup, teardown),
        cmocka_unit_test_setup_teardown(one_resolution_per_name_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_resolution_fails_all_who_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(closing_never_waits_for_dns, setup, teardown),
        cmocka_unit_test_setup_teardown(those_who_wait_time_out_by_themselves, setup, teardown),
        cmocka_unit_test_setup_teardown(a_leader_that_times_out_is_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(an_egress_proxy_is_asked_for_a_tunnel, setup, teardown),
        cmocka_unit_test_setup_teardown(the_environment_is_not_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(tls_is_verified_and_speaks_http_1_1, setup, teardown),
        cmocka_unit_test_setup_teardown(a_silent_tls_server_times_out, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
