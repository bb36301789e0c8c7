// SPDX-License-Identifier: Apache-2.0
// The request machine without sockets: the test plays client and provider (fake_io.h) and moves the
// clock (fake_mono.h), everything between them is real.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "dataplane/limit_store.h"
#include "dataplane/metrics.h"
#include "dataplane/req_priv.h"
#include "tests/unit/dataplane/build.h"
#include "tests/unit/dataplane/fake_io.h"
#include "tests/unit/fake_mono.h"

#define OK_HEAD  "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nx-request-id: up-1"
#define SSE_HEAD "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked"
#define CHAT     "/v1/chat/completions"
#define ASK      "{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}"
#define ASK_TWO  "{\"model\":\"gpt\",\"messages\":[{\"role\":\"user\",\"content\":\"ho\"}]}"
#define ASK_SSE  "{\"model\":\"gpt\",\"stream\":true,\"messages\":[]}"
#define ANSWER                                                                                     \
    "{\"choices\":[{\"index\":0}],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":5}}"
#define ROLE                                                                                       \
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"}}]}\n\n"
#define WORD(w) "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" w "\"}}]}\n\n"
#define FINISH  "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
#define USAGE   "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\n\n"
#define SSE_ERROR                                                                                  \
    "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\",\"code\":null}}\n\n"
#define GAVE_UP                                                                                    \
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"network_error\"}]}\n\n"
#define DONE "data: [DONE]\n\n"

static struct worker_shared shared;
static struct worker worker;
static struct build build;
static struct snapshot *snap;
static struct resource_router *router;
static struct resource_settings *settings;
static bool lease_link_up;
static unsigned leases_asked;

static bool ask_lease(void *arg, const struct limit_ask *items, size_t n)
{
    (void)arg;
    (void)items;
    leases_asked += (unsigned)n;
    return lease_link_up;
}

static void add_world(void)
{
    static const struct resource_model_at at[] = {
        {.provider = "one",
         .id = "gpt",
         .price =
             {.input = 1000000, .cached = 500000, .cache_write = UINT64_MAX, .output = 2000000}},
        {.provider = "two",
         .id = "gpt-two",
         .price = {
             .input = 1000000, .cached = 500000, .cache_write = UINT64_MAX, .output = 2000000}}};
    static const struct resource_target targets[] = {{"one", NULL, 1000}, {"two", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_PRIORITY, targets, 2};
    static const char *const names[] = {"one", "two"};

    for (size_t i = 0; i < 2; i++) {
        struct resource_provider *p = build_provider(&build, names[i], "KEY");

        p->base_url = i == 0 ? "http://one.test:81/v1/" : "http://two.test/x/v1/";
        p->raw_url = i == 0 ? "http://one.test:81/" : "http://two.test/x/";
        p->auth_header = "authorization";
        p->auth_scheme = "Bearer";
    }
    build_provider_key(&build, "k1", "one", 1)->value = secret_new(SLICE("secret-one"));
    build_provider_key(&build, "k2", "two", 1)->value = secret_new(SLICE("secret-two"));
    (void)build_model(&build, "gpt", at, 2);
    router = build_add(&build, RESOURCE_ROUTER, "main")->u.router;
    router->balances = &balance;
    router->n_balances = 1;
    settings = build_add(&build, RESOURCE_SETTINGS, "global")->u.settings;
    settings->default_router = "main";
}

static int setup(void **state)
{
    static const struct target_config targets = {250000, 30000000, 30000000, 30000000};
    const struct limit_config limits = {.ask = ask_lease, .park_us = 20000};
    struct err e;
    struct loop *l = loop_new(&e);

    (void)state;
    assert_non_null(l);
    shared = (struct worker_shared){
        .conf = {.auth_default = RESOURCE_AUTH_OPTIONAL, .auth_may_be_open = true}};
    shared.link = (struct link *)(void *)&shared; // never looked into: link.h is a fake here
    shared.metrics = metrics_registry_new();
    shared.targets = target_table_new(&targets, 64);
    shared.limits = limit_store_new(&limits);
    shared.workers = NULL;
    assert_true(worker_init_bare(&worker, &shared, l, &e));
    fake_worker = &worker;
    lease_link_up = false;
    leases_asked = 0;
    memset(&fake_usage, 0, sizeof(fake_usage));
    build.n = 0;
    add_world();
    return 0;
}

// Called by a test once it has changed router and settings as it wants them.
static void go(void)
{
    snap = build_snapshot(&build);
    worker.snapshot = snapshot_ref(snap);
}

static int teardown(void **state)
{
    struct cache *cache = atomic_load(&shared.cache);

    (void)state;
    assert_int_equal(worker.active.count, 0);
    worker_done_bare(&worker);
    limit_store_free(&shared.limits);
    cache_free(&cache);
    target_table_free(&shared.targets);
    metric_registry_free(&shared.metrics);
    build_done(&build, &snap);
    fake_forget_calls();
    return 0;
}

// Time passes, and what that leads to happens.
static void pass(uint64_t us)
{
    fake_mono_advance(us);
    fake_turns();
}

static enum req_step step_of(const struct httpd_req *q)
{
    return ((const struct req *)q->user)->step;
}

// --- plain answers -----------------------------------------------------------------------------

static void passes_a_plain_answer(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK);
    assert_int_equal(step_of(&q), REQ_HEAD);
    assert_int_equal(fake_n_calls, 1);
    assert_string_equal(fake_call(0)->origin, "http://one.test:81");
    assert_true(fake_has(&fake_call(0)->head,
                         "POST /v1/chat/completions HTTP/1.1\r\nhost: one.test:81\r\n"));
    assert_true(fake_has(&fake_call(0)->head, "authorization: Bearer secret-one\r\n"));
    assert_true(fake_has(&fake_call(0)->head, "accept-encoding: identity\r\n"));
    assert_true(slice_eq(buf_slice(&fake_call(0)->body), slice_str(ASK)));
    fake_answer(0, OK_HEAD "\r\nset-cookie: a=b\r\nx-other: 1", ANSWER);
    assert_int_equal(step_of(&q), REQ_SEND);
    assert_int_equal(q.status, 200);
    assert_true(slice_eq(buf_slice(&q.out), slice_str(ANSWER)));
    assert_true(fake_has(&q.head, "x-sluice-provider: one\n"));
    assert_true(fake_has(&q.head, "x-sluice-model: gpt\n"));
    assert_true(fake_has(&q.head, "x-sluice-attempts: 1\n"));
    assert_true(fake_has(&q.head, "x-sluice-cost: 0.00002\n")); // 10 x 1e-6 + 5 x 2e-6
    assert_true(fake_has(&q.head, "x-sluice-upstream-request-id: up-1\n"));
    assert_true(fake_has(&q.head, "x-other: 1\n"));
    assert_false(fake_has(&q.head, "set-cookie"));
    fake_finish(&q);
    assert_int_equal(fake_usage.n, 1);
    assert_int_equal(fake_usage.input, 10);
    assert_int_equal(fake_usage.output, 5);
    assert_int_equal(fake_usage.cost, 20000);
    fake_free(&q);
}

