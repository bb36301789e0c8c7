// SPDX-License-Identifier: Apache-2.0
// Steps around the response cache: looking up, replaying a hit, and what a finished answer leaves.
#include "dataplane/req_priv.h"

#include <string.h>

#include "common/base/mono.h"

#define REPLAY_PIECE (16u * 1024) // bytes given to the client's queue at a time

// The cache section that applies: the router's own, else the global one, or the unified API's.
static const struct resource_cache *section_of(const struct req *r)
{
    const struct resource_settings *set = snapshot_settings(r->snap);

    if (r->router != NULL && r->router->u.router->cache.present) {
        return &r->router->u.router->cache;
    }
    if (r->router == NULL && set->unified_cache.present) {
        return &set->unified_cache;
    }
    return &set->cache;
}

// The tenant an answer may be shown to again.
static struct slice scope_of(struct req *r, const struct resource_cache *section)
{
    const char *kind = "key";
    struct slice name = r->principal;

    if (section->scope == 2) {
        kind = "router";
        name = r->router_name;
    } else if (section->scope == 0 && r->team.n > 0) {
        kind = "team";
        name = r->team;
    }
    return slice_str(arena_printf(&r->arena, "%s:" SLICE_FMT, kind, SLICE_ARG(name)));
}

// The same body may mean different models behind different routers.
static struct slice path_of(struct req *r)
{
    return slice_str(arena_printf(&r->arena, SLICE_FMT "/" SLICE_FMT, SLICE_ARG(r->router_name),
                                  SLICE_ARG(r->route.path)));
}

// An entry for the key that has what this client wants to see, or NULL. A stream that was
// translated was written for one client: what another did not ask for is not in it.
static struct cache_entry *get(struct req *r, struct cache *cache)
{
    struct cache_entry *e = r->cache_policy.lookup
                                ? cache_get(cache, &r->cache_key, &r->cache_policy, r->now_us)
                                : NULL;

    if (e != NULL && cache_entry_value(e)->lacks_usage && dialect_shows_usage(&r->rq)) {
        cache_entry_unref(&e); // the answer to this one takes its place
    }
    return e;
}

// Several buckets: as long as one is free the request is a miss that fills it; then one of them is
// drawn, so that repeated questions get varying answers.
static struct cache_entry *look_up(struct req *r, struct cache *cache, struct slice scope)
{
    uint32_t n = r->cache_policy.buckets == 0 ? 1 : r->cache_policy.buckets;
    struct slice path = path_of(r);
    uint32_t drawn = n == 1 ? 0 : (uint32_t)rng_below(&r->w->rng, n);
    struct cache_entry *found = NULL;

    for (uint32_t i = 0; i < n; i++) {
        struct cache_entry *e;

        cache_key(&r->cache_key, scope, r->cache_policy.seed, path, &r->rq, i);
        r->cache_bucket = i;
        e = get(r, cache);
        if (e == NULL) {
            cache_entry_unref(&found);
            return NULL; // cache_key and cache_bucket name the free one
        }
        if (i == drawn) {
            found = e;
        } else {
            cache_entry_unref(&e);
        }
    }
    r->cache_bucket = drawn;
    return found;
}

enum req_next req_step_cache(struct req *r)
{
    struct cache *cache = atomic_load(&r->w->shared->cache);
    const struct resource_cache *section = section_of(r);
    struct cache_policy p;

