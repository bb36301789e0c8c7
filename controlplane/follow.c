// SPDX-License-Identifier: Apache-2.0
// One command at a time on one connection:
//
//   connected --> CHECK: MGET epoch, seq, superseded
//                   |  no epoch (and not told to init) --> EMPTY      } looked at again each second
//                   |  other epoch, or seq below ours  --> REGRESSED  }
//                   |  other epoch that supersedes ours (a person adopted it) --> LOAD
//                   |  nothing loaded, or a gap        --> LOAD
//                   `  else                            --> READ
//   LOAD: HSCAN ... HSCAN, then XREAD from the seq of the CHECK until nothing comes: entries are
//         merged by version into the harvest, which becomes the state in one piece. What the scan
//         saw half-done the entries complete; a stream trimmed meanwhile starts it again.
//   READ: XREAD BLOCK 1000 from our seq; entries become changes of the state. An entry that is not
//         ours + 1 means the stream was trimmed past us: LOAD. Nothing for a second: CHECK, so that
//         a Redis that was emptied under us is found out although it has nothing to tell.
//
// What is "ours" (known.h) is known before anything was loaded, too: the daemon remembers it in its
// data directory (the mark). A replica that starts on a regressed Redis loads what there is, for
// reading, and stays REGRESSED.
//
// A record that cannot be decoded is left out, with a line in the log; what it would have replaced
// stays; everything else of its change is applied.
#include "controlplane/follow.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/redis.h"
#include "controlplane/entry.h"
#include "controlplane/harvest.h"
#include "controlplane/known.h"
#include "controlplane/names.h"

#define BLOCK_MS     "1000"
#define TIMEOUT_US   (2 * MONO_SEC)
#define AGAIN_US     (1 * MONO_SEC)
#define ENTRIES_READ "256" // per XREAD
#define FIELDS_READ  "200" // per HSCAN

struct follow {
    struct loop *loop;
    struct redis *redis; // owned
    struct state *state; // borrowed
    const struct record_keys *keys;
    struct follow_config c;
    enum follow_status status;
    struct loop_timer again; // CHECK in a while
    bool init;
    uint8_t first_epoch[STATE_EPOCH_BYTES]; // what an empty Redis gets
    bool suspect;                           // the next CHECK is to end in a LOAD
    bool reload;                            // so is the next that finds Redis where it should be
    struct known known;                     // where we have been
    uint8_t redis_epoch[STATE_EPOCH_BYTES]; // at the last CHECK
    bool has_epoch;                         // ... there was one
    bool stale;      // what is being loaded is older than what is known: for reading only
    uint64_t behind; // our seq + 1 when a quiet stream did not have what Redis's seq promised
    uint64_t bad;
    struct map owners;                // field -> struct follow_owner, owned
    struct harvest harvest;           // LOAD: what was read so far; empty otherwise
    uint8_t epoch[STATE_EPOCH_BYTES]; // ... of this epoch
    uint64_t seq;                     // ... up to here
    char cursor[24];                  // ... of the scan
};

static void check(struct follow *f);
static void read_on(struct follow *f);

static void look_again(struct follow *f)
{
    loop_timer_set(f->loop, &f->again, loop_now_us(f->loop) + AGAIN_US);
}

static void set_status(struct follow *f, enum follow_status s, const char *message)
{
    if (f->status != s) {
        f->status = s;
        f->c.on_status(f->c.arg, s, message);
    }
}

// --- owners -------------------------------------------------------------------------------------

static void owner_free(struct follow_owner *o)
{
    if (o != NULL) {
        mem_free(o->where);
        mem_free(o);
    }
}

static void set_owner(struct follow *f, struct slice field, enum record_origin origin,
                      struct slice where)
{
    struct follow_owner *o;

    if (origin == RECORD_API) {
        owner_free(map_del(&f->owners, field));
        return;
    }
    o = mem_zalloc(sizeof(*o));
    o->origin = origin;
    o->where = mem_strndup(where.p == NULL ? "" : where.p, where.n);
    owner_free(map_put(&f->owners, field, o));
}