// As much of a head as header-memory allows at most.
static void passes_on_long_headers(void **state)
{
    static const char *const taken[] = {"x-own", "X-Own", "traceparent", "x-absent"};
    char *value = mem_zalloc(800001);
    struct resource_quirks *quirks = &build.list[0]->u.provider->quirks;
    struct httpd_req q;

    (void)state;
    memset(value, 'v', 800000);
    quirks->takes_headers = taken;
    quirks->n_takes_headers = ARRAY_LEN(taken);
    go();
    fake_prepare(&q, "POST", CHAT, ASK);
    fake_header(&q, "traceparent", value);
    fake_header(&q, "x-own", "o");
    fake_send(&q);
    assert_true(fake_call(0)->head.n > 800000);
    assert_true(fake_call(0)->head.n < 801000); // once
    assert_true(fake_has(&fake_call(0)->head, "\r\nx-own: o\r\n"));
    assert_false(fake_has(&fake_call(0)->head, "X-Own"));
    fake_answer(0, OK_HEAD, ANSWER);
    assert_int_equal(q.status, 200);
    fake_finish(&q);
    fake_free(&q);
    mem_free(value);
}

static void maps_the_model_and_removes_extensions(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(
        &q, CHAT,
        "{\"model\":\"two/gpt-two\",\"provider\":{\"only\":[\"two\"]},\"x\":1,\"usage\":{}}");
    assert_string_equal(fake_call(0)->origin, "http://two.test");
    assert_true(fake_has(&fake_call(0)->head, "POST /x/v1/chat/completions"));
    assert_true(slice_eq(buf_slice(&fake_call(0)->body), SLICE("{\"model\":\"gpt-two\",\"x\":1}")));
    fake_answer(0, OK_HEAD, ANSWER);
    fake_finish(&q);
    fake_free(&q);
}

static void relays_a_large_answer_from_the_bound_on(void **state)
{
    struct httpd_req q;
    char *mib = mem_alloc((1u << 20) + 2);

    (void)state;
    go();
    memset(mib, 'x', (1u << 20) + 1);
    mib[(1u << 20) + 1] = '\0';
    fake_request(&q, CHAT, ASK);
    fake_answer_head(0, OK_HEAD "\r\ncontent-length: 9000000");
    fake_answer_data(0, "{");
    fake_turns();
    assert_int_equal(step_of(&q), REQ_COLLECT);
    fake_answer_data(0, mib);
    fake_turns();
    assert_int_equal(step_of(&q), REQ_RELAY);
    assert_int_equal(q.out.n, (1u << 20) + 2);
    fake_answer_end(0, UPSTREAM_TRUNCATED); // a cut body must not look whole
    fake_turns();
    assert_true(q.aborted);
    assert_false(q.ended);
    fake_finish(&q);
    mem_free(mib);
    fake_free(&q);
}

static void checks_a_plain_answer(void **state)
{
    static const struct {
        const char *head, *body;
        enum upstream_result end;
    } bad[] = {
        {OK_HEAD, "{\"choices\":[", UPSTREAM_COMPLETE},
        {OK_HEAD, ANSWER, UPSTREAM_TRUNCATED},
        {"HTTP/1.1 200 OK\r\ncontent-type: text/html", "<html>", UPSTREAM_COMPLETE},
        {OK_HEAD, "{\"error\":{\"message\":\"m\",\"code\":502}}", UPSTREAM_COMPLETE},
        {OK_HEAD, "{\"error\":\"no instance\"}", UPSTREAM_COMPLETE},
        {OK_HEAD, "{\"object\":\"error\",\"message\":\"m\",\"code\":503}", UPSTREAM_COMPLETE},
        // Groq: above the tokens of a minute
        {"HTTP/1.1 413 No", "{\"error\":{\"message\":\"m\",\"type\":\"tokens\"}}",
         UPSTREAM_COMPLETE},
        {"HTTP/1.1 412 No", "{}", UPSTREAM_COMPLETE}, // Fireworks: the model is no more
        // credit used up, in words of DashScope
        {"HTTP/1.1 400 No", "{\"error\":{\"message\":\"m\",\"code\":\"Arrearage\"}}",
         UPSTREAM_COMPLETE},
        {"HTTP/1.1 500 No", "", UPSTREAM_COMPLETE},
        {"HTTP/1.1 429 No", "{}", UPSTREAM_COMPLETE},
        {"HTTP/1.1 401 No", "{}", UPSTREAM_COMPLETE},
    };

    (void)state;
    go();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct httpd_req q;

        fake_request(&q, CHAT, ASK);
        fake_answer_head(0, bad[i].head);
        fake_answer_data(0, bad[i].body);
        fake_answer_end(0, bad[i].end);
        fake_turns();
        // Nobody notices: the second target answers.
        assert_int_equal(fake_n_calls, 2);
        assert_true(fake_has(&fake_call(1)->head, "secret-two"));
        fake_answer(1, OK_HEAD, ANSWER);
        assert_int_equal(q.status, 200);
        assert_true(fake_has(&q.head, "x-sluice-attempts: 2\n"));
        fake_finish(&q);
        fake_free(&q);
        fake_forget_calls();
        // A fresh table, so that one case's ejections do not reach the next.
        target_table_free(&shared.targets);
        shared.targets =
            target_table_new(&(struct target_config){250000, 30000000, 30000000, 30000000}, 64);
    }
}

