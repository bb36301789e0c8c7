// SPDX-License-Identifier: Apache-2.0
// The libmicrohttpd adapter: daemons, the callbacks of a request's life, responses. The only file
// that includes its header; written against 0.9.75 and its source.
//
// Daemons are started as connections come, each filled up to 16 before the next: a resume walks the
// suspended connections of its daemon, and a run costs an epoll_wait, so neither very full nor very
// many is right. A daemon is run when it is *dirty*: its epoll fd is readable, or one of its
// connections was woken. All of that happens in the serve hook, so one run serves a whole batch.
//
// One exchange, as libmicrohttpd calls us (each callback finds its httpd_req by the con_cls it got
// from on_request_line):
//
//   on_request_line      target copied (the library decodes it in place afterwards)
//   on_call, first       head judged: on_head or on_refused
//   on_call, with bytes  body stored, or discarded before an early answer
//   on_call, last        on_ready (or the early answer is queued); no answer yet: suspended =
//   parked
//     ... httpd_reply / httpd_stream_begin queue on the suspended connection and resume it
//   read_stream          stream bytes taken from the queue; empty: suspended again
//   on_completed         on_done
//
#include <microhttpd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/httpd_priv.h"

#define CONNS_PER_DAEMON 16
#define RUNS_PER_TURN    4 // of one daemon: fast uploads must not keep the others waiting
// Room for status line, date, connection, framing headers and the empty line in the response head.
#define REPLY_HEAD_FIXED 192u
#define POOL_PER_HEADER  64u // libmicrohttpd's struct per header and cookie, aligned

static struct httpd_conn *conn_of(struct MHD_Connection *m)
{
    return MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

struct httpd_conn *httpd_mhd_conn(void *mhd_connection)
{
    return conn_of(mhd_connection);
}

// --- suspending ----------------------------------------------------------------------------------

void httpd_mhd_dirty(struct httpd_daemon *d)
{
    if (!list_in_one(&d->dirty_node)) {
        list_push_back(&d->h->dirty, &d->dirty_node);
    }
}

// Only from inside a callback of the same connection.
static void park(struct httpd_req *q)
{
    q->parked = true;
    MHD_suspend_connection(httpd_conn_of(q)->mhd);
}

// Hands q->response over. Legal in the first and last call and while suspended.
static enum MHD_Result queue_response(struct httpd_req *q)
{
    struct httpd_conn *c = httpd_conn_of(q);
    enum MHD_Result r = MHD_queue_response(c->mhd, q->status, q->response);

