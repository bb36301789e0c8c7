// SPDX-License-Identifier: Apache-2.0
// A commit's life:
//
//   store_commit --> SENT (the script is on its way) --> WAITING (done at seq; our own state has
//   not
//                      |                                 |         come to it yet) --> fn(DONE)
//                      |--refused--> fn(...)              `--deadline--> fn(DONE) all the same
//                      `--deadline, connection lost--> fn(UNKNOWN)
//
// Waiting for the stream gives everybody who writes through this replica their own writes back.
#include "controlplane/store.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/names.h"
#include "controlplane/scripts.h"

// The script's own deadline leaves time for the stream.
#define SCRIPT_US 800000u

struct store {
    struct loop *loop;
    struct redis *redis;   // owned
    struct follow *follow; // owned
    struct state *state;   // borrowed
    struct record_keys *keys;
    struct state_listener listener;
    struct list commits;   // struct commit, all of them
    struct loop_task task; // answers what became ready
};

enum commit_state { COMMIT_SENT, COMMIT_WAITING, COMMIT_READY };

struct commit {
    struct list_node node;
    struct store *store;
    struct loop_timer deadline;
    enum commit_state state;
    store_fn fn;
    void *arg;
    struct store_result result;
    char *payload; // owned; result.payload points to it
    char message[200];
};

static void commit_answer(struct commit *c)
{
    struct store *s = c->store;

    list_remove(&s->commits, &c->node);
    loop_timer_cancel(s->loop, &c->deadline);
    c->result.message = c->message;
    c->fn(c->arg, &c->result);
    mem_free(c->payload);
    mem_free(c);
}

static void on_task(struct loop_task *t)
{
    struct store *s = container_of(t, struct store, task);

    list_foreach_safe (n, &s->commits) {
        struct commit *c = container_of(n, struct commit, node);

        if (c->state == COMMIT_READY ||
            (c->state == COMMIT_WAITING && state_seq(s->state) >= c->result.seq)) {
            commit_answer(c);
        }
    }
}

static void on_change(struct state_listener *l, const struct state_change *change)
{
    struct store *s = container_of(l, struct store, listener);

    (void)change;
    loop_post(s->loop, &s->task);
}

static void commit_ready(struct commit *c, enum store_outcome outcome, const char *message)
{
    c->state = COMMIT_READY;
    c->result.outcome = outcome;
    (void)snprintf(c->message, sizeof(c->message), "%s", message);
    loop_post(c->store->loop, &c->store->task);
}

static void on_deadline(struct loop_timer *t)
{
    struct commit *c = container_of(t, struct commit, deadline);

    // SENT cannot be here: the script's deadline came first. WAITING: it is done, only our own view
    // is late.
    commit_answer(c);
}

static void script_answer(struct commit *c, const struct redis_reply *r)
{
    struct store *s = c->store;
    struct slice word = redis_text(redis_item(r, 0));

    c->result.seq = (uint64_t)redis_int(redis_item(r, 1));
    if (slice_eq_str(word, "ok")) {
        c->state = COMMIT_WAITING;
        c->result.outcome = STORE_DONE;
        loop_post(s->loop, &s->task);
    } else if (slice_eq_str(word, "again")) {
        struct slice payload = redis_text(redis_item(r, 1));

        c->payload = mem_strndup(payload.n == 0 ? "" : payload.p, payload.n);
        c->result.payload = SLICE_MAKE(c->payload, payload.n);
        c->result.seq = (uint64_t)redis_int(redis_item(r, 2));
        c->state = COMMIT_WAITING; // another replica may have made it just now
        c->result.outcome = STORE_AGAIN;
        loop_post(s->loop, &s->task);
    } else if (slice_eq_str(word, "reused")) {
        commit_ready(c, STORE_REUSED, "");
    } else if (slice_eq_str(word, "known")) {
        commit_ready(c, STORE_KNOWN, "");
    } else if (slice_eq_str(word, "conflict")) {
        c->result.version = (uint64_t)redis_int(redis_item(r, 2));
        commit_ready(c, STORE_CONFLICT, "");
    } else if (slice_eq_str(word, "gone")) {
        char message[128];

        (void)snprintf(message, sizeof(message), SLICE_FMT " was deleted meanwhile",
                       SLICE_ARG(slice_head(redis_text(redis_item(r, 1)), 96)));
        c->result.seq = 0;
        commit_ready(c, STORE_CONFLICT, message);
    } else {
        commit_ready(c, STORE_REGRESSED, "Redis is not in the state that was seen before");
        follow_suspect(s->follow);
    }
}

static void on_script(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct commit *c = arg;

    if (e == NULL) {
        script_answer(c, r);
    } else if (e->code == ERR_INVALID) {
        // The script failed in Redis before it wrote anything.
        commit_ready(c, STORE_UNAVAILABLE, e->message);
    } else {
        commit_ready(c, strncmp(e->message, "Redis: ", 7) == 0 ? STORE_UNAVAILABLE : STORE_UNKNOWN,
                     e->message);
    }
}

