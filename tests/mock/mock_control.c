// SPDX-License-Identifier: Apache-2.0
// Every port serves these, also for the other ports; they are not attempts and not in the log.
#include "tests/mock/mock_control.h"

#include <stdio.h>

#include "common/base/mono.h"
#include "tests/mock/mock_port.h"
#include "tests/mock/mock_put.h"
#include "tests/mock/mock_reply.h"

#define POLL_US         2000u
#define WAIT_MS_DEFAULT 5000u
#define ANSWER_MAX      ((size_t)256 << 20)

bool mock_control_is(const struct mock_head *h)
{
    return slice_starts(h->path, SLICE("/__mock/"));
}

// Value of a query parameter, not decoded but for %2F and %2B; SLICE_NULL if absent.
static struct slice parameter(struct slice query, const char *name)
{
    while (query.n > 0) {
        struct slice pair, key, value;

        query = slice_cut(query, '&', &pair);
        value = slice_cut(pair, '=', &key);
        if (slice_eq_str(key, name)) {
            return value.p == NULL ? SLICE("") : value;
        }
    }
    return SLICE_NULL;
}

static uint64_t number(struct slice query, const char *name, uint64_t preset)
{
    struct slice v = parameter(query, name);
    uint64_t n = 0;

    return v.p != NULL && slice_to_u64(v, &n) ? n : preset;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static struct slice percent_decode(struct slice s, char *out, size_t cap)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n && n < cap; i++) {
        int hi = s.p[i] == '%' && i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
        int lo = hi >= 0 ? hex_digit(s.p[i + 2]) : -1;

        out[n++] = lo >= 0 ? (char)(hi * 16 + lo) : s.p[i];
        i += lo >= 0 ? 2 : 0;
    }
    return SLICE_MAKE(out, n);
}

// model: storage for the decoded name.
static struct mock_journal_filter filter_of(struct slice query, char model[300])
{
    struct slice name = parameter(query, "model");

    return (struct mock_journal_filter){
        .since = number(query, "since", 0),
        .port = (uint16_t)number(query, "port", 0),
        .model = name.p == NULL ? SLICE_NULL : percent_decode(name, model, 300),
        .ended_only = number(query, "ended", 0) != 0,
    };
}

static void fail(struct mock_conn *c, uint32_t status, const char *message)
{
    struct buf *b = &c->worker->scratch;

    buf_clear(b);
    mock_reply_error_text("mock_control_error", NULL, message, b);
    mock_conn_reply(c, status, buf_slice(b));
}

static void answer_ok(struct mock_conn *c)
{
    mock_conn_reply(c, 200, SLICE("{\"ok\":true}\n"));
}

static void get_log(struct mock_conn *c)
{
    char model[300];
    struct mock_journal_filter f = filter_of(c->head.query, model);
    struct buf out;

    buf_init(&out, ANSWER_MAX);
    mock_journal_json(c->worker->mock->journal, &f, &out);
    mock_conn_reply(c, 200, buf_slice(&out));
    buf_done(&out);
}

static void get_stats(struct mock_conn *c)
{
    struct mock *m = c->worker->mock;
    struct buf *b = &c->worker->scratch;

    buf_clear(b);
    buf_printf(b, "{\"uptime_us\":%lu,\"workers\":%u,\"connections_open\":%lu,",
               loop_now_us(c->worker->loop) - m->start_us, m->n_workers,
               atomic_load(&m->connections_open));
    buf_printf(b, "\"connections_total\":%lu,\"log\":", atomic_load(&m->connections_total));
    mock_journal_stats(m->journal, b);
    put(b, ",\"ports\":[");
    for (size_t i = 0; i < m->n_ports; i++) {
        struct mock_port *p = &m->ports[i];

        buf_printf(b, "%s{\"port\":%u,\"down\":%s,\"requests\":%lu,\"connections\":%lu}",
                   i > 0 ? "," : "", (unsigned)p->port, atomic_load(&p->down) ? "true" : "false",
                   atomic_load(&p->requests), atomic_load(&p->connections));
    }
    put(b, "]}\n");
    mock_conn_reply(c, 200, buf_slice(b));
}

