// SPDX-License-Identifier: Apache-2.0
// A server under test and its clients, in one thread and one loop. What the handlers do is chosen
// by the request's path; what they were told is kept per exchange and checked against the order of
// httpd.h. Include after cmocka.h.
#ifndef SLUICE_TESTS_HTTPD_RIG_H
#define SLUICE_TESTS_HTTPD_RIG_H

#include "common/base/mem.h"
#include "common/io/httpd.h"
#include "tests/unit/common/io/peer.h"
#include "tests/unit/fake_mono.h"

#define RIG_MAX 64 // exchanges per test

// One exchange as its handlers saw it.
struct rig_ex {
    struct httpd_req *q; // NULL after on_done
    int heads, readies, refusals, gones, drains;
    bool done;
    enum httpd_refusal why;
    enum httpd_end how;
    char target[512];
    size_t body_n;
    struct loop_task later;
    struct rig *rig;
    size_t n; // its number
};

struct rig {
    struct loop *l;
    struct httpd *h;
    struct httpd_budget budget;
    struct rig_ex ex[RIG_MAX];
    size_t n;
    struct buf out;   // of the answer read last
    int take_accepts; // on_accept keeps so many
    int taken[4], n_taken;
    bool write_more_on_drain;
};

static struct rig rig;

static inline struct rig_ex *rig_ex_of(struct httpd_req *q)
{
    struct rig_ex *x = httpd_user(q);

    assert_non_null(x);
    assert_ptr_equal(x->q, q);
    assert_false(x->done);
    return x;
}

static inline struct rig_ex *rig_new_ex(struct httpd_req *q)
{
    struct rig_ex *x = &rig.ex[rig.n];
    struct slice t = httpd_target(q);

    assert_true(rig.n < RIG_MAX);
    assert_null(httpd_user(q));
    *x = (struct rig_ex){.q = q, .n = rig.n++, .rig = &rig};
    (void)snprintf(x->target, sizeof x->target, "%.*s", (int)t.n, t.p);
    httpd_set_user(q, x);
    return x;
}

static inline void rig_reply(struct httpd_req *q, unsigned status, struct slice body)
{
    const struct httpd_header h[] = {{SLICE("x-n"), SLICE("1")}, {SLICE("x-m"), SLICE("two")}};
    struct buf b;

    buf_init(&b, 64u << 20);
    buf_append(&b, body);
    httpd_reply(q, status, h, ARRAY_LEN(h), &b);
    assert_int_equal(b.n, 0);
}

static inline bool rig_path(struct httpd_req *q, const char *path)
{
    return slice_starts(httpd_target(q), slice_str(path));
}

static inline void rig_on_head(void *arg, struct httpd_req *q)
{
    struct rig_ex *x = rig_new_ex(q);

    assert_ptr_equal(arg, &rig);
    x->heads++;
    if (rig_path(q, "/deny")) {
        rig_reply(q, 401, SLICE("denied"));
    } else if (rig_path(q, "/cut-at-head")) {
        httpd_abort(q);
    }
}

static inline void rig_on_later(struct loop_task *t)
{
    struct rig_ex *x = container_of(t, struct rig_ex, later);

    if (!x->done) {
        rig_reply(x->q, 200, httpd_body(x->q));
    }
}

static inline void rig_on_ready(void *arg, struct httpd_req *q)
{
    struct rig_ex *x = rig_ex_of(q);

    (void)arg;
    assert_int_equal(x->heads, 1);
    assert_int_equal(x->readies++, 0);
    assert_int_equal(x->refusals, 0);
    assert_true(httpd_ready_us(q) >= httpd_started_us(q));
    x->body_n = httpd_body(q).n;
    if (rig_path(q, "/echo")) {
        rig_reply(q, 200, httpd_body(q));
    } else if (rig_path(q, "/target")) {
        rig_reply(q, 200, httpd_target(q));
    } else if (rig_path(q, "/empty")) {
        httpd_reply(q, 204, NULL, 0, NULL);
    } else if (rig_path(q, "/later")) {
        x->later.fn = rig_on_later;
        loop_post(rig.l, &x->later);
    } else if (rig_path(q, "/stream")) {
        httpd_stream_begin(q, 200, NULL, 0, -1);
    } else if (rig_path(q, "/cut-at-ready")) {
        httpd_abort(q);
    } // else held: the test answers
}

static inline void rig_on_refused(void *arg, struct httpd_req *q, enum httpd_refusal why)
{
    static const unsigned status[] = {400, 431, 413, 503};
    struct rig_ex *x = httpd_user(q) == NULL ? rig_new_ex(q) : rig_ex_of(q);

    (void)arg;
    assert_int_equal(x->refusals++, 0);
    assert_int_equal(x->readies, 0);
    x->why = why;
    rig_reply(q, status[why], SLICE("refused"));
}

