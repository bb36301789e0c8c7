// SPDX-License-Identifier: Apache-2.0
// The request object: making, facts, deadlines, letting go. What it does is in req_steps_*.c.
//
//   pool --req_new--> active --(httpd's on_done, ACCOUNT, DONE)--> pool
//                                     \--(a wake message is under way)--> zombie --(it came)-->
//                                     pool
//
// A request object is never freed while its worker lives, so that a wake message from the link's
// thread always names an object; `wake_queued` says whether one is under way.
#include "dataplane/req_priv.h"

#include <stdarg.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"

#define ARENA_BLOCK 4064u            // with its head 4 KiB; covers nearly every request; kept
#define TOTAL_GUARD (900 * MONO_SEC) // until the router's own timeout is known

static void on_timer(struct loop_timer *t)
{
    struct req *r = container_of(t, struct req, timer);

    r->armed_us = 0;
    req_post(r);
}

struct slice req_new_id(struct worker *w, char out[REQ_ID_CHARS + 1])
{
    uint8_t raw[REQ_ID_CHARS / 2];

    for (size_t i = 0; i < sizeof(raw); i += 8) {
        uint64_t x = rng_next(&w->rng);

        memcpy(raw + i, &x, 8);
    }
    text_hex(raw, sizeof(raw), out);
    return (struct slice){out, REQ_ID_CHARS};
}

struct slice req_id(const struct req *r)
{
    return r->request_id;
}

// The client's own id where it is harmless, else 128 random bits.
static struct slice make_id(struct req *r, struct slice given)
{
    for (size_t i = 0; i < given.n && given.n <= 128; i++) {
        unsigned char c = (unsigned char)given.p[i];

        if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\') {
            break;
        }
        if (i + 1 == given.n) {
            return arena_dup(&r->arena, given);
        }
    }
    return req_new_id(r->w, arena_alloc(&r->arena, REQ_ID_CHARS + 1));
}

static struct req *from_pool(struct worker *w)
{
    struct list_node *n = list_pop_front(&w->pool);
    struct req *r;

    if (n != NULL) {
        return container_of(n, struct req, node);
    }
    r = mem_zalloc(sizeof(*r));
    arena_init(&r->arena, ARENA_BLOCK, 0);
    atomic_init(&r->wake_queued, false);
    return r;
}

struct req *req_new(struct worker *w, struct httpd_req *q)
{
    struct req *r = from_pool(w);

    r->w = w;
    r->q = q;
    r->task.fn = req_run;
    r->timer.fn = on_timer;
    r->step = REQ_AUTHENTICATE;
    r->began_us = httpd_started_us(q);
    r->now_us = loop_now_us(w->loop);
    r->began_wall_us = loop_wall_us(w->loop);
    r->due[REQ_DUE_TOTAL] = r->now_us + TOTAL_GUARD;
    buf_init(&r->answer, XLATE_ANSWER_MAX + ATTEMPT_IN_MAX);
    buf_init(&r->best.body, ATTEMPT_ERROR_MAX);
    buf_init(&r->at.in, ATTEMPT_IN_MAX);
    r->method = arena_dup(&r->arena, httpd_method(q));
    (void)slice_cut(httpd_target(q), '?', &r->path);
    r->path = arena_dup(&r->arena, slice_head(r->path, 256));
    r->peer = arena_dup(&r->arena, httpd_peer(q));
    r->request_id = make_id(r, httpd_header(q, "x-request-id"));
    front_parse(httpd_method(q), httpd_target(q), &r->route);
    // Both dialects list models at one path.
    if ((r->route.kind == FRONT_MODELS || r->route.kind == FRONT_MODEL) &&
        httpd_header(q, "anthropic-version").p != NULL) {
        r->route.anthropic = true;
    }
    r->dialect = r->route.anthropic ? &dialect_anthropic : &dialect_openai;
    list_push_back(&w->active, &r->node);
    req_post(r);
    return r;
}

void req_post(struct req *r)
{
    loop_post(r->w->loop, &r->task);
}

// --- facts -------------------------------------------------------------------------------------

void req_on_ready(struct req *r)
{
    r->ready = true;
    r->ready_us = httpd_ready_us(r->q);
    req_post(r);
}

void req_on_gone(struct req *r)
{
    r->gone = true;
    req_post(r);
}

