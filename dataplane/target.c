// SPDX-License-Identifier: Apache-2.0
// Health of targets, shared by all workers.
//
// Every field is an atomic written with relaxed order: a reader may see one request's effect on one
// field before its effect on another, which shifts a balancing decision by one request and nothing
// else. The table is a fixed open-addressing array of pointers: readers probe it without a lock,
// an insert takes the mutex and publishes with release.
//
//   state          enters by                         leaves
//   -----          ---------                         ------
//   OK             start, success                    5 failures in a row; > 10 % of >= 20 in 60 s
//   EJECTED        those, failed trial               time over: TRIAL; success: OK
//   TRIAL          end of the ejection's time        one attempt claims it: success OK,
//                                                    failure EJECTED, neither TRIAL
//   COOLING        429 with a time                   that time is over
//   COOLING_GUESS  429 without one                   30 s are over
//   NO_QUOTA       limit headers that say 0          their reset time is over
//
// A trial is claimed for one ejection: `trial` holds the end of the ejection it is for, so a claim
// that comes late (or never ends) cannot block the trial of the next ejection.
#include "dataplane/target.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/mono.h"

#define CONSECUTIVE_MAX  5u
#define WINDOW_SLOTS     6u // of 10 s
#define WINDOW_SLOT_US   (10 * MONO_SEC)
#define WINDOW_MIN       20u
#define EJECTION_MAX_US  (300 * MONO_SEC)
#define EJECTIONS_FORGET (600 * MONO_SEC) // healthy for so long: the count starts again
#define KEY_MAX          1024u

// What a reload of the configuration may change while workers look.
struct tuning {
    _Atomic uint64_t default_rtt_us, decay_us, ejection_us, cooldown_us;
};

struct target {
    char *key; // owned: provider \0 model \0 key id \0 base url \0
    size_t key_n;
    uint64_t hash;
    struct slice provider, model, key_id; // into key
    const struct tuning *cfg;             // borrowed: the table's

    _Atomic uint64_t ewma_us; // peak EWMA of time to first byte
    _Atomic uint64_t ewma_at; // when it was written; 0: never tried
    _Atomic bool measured;    // false: ewma_us is the assumed value
    _Atomic uint32_t in_flight;
    _Atomic uint32_t consecutive;
    _Atomic uint64_t window[WINDOW_SLOTS]; // slot number << 40 | requests << 20 | failures
    _Atomic uint64_t ejected_until;        // 0 = not ejected
    _Atomic uint64_t ejected_at;
    _Atomic uint32_t ejections;
    _Atomic uint64_t trial;   // ejected_until of the ejection whose trial is claimed; 0 = none
    _Atomic uint64_t cooling; // end of the cool-down << 1 | timed by the provider
    _Atomic uint64_t quota_until;
    _Atomic uint32_t quota_permille;
    _Atomic uint64_t successes, failures;
};

struct target_table {
    struct tuning cfg;
    size_t max, mask;
    _Atomic(struct target *) *slots; // owned
    pthread_mutex_t lock;            // inserts
    size_t count;                    // under lock
    size_t unlisted;                 // of these, models that only clients know
    struct target *overflow;         // shared by all past max
};

#define GET(x)    atomic_load_explicit(&(x), memory_order_relaxed)
#define SET(x, v) atomic_store_explicit(&(x), (v), memory_order_relaxed)
#define ADD(x, v) atomic_fetch_add_explicit(&(x), (v), memory_order_relaxed)

static struct target *target_new(const struct tuning *cfg, const char *key, size_t n, uint64_t hash)
{
    struct target *t = mem_zalloc(sizeof(*t));

    t->key = mem_strndup(key, n);
    t->key_n = n;
    t->hash = hash;
    t->provider = slice_str(t->key);
    t->model = slice_str(t->provider.p + t->provider.n + 1);
    t->key_id = slice_str(t->model.p + t->model.n + 1);
    t->cfg = cfg;
    SET(t->ewma_us, GET(cfg->default_rtt_us));
    SET(t->quota_permille, 1000);
    return t;
}

void target_table_tune(struct target_table *t, const struct target_config *c)
{
    SET(t->cfg.default_rtt_us, c->default_rtt_us);
    SET(t->cfg.decay_us, c->decay_us);
    SET(t->cfg.ejection_us, c->ejection_us);
    SET(t->cfg.cooldown_us, c->cooldown_us);
}

struct target_table *target_table_new(const struct target_config *c, size_t max_targets)
{
    struct target_table *t = mem_zalloc(sizeof(*t));
    size_t cap = 16;

