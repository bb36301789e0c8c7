// SPDX-License-Identifier: Apache-2.0
// fetch_run blocks, so the server is a thread that serves one connection as the test scripted it.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <sys/un.h>

#include "common/io/fetch.h"
#include "tests/unit/common/io/peer.h"

struct server {
    int listener;
    const char *answer; // NULL: reads, answers nothing until the client leaves
    size_t request_n;   // the head is answered when it ends in `until`
    const char *until;
    char request[4096];
    pthread_t thread;
};

// No assertion in here: cmocka's belong to the main thread.
static void *serve(void *arg)
{
    struct server *s = arg;
    int fd = accept4(s->listener, NULL, NULL, SOCK_CLOEXEC);
    ssize_t n;

    while (s->request_n < sizeof(s->request) - 1 && strstr(s->request, s->until) == NULL &&
           (n = read(fd, s->request + s->request_n, sizeof(s->request) - 1 - s->request_n)) > 0) {
        s->request_n += (size_t)n;
    }
    if (s->answer != NULL) {
        (void)!send(fd, s->answer, strlen(s->answer), MSG_NOSIGNAL); // the client may have left
    } else {
        (void)!read(fd, s->request, 1);
    }
    (void)close(fd);
    return NULL;
}

static uint16_t port;

static void server_start(struct server *s, const char *answer, const char *until)
{
    *s = (struct server){.listener = peer_listen(4, &port), .answer = answer, .until = until};
    assert_int_equal(fcntl(s->listener, F_SETFL, 0), 0); // blocking
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    assert_int_equal(pthread_join(s->thread, NULL), 0);
    (void)close(s->listener);
}

static const char *url(const char *path)
{
    static char text[128];

    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%u%s", port, path);
    return text;
}

static void a_get_returns_status_and_body(void **state)
{
    struct server s;
    struct fetch_response r;
    struct err e;

    (void)state;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0); // not asked
    server_start(
        &s,
        "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n0\r\n\r\n",
        "\r\n\r\n");
    assert_true(fetch_run(&(struct fetch_request){.url = url("/x?y=1")}, &r, &e));
    server_stop(&s);
    (void)unsetenv("http_proxy");
    assert_int_equal(r.status, 404);
    assert_string_equal(r.content_type, "text/plain");
    assert_true(slice_eq_str(buf_slice(&r.body), "abc"));
    fetch_done(&r);
    assert_non_null(strstr(s.request, "GET /x?y=1 HTTP/1.1\r\n"));
}

static void a_post_sends_headers_and_body(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer t",
                                          "Content-Type: application/json"};
    struct server s;
    struct fetch_response r;
    struct err e;

    (void)state;
    server_start(&s, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", "{\"a\":1}");
    assert_true(fetch_run(&(struct fetch_request){.method = "PUT",
                                                  .url = url("/keys"),
                                                  .headers = headers,
                                                  .n_headers = 2,
                                                  .body = SLICE("{\"a\":1}")},
                          &r, &e));
    server_stop(&s);
    assert_int_equal(r.status, 201);
    assert_string_equal(r.content_type, "");
    fetch_done(&r);
    assert_non_null(strstr(s.request, "PUT /keys HTTP/1.1\r\n"));
    assert_non_null(strstr(s.request, "Authorization: Bearer t\r\n"));
    assert_non_null(strstr(s.request, "Content-Length: 7\r\n"));
    assert_null(strstr(s.request, "Expect:"));
}

static void other_methods(void **state)
{
    struct server s;
    struct fetch_response r;
    struct err e;

    (void)state;
    server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", "\r\n\r\n");
    assert_true(fetch_run(&(struct fetch_request){.method = "HEAD", .url = url("/")}, &r, &e));
    server_stop(&s);
    assert_int_equal(r.body.n, 0);
    fetch_done(&r);
    server_start(&s, "HTTP/1.1 204 No Content\r\n\r\n", "\r\n\r\n");
    assert_true(fetch_run(&(struct fetch_request){.method = "DELETE", .url = url("/k")}, &r, &e));
    server_stop(&s);
    fetch_done(&r);
    assert_non_null(strstr(s.request, "DELETE /k HTTP/1.1\r\n"));
    server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "\r\n\r\n");
    assert_true(fetch_run(&(struct fetch_request){.method = "POST", .url = url("/")}, &r, &e));
    server_stop(&s);
    fetch_done(&r);
    assert_non_null(strstr(s.request, "Content-Length: 0\r\n"));
}

