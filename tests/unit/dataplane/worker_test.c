// SPDX-License-Identifier: Apache-2.0
// Workers with their threads and sockets: serving, handing sockets over, answering about requests
// in flight, draining. The link is not there.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "dataplane/limit_store.h"
#include "dataplane/link.h"
#include "dataplane/metrics.h"
#include "dataplane/ops.h"
#include "dataplane/worker.h"
#include "tests/unit/dataplane/build.h"

uint32_t link_attempt(struct link *l, uint32_t slot, const struct message_usage_record *so_far)
{
    (void)l;
    (void)slot;
    (void)so_far;
    return 0;
}
bool link_finish(struct link *l, uint32_t slot, const struct message_usage_record *r)
{
    (void)l;
    (void)slot;
    (void)r;
    return true;
}
static bool no_lease(void *arg, const struct limit_ask *items, size_t n)
{
    (void)arg;
    (void)items;
    (void)n;
    return false;
}

static struct worker_shared shared;
static struct build build;
static struct snapshot *snap;

static void start(unsigned n, bool with_snapshot)
{
    static const struct target_config targets = {250000, 30000000, 30000000, 30000000};
    const struct limit_config limits = {.ask = no_lease, .park_us = 20000};
    struct err e;

    shared = (struct worker_shared){.conf = {.address = "127.0.0.1",
                                             .max_body = 1u << 20,
                                             .max_buffered = 8u << 20,
                                             .header_memory = 16384,
                                             .max_connections = 1000,
                                             .upstream = {.dial = {.proxy = ""}},
                                             .auth_default = RESOURCE_AUTH_OPTIONAL,
                                             .auth_may_be_open = true}};
    shared.link = (struct link *)(void *)&shared; // never looked into: link.h is a fake here
    shared.metrics = metrics_registry_new();
    shared.targets = target_table_new(&targets, 64);
    shared.limits = limit_store_new(&limits);
    assert_true(worker_setup(&shared, n, &e));
    if (with_snapshot) {
        (void)build_add(&build, RESOURCE_SETTINGS, "global");
        snap = build_snapshot(&build);
        worker_publish(&shared, snap);
    }
    assert_true(worker_start(&shared, &e));
}

static void stop(void)
{
    worker_set_phase(&shared, WORKER_ENDING);
    worker_teardown(&shared);
    limit_store_free(&shared.limits);
    target_table_free(&shared.targets);
    metric_registry_free(&shared.metrics);
    if (snap != NULL) {
        build_done(&build, &snap);
    }
    snapshot_reap();
}

static int dial(uint16_t port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) != 0) {
        (void)close(fd);
        return -1;
    }
    return fd;
}

// Sends a GET; *text gets what came until `want` is in it, or the end.
static void get(int fd, const char *path, const char *want, char *text, size_t size)
{
    char head[256];
    int n = snprintf(head, sizeof(head), "GET %s HTTP/1.1\r\nhost: x\r\n\r\n", path);
    size_t got = 0;

    assert_int_equal(write(fd, head, (size_t)n), n);
    text[0] = '\0';
    while (strstr(text, want) == NULL) {
        ssize_t r = read(fd, text + got, size - 1 - got);

        assert_true(r > 0);
        got += (size_t)r;
        text[got] = '\0';
    }
}

static void serves_and_applies_snapshots(void **state)
{
    char text[4096];
    int fd;

    (void)state;
    start(2, false);
    fd = dial(worker_port(&shared));
    assert_false(worker_is_ready(&shared));
    get(fd, "/readyz", "not ready", text, sizeof(text));
    assert_non_null(strstr(text, "HTTP/1.1 503"));
    get(fd, "/healthz", "\"ok\"", text, sizeof(text));
    get(fd, "/v1/models", "\"starting\"", text, sizeof(text));
    (void)build_add(&build, RESOURCE_SETTINGS, "global");
    snap = build_snapshot(&build);
    worker_publish(&shared, snap);
    assert_true(worker_is_ready(&shared));
    // In force at once, for whichever worker has this connection.
    get(fd, "/readyz", "\"ok\"", text, sizeof(text));
    get(fd, "/v1/models", "\"data\":[]", text, sizeof(text));
    (void)close(fd);
    stop();
}