static void post_reset(struct mock_conn *c)
{
    struct mock *m = c->worker->mock;

    mock_journal_reset(m->journal);
    mock_rules_reset(m->rules);
    for (size_t i = 0; i < m->n_ports; i++) {
        mock_port_set_down(m, &m->ports[i], false);
        atomic_store(&m->ports[i].requests, 0);
        atomic_store(&m->ports[i].connections, 0);
    }
    answer_ok(c);
}

static void post_port(struct mock_conn *c, struct slice body)
{
    struct mock *m = c->worker->mock;
    struct slice mode = mock_ask_field(body, "mode"), port = mock_ask_field(body, "port");
    struct mock_port *p = c->port;
    bool down = slice_eq(mode, SLICE("down")), up = slice_eq(mode, SLICE("up"));
    uint64_t n = 0;
    struct err e;

    if (port.p != NULL) {
        p = slice_to_u64(port, &n) && n <= 65535 ? mock_port_find(m, (uint16_t)n) : NULL;
    }
    if (p == NULL || mode.p == NULL) {
        fail(c, 400,
             "expected {\"port\":N,\"mode\":\"up|down|BEHAVIOUR\"} with a port of this mock");
        return;
    }
    if (!mock_rules_set_mode(m->rules, p->port, down || up ? SLICE("") : mode, &e)) {
        fail(c, 400, e.message);
        return;
    }
    // The answer to this request has to get out even when it came in by the port it takes down.
    c->keep_when_down = down;
    mock_port_set_down(m, p, down);
    answer_ok(c);
}

static void post_scenario(struct mock_conn *c, struct slice body)
{
    struct err e;

    if (!mock_rules_set_scenario(c->worker->mock->rules, body, &e)) {
        fail(c, 400, e.message);
        return;
    }
    answer_ok(c);
}

// GET /__mock/wait?count=N&timeout_ms=T with the filters of /log: answers when that many attempts
// match, or &idle=1: when no attempt is open.
void mock_control_poll(struct mock_conn *c)
{
    char model[300];
    struct slice query = c->head.query;
    struct mock_journal_filter f = filter_of(query, model);
    struct mock_journal *j = c->worker->mock->journal;
    uint64_t now = loop_now_us(c->worker->loop);
    size_t count = mock_journal_count(j, &f);
    bool done = number(query, "idle", 0) != 0 ? mock_journal_open(j) == 0
                                              : count >= number(query, "count", 1);
    char json[96];

    if (!done && now < c->wait_until_us) {
        loop_timer_set(c->worker->loop, &c->ticker, now + POLL_US);
        return;
    }
    (void)snprintf(json, sizeof(json), "{\"ok\":%s,\"count\":%zu}\n", done ? "true" : "false",
                   count);
    mock_conn_reply(c, 200, slice_str(json));
}

static void start_wait(struct mock_conn *c)
{
    c->wait_until_us = loop_now_us(c->worker->loop) +
                       number(c->head.query, "timeout_ms", WAIT_MS_DEFAULT) * MONO_MS;
    mock_control_poll(c);
}

void mock_control_handle(struct mock_conn *c, struct slice body)
{
    struct slice what = slice_from(c->head.path, strlen("/__mock/"));
    bool get = slice_eq(c->head.method, SLICE("GET"));
    bool post = slice_eq(c->head.method, SLICE("POST"));

    if (get && slice_eq(what, SLICE("log"))) {
        get_log(c);
    } else if (get && slice_eq(what, SLICE("stats"))) {
        get_stats(c);
    } else if (get && slice_eq(what, SLICE("wait"))) {
        start_wait(c);
    } else if (post && slice_eq(what, SLICE("reset"))) {
        post_reset(c);
    } else if (post && slice_eq(what, SLICE("port"))) {
        post_port(c, body);
    } else if (post && slice_eq(what, SLICE("scenario"))) {
        post_scenario(c, body);
    } else {
        fail(c, 404, "GET log, stats, wait; POST reset, port, scenario");
    }
}