void req_on_drain(struct req *r)
{
    r->blocked = false;
    req_post(r);
}

void req_on_done(struct req *r, bool sent)
{
    r->done = true;
    r->sent = sent;
    r->gone = r->gone || !sent;
    r->q = NULL;
    req_post(r);
}

void req_on_refused(struct req *r, enum httpd_refusal why)
{
    r->refused = true;
    r->answered = true;
    r->status = why == HTTPD_BODY_TOO_LARGE ? 413 : (why == HTTPD_OVERLOADED ? 503 : 400);
    req_post(r);
}

void req_on_ending(struct req *r)
{
    r->ending = true;
    req_post(r);
}

void req_refuse_early(struct req *r)
{
    r->now_us = loop_now_us(r->w->loop);
    if (!req_screen(r)) {
        httpd_close_after(r->q);
        reply_failure(r);
    }
}

void req_wake_cb(struct limit_pass *p)
{
    struct req *r = container_of(p, struct req, pass);

    // A full mailbox is harmless: the parking deadline wakes the request.
    if (!atomic_exchange(&r->wake_queued, true) && !mbox_send(r->w->mbox, r->wake_msg)) {
        atomic_store(&r->wake_queued, false);
    }
}

void req_on_wake(struct req *r)
{
    atomic_store(&r->wake_queued, false);
    if (r->zombie) {
        r->zombie = false;
        req_release(r);
        return;
    }
    r->woken = true;
    req_post(r);
}

// --- deadlines ---------------------------------------------------------------------------------

void req_set_due(struct req *r, enum req_due d, uint64_t at_us)
{
    r->due[d] = at_us;
}

bool req_is_due(const struct req *r, enum req_due d)
{
    return r->due[d] != 0 && r->now_us >= r->due[d];
}

// Moving a deadline later costs nothing here: the timer fires at the old time, finds nothing due
// and is armed anew. An idle deadline that moves with each chunk is thus one timer operation a
// period.
void req_arm(struct req *r)
{
    uint64_t nearest = UINT64_MAX;

    for (int i = 0; i < REQ_N_DUE; i++) {
        if (r->due[i] != 0 && r->due[i] < nearest) {
            nearest = r->due[i];
        }
    }
    if (nearest != UINT64_MAX && (r->armed_us == 0 || nearest < r->armed_us)) {
        r->armed_us = nearest;
        loop_timer_set(r->w->loop, &r->timer, nearest);
    }
}

// --- failing, committing -----------------------------------------------------------------------

enum req_next req_fail(struct req *r, enum reply_code code, const char *fmt, ...)
{
    va_list ap;

    if (r->fail.code != REPLY_NONE) {
        return REQ_MORE; // the first reason is the one that is reported
    }
    r->fail.code = code;
    va_start(ap, fmt);
    (void)vsnprintf(r->fail.message, sizeof(r->fail.message), fmt, ap); // cut is fine
    va_end(ap);
    return REQ_MORE;
}

struct meter_rates req_rates(const struct req *r, const struct route_candidate *c)
{
    return meter_rates_of(&c->provider->res->u.provider->quirks, r->began_wall_us);
}

void req_note_answerer(struct req *r)
{
    const struct route_candidate *c = r->at.cand;

    if (c == NULL) {
        return;
    }
    r->provider = arena_dup(&r->arena, slice_str(c->provider->res->id));
    r->answered_model = arena_dup(&r->arena, c->model);
    r->priced = c->price != NULL;
    if (r->priced) {
        r->price = price_copy(c->price, &r->arena);
    }
    if (log_access_enabled()) {
        r->prices_as_of = arena_dup(&r->arena, slice_str(snapshot_settings(r->snap)->prices_as_of));
    }
    r->believes_cost = (c->provider->res->u.provider->quirks.flags & RESOURCE_REPORTS_COST) != 0;
    r->rates = req_rates(r, c);
}

struct price_cost req_cost(const struct req *r, const struct dialect_usage *u)
{
    const struct route_candidate *c = r->at.cand;
    struct meter_rates rates;

    if (c == NULL) { // committed: the answerer's are kept
        return meter_cost(r->priced ? &r->price : NULL, &r->rates, u, r->believes_cost);
    }
    rates = req_rates(r, c);
    return meter_cost(c->price, &rates, u,
                      (c->provider->res->u.provider->quirks.flags & RESOURCE_REPORTS_COST) != 0);
}