static void owners_clear(struct follow *f)
{
    map_foreach (e, &f->owners) {
        owner_free(e->value);
    }
    map_done(&f->owners);
    map_init(&f->owners);
}

const struct follow_owner *follow_owner(const struct follow *f, enum resource_kind kind,
                                        struct slice id)
{
    char field[RECORD_FIELD_MAX];

    return record_field(kind, id, field) ? map_get(&f->owners, slice_str(field)) : NULL;
}

void follow_each_owned(const struct follow *f,
                       void (*fn)(void *ctx, enum resource_kind kind, struct slice id,
                                  const struct follow_owner *o),
                       void *ctx)
{
    map_foreach (e, &f->owners) {
        enum resource_kind kind;
        struct slice id;

        if (record_parse_field(e->key, &kind, &id)) {
            fn(ctx, kind, id, e->value);
        }
    }
}

// --- records and entries ------------------------------------------------------------------------

static bool decode(struct follow *f, struct slice field, struct slice bytes, struct record *ret)
{
    struct err e;

    if (record_decode(field, bytes, f->keys, ret, &e)) {
        return true;
    }
    f->bad++;
    LOG(ERROR, "store.bad_record", LOG_SLICE("field", slice_head(field, 80)), LOG_ERR(&e));
    return false;
}

static void xread(struct follow *f, uint64_t after, bool block, redis_fn fn)
{
    char id[32];
    struct slice argv[8] = {SLICE("XREAD"), SLICE("COUNT"), SLICE(ENTRIES_READ)};
    size_t n = 3;

    (void)snprintf(id, sizeof(id), "%llu-0", (unsigned long long)after); // fits
    if (block) {
        argv[n++] = SLICE("BLOCK");
        argv[n++] = SLICE(BLOCK_MS);
    }
    argv[n++] = SLICE("STREAMS");
    argv[n++] = SLICE(NAMES_STREAM);
    argv[n++] = slice_str(id);
    redis_command(f->redis, argv, n, TIMEOUT_US + (block ? MONO_SEC : 0), fn, f);
}

// The command could not be carried out: the state stays, try again.
static void failed(struct follow *f, const struct err *e)
{
    if (f->status != FOLLOW_CONNECTING) {
        set_status(f, FOLLOW_LOST, e->message);
    }
    loop_timer_set(f->loop, &f->again, loop_now_us(f->loop) + AGAIN_US);
}

// --- LOAD ---------------------------------------------------------------------------------------

static void bring_in(struct follow *f, struct slice field, struct slice bytes)
{
    struct record rec;

    if (decode(f, field, bytes, &rec)) {
        harvest_put(&f->harvest, field, &rec);
    }
}

static void harvest_to_state(struct follow *f)
{
    size_t n = 0, cap = map_count(&f->harvest.items);
    struct resource **all = mem_zalloc_array(cap + 1, sizeof(struct resource *));

    owners_clear(f);
    map_foreach (e, &f->harvest.items) {
        const struct harvest_item *item = e->value;

        all[n++] = item->res;
        set_owner(f, e->key, item->origin, slice_str(item->where));
    }
    LOG(INFO, "store.loaded", LOG_UINT("seq", f->seq), LOG_UINT("resources", n));
    state_load(f->state, f->epoch, f->seq, all, n);
    mem_free(all);
    harvest_clear(&f->harvest);
    if (!f->stale) {
        known_reach(&f->known, f->epoch, f->seq);
        set_status(f, FOLLOW_CURRENT, "");
    }
}

static void on_replay(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct follow *f = arg;
    const struct redis_reply *entries = entry_list(r);

    if (e != NULL) {
        harvest_clear(&f->harvest);
        failed(f, e);
        return;
    }
    for (size_t i = 0; i < redis_count(entries); i++) {
        struct entry_op op;
        struct entry entry;

        if (!entry_parse(redis_item(entries, i), &entry) || entry.seq != f->seq + 1) {
            harvest_clear(&f->harvest); // trimmed while we were reading: once more
            check(f);
            return;
        }
        while (entry_take_op(&entry.ops, &op)) {
            if (op.record.n > 0) {
                bring_in(f, op.field, op.record);
            } else {
                harvest_del(&f->harvest, op.field);
            }
        }
        f->seq = entry.seq;
    }
    if (redis_count(entries) > 0) {
        xread(f, f->seq, false, on_replay);
        return;
    }
    harvest_to_state(f);
    if (f->stale) {
        look_again(f);
    } else {
        read_on(f);
    }
}