static void reports_errors_in_their_order(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK);
    fake_answer(0, "HTTP/1.1 500 No\r\ncontent-type: application/json",
                "{\"error\":{\"message\":\"five\",\"type\":\"t\"}}");
    fake_answer(1, "HTTP/1.1 429 No\r\ncontent-type: application/json\r\nretry-after: 9",
                "{\"error\":{\"message\":\"four\",\"type\":\"requests\",\"code\":\"rate\"}}");
    assert_int_equal(q.status, 429); // 429 before 5xx
    assert_true(fake_has(&q.out, "\"message\":\"four\""));
    assert_true(fake_has(&q.out, "\"attempts\":2"));
    assert_true(fake_has(&q.head, "x-sluice-upstream-status: 429\n"));
    assert_true(fake_has(&q.head, "retry-after: 9\n"));
    fake_finish(&q);
    fake_free(&q);
}

static void passes_a_single_error_unchanged(void **state)
{
    static const char body[] =
        "{ \"error\": {\"message\":\"bad\", \"type\":\"invalid_request_error\"} }";
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK);
    fake_answer(0, "HTTP/1.1 400 No\r\ncontent-type: application/json", body);
    assert_int_equal(fake_n_calls, 1); // a 400 is not tried elsewhere
    assert_int_equal(q.status, 400);
    assert_true(slice_eq(buf_slice(&q.out), slice_str(body)));
    fake_finish(&q);
    fake_free(&q);
}

static void names_the_failure_when_nobody_answered(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_prepare(&q, "POST", CHAT, ASK);
    fake_header(&q, "x-sluice-explain", "1");
    fake_send(&q);
    fake_answer_end(0, UPSTREAM_CONNECT_TIMEOUT);
    fake_turns();
    fake_answer_end(1, UPSTREAM_CONNECT_TIMEOUT); // after a timeout never the same target again
    fake_turns();
    assert_int_equal(fake_n_calls, 2);
    assert_int_equal(q.status, 504);
    assert_true(fake_has(&q.out, "upstream_timeout"));
    assert_true(
        fake_has(&q.head, "x-sluice-route: one/gpt=connect timeout, two/gpt-two=connect timeout"));
    assert_false(fake_has(&q.head, "x-sluice-upstream-status"));
    fake_finish(&q);
    fake_free(&q);
}

// --- streams -----------------------------------------------------------------------------------

static void relays_a_stream(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    assert_true(fake_has(&fake_call(0)->body, "\"stream_options\":{\"include_usage\":true}"));
    fake_answer_head(0, SSE_HEAD);
    fake_answer_data(0, ": comment\n\n" ROLE);
    fake_turns();
    assert_int_equal(step_of(&q), REQ_HOLD);
    assert_false(q.streaming); // nothing before the first content
    fake_answer_data(0, WORD("a"));
    loop_turn(worker.loop, 0); // the same turn
    assert_int_equal(step_of(&q), REQ_STREAM);
    assert_true(slice_eq(buf_slice(&q.out), slice_str(": comment\n\n" ROLE WORD("a"))));
    assert_true(q.dropped);
    fake_answer_data(0, WORD("b") FINISH USAGE DONE);
    fake_answer_end(0, UPSTREAM_COMPLETE);
    fake_turns();
    assert_true(slice_eq(buf_slice(&q.out),
                         slice_str(": comment\n\n" ROLE WORD("a") WORD("b") FINISH DONE)));
    assert_true(q.ended);
    assert_true(fake_has(&q.head, "content-type: text/event-stream; charset=utf-8\n"));
    assert_true(fake_has(&q.head, "cache-control: no-cache\n"));
    fake_finish(&q);
    assert_int_equal(fake_usage.input, 7); // hidden from the client, counted by us
    assert_int_equal(fake_usage.output, 3);
    fake_free(&q);
}

static void leaves_a_usage_event_that_was_asked_for(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT,
                 "{\"model\":\"gpt\",\"stream\":true,\"stream_options\":{\"include_usage\":true}}");
    fake_answer(0, SSE_HEAD, WORD("a") FINISH USAGE DONE);
    assert_true(slice_eq(buf_slice(&q.out), slice_str(WORD("a") FINISH USAGE DONE)));
    fake_finish(&q);
    fake_free(&q);
}

// A whole answer where a stream was asked for is told as one.
static void tells_an_answer_as_a_stream(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    fake_answer(0, OK_HEAD,
                "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":"
                "\"assistant\",\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}");
    assert_int_equal(fake_n_calls, 1);
    assert_int_equal(q.status, 200);
    assert_true(fake_has(&q.head, "text/event-stream"));
    assert_true(fake_has(&q.out, "\"content\":\"Hi\""));
    assert_true(slice_ends(buf_slice(&q.out), SLICE("data: [DONE]\n\n")));
    fake_finish(&q);
    fake_free(&q);
}