// SO_REUSEPORT alone would spread these as it likes; no worker may hold over 1.25 x the other + 8.
static void spreads_connections(void **state)
{
    enum { N = 64 };
    char text[4096];
    int fds[N];

    (void)state;
    start(2, true);
    for (int i = 0; i < N; i++) {
        fds[i] = dial(worker_port(&shared));
        get(fds[i], "/healthz", "\"ok\"", text, sizeof(text));
    }
    size_t a, b;

    // The last answer may be here before the end of its turn, which counts.
    do {
        a = atomic_load(&shared.workers[0]->connections);
        b = atomic_load(&shared.workers[1]->connections);
    } while (a + b < N);
    assert_int_equal(a + b, N);
    size_t most = a > b ? a : b, least = a > b ? b : a;
    assert_true(most * 4 <= least * 5 + 36);
    for (int i = 0; i < N; i++) {
        (void)close(fds[i]);
    }
    stop();
}

static _Atomic bool dumped;
static char dump_text[4096];

static void on_dump(void *arg, struct buf *json)
{
    struct slice s = buf_slice(json);

    (void)arg;
    memcpy(dump_text, s.p, s.n < sizeof(dump_text) - 1 ? s.n : sizeof(dump_text) - 1);
    atomic_store(&dumped, true);
}

static void describes_requests_in_flight(void **state)
{
    static const char half[] = "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n"
                               "content-length: 10\r\n\r\n{\"mod";
    int fd;

    (void)state;
    start(2, true);
    fd = dial(worker_port(&shared));
    assert_int_equal(write(fd, half, sizeof(half) - 1), sizeof(half) - 1);
    while (worker_in_flight(&shared) == 0) {
        (void)usleep(1000);
    }
    atomic_store(&dumped, false);
    worker_dump(&shared, on_dump, NULL);
    while (!atomic_load(&dumped)) {
        (void)usleep(1000);
    }
    assert_non_null(strstr(dump_text, "\"step\":\"read\""));
    assert_non_null(strstr(dump_text, "\"path\":\"/v1/chat/completions\""));
    (void)close(fd);
    stop();
}

static void drains(void **state)
{
    char text[4096], one;
    uint16_t port;
    int idle, fd;

    (void)state;
    start(2, true);
    port = worker_port(&shared);
    idle = dial(port);
    get(idle, "/healthz", "\"ok\"", text, sizeof(text));
    worker_set_phase(&shared, WORKER_LEAVING);
    assert_false(worker_is_ready(&shared));
    get(idle, "/readyz", "not ready", text, sizeof(text));
    fd = dial(port); // the listener is still open
    assert_true(fd >= 0);
    get(fd, "/healthz", "\"ok\"", text, sizeof(text));
    (void)close(fd);
    worker_set_phase(&shared, WORKER_DRAINING);
    assert_int_equal(read(idle, &one, 1), 0); // idle connections are closed
    (void)close(idle);
    fd = dial(port);
    while (fd >= 0) { // the other worker's listener goes a moment later
        (void)close(fd);
        fd = dial(port);
    }
    worker_set_phase(&shared, WORKER_SERVING); // only forward
    assert_int_equal(worker_phase(&shared), WORKER_DRAINING);
    stop();
}

// --- the ops port ------------------------------------------------------------------------------

struct ops_thread {
    struct loop *loop;
    struct ops *ops;
    pthread_t thread;
};

static void refresh(void *arg)
{
    (void)arg;
}

static void *run_ops(void *arg)
{
    struct ops_thread *t = arg;

    loop_run(t->loop);
    return NULL;
}

static void answers_on_the_ops_port(void **state)
{
    struct ops_thread t = {.loop = NULL};
    struct ops_config c = {.address = "127.0.0.1", .shared = &shared, .refresh = refresh};
    static char text[262144];
    struct err e;
    int fd;

    (void)state;
    start(2, true);
    t.loop = loop_new(&e);
    assert_non_null(t.loop);
    t.ops = ops_new(t.loop, &c, &e);
    assert_non_null(t.ops);
    assert_int_equal(pthread_create(&t.thread, NULL, run_ops, &t), 0);
    fd = dial(ops_port(t.ops));
    get(fd, "/healthz", "ok\n", text, sizeof(text));
    get(fd, "/readyz", "ok\n", text, sizeof(text));
    get(fd, "/debug/requests", "[]", text, sizeof(text));
    get(fd, "/nothing", "404", text, sizeof(text));
    (void)close(fd);
    fd = dial(ops_port(t.ops));
    get(fd, "/metrics", "# TYPE sluice_requests_total counter", text, sizeof(text));
    (void)close(fd);
    loop_stop(t.loop);
    (void)pthread_join(t.thread, NULL);
    stop();
    ops_free(&t.ops);
    assert_null(t.ops);
    loop_free(&t.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_and_applies_snapshots), cmocka_unit_test(spreads_connections),
        cmocka_unit_test(describes_requests_in_flight), cmocka_unit_test(drains),
        cmocka_unit_test(answers_on_the_ops_port),
    };

    (void)signal(SIGPIPE, SIG_IGN);
    log_access_setup(1, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
