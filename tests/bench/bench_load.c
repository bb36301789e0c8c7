// SPDX-License-Identifier: Apache-2.0
// Phases: connections and streams are opened (RAMP), a while passes (WARMUP), then what happens in
// the window counts (MEASURE). A sample belongs to the window if it ended in it.
//
// Closed loop: every connection sends its next request when it has the answer. Open loop: a
// timerfd gives arrivals with exponential gaps; an arrival takes an idle connection or waits in a
// queue, and its latency counts from the arrival, so a server that stalls is charged for those who
// had to wait.
#include "tests/bench/bench_load.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/rng.h"
#include "common/io/loop.h"
#include "tests/bench/bench_conn.h"
#include "tests/bench/bench_hist.h"
#include "tests/bench/bench_proc.h"

#define QUEUE_MAX     (1u << 20) // arrivals that wait
#define RAMP_PER_MS   4u         // streams opened per millisecond
#define RAMP_LIMIT_US (60 * MONO_SEC)
#define SERIAL_DIGITS 10u

enum phase { PHASE_RAMP, PHASE_WARMUP, PHASE_MEASURE };

struct load {
    const struct bench_options *o;
    struct loop *loop;
    enum phase phase;
    struct loop_timer timer;   // ends the phase; opens streams
    struct loop_watch arrival; // timerfd of the open loop
    struct rng rng;
    struct bench_conn *conns;   // owned, o->connections
    struct bench_conn *streams; // owned, o->streams
    struct list idle;           // of conns, open loop
    uint64_t *queue;            // owned ring: times of arrivals that wait
    size_t queue_head, queue_n;
    uint64_t next_arrival_us;
    struct buf request, stream_request;
    size_t serial_at; // of the digits in `request`; 0 = none
    uint64_t serial;
    unsigned streams_started, streams_open;
    uint64_t begin_us, end_us, ramp_us;
    struct bench_hist latency, first, chunk;
    uint64_t chunks, body_bytes, dropped, errors[4], stream_errors;
    struct bench_proc before[BENCH_PIDS_MAX], after[BENCH_PIDS_MAX], idle_sample[BENCH_PIDS_MAX];
    struct err error;
    bool failed;
};

static bool measuring(const struct load *l)
{
    return l->phase == PHASE_MEASURE;
}

static void give_up(struct load *l)
{
    l->failed = true;
    loop_stop(l->loop);
}

// --- requests -----------------------------------------------------------------------------------

static void build_request(const struct bench_options *o, const char *model, bool stream,
                          uint64_t size, size_t *ret_serial_at, struct buf *out)
{
    struct buf body;
    size_t serial = 0;

    buf_init(&body, size + 4096);
    buf_printf(&body, "{\"model\":\"%s\",%s\"messages\":[{\"role\":\"user\",\"content\":\"", model,
               stream ? "\"stream\":true," : "");
    if (o->unique) {
        serial = body.n;
        buf_append(&body, slice_head(SLICE("0000000000"), SERIAL_DIGITS));
    }
    buf_append_str(&body, "Hello from the benchmark.");
    while (body.n + 4 < size) {
        buf_append(&body, slice_head(SLICE(" A few more words so that the prompt has its size."),
                                     (size_t)size - body.n - 4));
    }
    buf_append_str(&body, "\"}]}");
    buf_printf(out, "POST %s HTTP/1.1\r\nhost: %s\r\n", o->path, o->target);
    buf_append_str(out, "user-agent: sluice-bench\r\naccept: */*\r\n"
                        "content-type: application/json\r\n");
    for (size_t i = 0; i < o->n_headers; i++) {
        buf_printf(out, "%s\r\n", o->headers[i]);
    }
    buf_printf(out, "content-length: %zu\r\n\r\n", body.n);
    *ret_serial_at = o->unique ? out->n + serial : 0;
    buf_append(out, buf_slice(&body));
    buf_done(&body);
}

// A large body may still be on its way from the shared buffer when the digits change: that only
// mixes digits of two prompts, which is as unique.
static void stamp_serial(struct load *l)
{
    uint64_t n = ++l->serial;
    char *p = l->request.p + l->request.off + l->serial_at;

    for (size_t i = SERIAL_DIGITS; l->serial_at > 0 && i > 0; i--) {
        p[i - 1] = (char)('0' + n % 10);
        n /= 10;
    }
}

