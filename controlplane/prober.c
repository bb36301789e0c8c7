// SPDX-License-Identifier: Apache-2.0
// Each TICK_US, while the lease is ours: every provider that wants to be probed and is due is.
//
//   due --models--> GET base-url models --head--> good: any status below 500
//       `--tcp----> connect (and TLS) ----------> good: connected
//   TIMEOUT_US without an answer, or no connection: bad
//
// Whoever gets the lease begins with all providers at once: that is what somebody waits for when
// the prober before it has died. A provider that is only known here by a key it lacks is left out.
#include "controlplane/prober.h"

#include <stdio.h>

#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "controlplane/egress.h"
#include "controlplane/hold.h"
#include "controlplane/names.h"

#define TICK_US    (250 * MONO_MS)
#define TIMEOUT_US (5 * MONO_SEC)
#define REASON_MAX 200u

// A provider being watched.
struct watch {
    struct list_node node;
    struct prober *p;
    char provider[RESOURCE_ID_MAX + 1];
    bool wanted;     // seen in this round
    uint64_t due_us; // of the next probe
    uint64_t started_us;
    struct upstream_call *call; // under way, or NULL
    struct dial_conn *conn;     // under way, or NULL
    struct loop_timer deadline;
    int last; // -1 = not known, else good
};

struct prober {
    struct prober_config conf;
    struct loop *loop;
    struct hold *hold;
    struct dial *dial;
    struct loop_timer timer;
    struct list watches;
    bool had;
};

// --- one probe ----------------------------------------------------------------------------------

static bool is_running(const struct watch *w)
{
    return w->call != NULL || w->conn != NULL;
}

static void stop(struct watch *w)
{
    upstream_cancel(&w->call);
    dial_close(&w->conn);
    loop_timer_cancel(w->p->loop, &w->deadline);
}

// reason: "" for a good one.
static void finish(struct watch *w, const char *reason)
{
    struct message_probe m = {.provider = w->provider,
                              .good = reason[0] == '\0',
                              .latency_us = loop_now_us(w->p->loop) - w->started_us,
                              .reason = reason};

    stop(w);
    if (w->last != (int)m.good && (w->last != -1 || !m.good)) {
        LOG(INFO, "probe.changed", LOG_STR("provider", w->provider),
            LOG_STR("result", m.good ? "good" : "bad"), LOG_STR("reason", reason));
    }
    w->last = m.good;
    meters_probe(w->p->conf.meters, m.good);
    w->p->conf.publish(w->p->conf.arg, &m, 1);
}

static void on_deadline(struct loop_timer *t)
{
    finish(container_of(t, struct watch, deadline), "no answer within 5 s");
}

// The head says all there is to know; the body is not read.
static void on_head(void *arg, const struct h1 *head)
{
    char text[40] = "";

    if (head->status >= 500) {
        (void)snprintf(text, sizeof(text), "status %u", head->status);
    }
    finish(arg, text);
}

static void on_data(void *arg, struct slice data)
{
    (void)arg;
    (void)data;
}

static void on_end(void *arg, enum upstream_result r, const char *message)
{
    struct watch *w = arg;
    char text[REASON_MAX];

    (void)r;
    w->call = NULL; // over by itself
    (void)snprintf(text, sizeof(text), "%s",
                   message == NULL || message[0] == '\0' ? "no answer" : message);
    finish(w, text);
}

static void on_connected(void *arg, enum dial_result r, const char *message)
{
    char text[REASON_MAX] = "";

    if (r != DIAL_OK) {
        (void)snprintf(text, sizeof(text), "%s",
                       message == NULL || message[0] == '\0' ? "no connection" : message);
    }
    finish(arg, text);
}

struct key_search {
    const char *provider;
    const struct resource_provider_key *found;
};

static bool look_at_key(void *ctx, struct resource *r)
{
    struct key_search *s = ctx;
    const struct resource_provider_key *k = r->u.provider_key;

    if (k->state == RESOURCE_ACTIVE && k->value != NULL &&
        slice_eq_str(slice_str(k->provider), s->provider)) {
        s->found = k;
    }
    return s->found == NULL;
}

static const struct resource_provider_key *key_of(struct prober *p, const char *provider)
{
    struct key_search s = {.provider = provider};

    state_each(store_state(p->conf.store), RESOURCE_PROVIDER_KEY, SLICE_NULL, look_at_key, &s);
    return s.found;
}

static void ask_models(struct watch *w, const struct resource_provider *r, const char *origin,
                       struct slice host, struct slice path)
{
    const struct resource_provider_key *key = key_of(w->p, w->provider);
    struct buf head;