static void failures_say_what_they_are(void **state)
{
    static const char *const bad_header[] = {"A: b\r\nC: d"};
    struct fetch_response r;
    struct server s;
    struct err e;
    int closed = peer_listen(-1, &port);

    (void)state;
    assert_false(fetch_run(&(struct fetch_request){.url = url("/")}, &r, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
    assert_true(e.message[0] != '\0');
    (void)close(closed);
    assert_false(fetch_run(&(struct fetch_request){.url = "file:///etc/passwd"}, &r, &e));
    assert_int_equal(e.code, ERR_INVALID);
    assert_false(fetch_run(
        &(struct fetch_request){.url = url("/"), .headers = bad_header, .n_headers = 1}, &r, &e));
    assert_int_equal(e.code, ERR_INVALID);
    server_start(&s, NULL, "\r\n\r\n");
    assert_false(
        fetch_run(&(struct fetch_request){.url = url("/"), .timeout_us = 50 * MONO_MS}, &r, &e));
    server_stop(&s);
    assert_int_equal(e.code, ERR_TIMEOUT);
    server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123456789", "\r\n\r\n");
    assert_false(fetch_run(&(struct fetch_request){.url = url("/"), .max_body = 9}, &r, &e));
    server_stop(&s);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    server_start(&s, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n0123", "\r\n\r\n");
    assert_false(fetch_run(&(struct fetch_request){.url = url("/")}, &r, &e));
    server_stop(&s);
    assert_int_equal(e.code, ERR_IO);
}

static void unix_sockets_work(void **state)
{
    struct server s = {.answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
                       .until = "\r\n\r\n"};
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct fetch_response r;
    struct err e;

    (void)state;
    (void)snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/sluice-fetch-test.%d", (int)getpid());
    (void)unlink(a.sun_path);
    s.listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s.listener, (struct sockaddr *)&a, sizeof(a)), 0);
    assert_int_equal(listen(s.listener, 1), 0);
    assert_int_equal(pthread_create(&s.thread, NULL, serve, &s), 0);
    assert_true(fetch_run(
        &(struct fetch_request){.url = "http://control/healthz", .unix_socket = a.sun_path}, &r,
        &e));
    server_stop(&s);
    (void)unlink(a.sun_path);
    assert_true(slice_eq_str(buf_slice(&r.body), "hi"));
    fetch_done(&r);
    assert_non_null(strstr(s.request, "GET /healthz HTTP/1.1\r\nHost: control\r\n"));
    assert_false(fetch_run(
        &(struct fetch_request){.url = "http://control/", .unix_socket = a.sun_path}, &r, &e));
    assert_int_equal(e.code, ERR_UNAVAILABLE);
}

static void certificates_are_checked(void **state)
{
    struct peer_tls tls;
    struct fetch_response r;
    struct err e;
    char at[64];

    (void)state;
    if (!peer_tls_start(&tls)) {
        skip();
    }
    (void)snprintf(at, sizeof(at), "https://localhost:%u/echo", tls.port);
    assert_false(fetch_run(&(struct fetch_request){.url = at}, &r, &e));
    assert_int_equal(e.code, ERR_IO);
    assert_true(fetch_run(
        &(struct fetch_request){.url = at, .ca_file = tls.cert, .body = SLICE("12345")}, &r, &e));
    assert_true(slice_eq_str(buf_slice(&r.body), "5"));
    fetch_done(&r);
    assert_true(fetch_run(&(struct fetch_request){.url = at, .insecure_tls = true}, &r, &e));
    fetch_done(&r);
    peer_tls_stop(&tls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_returns_status_and_body),
        cmocka_unit_test(a_post_sends_headers_and_body),
        cmocka_unit_test(other_methods),
        cmocka_unit_test(failures_say_what_they_are),
        cmocka_unit_test(unix_sockets_work),
        cmocka_unit_test(certificates_are_checked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
