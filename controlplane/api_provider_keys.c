// SPDX-License-Identifier: Apache-2.0
// /provider-keys. The test of a key asks the provider for its models with it and tells what came.
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/api_priv.h"
#include "controlplane/egress.h"
#include "controlplane/pkey.h"

#define WHAT            "provider key"
#define TEST_TIMEOUT_US (10 * MONO_SEC)

static void render_key(struct api_call *c, struct json_out *o, const struct resource *r)
{
    pkey_render(o, r, api_owner(c, r));
}

static void render_written(struct api_call *c, struct json_out *o)
{
    pkey_render(o, c->w.res, NULL);
}

void api_provider_keys_list(struct api_call *c)
{
    api_list(c, RESOURCE_PROVIDER_KEY, render_key);
}

void api_provider_keys_get(struct api_call *c)
{
    api_get(c, RESOURCE_PROVIDER_KEY, WHAT, render_key);
}

// The body into c->w.res, then the commit.
static void write_body(struct api_call *c, enum pkey_body which, const struct resource *old,
                       const char *action)
{
    struct json_at body = json_root(c->doc);
    char id[PKEY_ID_CHARS + 1];

    if (!json_require(&body, &c->report)) {
        api_invalid(c);
        return;
    }
    crypto_random_id(id, PKEY_ID_CHARS);
    c->w.res =
        pkey_from_body(&body, which, old, slice_str(id), store_state(c->api->store), &c->report);
    if (c->w.res == NULL) {
        api_invalid(c);
        return;
    }
    c->w.action = action;
    c->w.status = old == NULL ? 201 : 200;
    c->w.render = render_written;
    api_write_commit(c);
}

void api_provider_keys_create(struct api_call *c)
{
    if (api_write_begin(c, NULL)) {
        write_body(c, PKEY_CREATE, NULL, "provider_key.create");
    }
}

void api_provider_keys_patch(struct api_call *c)
{
    const struct resource *old = api_write_target(c, RESOURCE_PROVIDER_KEY, WHAT);

    if (old != NULL) {
        write_body(c, PKEY_PATCH, old, "provider_key.update");
    }
}

// One change: every proxy uses the old value until the moment it has the new one.
void api_provider_keys_rotate(struct api_call *c)
{
    const struct resource *old = api_write_target(c, RESOURCE_PROVIDER_KEY, WHAT);

    if (old != NULL) {
        write_body(c, PKEY_ROTATE, old, "provider_key.rotate");
    }
}

void api_provider_keys_delete(struct api_call *c)
{
    api_write_delete(c, RESOURCE_PROVIDER_KEY, WHAT, "provider_key.delete");
}

// --- test ---------------------------------------------------------------------------------------

struct test {
    struct api_call *c;
    struct loop_timer deadline;
    uint64_t started_us;
    unsigned status; // 0: no head yet
};

static void test_answer(struct test *t, const char *message)
{
    struct api_call *c = t->c;
    uint64_t took_us = loop_now_us(c->api->loop) - t->started_us;
    struct json_out o;
    struct buf body;

    buf_init(&body, 8192);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_field_bool(&o, "ok", t->status >= 200 && t->status < 300);
    json_out_key(&o, "status");
    if (t->status == 0) {
        json_out_null(&o);
    } else {
        json_out_u64(&o, t->status);
    }
    json_out_field_u64(&o, "latency_ms", took_us / 1000);
    json_out_field_str(&o, "message", message);
    json_out_close(&o, '}');
    api_send(c, 200, &body, 0);
}

static void test_end(struct test *t, const char *message)
{
    struct api_call *c = t->c;

    loop_timer_cancel(c->api->loop, &t->deadline);
    test_answer(t, message);
    api_release(c);
}

static const char *verdict(unsigned status)
{
    if (status >= 200 && status < 300) {
        return "the provider accepts this key";
    }
    if (status == 401 || status == 403) {
        return "the provider refuses this key";
    }
    if (status == 429) {
        return "the provider answers that the key is over its limits";
    }
    return "the provider answered something else";
}

// The head says all there is to know; the body is not read.
static void on_test_head(void *arg, const struct h1 *head)
{
    struct test *t = arg;

    t->status = head->status;
    upstream_cancel(&t->c->upstream);
    test_end(t, verdict(t->status));
}

static void on_test_data(void *arg, struct slice data)
{
    (void)arg;
    (void)data;
}

static void on_test_end(void *arg, enum upstream_result r, const char *message)
{
    struct test *t = arg;
    char text[300];

    (void)r;
    t->c->upstream = NULL;
    (void)snprintf(text, sizeof(text), "no answer: %.250s", message == NULL ? "" : message);
    test_end(t, text);
}

static void on_test_deadline(struct loop_timer *timer)
{
    struct test *t = container_of(timer, struct test, deadline);

    upstream_cancel(&t->c->upstream);
    test_end(t, "no answer within 10 s");
}

static void test_start(struct api_call *c, const struct resource_provider *p,
                       const struct secret *value)
{
    struct test *t = arena_zalloc(&c->arena, sizeof(*t));
    char *origin = arena_alloc(&c->arena, EGRESS_ORIGIN_MAX);
    struct slice path, host;
    struct buf head;

    if (!egress_split(p->base_url, origin, &host, &path)) {
        api_error(c, 422, "invalid_fields", "the provider has no usable base URL");
        return;
    }
    buf_init(&head, 1u << 20);
    egress_ask_models(p, host, path, value, &head);
    t->c = c;
    t->started_us = loop_now_us(c->api->loop);
    t->deadline.fn = on_test_deadline;
    loop_timer_set(c->api->loop, &t->deadline, t->started_us + TEST_TIMEOUT_US);
    api_hold(c);
    c->deadline = &t->deadline;
    c->upstream = upstream_start(
        c->api->upstream,
        &(const struct upstream_request){.origin = origin,
                                         .head = buf_slice(&head),
                                         .connect_timeout_us = TEST_TIMEOUT_US,
                                         .on = {on_test_head, on_test_data, on_test_end},
                                         .arg = t});
    mem_wipe(head.p, head.cap);
    buf_done(&head);
}

void api_provider_keys_test(struct api_call *c)
{
    struct json_at body = json_root(c->doc);
    struct state *s = store_state(c->api->store);
    const struct resource *r = state_find(s, RESOURCE_PROVIDER_KEY, slice_str(c->param));
    const struct resource *p =
        r == NULL ? NULL : state_find(s, RESOURCE_PROVIDER, slice_str(r->u.provider_key->provider));

    if (json_present(&body) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, NULL, 0, &c->report);
    }
    if (r == NULL) {
        api_not_found(c, WHAT);
    } else if (c->report.n > 0) {
        api_invalid(c);
    } else if (p == NULL) {
        api_error(c, 422, "invalid_fields", "its provider is not configured");
    } else if (r->u.provider_key->value == NULL) {
        api_error(c, 422, "invalid_fields", "it has no value");
    } else {
        test_start(c, p->u.provider, r->u.provider_key->value);
    }
}