static void fails_over_before_the_first_content(void **state)
{
    static const struct {
        const char *head, *data;
        enum upstream_result end;
    } bad[] = {
        {SSE_HEAD, ROLE SSE_ERROR, UPSTREAM_COMPLETE},
        {SSE_HEAD, ROLE GAVE_UP, UPSTREAM_COMPLETE},
        {SSE_HEAD, ROLE, UPSTREAM_TRUNCATED},
        {SSE_HEAD, ROLE, UPSTREAM_COMPLETE},
        {SSE_HEAD, "data: {\"choices\":[\n\n", UPSTREAM_COMPLETE},
        {SSE_HEAD "\r\ncontent-encoding: gzip", "", UPSTREAM_COMPLETE},
        {OK_HEAD, "{\"id\":\"no answer\"}", UPSTREAM_COMPLETE},
    };

    (void)state;
    go();
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct httpd_req q;

        fake_request(&q, CHAT, ASK_SSE);
        fake_answer_head(0, bad[i].head);
        fake_answer_data(0, bad[i].data);
        fake_answer_end(0, bad[i].end);
        fake_turns();
        assert_int_equal(fake_n_calls, 2);
        fake_answer(1, SSE_HEAD, WORD("x") FINISH DONE);
        assert_true(slice_eq(buf_slice(&q.out), slice_str(WORD("x") FINISH DONE)));
        fake_finish(&q);
        fake_free(&q);
        fake_forget_calls();
        target_table_free(&shared.targets);
        shared.targets =
            target_table_new(&(struct target_config){250000, 30000000, 30000000, 30000000}, 64);
    }
}

static void ends_a_cut_stream_with_an_error_event(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    fake_answer_head(0, SSE_HEAD);
    fake_answer_data(0, WORD("a") "data: {\"choices\":[{\"half");
    fake_turns();
    fake_answer_end(0, UPSTREAM_TRUNCATED);
    fake_turns();
    assert_true(slice_starts(buf_slice(&q.out), slice_str(WORD("a") "data: {\"error\":")));
    assert_true(fake_has(&q.out, "upstream_truncated"));
    assert_false(fake_has(&q.out, "[DONE]"));
    assert_false(fake_has(&q.out, "half")); // half an event is nobody's
    assert_true(q.ended);
    assert_int_equal(fake_n_calls, 1);
    fake_finish(&q);
    assert_true(fake_usage.estimated);
    fake_free(&q);
}

static void relays_an_error_event_after_content(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    fake_answer(0, SSE_HEAD, WORD("a") SSE_ERROR);
    assert_true(slice_eq(buf_slice(&q.out), slice_str(WORD("a") SSE_ERROR)));
    assert_true(q.ended);
    fake_finish(&q);
    fake_free(&q);
}

static void takes_every_split(void **state)
{
    static const char text[] = ": c\n\n" ROLE WORD("a") WORD("b") FINISH USAGE DONE;
    static const char want[] = ": c\n\n" ROLE WORD("a") WORD("b") FINISH DONE;

    (void)state;
    go();
    for (size_t at = 1; at < sizeof(text) - 1; at += 7) {
        struct httpd_req q;
        char first[sizeof(text)];

        memcpy(first, text, at);
        first[at] = '\0';
        fake_request(&q, CHAT, ASK_SSE);
        fake_answer_head(0, SSE_HEAD);
        fake_answer_data(0, first);
        fake_turns();
        fake_answer_data(0, text + at);
        fake_answer_end(0, UPSTREAM_COMPLETE);
        fake_turns();
        assert_true(slice_eq(buf_slice(&q.out), slice_str(want)));
        fake_finish(&q);
        fake_free(&q);
        fake_forget_calls();
    }
}

static void pauses_the_provider_for_a_slow_client(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    fake_answer_head(0, SSE_HEAD);
    fake_answer_data(0, WORD("a"));
    fake_turns();
    q.full = true;
    fake_answer_data(0, WORD("b"));
    fake_turns();
    assert_true(fake_call(0)->paused);
    fake_room(&q);
    assert_false(fake_call(0)->paused);
    fake_answer_data(0, FINISH DONE);
    fake_answer_end(0, UPSTREAM_COMPLETE);
    fake_turns();
    fake_finish(&q);
    fake_free(&q);
}

static void cancels_upstream_when_the_client_leaves(void **state)
{
    (void)state;
    go();
    for (int when = 0; when < 3; when++) {
        struct httpd_req q;

        fake_request(&q, CHAT, ASK_SSE);
        if (when > 0) {
            fake_answer_head(0, SSE_HEAD);
            fake_turns();
        }
        if (when > 1) {
            fake_answer_data(0, WORD("a"));
            fake_turns();
        }
        fake_gone(&q);
        loop_turn(worker.loop, 0); // in the same turn
        assert_true(fake_call(0)->cancelled);
        assert_int_equal(step_of(&q), REQ_SEND);
        fake_finish(&q);
        fake_free(&q);
        fake_forget_calls();
    }
}

static void holds_and_keeps_alive(void **state)
{
    struct httpd_req q;

    (void)state;
    router->timeouts.hold_us = 2000;
    router->timeouts.first_byte_us = 20000;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    pass(1000);
    assert_false(q.streaming);
    pass(1000); // the hold is over
    assert_true(q.streaming);
    assert_int_equal(q.status, 200);
    assert_int_equal(q.out.n, 0);
    pass(17000);
    assert_int_equal(fake_n_calls, 1);
    pass(1000); // first byte timeout: failover goes on behind the head
    assert_int_equal(fake_n_calls, 2);
    assert_true(fake_call(0)->cancelled);
    fake_answer(1, SSE_HEAD, WORD("x") FINISH DONE);
    assert_true(slice_eq(buf_slice(&q.out), slice_str(WORD("x") FINISH DONE)));
    fake_finish(&q);
    fake_free(&q);
}

// A head before the first content, and silence in the middle, each in the client's words.
static void keeps_silent_streams_alive(void **state)
{
    static const struct {
        const char *path, *ask, *ping;
    } rows[] = {
        {CHAT, ASK_SSE, ": keep-alive\n\n"},
        {"/v1/messages",
         "{\"model\":\"gpt\",\"max_tokens\":9,\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":"
         "\"u\"}]}",
         "event: ping\ndata: {\"type\":\"ping\"}\n\n"},
    };
    struct httpd_req q;

    (void)state;
    router->timeouts.hold_us = 1000;
    worker.keep_alive_us = 3000;
    go();
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t before;

        fake_request(&q, rows[i].path, rows[i].ask);
        pass(1000);
        assert_true(q.streaming);
        assert_int_equal(q.out.n, 0);
        pass(3000);
        assert_true(slice_eq(buf_slice(&q.out), slice_str(rows[i].ping)));
        fake_answer_head(0, SSE_HEAD);
        fake_answer_data(0, WORD("x"));
        fake_turns();
        before = q.out.n;
        assert_true(fake_has(&q.out, "x"));
        pass(2000);
        assert_int_equal(q.out.n, before);
        pass(1000);
        assert_true(slice_ends(buf_slice(&q.out), slice_str(rows[i].ping)));
        fake_answer_data(0, FINISH DONE);
        fake_answer_end(0, UPSTREAM_COMPLETE);
        fake_turns();
        assert_true(q.ended);
        fake_finish(&q);
        fake_free(&q);
        fake_forget_calls();
    }
}