    httpd_mhd_drop_response(q); // libmicrohttpd holds its own reference
    q->phase = HTTPD_REPLYING;
    httpd_conn_deadline(c, c->h->idle_us);
    return r;
}

void httpd_mhd_wake(struct httpd_req *q)
{
    struct httpd_conn *c = httpd_conn_of(q);
    bool over = q->aborted || q->gone_told;

    if (!q->parked || (q->bodyless && !q->ended && !over)) {
        return;
    }
    if (over) {
        httpd_mhd_drop_response(q);
    } else if (q->response != NULL && queue_response(q) != MHD_YES) {
        q->aborted = true; // on_call will say so
    }
    q->parked = false;
    MHD_resume_connection(c->mhd);
    httpd_mhd_dirty(c->d);
}

// --- the head ------------------------------------------------------------------------------------

// Percent-decoding is not wanted: the raw target is what counts.
static size_t keep_escapes(void *cls, struct MHD_Connection *m, char *s)
{
    (void)cls;
    (void)m;
    return strlen(s);
}

// Lets libmicrohttpd find no arguments in the query: nobody wants them, they would use up its pool,
// and 0.9.75 waits for more headers forever when they do.
static void hide_query(const char *uri)
{
    const char *q = uri == NULL ? NULL : strchr(uri, '?');
    char *first;

    if (q != NULL) {
        q++;
        memcpy(&first, &q, sizeof first); // it is the library's own, writable pool
        *first = '\0';
    }
}

static void *on_request_line(void *cls, const char *uri, struct MHD_Connection *m)
{
    struct httpd_conn *c = conn_of(m);
    struct httpd_req *q = &c->q;
    size_t n = uri == NULL ? 0 : strlen(uri);

    (void)cls;
    httpd_conn_begin(c);
    q->raw_target = uri;
    if (n <= sizeof q->target_inline) {
        q->target = (struct httpd_bytes){.p = q->target_inline, .n = n};
        memcpy(q->target_inline, uri == NULL ? "" : uri, n);
    } else if (httpd_bytes_reserve(&c->h->pool, &q->target, n)) {
        memcpy(q->target.p, uri, n);
        q->target.n = n;
    } // else out of memory: an empty target is refused
    hide_query(uri);
    return q;
}

static enum MHD_Result on_header(void *cls, enum MHD_ValueKind kind, const char *key, size_t nk,
                                 const char *value, size_t nv)
{
    struct httpd_police *p = cls;

    p->pool_bytes += POOL_PER_HEADER;
    if (kind == MHD_HEADER_KIND) {
        p->names |= slice_nocase_bit(SLICE_MAKE(key, nk));
        httpd_police_header(p, SLICE_MAKE(key, nk), SLICE_MAKE(value, nv));
    } else if (kind == MHD_COOKIE_KIND) {
        p->pool_bytes += nk + nv + 2; // libmicrohttpd parses a copy
    }
    return MHD_YES;
}

static enum httpd_verdict first_call(struct httpd_req *q, const char *method, const char *version)
{
    struct MHD_Connection *m = httpd_conn_of(q)->mhd;
    size_t size = MHD_get_connection_info(m, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    struct httpd_police p;

    httpd_police_begin(&p, method, httpd_target(q), q->raw_target, version);
    p.head_bytes = p.pool_bytes = size;
    (void)MHD_get_connection_values_n( // returns how many
        m, MHD_HEADER_KIND | MHD_COOKIE_KIND, on_header, &p);
    q->method = slice_str(method);
    q->names = p.names;
    return httpd_call_head(q, &p, httpd_police_end(&p, method + size));
}

static enum httpd_verdict decide(struct httpd_req *q, const char *method, const char *version,
                                 const char *upload, size_t *upload_n)
{
    struct slice bytes = SLICE_MAKE(upload, *upload_n);

    switch (q->phase) {
    case HTTPD_HEAD:
        return first_call(q, method, version);
    case HTTPD_BODY:
        *upload_n = 0; // all of it is taken
        return bytes.n == 0 ? httpd_call_last(q) : httpd_call_bytes(q, bytes);
    case HTTPD_WAITING:  // woken without an answer: gone or aborted
    case HTTPD_REPLYING: // the library refused the response
    case HTTPD_IDLE:
        break;
    }
    return HTTPD_CLOSE;
}

static enum MHD_Result on_call(void *cls, struct MHD_Connection *m, const char *url,
                               const char *method, const char *version, const char *upload,
                               size_t *upload_n, void **con_cls)
{
    struct httpd_req *q = *con_cls;

    (void)cls;
    (void)m;
    (void)url;
    switch (decide(q, method, version, upload, upload_n)) {
    case HTTPD_GO:
        return MHD_YES;
    case HTTPD_ANSWER:
        return queue_response(q);
    case HTTPD_PARK:
        park(q);
        return MHD_YES;
    case HTTPD_CLOSE:
        break;
    }
    return MHD_NO;
}

static void on_completed(void *cls, struct MHD_Connection *m, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
    struct httpd_conn *c = conn_of(m);
    struct httpd_req *q = &c->q;
    bool sent = why == MHD_REQUEST_TERMINATED_COMPLETED_OK && q->phase == HTTPD_REPLYING &&
                !q->aborted && !q->gone_told;

    (void)cls;
    *con_cls = NULL;
    httpd_conn_end(c, sent ? HTTPD_SENT : HTTPD_ABORTED);
}

static void on_connection(void *cls, struct MHD_Connection *m, void **socket_context,
                          enum MHD_ConnectionNotificationCode code)
{
    struct httpd *h = cls;
    struct httpd_daemon *d;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = h->adding;
        h->adding->mhd = m;
        return;
    }
    d = ((struct httpd_conn *)*socket_context)->d;
    if (d->n_conns-- == CONNS_PER_DAEMON) {
        list_push_front(&h->open, &d->open_node);
    }
    httpd_conn_closed(*socket_context);
}

// --- responses -----------------------------------------------------------------------------------

void httpd_mhd_drop_response(struct httpd_req *q)
{
    if (q->response != NULL) {
        MHD_destroy_response(q->response);
        q->response = NULL;
    }
}

// What libmicrohttpd writes itself.
static bool is_own_header(struct slice name)
{
    return slice_eq_nocase(name, SLICE("content-length")) ||
           slice_eq_nocase(name, SLICE("transfer-encoding")) ||
           slice_eq_nocase(name, SLICE("connection")) || slice_eq_nocase(name, SLICE("date"));
}

// No line end, NUL or other control byte.
static bool is_one_line(struct slice s)
{
    bool bad = false;

    // No early exit: the compiler can vectorise it.
    for (size_t i = 0; i < s.n; i++) {
        bad |= (unsigned char)s.p[i] < ' ' && s.p[i] != '\t';
    }
    return !bad;
}

#define SEAM "\x01\x02" // stands for a line end; in no line, as that is looked at

// All headers as one text: name, NUL, value, and behind it the others as `SEAM name: value`.
// Returns the length of that name, 0: there is none.
static size_t join_headers(const struct httpd_header *h, size_t n, char *to, size_t room)
{
    size_t first = 0;
    char *at = to;

    for (size_t i = 0; i < n; i++) {
        struct slice name = h[i].name, value = h[i].value;

        if (name.n == 0 || value.n == 0 || is_own_header(name) || !httpd_police_is_token(name) ||
            !is_one_line(value)) {
            continue;
        }
        if (name.n + value.n + 4 > room) {
            break;
        }
        room -= name.n + value.n + 4;
        if (first > 0) {
            at = mempcpy(at, SEAM, 2);
        }
        at = mempcpy(at, name.p, name.n);
        at = first > 0 ? mempcpy(at, ": ", 2) : mempcpy(at, "", 1);
        at = mempcpy(at, value.p, value.n);
        first = first > 0 ? first : name.n;
    }
    *at = '\0';
    return first;
}

// libmicrohttpd allocates three times for each header of a response and copies each twice; with our
// fifteen to twenty that was a tenth of a request's time. So it is given a single one, whose value
// holds the others. It refuses line ends in values, so they are put in afterwards, where it keeps
// the value. None of those inside has a meaning to it (is_own_header).
static void add_headers(struct httpd_req *q, const struct httpd_header *h, size_t n)
{
    char text[HTTPD_REPLY_HEAD_MAX + 2];
    size_t room = q->head_room < HTTPD_REPLY_HEAD_MAX ? q->head_room : HTTPD_REPLY_HEAD_MAX;
    size_t first = join_headers(h, n, text, room > REPLY_HEAD_FIXED ? room - REPLY_HEAD_FIXED : 0);

    if (first > 0 && MHD_add_response_header(q->response, text, text + first + 1) == MHD_YES) {
        const char *value = MHD_get_response_header(q->response, text);
        char *p;

        memcpy(&p, &value, sizeof p); // the response's own, writable memory
        while ((p = strchr(p, SEAM[0])) != NULL) {
            p = mempcpy(p, "\r\n", 2);
        }
    }
    if (q->close_after || httpd_conn_of(q)->h->leaving) {
        (void)MHD_add_response_header(q->response, "connection", "close"); // cannot be refused
    }
}

static void free_body(void *p)
{
    mem_free(p);
}

bool httpd_mhd_make_reply(struct httpd_req *q, const struct httpd_header *h, size_t n,
                          struct buf *body)
{
    struct slice s = body == NULL ? SLICE("") : buf_slice(body);
    char *p;

