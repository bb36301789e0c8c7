// SPDX-License-Identifier: Apache-2.0
// The request machine under any order of events: the input is a script of what client and provider
// do (fake_io.h). Whatever comes, nothing crashes, no retry follows content, and every request ends
// once its exchange has ended.
#include <stddef.h>
#include <stdint.h>

#include "common/base/log.h"
#include "dataplane/limit_store.h"
#include "dataplane/metrics.h"
#include "dataplane/req_priv.h"
#include "tests/unit/dataplane/build.h"
#include "tests/unit/dataplane/fake_io.h"

#define CLIENTS 4u

static const struct {
    const char *method, *target, *body;
} asks[] = {
    {"POST", "/v1/chat/completions", "{\"model\":\"gpt\",\"messages\":[]}"},
    {"POST", "/v1/chat/completions", "{\"model\":\"gpt\",\"stream\":true,\"messages\":[]}"},
    {"POST", "/v1/chat/completions", "{\"model\":\"two/x\",\"stream\":true,\"n\":2}"},
    {"POST", "/ai/embeddings", "{\"model\":\"one/x\"}"},
    {"POST", "/v1/responses", "{\"model\":\"one/x\",\"stream\":true}"},
    {"POST", "/one/v1/x", "raw"},
    {"HEAD", "/one/v1/x", ""},
    {"POST", "/v1/chat/completions", "{\"mod"},
    {"GET", "/v1/models", ""},
    {"POST", "/nowhere", ""},
    {"POST", "/v1/chat/completions", "{\"model\":\"qwq\",\"messages\":[],\"functions\":[]}"},
    {"POST", "/v1/embeddings", "{\"model\":\"qwq\",\"input\":\"a\"}"},
    {"POST", "/v1/completions", "{\"model\":\"qwq\",\"prompt\":\"a\",\"max_tokens\":9}"},
    {"POST", "/v1/messages", "{\"model\":\"qwq\",\"max_tokens\":9,\"messages\":[]}"},
};
static const char *const heads[] = {
    "HTTP/1.1 200 OK\r\ncontent-type: application/json",
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked",
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: gzip",
    "HTTP/1.1 429 No\r\nretry-after: 0\r\ncontent-type: application/json",
    "HTTP/1.1 500 No\r\ncontent-type: text/html",
    "HTTP/1.1 400 No\r\ncontent-type: application/json",
    "HTTP/1.1 204 No",
    "HTTP/1.1 302 No\r\nlocation: /",
};
static const char *const datas[] = {
    "{\"choices\":[]}",
    "{\"error\":{\"message\":\"m\",\"type\":\"t\"}}",
    ": comment\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"w\"}}]}\n\n",
    "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}\n\n",
    "data: {\"error\":{\"message\":\"m\"}}\n\n",
    "data: [DONE]\n\n",
    "data: {\"half",
    "\n\n",
    "<html>",
};

static struct worker_shared shared;
static struct worker worker;
static struct build build;
static struct snapshot *snap;

static bool no_lease(void *arg, const struct limit_ask *items, size_t n)
{
    (void)arg;
    (void)items;
    (void)n;
    return false;
}

static void add_world(void)
{
    static const struct resource_model_at at[] = {
        {.provider = "one",
         .id = "gpt",
         .price = {.input = 1, .cached = 1, .cache_write = 1, .output = 1}},
        {.provider = "two",
         .id = "gpt",
         .price = {.input = 1, .cached = 1, .cache_write = 1, .output = 1}}};
    static const struct resource_model_at streamed[] = {{.provider = "one", .id = "qwq"},
                                                        {.provider = "two", .id = "qwq"}};
    static const struct resource_target targets[] = {{"one", NULL, 1000}, {"two", NULL, 1000}};
    static const struct resource_balance balance = {"chat", RESOURCE_PRIORITY, targets, 2};
    static const char *const names[] = {"one", "two"};

    for (size_t i = 0; i < 2; i++) {
        struct resource_provider *p = build_provider(&build, names[i], "KEY");

        p->raw_url = "http://h/";
        p->auth_header = "authorization";
        p->auth_scheme = "Bearer";
        p->needs_key = false;
        p->quirks.flags = RESOURCE_NO_FILES;
    }
    (void)build_model(&build, "gpt", at, 2);
    // Its answers are put together of streams.
    build_model(&build, "qwq", streamed, 2)->traits.flags = RESOURCE_STREAM_ONLY;
    struct resource_router *router = build_add(&build, RESOURCE_ROUTER, "main")->u.router;
    router->balances = &balance;
    router->n_balances = 1;
    router->cache = (struct resource_cache){
        .present = true, .enabled = true, .directive = "max-age=60", .buckets = 1};
    build_add(&build, RESOURCE_SETTINGS, "global")->u.settings->default_router = "main";
}