    while (cap < max_targets * 2) {
        cap *= 2;
    }
    target_table_tune(t, c);
    t->max = max_targets;
    t->mask = cap - 1;
    t->slots = mem_zalloc_array(cap, sizeof(*t->slots));
    pthread_mutex_init(&t->lock, NULL);
    t->overflow = target_new(&t->cfg, "other\0other\0\0", 13, 0);
    return t;
}

static void target_free(struct target *t)
{
    if (t != NULL) {
        mem_free(t->key);
        mem_free(t);
    }
}

void target_table_free(struct target_table **t)
{
    if (*t == NULL) {
        return;
    }
    for (size_t i = 0; i <= (*t)->mask; i++) {
        target_free(GET((*t)->slots[i]));
    }
    target_free((*t)->overflow);
    pthread_mutex_destroy(&(*t)->lock);
    mem_free((*t)->slots);
    mem_free(*t);
    *t = NULL;
}

static struct target *probe(struct target_table *t, const char *key, size_t n, uint64_t hash,
                            size_t *ret_at)
{
    for (size_t at = (size_t)hash & t->mask;; at = (at + 1) & t->mask) {
        struct target *found = atomic_load_explicit(&t->slots[at], memory_order_acquire);

        if (found == NULL) {
            *ret_at = at;
            return NULL;
        }
        if (found->hash == hash && found->key_n == n && memcmp(found->key, key, n) == 0) {
            return found;
        }
    }
}

// NULL: an unlisted one, and their half is full.
static struct target *insert(struct target_table *t, struct slice key, uint64_t hash, bool unlisted)
{
    size_t at = 0;

    pthread_mutex_lock(&t->lock);
    struct target *found = probe(t, key.p, key.n, hash, &at);
    bool full = t->count >= t->max || (unlisted && t->unlisted >= t->max / 2);
    if (found == NULL && !full) {
        found = target_new(&t->cfg, key.p, key.n, hash);
        t->count++;
        t->unlisted += unlisted ? 1 : 0;
        atomic_store_explicit(&t->slots[at], found, memory_order_release);
    } else if (found == NULL && !unlisted) {
        found = t->overflow;
    }
    pthread_mutex_unlock(&t->lock);
    return found;
}

static size_t put(char *key, size_t n, struct slice s)
{
    if (s.n > 0) {
        memcpy(key + n, s.p, s.n);
    }
    key[n + s.n] = '\0';
    return n + s.n + 1;
}

static struct target *get(struct target_table *t, const struct slice parts[4], bool unlisted)
{
    char key[KEY_MAX];
    size_t n = 0, at = 0;

    if (parts[0].n + parts[1].n + parts[2].n + parts[3].n + 4 > sizeof(key)) {
        return t->overflow;
    }
    for (size_t i = 0; i < 4; i++) {
        n = put(key, n, parts[i]);
    }
    uint64_t hash = hash_bytes(hash_process_key(), (struct slice){key, n});
    struct target *found = probe(t, key, n, hash, &at);
    return found != NULL ? found : insert(t, (struct slice){key, n}, hash, unlisted);
}

struct target *target_get(struct target_table *t, struct slice provider, struct slice model,
                          struct slice key_id, struct slice base_url)
{
    const struct slice parts[4] = {provider, model, key_id, base_url};

    return get(t, parts, false);
}

struct target *target_get_unlisted(struct target_table *t, struct slice provider,
                                   struct slice model, struct slice key_id, struct slice base_url)
{
    const struct slice parts[4] = {provider, model, key_id, base_url};
    struct target *own = get(t, parts, true);

    return own != NULL ? own : target_get(t, provider, SLICE("*"), key_id, base_url);
}

enum target_status target_status(const struct target *t, uint64_t now_us)
{
    uint64_t ejected = GET(t->ejected_until), cooling = GET(t->cooling);

    if (ejected != 0) {
        return now_us < ejected || GET(t->trial) == ejected ? TARGET_EJECTED : TARGET_TRIAL;
    }
    if (now_us < cooling >> 1) {
        return (cooling & 1) != 0 ? TARGET_COOLING : TARGET_COOLING_GUESS;
    }
    if (now_us < GET(t->quota_until) && GET(t->quota_permille) == 0) {
        return TARGET_NO_QUOTA;
    }
    return TARGET_OK;
}

uint64_t target_until_us(const struct target *t, uint64_t now_us)
{
    uint64_t until = 0;

    switch (target_status(t, now_us)) {
    case TARGET_OK:
    case TARGET_TRIAL:
        return 0;
    case TARGET_EJECTED:
        until = GET(t->ejected_until);
        break;
    case TARGET_COOLING:
    case TARGET_COOLING_GUESS:
        until = GET(t->cooling) >> 1;
        break;
    case TARGET_NO_QUOTA:
        until = GET(t->quota_until);
        break;
    }
    // A trial is under way, or another thread changed it just now.
    return until > now_us ? until : now_us + MONO_SEC;
}