static void send_request(struct load *l, struct bench_conn *c, uint64_t since_us)
{
    stamp_serial(l);
    c->start_us = since_us;
    bench_conn_send(c, buf_slice(&l->request), l->o->expected_status);
}

static void request_ready(struct bench_conn *c)
{
    struct load *l = c->owner;

    if (l->o->rate == 0) {
        send_request(l, c, mono_now_us());
    } else if (l->queue_n > 0) {
        uint64_t since = l->queue[l->queue_head];

        l->queue_head = (l->queue_head + 1) % QUEUE_MAX;
        l->queue_n--;
        send_request(l, c, since);
    } else {
        list_push_back(&l->idle, &c->node);
    }
}

static void request_head(struct bench_conn *c)
{
    struct load *l = c->owner;

    if (measuring(l)) {
        bench_hist_add(&l->first, c->first_us - c->start_us);
    }
}

static void request_body(struct bench_conn *c, struct slice body)
{
    struct load *l = c->owner;

    l->body_bytes += measuring(l) ? body.n : 0;
}

static void request_end(struct bench_conn *c, enum bench_result r)
{
    struct load *l = c->owner;

    if (list_in_one(&c->node)) {
        list_remove(&l->idle, &c->node);
    }
    if (!measuring(l)) {
        return;
    }
    if (r == BENCH_OK) {
        bench_hist_add(&l->latency, mono_now_us() - c->start_us);
    } else {
        l->errors[r]++;
    }
}

static const struct bench_conn_events request_events = {request_ready, request_head, request_body,
                                                        request_end};

static void arm_arrival(struct load *l)
{
    uint64_t at = l->next_arrival_us;
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / MONO_SEC), .tv_nsec = (long)(at % MONO_SEC) * 1000}};

    (void)timerfd_settime(l->arrival.fd, TFD_TIMER_ABSTIME, &when, NULL); // arguments are valid
}

static void on_arrival(struct loop_watch *w, uint32_t events)
{
    struct load *l = container_of(w, struct load, arrival);
    uint64_t now = mono_now_us(), expirations;

    (void)events;
    (void)!read(w->fd, &expirations, sizeof(expirations)); // the count does not matter
    while (l->next_arrival_us <= now) {
        struct list_node *n = list_pop_front(&l->idle);

        if (n != NULL) {
            send_request(l, container_of(n, struct bench_conn, node), l->next_arrival_us);
        } else if (l->queue_n < QUEUE_MAX) {
            l->queue[(l->queue_head + l->queue_n++) % QUEUE_MAX] = l->next_arrival_us;
        } else {
            l->dropped++;
        }
        l->next_arrival_us +=
            (uint64_t)(-log(1.0 - rng_unit(&l->rng)) * 1e6 / l->o->rate) + (l->o->rate < 1e6);
    }
    arm_arrival(l);
}

// --- open streams -------------------------------------------------------------------------------

static void stream_ready(struct bench_conn *c)
{
    struct load *l = c->owner;

    c->start_us = mono_now_us();
    bench_conn_send(c, buf_slice(&l->stream_request), 200);
}

static void stream_head(struct bench_conn *c)
{
    struct load *l = c->owner;

    if (c->h1.status == 200) {
        l->streams_open++;
    }
    h1_drop_head(&c->h1);
}

// Latency of each chunk whose stamp is whole in this read; all but a few are.
static void stream_body(struct bench_conn *c, struct slice body)
{
    struct load *l = c->owner;
    const struct slice name = SLICE("\"x_mock_sent_us\":");
    uint64_t now;

    if (!measuring(l)) {
        return;
    }
    l->body_bytes += body.n;
    now = mono_now_us();
    for (;;) {
        size_t at = slice_find(body, name), n = 0;
        uint64_t sent = 0;

        if (at == SIZE_MAX) {
            return;
        }
        body = slice_from(body, at + name.n);
        while (n < body.n && body.p[n] >= '0' && body.p[n] <= '9') {
            n++;
        }
        l->chunks++;
        if (n < body.n && slice_to_u64(slice_head(body, n), &sent)) {
            bench_hist_add(&l->chunk, now > sent ? now - sent : 0);
        }
    }
}