    if (cache == NULL) {
        return req_set_step(r, REQ_LIMIT);
    }
    p = cache_policy(section, httpd_header(r->q, "cache-control"),
                     httpd_header(r->q, "helicone-cache-enabled"),
                     httpd_header(r->q, "helicone-cache-bucket-max-size"),
                     httpd_header(r->q, "helicone-cache-seed"));
    r->cache_policy = p;
    if (!p.lookup && !p.store) {
        r->cache = p.configured ? REQ_CACHE_BYPASS : REQ_CACHE_NONE;
        return req_set_step(r, REQ_LIMIT);
    }
    r->entry = look_up(r, cache, scope_of(r, section));
    r->cache = r->entry != NULL ? REQ_CACHE_HIT : (p.lookup ? REQ_CACHE_MISS : REQ_CACHE_BYPASS);
    r->cache_store = p.store;
    if (r->entry != NULL) {
        return req_set_step(r, REQ_REPLAY);
    }
    if (p.only_if_cached) {
        return req_fail(r, REPLY_ONLY_IF_CACHED, "no stored answer, and only-if-cached was asked");
    }
    return req_set_step(r, REQ_LIMIT);
}

static void emit_to_client(void *ctx, struct slice raw)
{
    struct req *r = ctx;

    r->bytes_out += raw.n;
    if (r->q != NULL && !httpd_stream_write(r->q, raw)) {
        r->blocked = true;
    }
}

// A hit costs nothing.
static struct slice no_cost(void *ctx, const struct dialect_usage *u, char out[40])
{
    (void)ctx;
    (void)u;
    return slice_str(price_format_usd(0, out));
}

static void begin_replay(struct req *r, const struct cache_value *v)
{
    r->provider = arena_dup(&r->arena, v->provider);
    r->answered_model = arena_dup(&r->arena, v->model);
    r->usage = v->usage;
    if (!v->stream) {
        struct buf body;

        buf_init(&body, v->body.n + 1);
        buf_append(&body, v->body);
        req_show_cost(r, (struct price_cost){true, 0}, &body); // a hit costs nothing
        r->bytes_out = v->body.n;
        reply_plain(r, v->status, v->content_type, &body);
        return;
    }
    // The stored stream may hold a usage event that this client did not ask for.
    stream_begin(&r->out, r->dialect, NULL, r->rq.n, !dialect_shows_usage(&r->rq), false);
    if (r->rq.usage_in_body) {
        stream_show_cost(&r->out, no_cost, NULL);
    }
    stream_release(&r->out, emit_to_client, r);
    reply_stream_head(r);
}

// Woken by room in the client's queue.
enum req_next req_step_replay(struct req *r)
{
    const struct cache_value *v = cache_entry_value(r->entry);

    if (!r->head_sent) {
        begin_replay(r, v);
        req_commit(r);
    }
    while (!r->answered && !r->blocked && r->replayed < v->body.n) {
        struct slice piece = slice_head(slice_from(v->body, r->replayed), REPLAY_PIECE);

        r->replayed += piece.n;
        stream_feed(&r->out, piece);
    }
    if (!r->answered && r->replayed < v->body.n) {
        return req_is_due(r, REQ_DUE_TOTAL) ? req_fail(r, REPLY_UPSTREAM_TIMEOUT,
                                                       "the client did not take the answer in time")
                                            : REQ_WAIT;
    }
    if (!r->answered) {
        stream_finish(&r->out);
        httpd_stream_end(r->q);
        r->answered = true;
    }
    return req_set_step(r, REQ_SEND);
}

void req_cache_store(struct req *r, struct slice body, struct slice content_type)
{
    struct cache *cache = atomic_load(&r->w->shared->cache);
    struct cache_value v = {
        .status = 200,
        .stream = r->stream,
        .lacks_usage = r->stream && r->at.xlate != NULL && !dialect_shows_usage(&r->rq),
        .content_type = content_type,
        .provider = r->provider,
        .model = r->answered_model,
        .usage = r->usage,
        .body = body,
    };

    // A translated answer to who asked for its cost has it inside: nobody else is to see it, nor is
    // it what a hit costs.
    if (r->at.xlate != NULL && r->rq.usage_in_body) {
        return;
    }
    if (cache != NULL && r->cache_store && r->cache_policy.lifetime_us > 0) {
        cache_put(cache, &r->cache_key, &v, r->cache_policy.lifetime_us, r->now_us);
    }
}