static inline void rig_on_gone(void *arg, struct httpd_req *q)
{
    struct rig_ex *x = rig_ex_of(q);

    (void)arg;
    assert_int_equal(x->gones++, 0);
    // Allowed, and without effect.
    if (x->readies > 0 && rig_path(q, "/hold")) {
        rig_reply(q, 200, SLICE("too late"));
    }
}

static inline void rig_on_drain(void *arg, struct httpd_req *q)
{
    (void)arg;
    rig_ex_of(q)->drains++;
}

static inline void rig_on_done(void *arg, struct httpd_req *q, enum httpd_end how)
{
    struct rig_ex *x = rig_ex_of(q);

    (void)arg;
    assert_true(how == HTTPD_ABORTED || x->gones == 0);
    x->done = true;
    x->how = how;
    x->q = NULL;
    loop_unpost(rig.l, &x->later);
}

static inline bool rig_on_accept(void *arg, int fd)
{
    (void)arg;
    if (rig.take_accepts > 0) {
        rig.take_accepts--;
        rig.taken[rig.n_taken++] = fd;
        return false;
    }
    return true;
}

static inline const struct httpd_handlers *rig_handlers(void)
{
    static const struct httpd_handlers on = {
        rig_on_head,  rig_on_ready, rig_on_refused, rig_on_gone,
        rig_on_drain, rig_on_done,  rig_on_accept,
    };

    return &on;
}

// c: what differs from the defaults; NULL = nothing.
static inline void rig_start(const struct httpd_config *c)
{
    struct httpd_config d = c == NULL ? (struct httpd_config){0} : *c;
    struct err e;

    d.address = d.address == NULL ? "127.0.0.1" : d.address;
    d.daemons = d.daemons == 0 ? 2 : d.daemons;
    d.on = *rig_handlers();
    d.arg = &rig;
    rig.h = httpd_new(rig.l, &d, &e);
    if (rig.h == NULL) {
        fail_msg("%s", e.message);
    }
}

static inline int rig_setup(void **state)
{
    (void)state;
    rig = (struct rig){0};
    buf_init(&rig.out, 64u << 20);
    rig.l = loop_new(NULL);
    return rig.l == NULL;
}

// Also checks what must hold after any test.
static inline int rig_teardown(void **state)
{
    (void)state;
    httpd_free(&rig.h);
    for (size_t i = 0; i < rig.n; i++) {
        if (!rig.ex[i].done) {
            print_error("exchange %zu (%s) had no on_done\n", i, rig.ex[i].target);
            return 1;
        }
    }
    buf_done(&rig.out);
    loop_free(&rig.l);
    if (rig.budget.used != 0) {
        print_error("%zu bytes of the budget are lost\n", (size_t)rig.budget.used);
        return 1;
    }
    return 0;
}

// --- clients -------------------------------------------------------------------------------------

static inline int rig_connect(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons(httpd_port(rig.h)),
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    buf_clear(&rig.out); // what an earlier one left unread
    return fd;
}

// All of it, with turns of the loop while the socket is full. False: the server has closed.
static inline bool rig_try_send(int fd, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);

        if (k < 0 && errno != EAGAIN) {
            return false;
        }
        p += k > 0 ? k : 0;
        n -= k > 0 ? (size_t)k : 0;
        loop_turn(rig.l, 0);
    }
    return true;
}

static inline void rig_send(int fd, const char *text)
{
    assert_true(rig_try_send(fd, text, strlen(text)));
}

struct rig_answer {
    unsigned status;         // 0: closed without an answer
    bool close;              // connection: close
    bool whole;              // the body came to its end
    struct slice head, body; // in rig.out, until the next read
};

// More bytes into rig.out. False: end of file or reset.
static inline bool rig_more(int fd)
{
    size_t room;
    char *to;
    ssize_t n = -1;

    assert_true(buf_try_reserve(&rig.out, 65536));
    to = buf_tail(&rig.out, &room);
    PEER_UNTIL(rig.l, (n = recv(fd, to, room, 0)) >= 0 || errno != EAGAIN);
    if (n <= 0) {
        return false;
    }
    buf_commit(&rig.out, (size_t)n);
    return true;
}

// Value of a response header, or SLICE_NULL.
static inline struct slice rig_value(struct slice head, const char *name)
{
    struct slice want = slice_str(name);

    for (size_t i = 0; i + want.n + 2 < head.n; i++) {
        struct slice at = SLICE_MAKE(head.p + i, want.n);

        if (head.p[i + want.n] == ':' && (i == 0 || head.p[i - 1] == '\n') &&
            slice_eq_nocase(at, want)) {
            const char *v = head.p + i + want.n + 1;
            const char *end = memchr(v, '\r', (size_t)(head.p + head.n - v));

            assert_non_null(end);
            return slice_trim(SLICE_MAKE(v, (size_t)(end - v)));
        }
    }
    return SLICE_NULL;
}