// e^-(dt/decay): what is left of an old value.
static double decay(const struct target *t, uint64_t now_us)
{
    uint64_t at = GET(t->ewma_at);
    double dt = now_us > at && at != 0 ? (double)(now_us - at) : 0.0;

    return exp(-dt / (double)(GET(t->cfg->decay_us) == 0 ? 1 : GET(t->cfg->decay_us)));
}

double target_load(const struct target *t, uint64_t now_us)
{
    // Nobody has tried it yet: one request finds out, whatever the others' figures are.
    if (GET(t->ewma_at) == 0 && GET(t->in_flight) == 0) {
        return 1.0;
    }
    // An idle target's past fades, so a slow one is tried again after a while.
    double ewma = (double)GET(t->ewma_us) * decay(t, now_us);
    double load = (ewma < 1.0 ? 1.0 : ewma) * (double)(GET(t->in_flight) + 1);
    uint32_t quota = target_quota_permille(t, now_us);

    // Steering: the last tenth of a quota makes the target look up to ten times as loaded.
    return quota < 100 ? load * 100.0 / (double)(quota < 10 ? 10 : quota) : load;
}

uint32_t target_in_flight(const struct target *t)
{
    return GET(t->in_flight);
}

uint32_t target_quota_permille(const struct target *t, uint64_t now_us)
{
    return now_us < GET(t->quota_until) ? GET(t->quota_permille) : 1000;
}

bool target_begin(struct target *t, uint64_t now_us, bool insist)
{
    uint64_t ejected = GET(t->ejected_until), claimed = GET(t->trial);

    if (ejected != 0 && now_us >= ejected) {
        bool won =
            claimed != ejected && atomic_compare_exchange_strong(&t->trial, &claimed, ejected);

        if (!won && !insist) {
            return false;
        }
    }
    ADD(t->in_flight, 1);
    return true;
}

void target_first_byte(struct target *t, uint64_t now_us, uint64_t ttfb_us)
{
    double old = (double)GET(t->ewma_us), sample = (double)ttfb_us;

    // Peak: a slower answer counts at once, faster ones bring the value down over time. The very
    // first sample replaces the assumed start value.
    if (GET(t->measured) && sample < old) {
        double w = decay(t, now_us);

        sample = old * w + sample * (1.0 - w);
    }
    SET(t->ewma_us, (uint64_t)sample);
    SET(t->ewma_at, now_us);
    SET(t->measured, true);
}

static void count_window(struct target *t, uint64_t now_us, bool failed)
{
    uint64_t number = now_us / WINDOW_SLOT_US & 0xFFFFFF;
    _Atomic uint64_t *slot = &t->window[number % WINDOW_SLOTS];
    uint64_t old = atomic_load_explicit(slot, memory_order_relaxed), new;

    do {
        new = old >> 40 == number ? old : number << 40;
        if ((new & 0xFFFFF) < 0xFFFFE && (new >> 20 & 0xFFFFF) < 0xFFFFE) {
            new += (1ULL << 20) + (failed ? 1 : 0);
        }
    } while (!atomic_compare_exchange_weak_explicit(slot, &old, new, memory_order_relaxed,
                                                    memory_order_relaxed));
}

static bool window_bad(const struct target *t, uint64_t now_us)
{
    uint64_t number = now_us / WINDOW_SLOT_US & 0xFFFFFF;
    uint64_t requests = 0, failures = 0;

    for (size_t i = 0; i < WINDOW_SLOTS; i++) {
        uint64_t slot = GET(t->window[i]);

        if (((number - (slot >> 40)) & 0xFFFFFF) < WINDOW_SLOTS) {
            requests += slot >> 20 & 0xFFFFF;
            failures += slot & 0xFFFFF;
        }
    }
    return requests >= WINDOW_MIN && failures * 10 > requests;
}

// From the ejection that ended at `before` (0: was not ejected). False: another thread was first.
static bool eject(struct target *t, uint64_t now_us, uint64_t before)
{
    uint64_t times = now_us > GET(t->ejected_at) + EJECTIONS_FORGET ? 1 : GET(t->ejections) + 1;
    uint64_t length = GET(t->cfg->ejection_us) * times;
    uint64_t until = now_us + (length > EJECTION_MAX_US ? EJECTION_MAX_US : length);

    if (!atomic_compare_exchange_strong(&t->ejected_until, &before, until)) {
        return false;
    }
    SET(t->ejections, (uint32_t)times);
    SET(t->ejected_at, now_us);
    SET(t->consecutive, 0);
    for (size_t i = 0; i < WINDOW_SLOTS; i++) {
        SET(t->window[i], 0); // after the ejection the target is judged anew
    }
    return true;
}