    if (s.n == 0) {
        q->response = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        if (body != NULL) {
            buf_done(body);
        }
    } else {
        memcpy(&p, &s.p, sizeof p); // the library's type is older than const
        q->response =
            MHD_create_response_from_buffer_with_free_callback_cls(s.n, p, free_body, body->p);
        if (q->response == NULL) {
            buf_done(body);
        }
        buf_init(body, body->max); // its storage is the response's now
    }
    if (q->response == NULL) {
        return false;
    }
    add_headers(q, h, n);
    return true;
}

static ssize_t read_stream(void *cls, uint64_t pos, char *to, size_t max)
{
    struct httpd_req *q = cls;
    struct httpd *h = httpd_conn_of(q)->h;
    struct httpd_bytes *b = &q->queue;
    // The last byte of a stream with a length would end it: that is httpd_stream_end's to do.
    size_t have = q->stream_left == 0 && !q->ended && b->n > 0 ? b->n - 1 : b->n;
    size_t n = have < max ? have : max;

    (void)pos;
    if (q->aborted || q->gone_told || h->stopping) {
        return MHD_CONTENT_READER_END_WITH_ERROR;
    }
    if (n == 0) {
        if (!q->ended) {
            park(q);
            return 0;
        }
        return q->stream_left == 0 || q->stream_left == UINT64_MAX
                   ? MHD_CONTENT_READER_END_OF_STREAM
                   : MHD_CONTENT_READER_END_WITH_ERROR;
    }
    memcpy(to, b->p + b->off, n);
    b->off += n;
    b->n -= n;
    if (b->n == 0) {
        httpd_bytes_done(&h->pool, b); // an idle stream holds no buffer
    }
    if (q->want_drain && b->n < h->high_water / 2 && !list_in_one(&q->drain_node)) {
        list_push_back(&h->drained, &q->drain_node); // told after the run: handlers write again
    }
    return (ssize_t)n;
}

bool httpd_mhd_make_stream(struct httpd_req *q, const struct httpd_header *h, size_t n,
                           int64_t content_length)
{
    // Chunked bodies are read straight into the connection's write buffer; only others use a block.
    bool chunked = content_length < 0 && !q->http10, bare = q->bodyless && content_length < 0;

    if (bare && (q->status == 204 || q->status == 304)) {
        content_length = 0;
        bare = false;
    }
    q->response = MHD_create_response_from_callback(content_length < 0 ? MHD_SIZE_UNKNOWN
                                                                       : (uint64_t)content_length,
                                                    chunked ? 64 : 16384, read_stream, q, NULL);
    if (q->response == NULL) {
        return false;
    }
    if (bare) {
        // HEAD: 0.9.75 would send the last chunk of a chunked body that is not there. This makes it
        // leave out both length and encoding, and close.
        (void)MHD_set_response_options(q->response, MHD_RF_HTTP_1_0_COMPATIBLE_STRICT,
                                       MHD_RO_END); // known to this version
    }
    q->stream_left = content_length < 0 ? UINT64_MAX : (uint64_t)content_length;
    add_headers(q, h, n);
    return true;
}

struct slice httpd_mhd_header(const struct httpd_req *q, const char *name)
{
    const struct httpd_conn *c =
        container_of((struct httpd_req *)(uintptr_t)q, struct httpd_conn, q);
    struct slice key = slice_str(name);
    const char *value;
    size_t n;