static void stream_end(struct bench_conn *c, enum bench_result r)
{
    struct load *l = c->owner;

    l->stream_errors += r != BENCH_OK;
    if (c->head_seen && l->streams_open > 0) {
        l->streams_open--;
    }
}

static const struct bench_conn_events stream_events = {stream_ready, stream_head, stream_body,
                                                       stream_end};

// --- phases -------------------------------------------------------------------------------------

static bool sample(struct load *l, struct bench_proc *into)
{
    for (size_t i = 0; i < l->o->n_pids; i++) {
        if (!bench_proc_sample(l->o->pids[i], &into[i], &l->error)) {
            give_up(l);
            return false;
        }
    }
    return true;
}

static void start_requests(struct load *l)
{
    for (unsigned i = 0; i < l->o->connections; i++) {
        bench_conn_connect(&l->conns[i]);
    }
    if (l->o->rate > 0) {
        l->next_arrival_us = mono_now_us() + MONO_MS;
        arm_arrival(l);
    }
}

static void ramp(struct load *l, uint64_t now)
{
    for (unsigned i = 0; i < RAMP_PER_MS && l->streams_started < l->o->streams; i++) {
        bench_conn_connect(&l->streams[l->streams_started++]);
    }
    if (l->streams_open == l->o->streams) {
        l->ramp_us = now - l->begin_us;
        l->phase = PHASE_WARMUP;
        start_requests(l);
        loop_timer_set(l->loop, &l->timer, now + l->o->warmup_us);
    } else if (now - l->begin_us > RAMP_LIMIT_US) {
        (void)err_set(&l->error, ERR_TIMEOUT, "only %u of %u streams opened (%lu errors)",
                      l->streams_open, l->o->streams, l->stream_errors);
        give_up(l);
    } else {
        loop_timer_set(l->loop, &l->timer, now + MONO_MS);
    }
}

static void on_timer(struct loop_timer *t)
{
    struct load *l = container_of(t, struct load, timer);
    uint64_t now = loop_now_us(l->loop);

    switch (l->phase) {
    case PHASE_RAMP:
        ramp(l, now);
        return;
    case PHASE_WARMUP:
        if (sample(l, l->before)) {
            l->phase = PHASE_MEASURE;
            l->stream_errors = 0;
            l->begin_us = mono_now_us();
            loop_timer_set(l->loop, &l->timer, l->begin_us + l->o->duration_us);
        }
        return;
    case PHASE_MEASURE:
        l->end_us = mono_now_us();
        (void)sample(l, l->after); // a failure is kept in l->failed
        loop_stop(l->loop);
        return;
    }
}

// --- result -------------------------------------------------------------------------------------

static void report_processes(const struct load *l, struct buf *out)
{
    uint64_t done = l->latency.count;

    buf_append_str(out, ",\"processes\":[");
    for (size_t i = 0; i < l->o->n_pids; i++) {
        const struct bench_proc *a = &l->before[i], *b = &l->after[i];
        uint64_t user = b->user_us - a->user_us, system = b->system_us - a->system_us;

        buf_printf(out, "%s{\"pid\":%d,\"user_us\":%lu,\"system_us\":%lu,", i > 0 ? "," : "",
                   (int)l->o->pids[i], user, system);
        buf_printf(out, "\"us_per_request\":%.2f,\"us_per_chunk\":%.2f,",
                   done == 0 ? 0.0 : (double)(user + system) / (double)done,
                   l->chunks == 0 ? 0.0 : (double)(user + system) / (double)l->chunks);
        buf_printf(out, "\"rss_idle_kb\":%lu,\"rss_before_kb\":%lu,\"rss_after_kb\":%lu}",
                   l->idle_sample[i].rss_kb, a->rss_kb, b->rss_kb);
    }
    buf_append_str(out, "]");
}