    buf_init(&head, 1u << 20);
    egress_ask_models(r, host, path, key == NULL ? NULL : key->value, &head);
    w->call = upstream_start(w->p->conf.upstream,
                             &(const struct upstream_request){.origin = origin,
                                                              .head = buf_slice(&head),
                                                              .connect_timeout_us = TIMEOUT_US,
                                                              .on = {on_head, on_data, on_end},
                                                              .arg = w});
    mem_wipe(head.p, head.cap);
    buf_done(&head);
}

static void start(struct watch *w, const struct resource_provider *r)
{
    struct loop *l = w->p->loop;
    char origin[EGRESS_ORIGIN_MAX];
    struct slice host, path;
    struct err e;

    w->started_us = loop_now_us(l);
    w->due_us = w->started_us + r->probe_interval_us;
    if (!egress_split(r->base_url, origin, &host, &path)) {
        return;
    }
    loop_timer_set(l, &w->deadline, w->started_us + TIMEOUT_US);
    if (r->probe == RESOURCE_PROBE_MODELS) {
        ask_models(w, r, origin, host, path);
        return;
    }
    w->conn = dial_start(w->p->dial, origin, TIMEOUT_US, on_connected, w, &e);
    if (w->conn == NULL) {
        finish(w, e.message);
    }
}

// --- which --------------------------------------------------------------------------------------

static struct watch *watch_of(struct prober *p, const char *provider)
{
    struct watch *w;

    list_foreach (n, &p->watches) {
        w = container_of(n, struct watch, node);
        if (slice_eq_str(slice_str(provider), w->provider)) {
            return w;
        }
    }
    w = mem_zalloc(sizeof(*w));
    w->p = p;
    w->last = -1;
    w->deadline.fn = on_deadline;
    (void)snprintf(w->provider, sizeof(w->provider), "%s", provider); // an id fits
    list_push_back(&p->watches, &w->node);
    return w;
}

static bool look_at(void *ctx, struct resource *r)
{
    const struct resource_provider *provider = r->u.provider;
    struct prober *p = ctx;
    struct watch *w;

    if (provider->probe == RESOURCE_PROBE_OFF ||
        (provider->needs_key && provider->probe == RESOURCE_PROBE_MODELS &&
         key_of(p, r->id) == NULL)) {
        return true;
    }
    w = watch_of(p, r->id);
    w->wanted = true;
    if (!is_running(w) && loop_now_us(p->loop) >= w->due_us) {
        start(w, provider);
    }
    return true;
}

static void drop(struct watch *w)
{
    stop(w);
    list_remove(&w->p->watches, &w->node);
    mem_free(w);
}

// Those that nobody wants any more, or all.
static void sweep(struct prober *p, bool all)
{
    list_foreach_safe (n, &p->watches) {
        struct watch *w = container_of(n, struct watch, node);

        if (all || !w->wanted) {
            drop(w);
        } else {
            w->wanted = false;
        }
    }
}

static void on_tick(struct loop_timer *t)
{
    struct prober *p = container_of(t, struct prober, timer);
    bool ours = hold_is_ours(p->hold) && state_ready(store_state(p->conf.store));

    loop_timer_set(p->loop, t, loop_now_us(p->loop) + TICK_US);
    if (ours != p->had) {
        LOG(INFO, "probe.lease",
            LOG_STR("probes", ours ? "done here from now on" : "done by another"));
        p->had = ours;
    }
    if (ours) {
        state_each(store_state(p->conf.store), RESOURCE_PROVIDER, SLICE_NULL, look_at, p);
    }
    sweep(p, !ours);
}

struct prober *prober_new(const struct prober_config *c, struct err *e)
{
    struct prober *p = mem_zalloc(sizeof(*p));

    p->conf = *c;
    p->loop = c->loop;
    list_init(&p->watches);
    p->timer.fn = on_tick;
    p->dial = dial_new(c->loop, &c->dial, e);
    if (p->dial == NULL) {
        mem_free(p);
        return NULL;
    }
    p->hold = hold_new(c->loop, c->store, NAMES_PROBER);
    loop_timer_set(c->loop, &p->timer, loop_now_us(c->loop));
    return p;
}

void prober_free(struct prober **pp)
{
    struct prober *p = *pp;

    *pp = NULL;
    if (p == NULL) {
        return;
    }
    sweep(p, true);
    hold_free(&p->hold);
    loop_timer_cancel(p->loop, &p->timer);
    dial_free(&p->dial);
    mem_free(p);
}