    // Most headers that are asked for are not there: that is answered without a walk.
    if ((q->names & slice_nocase_bit(key)) == 0 ||
        MHD_lookup_connection_value_n(c->mhd, MHD_HEADER_KIND, name, key.n, &value, &n) !=
            MHD_YES) {
        return SLICE_NULL;
    }
    return slice_trim(SLICE_MAKE(value, n));
}

struct each {
    void (*fn)(void *ctx, struct slice name, struct slice value);
    void *ctx;
};

static enum MHD_Result on_each(void *cls, enum MHD_ValueKind kind, const char *key, size_t nk,
                               const char *value, size_t nv)
{
    const struct each *x = cls;

    (void)kind;
    x->fn(x->ctx, SLICE_MAKE(key, nk), slice_trim(SLICE_MAKE(value, nv)));
    return MHD_YES;
}

void httpd_mhd_each_header(const struct httpd_req *q,
                           void (*fn)(void *ctx, struct slice name, struct slice value), void *ctx)
{
    const struct httpd_conn *c =
        container_of((struct httpd_req *)(uintptr_t)q, struct httpd_conn, q);
    struct each x = {.fn = fn, .ctx = ctx};

    (void)MHD_get_connection_values_n(c->mhd, MHD_HEADER_KIND, on_each, &x);
}

// --- daemons -------------------------------------------------------------------------------------

static void on_daemon_event(struct loop_watch *w, uint32_t events)
{
    (void)events;
    httpd_mhd_dirty(container_of(w, struct httpd_daemon, watch));
}

static struct MHD_Daemon *start(struct httpd *h)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_NO_LISTEN_SOCKET |
                     (h->tls != NULL ? (unsigned)MHD_USE_TLS : 0);
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_END, 0, NULL},
        {MHD_OPTION_END, 0, NULL},
    };

    if (h->tls != NULL) {
        tls[0] = (struct MHD_OptionItem){MHD_OPTION_HTTPS_CERT_CALLBACK, 0, httpd_tls_callback()};
    }
    // No timeout of its own: it would only be looked at in runs, and a slow drip renews it.
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_call, h, MHD_OPTION_CONNECTION_MEMORY_LIMIT, h->header_memory,
        MHD_OPTION_CONNECTION_LIMIT, 1u << 30, MHD_OPTION_NOTIFY_COMPLETED, on_completed, h,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, h, MHD_OPTION_URI_LOG_CALLBACK,
        on_request_line, h, MHD_OPTION_UNESCAPE_CALLBACK, keep_escapes, NULL, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
}

