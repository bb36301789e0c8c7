// SPDX-License-Identifier: Apache-2.0
// GET /events: server-sent events of what happens from now on.
//
//   change   a sequence took effect: which resources it wrote and deleted (never their content)
//   health   a target is seen otherwise than a moment ago: from, to, reason
//   limit    a limit ran out, or has something to give again
//   end      this control plane is going; ask another one
//
// Changes come from the state's listener. Health is compared once a second, only while somebody
// listens. Who reads too slowly is cut off: he asks again and reads the state; nothing is kept for
// him. A comment every 10 s keeps connections alive.
#include <stdio.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"

#define STREAMS_MAX 64u
#define QUEUE_MAX   (1u << 20)
#define LOOK_US     (1 * MONO_SEC)
#define BEATS       10u   // looks between two comments
#define SHOWN       1000u // resources that one event names
#define EVENT_MAX   (1u << 20)
#define LIMITS_MAX  10000u // that are known to be empty

struct api_events {
    struct api *api;
    struct loop *loop;
    struct state *state; // borrowed; outlives the store
    struct state_listener listener;
    struct loop_timer timer;
    struct list calls; // struct api_call.subscribed
    struct map health; // target -> state + 1, as of the last look
    struct map seen;   // the same, of this one
    struct map empty;  // limits that have run out -> themselves
    unsigned looks;
    bool primed;   // health holds what was there when the first one came
    bool draining; // nobody listens any more
};

static const char *const states[] = {"unknown", "healthy", "cooling", "ejected", "trial"};

// --- streams ------------------------------------------------------------------------------------

static void say(struct api_call *c, struct slice s)
{
    if (c->q == NULL || !c->is_stream) {
        return;
    }
    if (!httpd_stream_write(c->q, s) && httpd_stream_queued(c->q) > QUEUE_MAX) {
        httpd_abort(c->q);
        c->is_stream = false;
    }
}

static void say_all(struct api_events *v, struct slice s)
{
    list_foreach_safe (n, &v->calls) {
        say(container_of(n, struct api_call, subscribed), s);
    }
}

// "event: change\nid: 42\ndata: {", for members, then send().
static struct json_out begin(struct buf *b, const char *event, uint64_t seq)
{
    struct json_out o;

    buf_init(b, EVENT_MAX);
    buf_printf(b, "event: %s\n", event);
    if (seq != 0) {
        buf_printf(b, "id: %llu\n", (unsigned long long)seq);
    }
    buf_append_str(b, "data: ");
    o = json_out_to(b);
    json_out_open(&o, '{');
    return o;
}

static void send(struct api_events *v, struct json_out *o, struct buf *b)
{
    json_out_close(o, '}');
    buf_append_str(b, "\n\n");
    say_all(v, buf_slice(b));
    buf_done(b);
}

// --- changes ------------------------------------------------------------------------------------

static void put_ref(struct json_out *o, enum resource_kind kind, const char *id, uint64_t version)
{
    json_out_open(o, '{');
    json_out_field_str(o, "kind", resource_kind_name(kind));
    json_out_field_str(o, "id", id);
    if (version != 0) {
        json_out_field_u64(o, "version", version);
    }
    json_out_close(o, '}');
}

static void on_change(struct state_listener *l, const struct state_change *change)
{
    struct api_events *v = container_of(l, struct api_events, listener);
    bool all = change->prev_seq == 0 && change->seq > 1; // loaded anew: who knows what changed
    struct json_out o;
    struct buf b;

    if (list_first(&v->calls) == NULL) {
        return;
    }
    o = begin(&b, "change", change->seq);
    json_out_field_u64(&o, "seq", change->seq);
    json_out_field_bool(&o, "reloaded", all);
    json_out_field_u64(&o, "written", all ? 0 : change->n_upserts);
    json_out_key(&o, "upserts");
    json_out_open(&o, '[');
    for (size_t i = 0; i < change->n_upserts && i < SHOWN && !all; i++) {
        const struct resource *r = change->upserts[i];

        put_ref(&o, r->kind, r->id, r->version);
    }
    json_out_close(&o, ']');
    json_out_key(&o, "deletes");
    json_out_open(&o, '[');
    for (size_t i = 0; i < change->n_deletes && i < SHOWN; i++) {
        put_ref(&o, change->deletes[i].kind, change->deletes[i].id, 0);
    }
    json_out_close(&o, ']');
    send(v, &o, &b);
}

// --- health -------------------------------------------------------------------------------------

static bool look(void *ctx, const struct fleet_target *t)
{
    struct api_events *v = ctx;
    uint32_t now = t->state < ARRAY_LEN(states) ? t->state : 0;
    char key[1024];
    struct json_out o;
    uintptr_t before;
    struct buf b;

    (void)snprintf(key, sizeof(key), "%s\x1f%s\x1f%s\x1f%s", t->provider, t->model, t->key_id,
                   t->endpoint); // cut: two that only differ there are one
    // What it was, plus 1, in place of a pointer.
    before = (uintptr_t)map_get(&v->health, slice_str(key));
    (void)map_put(&v->seen, slice_str(key), (void *)((uintptr_t)now + 1));
    if (!v->primed || before == now + 1 || (before == 0 && now <= 1)) {
        return true;
    }
    o = begin(&b, "health", 0);
    json_out_field_str(&o, "provider", t->provider);
    json_out_field_str(&o, "model", t->model);
    json_out_field_str(&o, "key_id", t->key_id);
    json_out_field_str(&o, "from", before == 0 ? "unknown" : states[before - 1]);
    json_out_field_str(&o, "to", states[now]);
    json_out_field_str(&o, "reason", t->reason);
    json_out_field_u64(&o, "proxies", t->proxies);
    json_out_field_u64(&o, "unhealthy", t->unhealthy);
    send(v, &o, &b);
    return true;
}