static void end_success(struct target *t, uint64_t now_us)
{
    ADD(t->successes, 1);
    SET(t->consecutive, 0);
    count_window(t, now_us, false);
    SET(t->ejected_until, 0);
}

static bool end_failure(struct target *t, uint64_t now_us)
{
    uint64_t ejected = GET(t->ejected_until);

    ADD(t->failures, 1);
    if (ejected != 0) {
        // A failed trial ejects again; a late failure of a request from before does not.
        return now_us >= ejected && GET(t->trial) == ejected && eject(t, now_us, ejected);
    }
    count_window(t, now_us, true);
    if (ADD(t->consecutive, 1) + 1 < CONSECUTIVE_MAX && !window_bad(t, now_us)) {
        return false;
    }
    return eject(t, now_us, 0);
}

#define TIME_MAX_US (86400 * MONO_SEC)

static uint64_t bounded(uint64_t us)
{
    return us < TIME_MAX_US ? us : TIME_MAX_US;
}

// The longer one wins among times of the provider, and over a guess.
static void cool(struct target *t, uint64_t now_us, uint64_t cooldown_us)
{
    bool timed = cooldown_us > 0;
    uint64_t until = now_us + bounded(timed ? cooldown_us : GET(t->cfg->cooldown_us));
    uint64_t new = until << 1 | (timed ? 1 : 0), old = GET(t->cooling);

    do {
        bool old_timed = now_us < old >> 1 && (old & 1) != 0;

        if (old_timed && (!timed || old >= new)) {
            return;
        }
    } while (!atomic_compare_exchange_weak(&t->cooling, &old, new));
}

bool target_end(struct target *t, uint64_t now_us, enum target_outcome o, uint64_t cooldown_us)
{
    uint64_t ejected = GET(t->ejected_until);

    atomic_fetch_sub_explicit(&t->in_flight, 1, memory_order_relaxed);
    if (GET(t->ewma_at) == 0) {
        SET(t->ewma_at, now_us); // tried without an answer to measure: the assumed value counts
    }
    switch (o) {
    case TARGET_SUCCESS:
        end_success(t, now_us);
        return false;
    case TARGET_FAILURE:
        return end_failure(t, now_us);
    case TARGET_RATE_LIMITED:
        // It answered, so it is up: the cool-down takes over from an ejection.
        SET(t->ejected_until, 0);
        cool(t, now_us, cooldown_us);
        return false;
    case TARGET_NEUTRAL:
        // Perhaps the trial, which then has said nothing: the next one may try.
        if (ejected != 0 && now_us >= ejected) {
            SET(t->trial, 0);
        }
        return false;
    }
    return false;
}

void target_quota(struct target *t, uint64_t now_us, uint64_t remaining, uint64_t limit,
                  uint64_t reset_us)
{
    double share =
        limit == 0 || remaining >= limit ? 1000.0 : (double)remaining * 1000.0 / (double)limit;
    uint32_t permille = remaining == 0 ? 0 : (share < 1.0 ? 1 : (uint32_t)share);

    SET(t->quota_permille, permille);
    SET(t->quota_until, reset_us == 0 ? 0 : now_us + bounded(reset_us));
}

void target_probe(struct target *t, uint64_t now_us, bool good)
{
    uint64_t ejected = GET(t->ejected_until);

    if (good && ejected > now_us) {
        // Half-open at once: real traffic decides. Lost to another thread: it knows better.
        (void)atomic_compare_exchange_strong(&t->ejected_until, &ejected, now_us);
    }
}

void target_probe_provider(struct target_table *t, struct slice provider, uint64_t now_us,
                           bool good)
{
    for (size_t i = 0; i <= t->mask; i++) {
        struct target *x = atomic_load_explicit(&t->slots[i], memory_order_acquire);

        if (x != NULL && slice_eq(x->provider, provider)) {
            target_probe(x, now_us, good);
        }
    }
}

void target_each(struct target_table *t, uint64_t now_us,
                 void (*fn)(void *ctx, const struct target_view *v), void *ctx)
{
    for (size_t i = 0; i <= t->mask; i++) {
        struct target *x = atomic_load_explicit(&t->slots[i], memory_order_acquire);

        if (x == NULL) {
            continue;
        }
        struct target_view v = {
            .provider = x->provider,
            .model = x->model,
            .key_id = x->key_id,
            .status = target_status(x, now_us),
            .ewma_us = GET(x->ewma_us),
            .until_us = target_until_us(x, now_us),
            .in_flight = GET(x->in_flight),
            .ejections = GET(x->ejections),
            .successes = GET(x->successes),
            .failures = GET(x->failures),
        };
        fn(ctx, &v);
    }
}