// --- building the script's arguments -------------------------------------------------------------

// Slices over one growing buffer: offsets first, pointers when it is complete.
#define ARGS_FIXED 26u // 10 keys, 16 arguments

struct args {
    struct slice *v;
    size_t n;
    struct arena arena;
};

static void arg_add(struct args *a, struct slice s)
{
    a->v[a->n++] = s.p == NULL ? SLICE("") : s;
}

static void arg_version(struct args *a, uint64_t version)
{
    if (version == STORE_ANY_VERSION) {
        arg_add(a, SLICE("*"));
    } else {
        arg_add(a, slice_str(arena_printf(&a->arena, "%llu", (unsigned long long)version)));
    }
}

static void arg_op(struct store *s, struct args *a, const struct store_op *op)
{
    enum resource_kind kind = op->res != NULL ? op->res->kind : op->kind;
    struct slice id = op->res != NULL ? slice_str(op->res->id) : op->id;
    char field[RECORD_FIELD_MAX];
    struct buf record;

    CHECK(record_field(kind, id, field));
    arg_add(a, slice_str(arena_strdup(&a->arena, field)));
    arg_version(a, op->expected);
    if (op->needed) {
        arg_add(a, SLICE("="));
        return;
    }
    if (op->res == NULL) {
        arg_add(a, SLICE(""));
        return;
    }
    buf_init(&record, RECORD_BYTES_MAX);
    record_encode(op->res, op->origin, op->where, s->keys, &record);
    arg_add(a, arena_dup(&a->arena, buf_slice(&record)));
    buf_done(&record);
}

// Keyed with what does not change when master keys do: the repeat of a request must find its first
// try.
static const char *idempotency_name(struct store *s, struct args *a, struct slice name)
{
    const struct resource *settings = state_find(s->state, RESOURCE_SETTINGS, SLICE("global"));
    uint8_t hash[32];
    char hex[65];

    crypto_keyed_hash(hash, sizeof(hash),
                      settings == NULL ? NULL : settings->u.settings->key_hash_key, &name, 1);
    text_hex(hash, sizeof(hash), hex);
    return arena_printf(&a->arena, "%s%s", NAMES_IDEMPOTENCY, hex);
}

// The highest sequence known to exist; Redis must have it.
static uint64_t seen_seq(const struct store *s)
{
    uint64_t known = follow_known_seq(s->follow);

    return state_seq(s->state) > known ? state_seq(s->state) : known;
}

// KEYS and ARGV of lua/change.lua.
static void build_args(struct store *s, struct args *a, const struct store_change *c)
{
    char now[32];

    arena_init(&a->arena, 4096, 0);
    a->v = mem_zalloc_array(ARGS_FIXED + 3 * c->n, sizeof(struct slice));
    arg_add(a, SLICE(NAMES_EPOCH));
    arg_add(a, SLICE(NAMES_SEQ));
    arg_add(a, SLICE(NAMES_RESOURCES));
    arg_add(a, SLICE(NAMES_STREAM));
    arg_add(a, SLICE(NAMES_AUDIT));
    arg_add(a, slice_str(idempotency_name(s, a, c->idempotency)));
    arg_add(a, SLICE(NAMES_REVISIONS));
    arg_add(a, SLICE(NAMES_REVISION_LOG));
    arg_add(a, SLICE(NAMES_REVISION_SETS));
    arg_add(a, SLICE(NAMES_TOKENS));
    arg_add(a, SLICE_MAKE((const char *)state_epoch(s->state), STATE_EPOCH_BYTES));
    arg_version(a, seen_seq(s));
    arg_add(a, c->audit);
    arg_add(a, c->idempotency.n > 0 ? c->digest : SLICE(""));
    arg_add(a, c->payload);
    arg_add(a, c->file_hash);
    arg_add(a, c->only_new ? SLICE("new") : SLICE("latest"));
    arg_add(a, slice_str(arena_strdup(&a->arena, text_format_rfc3339(loop_wall_us(s->loop), now))));
    arg_version(a, c->at_seq);
    if (!c->exact) {
        a->v[a->n - 1] = SLICE("");
    }
    arg_add(a, c->revision);
    arg_add(a, c->revision_set);
    arg_add(a, c->token);
    arg_add(a, c->token_value);
    arg_add(a, c->token_value.n == 0 ? SLICE("1") : SLICE("0"));
    arg_version(a, c->at_seq);
    arg_add(a, c->unnamed.n > 0 ? c->unnamed : SLICE(""));
    CHECK(a->n == ARGS_FIXED);
    for (size_t i = 0; i < c->n; i++) {
        arg_op(s, a, &c->ops[i]);
    }
}