static void fails_inside_a_held_stream(void **state)
{
    struct httpd_req q;

    (void)state;
    router->timeouts.hold_us = 1000;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    pass(1000);
    assert_true(q.streaming);
    fake_answer(0, "HTTP/1.1 400 No\r\ncontent-type: application/json",
                "{\"error\":{\"message\":\"bad\",\"type\":\"invalid_request_error\"}}");
    assert_true(fake_has(&q.out, "data: {\"error\":{\"message\":\"bad\""));
    assert_true(q.ended);
    fake_finish(&q);
    fake_free(&q);
}

// --- deadlines ---------------------------------------------------------------------------------

static void ends_at_the_total_deadline(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_prepare(&q, "POST", CHAT, ASK);
    fake_header(&q, "x-sluice-timeout-ms", "5");
    fake_send(&q);
    pass(4000);
    assert_false(q.replied);
    pass(1000);
    assert_int_equal(q.status, 504);
    assert_true(fake_has(&q.out, "(total)"));
    assert_true(fake_call(0)->cancelled);
    fake_finish(&q);
    fake_free(&q);
}

static void comments_do_not_reset_the_idle_deadline(void **state)
{
    struct httpd_req q;

    (void)state;
    router->timeouts.idle_us = 10000;
    go();
    fake_request(&q, CHAT, ASK_SSE);
    fake_answer_head(0, SSE_HEAD);
    fake_answer_data(0, WORD("a"));
    fake_turns();
    for (int i = 0; i < 5; i++) {
        assert_false(q.ended);
        fake_answer_data(0, ": still here\n\n");
        pass(2000);
    }
    assert_true(q.ended);
    assert_true(fake_has(&q.out, "upstream_timeout"));
    assert_true(fake_call(0)->cancelled);
    fake_finish(&q);
    fake_free(&q);
}

// --- refusals ----------------------------------------------------------------------------------

static void refuses_in_its_own_words(void **state)
{
    static const struct {
        const char *method, *target, *header, *value, *body;
        unsigned status;
        const char *code;
    } cases[] = {
        {"POST", "/nowhere", NULL, NULL, "", 404, "unknown_route"},
        {"GET", CHAT, NULL, NULL, "", 405, "method_not_allowed"},
        {"GET", "/v1/realtime", NULL, NULL, "", 501, "not_supported"},
        {"POST", "/router/none/chat/completions", NULL, NULL, ASK, 404, "router_not_found"},
        {"POST", CHAT, "content-encoding", "gzip", ASK, 415, "unsupported_encoding"},
        {"POST", CHAT, "authorization", "Bearer sk-sluice-a-b", ASK, 401, "invalid_api_key"},
        {"POST", CHAT, NULL, NULL, "{", 400, "invalid_json"},
        {"POST", CHAT, NULL, NULL, "{}", 400, "missing_field"},
        {"POST", CHAT, NULL, NULL, "{\"model\":\"nope\"}", 404, "model_not_found"},
        {"POST", "/v1/messages", NULL, NULL, "{}", 400, "\"type\":\"error\""},
        {"POST", "/none/v1/x", NULL, NULL, "", 404, "unknown_route"},
    };

    (void)state;
    go();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct httpd_req q;

        fake_prepare(&q, cases[i].method, cases[i].target, cases[i].body);
        if (cases[i].header != NULL) {
            fake_header(&q, cases[i].header, cases[i].value);
        }
        fake_send(&q);
        assert_int_equal(q.status, cases[i].status);
        assert_true(fake_has(&q.out, cases[i].code));
        assert_true(fake_has(&q.head, "x-request-id: "));
        assert_false(fake_has(&q.head, "x-sluice-upstream-status"));
        assert_int_equal(fake_n_calls, 0);
        fake_finish(&q);
        fake_free(&q);
    }
    assert_int_equal(fake_usage.n, 0);
}

static void refuses_a_large_body_at_its_head(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_prepare(&q, "POST", CHAT, ASK);
    fake_header(&q, "authorization", "Bearer sk-sluice-a-b");
    q.content_length = 10 << 20;
    front_handlers.on_head(&worker, &q);
    assert_int_equal(q.status, 401); // inside the callback: later the library could not answer
    assert_true(q.close_after);
    fake_turns();
    fake_finish(&q);
    fake_free(&q);
}

static void waits_for_a_small_body_before_refusing(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_prepare(&q, "POST", "/nowhere", "abc");
    front_handlers.on_head(&worker, &q);
    fake_turns();
    assert_false(q.replied);
    front_handlers.on_ready(&worker, &q);
    fake_turns();
    assert_int_equal(q.status, 404);
    fake_finish(&q);
    fake_free(&q);
}

static void says_when_it_has_no_configuration(void **state)
{
    struct httpd_req q;

    (void)state;
    fake_request(&q, CHAT, ASK);
    assert_int_equal(q.status, 503);
    assert_true(fake_has(&q.head, "retry-after: 1\n"));
    fake_finish(&q);
    fake_free(&q);
    go();
}