static void set_up(void)
{
    static const struct target_config targets = {250000, 30000000, 30000000, 30000000};
    const struct limit_config limits = {.ask = no_lease, .park_us = 20000};
    struct err e;

    shared = (struct worker_shared){
        .conf = {.auth_default = RESOURCE_AUTH_OPTIONAL, .auth_may_be_open = true}};
    shared.metrics = metrics_registry_new();
    shared.targets = target_table_new(&targets, 64);
    shared.limits = limit_store_new(&limits);
    atomic_store(&shared.cache, cache_new(1u << 20));
    CHECK(worker_init_bare(&worker, &shared, loop_new(&e), &e));
    fake_worker = &worker;
    build.n = 0;
    add_world();
    snap = build_snapshot(&build);
    worker.snapshot = snapshot_ref(snap);
}

static void tear_down(void)
{
    struct cache *cache = atomic_load(&shared.cache);

    worker_done_bare(&worker);
    limit_store_free(&shared.limits);
    cache_free(&cache);
    target_table_free(&shared.targets);
    metric_registry_free(&shared.metrics);
    build_done(&build, &snap);
    fake_forget_calls();
}

struct client {
    struct httpd_req q;
    bool open, ready, gone;
};

static void client_event(struct client *c, uint8_t what, uint8_t arg)
{
    if (!c->open) {
        size_t i = arg % ARRAY_LEN(asks);

        fake_prepare(&c->q, asks[i].method, asks[i].target, asks[i].body);
        c->open = true;
        c->ready = c->gone = false;
        c->q.started_us = c->q.ready_us = mono_now_us();
        front_handlers.on_head(&worker, &c->q);
        return;
    }
    switch (what % 4) {
    case 0:
        if (!c->ready && !c->gone) {
            c->ready = true;
            front_handlers.on_ready(&worker, &c->q);
        }
        break;
    case 1:
        c->q.full = !c->q.full;
        if (!c->q.full) {
            front_handlers.on_drain(&worker, &c->q);
        }
        break;
    case 2:
        if (!c->gone) {
            c->gone = true;
            fake_gone(&c->q);
        }
        break;
    case 3: // the exchange ends when the answer is complete, or after the client has gone
        if (c->q.replied || c->q.ended || c->q.aborted || c->gone) {
            c->q.aborted = c->q.aborted || !(c->q.replied || c->q.ended);
            fake_finish(&c->q);
            fake_free(&c->q);
            c->open = false;
        }
        break;
    default:
        break;
    }
}

static void provider_event(uint8_t what, uint8_t arg)
{
    static bool headed[FAKE_CALLS_MAX]; // valid for live calls: a call starts without its head
    size_t i = (size_t)(arg >> 4) % (fake_n_calls == 0 ? 1 : fake_n_calls);

    if (fake_n_calls == 0 || !fake_call(i)->live) {
        return;
    }
    if (fake_call(i)->body.max != SIZE_MAX) { // first time this call is looked at
        fake_call(i)->body.max = SIZE_MAX;
        headed[i] = false;
    }
    if (!headed[i] && what % 3 != 2) {
        headed[i] = true;
        fake_answer_head(i, heads[arg % ARRAY_LEN(heads)]);
    } else if (what % 3 != 2) {
        fake_answer_data(i, datas[arg % ARRAY_LEN(datas)]);
    } else {
        static const enum upstream_result before[] = {
            UPSTREAM_CONNECT_FAILED, UPSTREAM_CONNECT_TIMEOUT, UPSTREAM_BROKEN, UPSTREAM_PROTOCOL};
        static const enum upstream_result after[] = {UPSTREAM_COMPLETE, UPSTREAM_TRUNCATED,
                                                     UPSTREAM_COMPLETE, UPSTREAM_PROTOCOL};

        fake_answer_end(i, headed[i] ? after[arg % 4] : before[arg % 4]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct client clients[CLIENTS] = {{.open = false}};

    log_access_setup(1, false);
    set_up();
    for (size_t i = 0; i + 1 < size && i < 400; i += 2) {
        uint8_t what = data[i] >> 4;

        if (fake_n_calls >= FAKE_CALLS_MAX - CLIENTS * 2) {
            break; // more attempts than the fake has room for
        }
        if (what < 6) {
            client_event(&clients[data[i] % CLIENTS], what, data[i + 1]);
        } else if (what < 12) {
            provider_event(what, data[i + 1]);
        } else if (what == 12 && clients[data[i] % CLIENTS].open) {
            req_on_ending(clients[data[i] % CLIENTS].q.user);
        } else {
            loop_turn(worker.loop, 0);
        }
    }
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].open) {
            if (!clients[i].gone) {
                fake_gone(&clients[i].q);
            }
            clients[i].gone = true;
            client_event(&clients[i], 3, 0);
        }
    }
    fake_turns();
    CHECK(worker.active.count == 0);
    for (size_t i = 0; i < fake_n_calls; i++) {
        CHECK(!fake_call(i)->live); // nothing runs on for nobody
    }
    tear_down();
    return 0;
}