void store_commit(struct store *s, const struct store_change *c, store_fn fn, void *arg)
{
    struct commit *m = mem_zalloc(sizeof(*m));
    enum follow_status status = follow_status(s->follow);
    struct args a = {0};

    m->store = s;
    m->fn = fn;
    m->arg = arg;
    m->deadline.fn = on_deadline;
    list_push_back(&s->commits, &m->node);
    if (status == FOLLOW_REGRESSED || status == FOLLOW_EMPTY) {
        commit_ready(m, STORE_REGRESSED, "Redis went back in time or was never initialised");
        return;
    }
    if (!state_ready(s->state) || !redis_is_up(s->redis)) {
        commit_ready(m, STORE_UNAVAILABLE, "Redis is not reachable");
        return;
    }
    if (c->n > STORE_OPS_MAX) {
        commit_ready(m, STORE_UNAVAILABLE, "more than 100000 resources would change at once");
        return;
    }
    build_args(s, &a, c);
    loop_timer_set(s->loop, &m->deadline, loop_now_us(s->loop) + STORE_COMMIT_US);
    redis_eval(s->redis, SCRIPTS_CHANGE, 10, a.v, a.n, SCRIPT_US, on_script, m);
    mem_free(a.v);
    arena_done(&a.arena);
}

struct needs {
    struct store *s;
    struct store_op *ops;
    size_t n, max;
};

static void need(struct needs *v, const char *provider)
{
    for (size_t i = 0; i < v->n; i++) {
        if (slice_eq_str(v->ops[i].id, provider)) {
            return;
        }
    }
    if (v->n < v->max && state_find(v->s->state, RESOURCE_PROVIDER, slice_str(provider)) != NULL) {
        v->ops[v->n++] =
            (struct store_op){.kind = RESOURCE_PROVIDER, .id = slice_str(provider), .needed = true};
    }
}

size_t store_needs(struct store *s, const struct resource *r, struct store_op *ops, size_t max)
{
    struct needs v = {.s = s, .ops = ops, .max = max};

    if (r->kind == RESOURCE_PROVIDER_KEY) {
        need(&v, r->u.provider_key->provider);
    } else if (r->kind == RESOURCE_ROUTER) {
        const struct resource_router *router = r->u.router;

        for (size_t b = 0; b < router->n_balances; b++) {
            for (size_t t = 0; t < router->balances[b].n_targets; t++) {
                need(&v, router->balances[b].targets[t].provider);
            }
        }
        for (size_t t = 0; t < router->n_fallbacks; t++) {
            need(&v, router->fallbacks[t].provider);
        }
    }
    return v.n;
}

// --- life ---------------------------------------------------------------------------------------

struct store *store_new(const struct store_config *c, struct err *e)
{
    struct store *s = mem_zalloc(sizeof(*s));
    const struct redis_config rc = {
        .url = c->redis_url, .scripts = scripts_all, .n_scripts = SCRIPTS_COUNT};
    struct follow_config fc = {.loop = c->loop,
                               .redis_url = c->redis_url,
                               .state = c->state,
                               .init = c->init,
                               .first_epoch = c->first_epoch,
                               .mark_epoch = c->mark_epoch,
                               .mark_seq = c->mark_seq,
                               .on_status = c->on_status,
                               .arg = c->arg};

    s->loop = c->loop;
    s->state = c->state;
    s->keys = crypto_locked_new(sizeof(*s->keys));
    *s->keys = *c->keys;
    list_init(&s->commits);
    s->task.fn = on_task;
    s->listener.fn = on_change;
    state_listen(s->state, &s->listener);
    fc.keys = s->keys;
    s->redis = redis_new(c->loop, &rc, e);
    s->follow = s->redis == NULL ? NULL : follow_new(&fc, e);
    if (s->follow == NULL) {
        store_free(&s);
    }
    return s;
}

void store_free(struct store **sp)
{
    struct store *s = *sp;
    struct list_node *n;

    if (s == NULL) {
        return;
    }
    *sp = NULL;
    follow_free(&s->follow);
    redis_free(&s->redis); // commits that were SENT become READY
    while ((n = list_first(&s->commits)) != NULL) {
        commit_answer(container_of(n, struct commit, node));
    }
    state_unlisten(s->state, &s->listener);
    loop_unpost(s->loop, &s->task);
    crypto_locked_free((void **)&s->keys);
    mem_free(s);
}

struct redis *store_redis(struct store *s)
{
    return s->redis;
}

struct follow *store_follow(struct store *s)
{
    return s->follow;
}

struct state *store_state(struct store *s)
{
    return s->state;
}

const struct record_keys *store_keys(const struct store *s)
{
    return s->keys;
}

void store_set_keys(struct store *s, const struct record_keys *k)
{
    CHECK(k->n > 0);
    *s->keys = *k; // follow.c looks at the same
    follow_retry_bad(s->follow);
}