static void ends_what_is_left_at_shutdown(void **state)
{
    struct httpd_req held, open;

    (void)state;
    go();
    fake_request(&held, CHAT, ASK);
    fake_request(&open, CHAT, ASK_SSE);
    fake_answer_head(1, SSE_HEAD);
    fake_answer_data(1, WORD("a"));
    fake_turns();
    req_on_ending(held.user);
    req_on_ending(open.user);
    fake_turns();
    assert_int_equal(held.status, 503);
    assert_true(fake_has(&held.out, "shutting_down"));
    assert_true(fake_has(&open.out, "shutting_down"));
    assert_false(fake_has(&open.out, "[DONE]"));
    assert_true(fake_call(0)->cancelled && fake_call(1)->cancelled);
    fake_finish(&held);
    fake_finish(&open);
    fake_free(&held);
    fake_free(&open);
}

// --- limits and cache --------------------------------------------------------------------------

static void denies_over_a_limit(void **state)
{
    static const struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60000000, .per_principal = true};
    struct limit_grant g = {.limit_id = SLICE_NULL,
                            .granted = 0,
                            .limit = 1000,
                            .empty_us = 17000000,
                            .reset_us = 17000000,
                            .lease_us = 600000};
    struct httpd_req q;

    (void)state;
    router->limits = &limit;
    router->n_limits = 1;
    lease_link_up = true;
    go();
    fake_request(&q, CHAT, ASK);
    assert_int_equal(step_of(&q), REQ_LIMIT); // parked for its first lease
    assert_int_equal(leases_asked, 1);
    g.limit_id = SLICE("r:main:0:anonymous");
    limit_store_granted(shared.limits, &g, 1, mono_now_us());
    while (!q.replied) {
        loop_turn(worker.loop, 30000); // by the wake message: the parking deadline never comes
    }
    assert_int_equal(q.status, 429);
    assert_true(fake_has(&q.out, "rate_limit_exceeded"));
    assert_true(fake_has(&q.head, "x-ratelimit-limit-requests: 1000\n"));
    assert_true(fake_has(&q.head, "x-ratelimit-remaining-requests: 0\n"));
    assert_true(fake_has(&q.head, "RateLimit-Policy: \"requests\";q=1000;w=60\n"));
    assert_true(fake_has(&q.head, "retry-after: 17\n"));
    fake_finish(&q);
    fake_free(&q);
}

static void stand_still(struct loop_task *t)
{
    (void)t;
    fake_mono_advance(400 * MONO_MS); // the machine ran others, in the midst of a turn
}

// What the loop's clock says was true when the turn began. By then the control plane may have given
// the units to another proxy.
static void spends_nothing_of_a_lease_that_ended_while_it_stood_still(void **state)
{
    static const struct resource_limit limit = {
        .unit = RESOURCE_REQUESTS, .amount = 1000, .per_us = 60000000, .per_principal = true};
    struct limit_grant g = {.limit_id = SLICE("r:main:0:anonymous"),
                            .granted = 10,
                            .limit = 1000,
                            .remaining = 900,
                            .lease_us = 300000};
    struct loop_task pause = {.fn = stand_still};
    struct httpd_req q, late;

    (void)state;
    router->limits = &limit;
    router->n_limits = 1;
    lease_link_up = true;
    go();
    fake_request(&q, CHAT, ASK); // asks for its lease
    fake_gone(&q);
    fake_finish(&q);
    fake_free(&q);
    assert_int_equal(leases_asked, 1);
    fake_prepare(&late, "POST", CHAT, ASK_TWO);
    front_handlers.on_head(&worker, &late);
    loop_turn(worker.loop, 0);
    limit_store_granted(shared.limits, &g, 1, mono_now_us());
    loop_post(worker.loop, &pause);
    front_handlers.on_ready(&worker, &late);
    loop_turn(worker.loop, 0);
    assert_int_equal(step_of(&late), REQ_LIMIT);
    assert_int_equal(leases_asked, 2);
    fake_gone(&late);
    fake_finish(&late);
    fake_free(&late);
}

static void answers_from_the_cache(void **state)
{
    (void)state;
    router->cache = (struct resource_cache){
        .present = true, .enabled = true, .directive = "max-age=60", .buckets = 1};
    atomic_store(&shared.cache, cache_new(8u << 20));
    go();
    for (int stream = 0; stream < 2; stream++) {
        for (int turn = 0; turn < 2; turn++) {
            struct httpd_req q;

            fake_request(&q, CHAT, stream ? ASK_SSE : ASK_TWO);
            if (turn == 0) {
                fake_answer(0, stream ? SSE_HEAD : OK_HEAD,
                            stream ? WORD("a") FINISH USAGE DONE : ANSWER);
            }
            assert_int_equal(q.status, 200);
            assert_true(
                fake_has(&q.head, turn == 0 ? "x-sluice-cache: miss\n" : "x-sluice-cache: hit\n"));
            assert_true(
                slice_eq(buf_slice(&q.out), slice_str(stream ? WORD("a") FINISH DONE : ANSWER)));
            assert_int_equal(fake_n_calls, turn == 0 ? 1 : 0);
            fake_finish(&q);
            fake_free(&q);
            fake_forget_calls();
        }
    }
}

static void never_stores_a_cut_stream(void **state)
{
    (void)state;
    router->cache = (struct resource_cache){
        .present = true, .enabled = true, .directive = "max-age=60", .buckets = 1};
    atomic_store(&shared.cache, cache_new(8u << 20));
    go();
    for (int turn = 0; turn < 2; turn++) {
        struct httpd_req q;

        fake_request(&q, CHAT, ASK_SSE);
        fake_answer_head(0, SSE_HEAD);
        fake_answer_data(0, WORD("a"));
        fake_turns();
        fake_answer_end(0, UPSTREAM_COMPLETE); // without terminator or finish reason
        fake_turns();
        assert_true(fake_has(&q.out, "upstream_truncated"));
        assert_true(fake_has(&q.head, "x-sluice-cache: miss\n"));
        fake_finish(&q);
        fake_free(&q);
        fake_forget_calls();
    }
}

// --- raw ---------------------------------------------------------------------------------------

