// SPDX-License-Identifier: Apache-2.0
// /debug/requests asks the workers and answers later: the question (struct ask) travels with the
// dump, comes back by our mailbox and finds the exchange gone or still there.
#include "dataplane/ops.h"

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/io/httpd.h"
#include "common/io/mbox.h"

#define BODY_MAX        (64u * 1024)
#define CONNECTIONS_MAX 64u
#define MAILBOX_MAX     1024u
#define METRICS_MAX     (64u * 1024 * 1024)

struct ops {
    struct ops_config cfg; // address is not kept
    struct httpd *httpd;
    struct mbox *mbox;
    unsigned asking; // questions under way
};

// Owned by the dump while it is under way.
struct ask {
    struct mbox_msg msg;
    struct ops *ops;
    struct httpd_req *q; // NULL when the client left
    struct buf json;
};

static void reply(struct httpd_req *q, unsigned status, const char *type, struct buf *body)
{
    const struct httpd_header h = {SLICE("content-type"), slice_str(type)};

    httpd_reply(q, status, &h, 1, body);
}

static void reply_text(struct httpd_req *q, unsigned status, const char *text)
{
    struct buf body;

    buf_init(&body, 1024);
    buf_append_str(&body, text);
    reply(q, status, "text/plain; charset=utf-8", &body);
    buf_done(&body);
}

static void refuse_method(struct httpd_req *q)
{
    static const struct httpd_header h[] = {
        {{"content-type", 12}, {"text/plain; charset=utf-8", 25}},
        {{"allow", 5}, {"GET, HEAD", 9}},
    };
    struct buf body;

    buf_init(&body, 64);
    buf_append_str(&body, "only GET\n");
    httpd_reply(q, 405, h, ARRAY_LEN(h), &body);
    buf_done(&body);
}

static void answer_metrics(struct ops *o, struct httpd_req *q)
{
    struct buf body;

    o->cfg.refresh(o->cfg.arg);
    buf_init(&body, METRICS_MAX);
    metric_render(o->cfg.shared->metrics, &body);
    reply(q, 200, "text/plain; version=0.0.4; charset=utf-8", &body);
    buf_done(&body);
}

// A worker's thread.
static void on_dump(void *arg, struct buf *json)
{
    struct ask *a = arg;

    buf_move(&a->json, json);
    if (!mbox_send(a->ops->mbox, &a->msg)) {
        buf_done(&a->json); // cannot be: asking is bounded below the mailbox's size
    }
}

static void on_answer(void *arg, struct mbox_msg *m)
{
    struct ops *o = arg;
    struct ask *a = container_of(m, struct ask, msg);

    o->asking--;
    if (a->q != NULL && o->httpd != NULL) {
        httpd_set_user(a->q, NULL);
        reply(a->q, 200, "application/json", &a->json);
    }
    buf_done(&a->json);
    mem_free(a);
}

static void ask_workers(struct ops *o, struct httpd_req *q)
{
    struct ask *a;

    if (o->asking >= MAILBOX_MAX / 2) {
        reply_text(q, 503, "too many questions\n");
        return;
    }
    a = mem_zalloc(sizeof(*a));
    a->ops = o;
    a->q = q;
    buf_init(&a->json, SIZE_MAX / 8);
    o->asking++;
    httpd_set_user(q, a);
    worker_dump(o->cfg.shared, on_dump, a);
}

static void on_head(void *arg, struct httpd_req *q)
{
    (void)arg;
    httpd_set_user(q, NULL); // bodies are read and ignored
}

static void on_ready(void *arg, struct httpd_req *q)
{
    struct ops *o = arg;
    struct slice path;

    (void)slice_cut(httpd_target(q), '?', &path);
    if (!slice_eq_str(httpd_method(q), "GET") && !slice_eq_str(httpd_method(q), "HEAD")) {
        refuse_method(q);
    } else if (slice_eq_str(path, "/metrics")) {
        answer_metrics(o, q);
    } else if (slice_eq_str(path, "/healthz")) {
        reply_text(q, 200, "ok\n");
    } else if (slice_eq_str(path, "/readyz")) {
        bool ready = worker_is_ready(o->cfg.shared);

        reply_text(q, ready ? 200 : 503, ready ? "ok\n" : "not ready\n");
    } else if (slice_eq_str(path, "/debug/requests")) {
        ask_workers(o, q);
    } else {
        reply_text(q, 404, "/metrics /healthz /readyz /debug/requests\n");
    }
}

static void on_refused(void *arg, struct httpd_req *q, enum httpd_refusal why)
{
    static const unsigned status[] = {[HTTPD_BAD_FRAMING] = 400,
                                      [HTTPD_HEAD_TOO_LARGE] = 431,
                                      [HTTPD_BODY_TOO_LARGE] = 413,
                                      [HTTPD_OVERLOADED] = 503};

    (void)arg;
    reply_text(q, status[why], "refused\n");
}

static void on_done(void *arg, struct httpd_req *q, enum httpd_end how)
{
    struct ask *a = httpd_user(q);

    (void)arg;
    (void)how;
    if (a != NULL) {
        a->q = NULL;
    }
}

struct ops *ops_new(struct loop *l, const struct ops_config *c, struct err *e)
{
    struct httpd_config h = {
        .address = c->address,
        .port = c->port,
        .max_body = BODY_MAX,
        .max_connections = CONNECTIONS_MAX,
        .on = {.on_head = on_head,
               .on_ready = on_ready,
               .on_refused = on_refused,
               .on_done = on_done},
    };
    struct ops *o = mem_zalloc(sizeof(*o));

    o->cfg = *c;
    o->cfg.address = NULL;
    h.arg = o;
    o->mbox = mbox_new(l, MAILBOX_MAX, on_answer, o, e);
    if (o->mbox != NULL) {
        o->httpd = httpd_new(l, &h, e);
    }
    if (o->httpd == NULL) {
        ops_free(&o);
    }
    return o;
}

uint16_t ops_port(const struct ops *o)
{
    return httpd_port(o->httpd);
}

void ops_free(struct ops **o)
{
    if (*o == NULL) {
        return;
    }
    httpd_free(&(*o)->httpd);
    mbox_free(&(*o)->mbox);
    mem_free(*o);
    *o = NULL;
}