// Targets come and go: what was not seen in this look is forgotten.
static void look_at_health(struct api_events *v)
{
    fleet_targets(v->api->fleet, look, v);
    map_done(&v->health);
    v->health = v->seen;
    map_init(&v->seen);
    v->primed = true;
}

static void forget_health(struct api_events *v)
{
    map_done(&v->health);
    map_init(&v->health);
    v->primed = false;
}

static void end(struct api_call *c)
{
    if (c->is_stream && c->q != NULL) {
        if (c->api->events->draining) {
            say(c, SLICE("event: end\ndata: {\"reason\":\"draining\"}\n\n"));
        }
        httpd_stream_end(c->q);
        c->is_stream = false;
    }
}

// A token that was revoked, or whose time is over, does not listen on.
static void end_revoked(struct api_events *v)
{
    list_foreach_safe (n, &v->calls) {
        struct api_call *c = container_of(n, struct api_call, subscribed);
        struct slice id = slice_str(c->actor);
        const struct token *token;

        if (!slice_starts(id, SLICE(API_TOKEN_ACTOR))) {
            continue;
        }
        token = tokens_find(v->api->tokens, slice_from(id, sizeof(API_TOKEN_ACTOR) - 1));
        if (token == NULL ||
            (token->expires_wall_us != 0 && loop_wall_us(v->loop) >= token->expires_wall_us)) {
            end(c);
        }
    }
}

static void on_look(struct loop_timer *t)
{
    struct api_events *v = container_of(t, struct api_events, timer);

    if (list_first(&v->calls) == NULL) {
        forget_health(v);
        return; // the next who comes sets the timer
    }
    end_revoked(v);
    look_at_health(v);
    if (++v->looks % BEATS == 0) {
        say_all(v, SLICE(": still here\n\n"));
    }
    loop_timer_set(v->loop, t, loop_now_us(v->loop) + LOOK_US);
}

// --- limits -------------------------------------------------------------------------------------

void api_limit_event(struct api *a, const char *limit_id, bool empty)
{
    struct api_events *v = a->events;
    struct slice id = slice_str(limit_id);
    struct json_out o;
    struct buf b;

    if (list_first(&v->calls) == NULL || (map_get(&v->empty, id) != NULL) == empty) {
        return;
    }
    if (empty && map_count(&v->empty) < LIMITS_MAX) {
        (void)map_put(&v->empty, id, v);
    } else if (!empty) {
        (void)map_del(&v->empty, id);
    }
    o = begin(&b, "limit", 0);
    json_out_field_str(&o, "limit", limit_id);
    json_out_field_str(&o, "state", empty ? "exhausted" : "available");
    send(v, &o, &b);
}

// --- life ---------------------------------------------------------------------------------------

void api_events_get(struct api_call *c)
{
    static const struct httpd_header h[] = {
        {SLICE("content-type"), SLICE("text/event-stream")},
        {SLICE("cache-control"), SLICE("no-store")},
    };
    struct api_events *v = c->api->events;
    char hello[64];

    if (v->calls.count >= STREAMS_MAX) {
        api_error(c, 503, "overloaded", "%u streams of events are open already", STREAMS_MAX);
        return;
    }
    c->replied = true;
    c->is_stream = true;
    meters_api(c->api->meters, c->route->path, 200);
    httpd_stream_begin(c->q, 200, h, ARRAY_LEN(h), -1);
    (void)snprintf(hello, sizeof(hello), ": from seq %llu\n\n",
                   (unsigned long long)state_seq(v->state)); // fits
    say(c, slice_str(hello));
    if (v->draining) {
        end(c);
        return;
    }
    list_push_back(&v->calls, &c->subscribed);
    if (v->calls.count == 1) {
        map_done(&v->empty);
        map_init(&v->empty);
        loop_timer_set(v->loop, &v->timer, loop_now_us(v->loop));
    }
}

void api_events_gone(struct api_call *c)
{
    if (list_in_one(&c->subscribed)) {
        list_remove(&c->api->events->calls, &c->subscribed);
    }
    c->is_stream = false;
}

struct api_events *api_events_new(struct api *a)
{
    struct api_events *v = mem_zalloc(sizeof(*v));

    v->api = a;
    v->loop = a->loop;
    v->state = store_state(a->store);
    list_init(&v->calls);
    map_init(&v->health);
    map_init(&v->seen);
    map_init(&v->empty);
    v->timer.fn = on_look;
    v->listener.fn = on_change;
    state_listen(v->state, &v->listener);
    return v;
}

void api_events_drain(struct api_events *v)
{
    v->draining = true;
    list_foreach_safe (n, &v->calls) {
        end(container_of(n, struct api_call, subscribed));
    }
}

void api_events_free(struct api_events **vp)
{
    struct api_events *v = *vp;

    *vp = NULL;
    state_unlisten(v->state, &v->listener);
    loop_timer_cancel(v->loop, &v->timer);
    map_done(&v->health);
    map_done(&v->seen);
    map_done(&v->empty);
    mem_free(v);
}