// Decodes the chunks at *p in place; true when complete: *ret_n bytes of data, from *ret_used
// bytes.
static inline bool rig_dechunk(char *p, size_t n, size_t *ret_n, size_t *ret_used)
{
    size_t at = 0, out = 0;

    for (;;) {
        char *eol = memmem(p + at, n - at, "\r\n", 2);
        size_t size;

        if (eol == NULL) {
            break;
        }
        size = strtoul(p + at, NULL, 16);
        if (n - (size_t)(eol + 2 - p) < size + 2) {
            break;
        }
        at = (size_t)(eol + 2 - p);
        memmove(p + out, p + at, size);
        out += size;
        assert_memory_equal(p + at + size, "\r\n", 2);
        at += size + 2;
        if (size == 0) {
            *ret_n = out;
            *ret_used = at;
            return true;
        }
    }
    return false;
}

// One answer off the connection; what came behind it stays for the next call with keep = true.
static inline struct rig_answer rig_read(int fd, bool is_head)
{
    struct rig_answer a = {0};
    size_t head_n, body_n = 0, used = 0;
    const char *end;
    struct slice v;
    bool open = true;

    while ((end = memmem(buf_slice(&rig.out).p, rig.out.n, "\r\n\r\n", 4)) == NULL) {
        if (!rig_more(fd)) {
            buf_clear(&rig.out);
            return a;
        }
    }
    head_n = (size_t)(end - buf_slice(&rig.out).p) + 4;
    a.status = (unsigned)strtoul(buf_slice(&rig.out).p + 9, NULL, 10);
    a.head = SLICE_MAKE(buf_slice(&rig.out).p, head_n);
    a.close = slice_eq_nocase(rig_value(a.head, "connection"), SLICE("close"));
    v = rig_value(a.head, "content-length");
    if (is_head || a.status == 204 || a.status == 304 || a.status == 100) {
        a.whole = true;
    } else if (v.p != NULL) {
        uint64_t want;

        assert_true(slice_to_u64(v, &want));
        while (rig.out.n < head_n + want && open) {
            open = rig_more(fd);
        }
        a.whole = rig.out.n >= head_n + want;
        body_n = used = a.whole ? want : rig.out.n - head_n;
    } else if (rig_value(a.head, "transfer-encoding").p != NULL) {
        char *copy = NULL;

        while (!a.whole && open) { // quadratic, which is fine here
            mem_free(copy);
            copy = mem_alloc(rig.out.n + 1);
            memcpy(copy, buf_slice(&rig.out).p + head_n, rig.out.n - head_n);
            a.whole = rig_dechunk(copy, rig.out.n - head_n, &body_n, &used);
            open = a.whole || rig_more(fd);
        }
        if (a.whole) {
            memcpy(rig.out.p + rig.out.off + head_n, copy, body_n);
        }
        mem_free(copy);
    } else {
        while (rig_more(fd)) {
        }
        body_n = used = rig.out.n - head_n;
    }
    a.head = SLICE_MAKE(buf_slice(&rig.out).p, head_n);
    a.body = SLICE_MAKE(a.head.p + head_n, body_n);
    buf_consume(&rig.out, head_n + used); // the bytes stay where they are until more come
    return a;
}

static inline struct rig_answer rig_ask(int fd, const char *request)
{
    rig_send(fd, request);
    return rig_read(fd, strncmp(request, "HEAD", 4) == 0);
}

static inline void rig_assert_text(struct slice s, const char *text)
{
    assert_int_equal(s.n, strlen(text));
    assert_memory_equal(s.p, text, s.n);
}

static inline struct rig_ex *rig_last(void)
{
    assert_true(rig.n > 0);
    return &rig.ex[rig.n - 1];
}

// --- steps of tests ------------------------------------------------------------------------------

#define RIG_GET(target) "GET " target " HTTP/1.1\r\nHost: h\r\n\r\n"

static inline void rig_turns(int n)
{
    while (n-- > 0) {
        loop_turn(rig.l, 0);
    }
}

// A request that the handler holds; returns when it is held.
static inline int rig_hold(const char *request)
{
    int fd = rig_connect();
    size_t n = rig.n;

    rig_send(fd, request);
    PEER_UNTIL(rig.l, rig.n > n && rig_last()->readies == 1);
    return fd;
}

static inline char *rig_filled(size_t n)
{
    char *p = mem_alloc(n);

    for (size_t i = 0; i < n; i++) {
        p[i] = (char)(i * 7 + i / 251);
    }
    return p;
}

#endif