static void passes_raw_requests_through(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_prepare(&q, "PUT", "/one/v1/files/%2F?a=%20b", "\x01raw");
    fake_header(&q, "authorization", "Bearer mine");
    fake_header(&q, "x-api-key", "mine too");
    fake_header(&q, "accept-encoding", "gzip");
    fake_header(&q, "connection", "keep-alive");
    fake_header(&q, "x-own", "kept");
    fake_send(&q);
    assert_true(slice_starts(buf_slice(&fake_call(0)->head),
                             SLICE("PUT /v1/files/%2F?a=%20b HTTP/1.1\r\nhost: one.test:81\r\n")));
    assert_true(fake_has(&fake_call(0)->head, "authorization: Bearer secret-one\r\n"));
    assert_true(fake_has(&fake_call(0)->head, "accept-encoding: gzip\r\n"));
    assert_true(fake_has(&fake_call(0)->head, "x-own: kept\r\n"));
    assert_false(fake_has(&fake_call(0)->head, "mine"));
    assert_false(fake_has(&fake_call(0)->head, "connection:"));
    assert_true(slice_eq(buf_slice(&fake_call(0)->body), SLICE("\x01raw")));
    fake_answer_head(0, "HTTP/1.1 500 Oh\r\ncontent-type: text/plain\r\nset-cookie: a=b");
    fake_answer_data(0, "as it is");
    fake_turns();
    assert_int_equal(q.status, 500); // relayed at once: raw is never tried elsewhere
    assert_true(fake_has(&q.head, "set-cookie: a=b\n"));
    fake_answer_end(0, UPSTREAM_COMPLETE);
    fake_turns();
    assert_true(q.ended);
    fake_finish(&q);
    fake_free(&q);
}

static void reports_a_raw_call_that_failed(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, "/one/v1/x", "raw");
    fake_answer_end(0, UPSTREAM_CONNECT_FAILED);
    fake_turns();
    assert_int_equal(fake_n_calls, 1);
    assert_int_equal(q.status, 502);
    assert_true(fake_has(&q.out, "upstream_failed"));
    fake_finish(&q);
    fake_free(&q);
}

static void answers_a_head_request_at_its_head(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_prepare(&q, "HEAD", "/one/v1/x", "");
    fake_send(&q);
    fake_answer_head(0, "HTTP/1.1 200 OK\r\ncontent-length: 5");
    fake_turns();
    assert_int_equal(q.status, 200);
    assert_true(q.streaming && q.ended); // with the length the provider named, and no byte
    assert_int_equal(step_of(&q), REQ_SEND);
    fake_finish(&q);
    fake_free(&q);
}

// --- answers of its own ------------------------------------------------------------------------

static void answers_by_itself(void **state)
{
    static const struct {
        const char *target;
        unsigned status;
        const char *has;
    } cases[] = {
        {"/v1/models", 200, "\"id\":\"one/gpt\""},
        {"/models", 200, "\"id\":\"two/gpt-two\""},
        {"/v1/models/one%2Fgpt", 200, "\"pricing\":{\"prompt\":\"0.000001\""},
        {"/v1/models/gpt", 200, "\"id\":\"one/gpt\""},
        {"/v1/models/nope", 404, "model_not_found"},
        {"/router/main/models", 200, "\"object\":\"list\""},
        {"/v1/key", 200, "\"label\":\"anonymous\""},
        {"/health", 200, "\"ok\""},
        {"/readyz", 503, "not ready"}, // nothing was published by worker_publish here
    };

    (void)state;
    go();
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct httpd_req q;

        fake_prepare(&q, "GET", cases[i].target, "");
        fake_send(&q);
        assert_int_equal(q.status, cases[i].status);
        assert_true(fake_has(&q.out, cases[i].has));
        fake_finish(&q);
        fake_free(&q);
    }
    assert_int_equal(fake_n_calls, 0);
}

static void shows_what_is_left_of_its_limits(void **state)
{
    static const struct resource_limit limits[] = {
        {.unit = RESOURCE_REQUESTS, .amount = 100, .per_us = 60000000, .per_principal = true},
        {.unit = RESOURCE_USD, .amount = 2500000000, .calendar = RESOURCE_MONTH},
    };
    struct limit_grant g = {.limit_id = SLICE("r:main:0:anonymous"),
                            .granted = 10,
                            .lease_us = 60000000,
                            .remaining = 30,
                            .limit = 100,
                            .reset_us = 5000};
    struct httpd_req q;

    (void)state;
    router->limits = limits;
    router->n_limits = ARRAY_LEN(limits);
    lease_link_up = true;
    go();
    fake_request(&q, CHAT, ASK); // asks for its leases
    limit_store_granted(shared.limits, &g, 1, mono_now_us());
    fake_gone(&q);
    fake_finish(&q);
    fake_free(&q);
    fake_prepare(&q, "GET", "/v1/key", "");
    fake_send(&q);
    assert_true(fake_has(&q.out, "{\"unit\":\"requests\",\"amount\":100,\"remaining\":40,"
                                 "\"per\":\"1m\",\"reset_ms\":"));
    assert_true(fake_has(&q.out, "{\"unit\":\"usd\",\"amount\":2.5,\"remaining\":2.5,"
                                 "\"per\":\"month\""));
    assert_true(fake_has(&q.out, "\"limit\":2.5,\"limit_remaining\":2.5,\"usage\":0.0"));
    fake_finish(&q);
    fake_free(&q);
}

static bool check_router(struct slice text, struct buf *ret_why)
{
    buf_append_str(ret_why, "line 1: \"no\"");
    return slice_eq_str(text, "good");
}

static void asks_whether_a_router_is_valid(void **state)
{
    struct httpd_req q;

    (void)state;
    go();
    fake_request(&q, "/validate-router-config", "good");
    assert_int_equal(q.status, 501); // a program without the checker
    fake_finish(&q);
    fake_free(&q);
    shared.validate = check_router;
    fake_request(&q, "/validate-router-config", "good");
    assert_true(slice_eq(buf_slice(&q.out), SLICE("{\"valid\":true,\"error\":null}")));
    fake_finish(&q);
    fake_free(&q);
    fake_request(&q, "/validate-router-config", "bad");
    assert_true(
        slice_eq(buf_slice(&q.out), SLICE("{\"valid\":false,\"error\":\"line 1: \\\"no\\\"\"}")));
    fake_finish(&q);
    fake_free(&q);
}