static void report(const struct load *l, struct buf *out)
{
    const struct bench_options *o = l->o;
    double seconds = (double)(l->end_us - l->begin_us) / 1e6;

    buf_printf(out, "{\"mode\":\"%s\",\"connections\":%u,\"rate\":%.1f,\"streams\":%u,",
               o->rate > 0 ? "open" : "closed", o->connections, o->rate, o->streams);
    buf_printf(out, "\"body_size\":%lu,\"seconds\":%.3f,\"requests\":%lu,\"rps\":%.1f,",
               o->body_size, seconds, l->latency.count, (double)l->latency.count / seconds);
    buf_printf(out, "\"errors\":{\"connect\":%lu,\"io\":%lu,\"status\":%lu,\"dropped\":%lu,",
               l->errors[BENCH_CONNECT], l->errors[BENCH_IO], l->errors[BENCH_STATUS], l->dropped);
    buf_printf(out, "\"stream\":%lu},\"body_bytes\":%lu,\"latency_us\":", l->stream_errors,
               l->body_bytes);
    bench_hist_json(&l->latency, out);
    buf_append_str(out, ",\"first_byte_us\":");
    bench_hist_json(&l->first, out);
    buf_printf(out, ",\"streams_open\":%u,\"ramp_us\":%lu,\"chunks\":%lu,\"chunks_per_s\":%.1f,",
               l->streams_open, l->ramp_us, l->chunks, (double)l->chunks / seconds);
    buf_append_str(out, "\"chunk_us\":");
    bench_hist_json(&l->chunk, out);
    report_processes(l, out);
    buf_append_str(out, "}\n");
}

// --- set-up -------------------------------------------------------------------------------------

static struct bench_conn *new_conns(struct load *l, unsigned n,
                                    const struct bench_conn_events *events)
{
    struct bench_conn *conns = mem_zalloc_array(n > 0 ? n : 1, sizeof(*conns));

    for (unsigned i = 0; i < n; i++) {
        bench_conn_init(&conns[i], l->loop, events, l, &l->o->address, l->o->address_n);
    }
    return conns;
}

static bool set_up(struct load *l, struct err *e)
{
    const struct bench_options *o = l->o;
    size_t ignored;

    l->loop = loop_new(e);
    if (l->loop == NULL) {
        return false;
    }
    list_init(&l->idle);
    rng_init(&l->rng, 0);
    l->conns = new_conns(l, o->connections, &request_events);
    l->streams = new_conns(l, o->streams, &stream_events);
    l->queue = mem_zalloc_array(o->rate > 0 ? QUEUE_MAX : 1, sizeof(*l->queue));
    buf_init(&l->request, o->body_size + 65536);
    buf_init(&l->stream_request, 65536);
    build_request(o, o->model, o->stream_answers, o->body_size, &l->serial_at, &l->request);
    build_request(o, o->stream_model, true, 0, &ignored, &l->stream_request);
    l->arrival.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (l->arrival.fd < 0) {
        return err_set(e, ERR_IO, "timerfd: %s", strerror(errno));
    }
    l->arrival.fn = on_arrival;
    l->timer.fn = on_timer;
    return loop_watch_add(l->loop, &l->arrival, LOOP_READ, e);
}

static void tear_down(struct load *l)
{
    if (l->loop == NULL) {
        return;
    }
    for (unsigned i = 0; i < l->o->connections; i++) {
        bench_conn_close(&l->conns[i]);
    }
    for (unsigned i = 0; i < l->o->streams; i++) {
        bench_conn_close(&l->streams[i]);
    }
    loop_timer_cancel(l->loop, &l->timer);
    loop_watch_remove(l->loop, &l->arrival);
    if (l->arrival.fd >= 0) {
        (void)close(l->arrival.fd);
    }
    buf_done(&l->request);
    buf_done(&l->stream_request);
    mem_free(l->conns);
    mem_free(l->streams);
    mem_free(l->queue);
    loop_free(&l->loop);
}

bool bench_load_run(const struct bench_options *o, struct buf *out, struct err *e)
{
    struct load *l = mem_zalloc(sizeof(*l));
    bool ok;

    l->o = o;
    ok = set_up(l, &l->error) && sample(l, l->idle_sample);
    if (ok) {
        l->begin_us = mono_now_us();
        loop_timer_set(l->loop, &l->timer, l->begin_us);
        loop_run(l->loop);
        ok = !l->failed;
    }
    if (ok) {
        report(l, out);
    } else if (e != NULL) {
        *e = l->error;
    }
    tear_down(l);
    mem_free(l);
    return ok;
}