static void on_scan(void *arg, const struct redis_reply *r, const struct err *e);

static void scan(struct follow *f)
{
    const struct slice argv[] = {SLICE("HSCAN"), SLICE(NAMES_RESOURCES), slice_str(f->cursor),
                                 SLICE("COUNT"), SLICE(FIELDS_READ)};

    redis_command(f->redis, argv, ARRAY_LEN(argv), TIMEOUT_US, on_scan, f);
}

static void on_scan(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct follow *f = arg;
    const struct redis_reply *pairs = redis_item(r, 1);
    struct slice cursor = redis_text(redis_item(r, 0));

    if (e != NULL) {
        harvest_clear(&f->harvest);
        failed(f, e);
        return;
    }
    for (size_t i = 0; i + 1 < redis_count(pairs); i += 2) {
        bring_in(f, redis_text(redis_item(pairs, i)), redis_text(redis_item(pairs, i + 1)));
    }
    (void)snprintf(f->cursor, sizeof(f->cursor), SLICE_FMT, SLICE_ARG(cursor)); // a u64
    if (cursor.n == 0 || slice_eq_str(cursor, "0")) {
        xread(f, f->seq, false, on_replay);
    } else {
        scan(f);
    }
}

static void load(struct follow *f, struct slice epoch, uint64_t seq)
{
    if (!f->stale) {
        set_status(f, FOLLOW_LOADING, "");
    }
    f->reload = false;
    harvest_clear(&f->harvest);
    memcpy(f->epoch, epoch.p, STATE_EPOCH_BYTES);
    f->seq = seq;
    (void)snprintf(f->cursor, sizeof(f->cursor), "0");
    scan(f);
}

// --- READ ---------------------------------------------------------------------------------------

struct change_arrays {
    struct resource **upserts;
    struct state_delete *deletes;
    size_t n_upserts, n_deletes;
};

// False: it does not connect to our state.
static bool apply_entry(struct follow *f, const struct entry *entry)
{
    const uint64_t seq = entry->seq;
    struct slice count = entry->ops, ops = entry->ops;
    struct change_arrays a = {0};
    struct arena ids;
    struct entry_op op;
    size_t n = 0;
    bool ok;

    if (seq != state_seq(f->state) + 1) {
        return false;
    }
    while (entry_take_op(&count, &op)) {
        n++;
    }
    arena_init(&ids, 1024, 0);
    a.upserts = mem_zalloc_array(n + 1, sizeof(struct resource *));
    a.deletes = mem_zalloc_array(n + 1, sizeof(*a.deletes));
    while (entry_take_op(&ops, &op)) {
        struct record rec;
        enum resource_kind kind;
        struct slice id;

        if (op.record.n == 0 && record_parse_field(op.field, &kind, &id)) {
            a.deletes[a.n_deletes++] = (struct state_delete){kind, arena_strndup(&ids, id.p, id.n)};
            owner_free(map_del(&f->owners, op.field));
        } else if (op.record.n > 0 && decode(f, op.field, op.record, &rec)) {
            a.upserts[a.n_upserts++] = rec.res;
            set_owner(f, op.field, rec.origin, rec.where);
        }
    }
    ok = state_apply(f->state, &(const struct state_change){.prev_seq = seq - 1,
                                                            .seq = seq,
                                                            .upserts = a.upserts,
                                                            .n_upserts = a.n_upserts,
                                                            .deletes = a.deletes,
                                                            .n_deletes = a.n_deletes});
    for (size_t i = 0; i < a.n_upserts; i++) {
        resource_unref(&a.upserts[i]);
    }
    if (ok) {
        known_reach(&f->known, state_epoch(f->state), seq);
    }
    mem_free(a.upserts);
    mem_free(a.deletes);
    arena_done(&ids);
    return ok;
}