struct slice req_cost_text(void *req, const struct dialect_usage *u, char out[40])
{
    struct price_cost c = req_cost(req, u);

    return c.known ? slice_str(price_format_usd(c.pico, out)) : SLICE_NULL;
}

void req_show_cost(const struct req *r, struct price_cost cost, struct buf *body)
{
    struct buf with;
    char text[40];

    if (!r->rq.usage_in_body || r->at.xlate != NULL || r->at.encoded) {
        return;
    }
    buf_init(&with, body->n + 64);
    if (meter_insert_cost(buf_slice(body),
                          slice_str(cost.known ? price_format_usd(cost.pico, text) : "null"),
                          &with)) {
        buf_move(body, &with);
    }
    buf_done(&with);
}

void req_commit(struct req *r)
{
    r->committed = true;
    r->at.cand = NULL;
    r->repeat = NULL;
    r->plan = (struct route_plan){.n = 0};
    r->router = NULL;
    r->key = NULL;
    r->raw_provider = NULL;
    snapshot_unref(&r->snap);
    if (r->q != NULL) {
        httpd_drop_body(r->q);
    }
}

// --- letting go --------------------------------------------------------------------------------

// Every handle a request may hold, in one list. Idempotent.
static void teardown(struct req *r)
{
    attempt_reset(r);
    buf_done(&r->at.in);
    stream_close(&r->out);
    if (r->xlate != NULL) {
        xlate_done(r->xlate);
    }
    buf_done(&r->answer);
    buf_done(&r->best.body);
    cache_entry_unref(&r->entry);
    snapshot_unref(&r->snap);
    loop_timer_cancel(r->w->loop, &r->timer);
    loop_unpost(r->w->loop, &r->task);
}

static void to_pool(struct req *r)
{
    struct worker *w = r->w;
    struct arena arena = r->arena;
    struct mbox_msg *wake = r->wake_msg;

    arena_reset(&arena);
    memset(r, 0, sizeof(*r));
    r->arena = arena;
    r->wake_msg = wake;
    atomic_init(&r->wake_queued, false);
    if (w->pool.count < WORKER_POOL_MAX) {
        list_push_front(&w->pool, &r->node);
    } else {
        req_destroy(r);
    }
}

void req_release(struct req *r)
{
    if (list_in_one(&r->node)) {
        CHECK(r->q == NULL);
        list_remove(&r->w->active, &r->node);
        teardown(r);
    }
    if (atomic_load(&r->wake_queued)) {
        r->zombie = true; // the mailbox still names it
        return;
    }
    to_pool(r);
}

struct req *req_from_node(struct list_node *n)
{
    return container_of(n, struct req, node);
}

void req_destroy(struct req *r)
{
    arena_done(&r->arena);
    worker_wake_free(&r->wake_msg);
    mem_free(r);
}

// --- looking at it -----------------------------------------------------------------------------

void req_describe(const struct req *r, uint64_t now_us, struct buf *out)
{
    buf_append_str(out, "{\"id\":");
    text_json_string(out, r->request_id);
    buf_append_str(out, ",\"method\":");
    text_json_string(out, r->method);
    buf_append_str(out, ",\"path\":");
    text_json_string(out, r->path);
    buf_printf(out, ",\"step\":\"%s\",\"age_ms\":%llu,\"attempts\":%u,\"stream\":%s,\"status\":%u",
               req_step_name(r->step), (unsigned long long)((now_us - r->began_us) / MONO_MS),
               r->attempts, r->stream ? "true" : "false", r->status);
    buf_append_str(out, ",\"router\":");
    text_json_string(out, r->router_name);
    buf_append_str(out, ",\"principal\":");
    text_json_string(out, r->principal);
    buf_append_str(out, ",\"provider\":");
    text_json_string(out, r->provider);
    buf_printf(out, ",\"worker\":%u,\"trace\":[", r->w->index);
    uint32_t n = r->n_trace < REQ_TRACE ? r->n_trace : REQ_TRACE;
    for (uint32_t i = 0; i < n; i++) {
        const struct req_trace *t = &r->trace[(r->n_trace - n + i) % REQ_TRACE];

        buf_printf(out, "%s\"%s@%u\"", i == 0 ? "" : ",", req_step_name((enum req_step)t->step),
                   t->at_ms);
    }
    buf_append_str(out, "]}");
}