// --- the table ---------------------------------------------------------------------------------

static void forbids_what_must_not_be(void **state)
{
    (void)state;
    go();
    // What went to the client is never retried.
    for (int to = 0; to < REQ_N_STEPS; to++) {
        bool ends = to == REQ_SEND || to == REQ_REPLY_ERROR || to == REQ_CANCEL;

        assert_int_equal(req_step_allowed(REQ_STREAM, (enum req_step)to), ends);
        assert_int_equal(req_step_allowed(REQ_RELAY, (enum req_step)to), ends);
        assert_false(req_step_allowed(REQ_DONE, (enum req_step)to));
    }
    assert_false(req_step_allowed(REQ_AUTHENTICATE, REQ_PARSE));
    assert_false(req_step_allowed(REQ_READ, REQ_PICK));
    assert_false(req_step_allowed(REQ_PARSE, REQ_LIMIT)); // permissions come before the cache
    assert_false(req_step_allowed(REQ_CACHE, REQ_PICK));  // limits come before attempts
    assert_false(req_step_allowed(REQ_SEND, REQ_CANCEL));
    assert_false(req_step_allowed(REQ_CANCEL, REQ_REPLY_ERROR));
}

// Every step is reached from AUTHENTICATE, and from every step DONE is reached.
static void the_table_is_connected(void **state)
{
    bool reached[REQ_N_STEPS] = {[REQ_AUTHENTICATE] = true},
         ends[REQ_N_STEPS] = {[REQ_DONE] = true};

    (void)state;
    go();
    for (int round = 0; round < REQ_N_STEPS; round++) {
        for (int a = 0; a < REQ_N_STEPS; a++) {
            for (int b = 0; b < REQ_N_STEPS; b++) {
                if (req_step_allowed((enum req_step)a, (enum req_step)b)) {
                    reached[b] = reached[b] || reached[a];
                    ends[a] = ends[a] || ends[b];
                }
            }
        }
    }
    for (int s = 0; s < REQ_N_STEPS; s++) {
        assert_true(reached[s]);
        assert_true(ends[s]);
    }
}

static void the_drawing_is_the_table(void **state)
{
    struct buf drawn, kept;
    char piece[4096];
    size_t n;
    FILE *f = fopen(SLUICE_SOURCE_DIR "/docs/internals/request.dot", "re");

    (void)state;
    go();
    assert_non_null(f);
    buf_init(&drawn, 1u << 20);
    buf_init(&kept, 1u << 20);
    req_render_dot(&drawn);
    while ((n = fread(piece, 1, sizeof(piece), f)) > 0) {
        buf_append(&kept, (struct slice){piece, n});
    }
    (void)fclose(f);
    // Differs: sluice-proxy --render-fsm > docs/internals/request.dot
    assert_true(slice_eq(buf_slice(&drawn), buf_slice(&kept)));
    buf_done(&drawn);
    buf_done(&kept);
}

static void keeps_a_trace(void **state)
{
    static const enum req_step want[] = {REQ_READ, REQ_PARSE, REQ_PLAN,    REQ_CACHE, REQ_LIMIT,
                                         REQ_PICK, REQ_HEAD,  REQ_COLLECT, REQ_SEND};
    struct httpd_req q;
    struct req *r;
    struct buf text;

    (void)state;
    go();
    fake_request(&q, CHAT, ASK);
    fake_answer(0, OK_HEAD, ANSWER);
    r = q.user;
    assert_int_equal(r->n_trace, ARRAY_LEN(want));
    for (size_t i = 0; i < ARRAY_LEN(want); i++) {
        assert_int_equal(r->trace[i].step, want[i]);
    }
    buf_init(&text, 1u << 16);
    req_describe(r, mono_now_us(), &text);
    assert_true(fake_has(&text, "\"step\":\"send\""));
    buf_done(&text);
    fake_finish(&q);
    assert_int_equal(worker.pool.count, 1);
    fake_free(&q);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(passes_a_plain_answer),
        T(passes_on_long_headers),
        T(maps_the_model_and_removes_extensions),
        T(relays_a_large_answer_from_the_bound_on),
        T(checks_a_plain_answer),
        T(reports_errors_in_their_order),
        T(passes_a_single_error_unchanged),
        T(names_the_failure_when_nobody_answered),
        T(relays_a_stream),
        T(leaves_a_usage_event_that_was_asked_for),
        T(tells_an_answer_as_a_stream),
        T(fails_over_before_the_first_content),
        T(ends_a_cut_stream_with_an_error_event),
        T(relays_an_error_event_after_content),
        T(takes_every_split),
        T(pauses_the_provider_for_a_slow_client),
        T(cancels_upstream_when_the_client_leaves),
        T(holds_and_keeps_alive),
        T(keeps_silent_streams_alive),
        T(fails_inside_a_held_stream),
        T(ends_at_the_total_deadline),
        T(comments_do_not_reset_the_idle_deadline),
        T(refuses_in_its_own_words),
        T(refuses_a_large_body_at_its_head),
        T(waits_for_a_small_body_before_refusing),
        T(says_when_it_has_no_configuration),
        T(ends_what_is_left_at_shutdown),
        T(denies_over_a_limit),
        T(spends_nothing_of_a_lease_that_ended_while_it_stood_still),
        T(answers_from_the_cache),
        T(never_stores_a_cut_stream),
        T(passes_raw_requests_through),
        T(reports_a_raw_call_that_failed),
        T(answers_a_head_request_at_its_head),
        T(answers_by_itself),
        T(shows_what_is_left_of_its_limits),
        T(asks_whether_a_router_is_valid),
        T(forbids_what_must_not_be),
        T(the_table_is_connected),
        T(the_drawing_is_the_table),
        T(keeps_a_trace),
    };

    log_access_setup(1, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