static void on_read(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct follow *f = arg;
    const struct redis_reply *entries = entry_list(r);
    struct entry entry;

    if (e != NULL) {
        failed(f, e);
        return;
    }
    for (size_t i = 0; i < redis_count(entries); i++) {
        if (!entry_parse(redis_item(entries, i), &entry) || !apply_entry(f, &entry)) {
            LOG(WARN, "store.gap", LOG_UINT("have", state_seq(f->state)),
                LOG_UINT("found", entry.seq));
            check(f); // its epoch and seq are looked at first; then everything is read again
            f->suspect = true;
            return;
        }
    }
    if (redis_count(entries) == 0 || f->suspect) {
        f->suspect = false;
        check(f);
        return;
    }
    read_on(f);
}

static void read_on(struct follow *f)
{
    xread(f, state_seq(f->state), true, on_read);
}

// --- CHECK --------------------------------------------------------------------------------------

static void on_init(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct follow *f = arg;

    (void)r; // OK, or nil: another replica was first; the check shows which epoch it is
    if (e != NULL) {
        failed(f, e);
        return;
    }
    check(f);
}

static void write_epoch(struct follow *f)
{
    const struct slice argv[] = {SLICE("SET"), SLICE(NAMES_EPOCH),
                                 SLICE_MAKE((const char *)f->first_epoch, sizeof(f->first_epoch)),
                                 SLICE("NX")};

    redis_command(f->redis, argv, ARRAY_LEN(argv), TIMEOUT_US, on_init, f);
}

// Redis holds no epoch.
static void on_no_epoch(struct follow *f, bool blank)
{
    if (f->init && blank && !f->known.somewhere) {
        write_epoch(f);
        return;
    }
    if (f->known.somewhere) {
        set_status(f, FOLLOW_REGRESSED, "Redis has lost its epoch: it was emptied, or is another");
    } else {
        set_status(f, FOLLOW_EMPTY,
                   "Redis holds no epoch: it is empty or new (sluice init, or --init)");
    }
    look_again(f);
}

static void on_check(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct follow *f = arg;
    struct slice epoch = redis_text(redis_item(r, 0));
    uint64_t seq = (uint64_t)redis_int(redis_item(r, 1));
    bool gap = f->suspect;
    char message[KNOWN_REASON_CHARS];

    f->suspect = false;
    if (e != NULL) {
        failed(f, e);
        return;
    }
    known_supersede(&f->known, redis_text(redis_item(r, 2)));
    f->has_epoch = epoch.n == STATE_EPOCH_BYTES;
    if (!f->has_epoch) {
        on_no_epoch(f, epoch.p == NULL && seq == 0);
        return;
    }
    memcpy(f->redis_epoch, epoch.p, STATE_EPOCH_BYTES);
    f->stale = known_has_regressed(&f->known, f->redis_epoch, seq, message);
    if (f->stale) {
        set_status(f, FOLLOW_REGRESSED, message);
        if (state_ready(f->state)) {
            look_again(f);
        } else {
            load(f, epoch, seq); // better than nothing to read
        }
        return;
    }
    // A stale state, or that of an epoch which is over, is not continued.
    if (!state_ready(f->state) || seq < state_seq(f->state) ||
        memcmp(epoch.p, state_epoch(f->state), STATE_EPOCH_BYTES) != 0) {
        load(f, epoch, seq);
        return;
    }
    // Twice in a row a quiet stream that does not reach to seq: its entries are lost.
    gap = gap || f->reload || (seq > state_seq(f->state) && f->behind == state_seq(f->state) + 1);
    f->behind = seq > state_seq(f->state) ? state_seq(f->state) + 1 : 0;
    if (gap) {
        load(f, epoch, seq);
        return;
    }
    set_status(f, FOLLOW_CURRENT, "");
    read_on(f);
}

static void check(struct follow *f)
{
    const struct slice argv[] = {SLICE("MGET"), SLICE(NAMES_EPOCH), SLICE(NAMES_SEQ),
                                 SLICE(NAMES_SUPERSEDED)};

    redis_command(f->redis, argv, ARRAY_LEN(argv), TIMEOUT_US, on_check, f);
}