static struct httpd_daemon *new_daemon(struct httpd *h)
{
    struct httpd_daemon *d = mem_zalloc(sizeof *d);
    struct err e;

    d->h = h;
    d->mhd = start(h);
    if (d->mhd == NULL) {
        LOG(ERROR, "httpd.no_daemon", LOG_UINT("daemons", h->n_daemons));
        goto fail;
    }
    d->watch.fn = on_daemon_event;
    d->watch.fd = MHD_get_daemon_info(d->mhd, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (!loop_watch_add(h->l, &d->watch, LOOP_READ, &e)) {
        LOG(ERROR, "httpd.no_daemon", LOG_ERR(&e));
        goto fail_mhd;
    }
    h->daemons[h->n_daemons++] = d;
    list_push_back(&h->open, &d->open_node);
    return d;

fail_mhd:
    MHD_stop_daemon(d->mhd);
fail:
    mem_free(d);
    return NULL;
}

struct httpd_daemon *httpd_mhd_daemon(struct httpd *h)
{
    struct list_node *n = list_first(&h->open);
    struct httpd_daemon *d = NULL;

    if (n != NULL) {
        return container_of(n, struct httpd_daemon, open_node);
    }
    if (h->n_daemons < h->max_daemons) {
        d = new_daemon(h);
    }
    if (d == NULL && h->n_daemons > 0) { // all are full: round robin
        d = h->daemons[h->next_daemon++ % h->n_daemons];
    }
    return d;
}

bool httpd_mhd_add(struct httpd_conn *c, socklen_t addr_len)
{
    struct httpd_daemon *d = c->d;
    struct httpd *h = c->h;
    enum MHD_Result r;

    d->n_conns++;
    if (d->n_conns == CONNS_PER_DAEMON && list_in_one(&d->open_node)) {
        list_remove(&h->open, &d->open_node);
    }
    h->adding = c;
    r = MHD_add_connection(d->mhd, c->fd, &c->addr.any, addr_len);
    h->adding = NULL;
    if (r != MHD_YES && c->mhd == NULL && list_in_one(&c->node)) {
        // Refused before the STARTED notification: no CLOSED comes (it has come if the node is
        // gone).
        if (d->n_conns-- == CONNS_PER_DAEMON) {
            list_push_front(&h->open, &d->open_node);
        }
        httpd_conn_closed(c);
    }
    return r == MHD_YES;
}

// Suspended connections must be gone before a daemon may be stopped.
void httpd_mhd_stop_all(struct httpd *h)
{
    h->stopping = true;
    list_foreach (n, &h->conns) {
        struct httpd_conn *c = container_of(n, struct httpd_conn, node);

        if (c->q.parked) {
            httpd_conn_tell_gone(c);
            c->q.aborted = true;
            httpd_mhd_wake(&c->q);
        }
    }
    for (size_t i = 0; i < h->n_daemons; i++) {
        struct httpd_daemon *d = h->daemons[i];

        (void)MHD_run(d->mhd); // resumes and drops them
        loop_watch_remove(h->l, &d->watch);
        MHD_stop_daemon(d->mhd);
    }
    // Not before all have stopped: a connection that closes puts its daemon into a list of the
    // others.
    for (size_t i = 0; i < h->n_daemons; i++) {
        mem_free(h->daemons[i]);
    }
    mem_free(h->daemons);
    h->daemons = NULL;
    h->n_daemons = 0;
    list_init(&h->dirty);
    list_init(&h->later);
    list_init(&h->open);
}

// --- serve phase ---------------------------------------------------------------------------------

// Runs a daemon once. False: it has had its share of this turn.
static bool run(struct httpd *h, struct httpd_daemon *d)
{
    MHD_UNSIGNED_LONG_LONG timeout;

    if (d->turn != h->turn) {
        d->turn = h->turn;
        d->runs = 0;
    }
    if (d->runs++ >= RUNS_PER_TURN) {
        return false;
    }
    (void)MHD_run(d->mhd); // fails only for daemons with threads
    // Work is left that no descriptor tells of (a resumed connection, bytes inside TLS).
    if (MHD_get_timeout(d->mhd, &timeout) == MHD_YES && timeout == 0) {
        httpd_mhd_dirty(d);
    }
    return true;
}

static void tell_drained(struct httpd *h)
{
    struct list_node *n;

    while ((n = list_pop_front(&h->drained)) != NULL) {
        struct httpd_req *q = container_of(n, struct httpd_req, drain_node);

        q->want_drain = false;
        if (h->on.on_drain != NULL) {
            h->on.on_drain(h->arg, q);
        }
    }
}

bool httpd_mhd_serve(struct loop_hook *hook, uint64_t *ret_next_us)
{
    struct httpd *h = container_of(hook, struct httpd, hook);
    struct list_node *n;

    (void)ret_next_us; // deadlines are in the timer wheel
    h->turn++;
    while (h->dirty.count > 0) {
        struct httpd_daemon *d = container_of(h->dirty.head.next, struct httpd_daemon, dirty_node);

        list_remove(&h->dirty, &d->dirty_node);
        if (!run(h, d)) {
            list_push_back(&h->later, &d->dirty_node);
        }
        tell_drained(h);
    }
    while ((n = list_pop_front(&h->later)) != NULL) {
        list_push_back(&h->dirty, n);
    }
    return h->dirty.count > 0;
}