static void on_again(struct loop_timer *t)
{
    struct follow *f = container_of(t, struct follow, again);

    if (redis_is_up(f->redis)) {
        check(f);
    }
}

static void on_up(void *arg)
{
    struct follow *f = arg;

    loop_timer_cancel(f->loop, &f->again);
    check(f);
}

static void on_down(void *arg, const char *reason)
{
    struct follow *f = arg;

    LOG(WARN, "redis.down", LOG_STR("redis", redis_name(f->redis)), LOG_STR("reason", reason));
    if (f->status != FOLLOW_CONNECTING) {
        set_status(f, FOLLOW_LOST, reason);
    }
}

struct follow *follow_new(const struct follow_config *c, struct err *e)
{
    struct follow *f = mem_zalloc(sizeof(*f));
    const struct redis_config rc = {
        .url = c->redis_url, .on_up = on_up, .on_down = on_down, .arg = f};

    f->c = *c;
    f->c.redis_url = NULL;
    f->loop = c->loop;
    f->state = c->state;
    f->keys = c->keys;
    f->init = c->init;
    if (c->first_epoch != NULL) {
        memcpy(f->first_epoch, c->first_epoch, sizeof(f->first_epoch));
    } else {
        crypto_random(f->first_epoch, sizeof(f->first_epoch));
    }
    if (c->mark_epoch != NULL) {
        known_reach(&f->known, c->mark_epoch, c->mark_seq);
        f->c.mark_epoch = NULL;
    }
    f->c.first_epoch = NULL; // borrowed until here
    f->again.fn = on_again;
    map_init(&f->owners);
    harvest_init(&f->harvest);
    f->redis = redis_new(c->loop, &rc, e);
    if (f->redis == NULL) {
        follow_free(&f);
        return NULL;
    }
    return f;
}

void follow_free(struct follow **fp)
{
    struct follow *f = *fp;

    if (f == NULL) {
        return;
    }
    *fp = NULL;
    if (f->redis != NULL) {
        redis_forget(f->redis, f);
        redis_free(&f->redis);
    }
    loop_timer_cancel(f->loop, &f->again);
    harvest_done(&f->harvest);
    owners_clear(f);
    map_done(&f->owners);
    mem_free(f);
}

enum follow_status follow_status(const struct follow *f)
{
    return f->status;
}

const char *follow_status_name(enum follow_status s)
{
    static const char *const names[] = {
        [FOLLOW_CONNECTING] = "connecting", [FOLLOW_LOADING] = "loading",
        [FOLLOW_CURRENT] = "current",       [FOLLOW_LOST] = "store_unreachable",
        [FOLLOW_EMPTY] = "not_initialised", [FOLLOW_REGRESSED] = "state_regressed",
    };

    return names[s];
}

void follow_suspect(struct follow *f)
{
    // The blocked XREAD would only end within its second: a new connection looks at once.
    if (f->status == FOLLOW_CURRENT) {
        redis_reconnect(f->redis);
    } else if (f->again.due_us != 0) {
        loop_timer_set(f->loop, &f->again, loop_now_us(f->loop));
    }
}

void follow_seen(struct follow *f, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq)
{
    known_hear(&f->known, epoch, seq);
}

const uint8_t *follow_known_epoch(const struct follow *f)
{
    return f->known.somewhere ? f->known.epoch : NULL;
}

uint64_t follow_known_seq(const struct follow *f)
{
    return f->known.seq;
}

const uint8_t *follow_redis_epoch(const struct follow *f)
{
    return f->has_epoch ? f->redis_epoch : NULL;
}

struct slice follow_superseded(const struct follow *f)
{
    return SLICE_MAKE(f->known.superseded, f->known.n_superseded);
}

uint64_t follow_bad_records(const struct follow *f)
{
    return f->bad;
}

void follow_retry_bad(struct follow *f)
{
    if (f->bad == 0) {
        return;
    }
    f->bad = 0; // counted anew by the reading
    f->reload = true;
    if (redis_is_up(f->redis)) {
        redis_reconnect(f->redis); // the blocked XREAD would only end within its second
    }
}
