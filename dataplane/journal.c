// SPDX-License-Identifier: Apache-2.0
// The file:
//
//   header page | slots: one attempt each, 512 bytes | ring of records, 32-byte aligned
//
//   slots   what is open. A slot is written, then its id is stored; the id is cleared when the
//           request has its record in the ring. Another attempt takes a second slot with the same
//           id before the first is cleared.
//   ring    what has ended. USAGE: a finished request, with the id of its slot. SEAL: report n is
//           [from, to). PAD: nothing (the end of the ring; a hole after a crash).
//
//            tail        report 7.from      .to = report 8.from        sealed          head
//   .........|====== 7 =================|==== 8 =====================|--- not sealed --|........
//             acknowledged, kept a while    to be sent                 still collecting
//
// Appending: a compare-and-swap moves head, the record is written, its mark (position XOR the
// file's key) is stored last. So a record is there as a whole or not at all, and nobody waits for
// anybody; the reader stops at a place that is reserved and not marked yet.
//
// A killed process leaves the pages in the kernel, as they were at its last instruction. Opening
// the file looks at every place of the ring for a record with the right mark and checksum (so a
// place in the middle that a thread had reserved and not filled costs nothing else), fills holes
// with PAD, takes the last seal to be where reports end, and turns each slot whose id has no USAGE
// record into one that says `interrupted`. Marks and checksums are keyed with a random key of the
// file, so that text from clients cannot look like a record.
#include "dataplane/journal.h"

#include <string.h>
#include <sys/mman.h>

#include "common/base/text.h"
#include "dataplane/journal_priv.h"

#define STRINGS   9u
#define SEAL_ROOM 8u         // 1/8 of the ring is for seals only
#define AHEAD     (2u << 20) // bytes prepared before they are written

// Body of a USAGE record and of a slot; the strings follow, each with a NUL.
struct fixed {
    uint64_t input, cached, output, reasoning, cost, latency_us, ttft_us, wall_us;
    uint32_t status, attempts, cache, flags;
    uint16_t len[STRINGS];
    uint8_t reserved[6];
};
enum { INTERRUPTED = 1, STREAM = 2, ESTIMATED = 4 };

// ---- bodies ------------------------------------------------------------------------------------

// Who must not be cut comes first: what clients choose is last.
static void strings_of(struct message_usage_record *r, const char **ret[STRINGS])
{
    ret[0] = &r->key;
    ret[1] = &r->team;
    ret[2] = &r->provider;
    ret[3] = &r->router;
    ret[4] = &r->outcome;
    ret[5] = &r->model;
    ret[6] = &r->request_id;
    ret[7] = &r->user;
    ret[8] = &r->tags;
}

static size_t measure(struct message_usage_record *r, size_t max, struct fixed *f)
{
    size_t left = max - sizeof(*f) - STRINGS, sum = sizeof(*f) + STRINGS;
    const char **s[STRINGS];

    strings_of(r, s);
    for (size_t i = 0; i < STRINGS; i++) {
        size_t n = *s[i] == NULL ? 0 : strnlen(*s[i], left);

        f->len[i] = (uint16_t)n;
        left -= n;
        sum += n;
    }
    return sum;
}

static void put_body(uint8_t *out, struct message_usage_record *r, struct fixed *f)
{
    const char **s[STRINGS];

    f->input = r->input;
    f->cached = r->cached;
    f->output = r->output;
    f->reasoning = r->reasoning;
    f->cost = r->cost;
    f->latency_us = r->latency_us;
    f->ttft_us = r->ttft_us;
    f->wall_us = r->wall_us;
    f->status = r->status;
    f->attempts = r->attempts;
    f->cache = r->cache;
    f->flags = (r->interrupted ? INTERRUPTED : 0u) | (r->stream ? STREAM : 0u) |
               (r->estimated ? ESTIMATED : 0u);
    memcpy(out, f, sizeof(*f));
    out += sizeof(*f);
    strings_of(r, s);
    for (size_t i = 0; i < STRINGS; i++) {
        if (f->len[i] > 0) {
            memcpy(out, *s[i], f->len[i]);
        }
        out[f->len[i]] = '\0';
        out += f->len[i] + 1u;
    }
}

// Some strings come from clients. What is not UTF-8 would make the whole report unreadable.
static char *copy_text(struct arena *a, const uint8_t *p, size_t n)
{
    char *s = arena_strndup(a, (const char *)p, n);

    if (!text_utf8_valid(SLICE_MAKE(s, n))) {
        for (size_t i = 0; i < n; i++) {
            s[i] = (uint8_t)s[i] < 0x80 ? s[i] : '?';
        }
    }
    return s;
}

bool journal_get_body(const uint8_t *p, size_t n, struct arena *a, struct message_usage_record *r)
{
    const char **s[STRINGS];
    struct fixed f;

    if (n < sizeof(f)) {
        return false;
    }
    memcpy(&f, p, sizeof(f));
    p += sizeof(f);
    n -= sizeof(f);
    *r = (struct message_usage_record){
        .status = f.status,
        .input = f.input,
        .cached = f.cached,
        .output = f.output,
        .reasoning = f.reasoning,
        .cost = f.cost,
        .cache = f.cache,
        .latency_us = f.latency_us,
        .ttft_us = f.ttft_us,
        .attempts = f.attempts,
        .interrupted = (f.flags & INTERRUPTED) != 0,
        .wall_us = f.wall_us,
        .stream = (f.flags & STREAM) != 0,
        .estimated = (f.flags & ESTIMATED) != 0,
    };
    strings_of(r, s);
    for (size_t i = 0; i < STRINGS; i++) {
        if (n < f.len[i] + 1u || memchr(p, 0, f.len[i] + 1u) != p + f.len[i]) {
            return false;
        }
        *s[i] = copy_text(a, p, f.len[i]);
        p += f.len[i] + 1u;
        n -= f.len[i] + 1u;
    }
    return true;
}

// ---- the ring ----------------------------------------------------------------------------------

struct journal_record *journal_at(const struct journal *j, uint64_t pos)
{
    return (struct journal_record *)(void *)(j->ring + (pos & (j->ring_bytes - 1)));
}

uint64_t journal_rounded(uint64_t len)
{
    return (len + JOURNAL_ALIGN - 1) & ~(uint64_t)(JOURNAL_ALIGN - 1);
}

static uint32_t sum_of(const struct journal *j, const struct journal_record *r)
{
    size_t covered = r->type == JOURNAL_PAD ? sizeof(*r) : r->len;
    const char *from = (const char *)&r->len;

    return (uint32_t)hash_bytes(
        &j->key, SLICE_MAKE(from, covered - (size_t)(from - (const char *)(const void *)r)));
}

void journal_commit(struct journal *j, struct journal_record *r, uint64_t pos, uint32_t len,
                    enum journal_type type, uint64_t id)
{
    r->len = len;
    r->id = id;
    r->type = (uint32_t)type;
    r->reserved = 0;
    r->sum = sum_of(j, r);
    atomic_store_explicit(&r->mark, pos ^ j->key.k0, memory_order_release);
}

// Marked and of a sane shape; with the checksum only if asked for. NULL: not (yet) there.
const struct journal_record *journal_look(const struct journal *j, uint64_t pos, bool sum)
{
    const struct journal_record *r = journal_at(j, pos);
    uint64_t room = j->ring_bytes - (pos & (j->ring_bytes - 1));

    if (atomic_load_explicit(&r->mark, memory_order_acquire) != (pos ^ j->key.k0) ||
        r->len < sizeof(*r) || r->len > room || r->type < JOURNAL_PAD || r->type > JOURNAL_SEAL ||
        (r->type != JOURNAL_PAD && r->len > JOURNAL_RECORD_MAX) ||
        (sum && r->sum != sum_of(j, r))) {
        return NULL;
    }
    return r;
}

// Room for len bytes in one piece, `spare` bytes of the ring left. NULL: full.
static struct journal_record *reserve(struct journal *j, size_t len, uint64_t spare,
                                      uint64_t *ret_pos)
{
    uint64_t head = atomic_load_explicit(&j->head, memory_order_relaxed), pos, pad;

    do {
        uint64_t room = j->ring_bytes - (head & (j->ring_bytes - 1));

        pad = room < journal_rounded(len) ? room : 0;
        pos = head + pad;
        if (pos + journal_rounded(len) - atomic_load_explicit(&j->tail, memory_order_acquire) >
            j->ring_bytes - spare) {
            return NULL;
        }
    } while (!atomic_compare_exchange_weak_explicit(&j->head, &head, pos + journal_rounded(len),
                                                    memory_order_acq_rel, memory_order_relaxed));
    if (pad > 0) {
        journal_commit(j, journal_at(j, head), head, (uint32_t)pad, JOURNAL_PAD, 0);
    }
    *ret_pos = pos;
    return journal_at(j, pos);
}

bool journal_append(struct journal *j, struct message_usage_record *m, uint64_t id, uint64_t spare,
                    bool *ret_batch)
{
    struct fixed f = {0};
    size_t len = sizeof(struct journal_record) +
                 measure(m, JOURNAL_RECORD_MAX - sizeof(struct journal_record), &f);
    uint64_t pos;
    struct journal_record *r = reserve(j, len, spare, &pos);

    if (r == NULL) {
        *ret_batch = false;
        atomic_fetch_add_explicit(&j->lost, 1, memory_order_relaxed);
        return false;
    }
    put_body((uint8_t *)(r + 1), m, &f);
    journal_commit(j, r, pos, (uint32_t)len, JOURNAL_USAGE, id);
    *ret_batch = pos % JOURNAL_BATCH == 0 ||
                 pos / JOURNAL_BATCH != (pos + journal_rounded(len)) / JOURNAL_BATCH;
    atomic_fetch_add_explicit(&j->records, 1, memory_order_relaxed);
    return true;
}

// ---- slots -------------------------------------------------------------------------------------

struct journal_slot *journal_slot(const struct journal *j, uint32_t n)
{
    return (struct journal_slot *)(void *)(j->slots + (size_t)(n - 1) * JOURNAL_SLOT_BYTES);
}

uint32_t journal_slot_sum(const struct journal *j, const struct journal_slot *s, uint64_t id)
{
    const struct hash_key key = {j->key.k0 ^ id, j->key.k1};

    return (uint32_t)hash_bytes(&key, SLICE_MAKE((const char *)(s + 1), s->len));
}

void journal_slot_push(struct journal *j, uint32_t n)
{
    uint64_t top = atomic_load_explicit(&j->free_top, memory_order_relaxed), to;

    do {
        atomic_store_explicit(&j->free_next[n].n, (uint32_t)top, memory_order_relaxed);
        to = ((top >> 32) + 1) << 32 | n; // the turn: a top that came back is not the same
    } while (!atomic_compare_exchange_weak_explicit(&j->free_top, &top, to, memory_order_acq_rel,
                                                    memory_order_relaxed));
}

static uint32_t slot_pop(struct journal *j)
{
    uint64_t top = atomic_load_explicit(&j->free_top, memory_order_acquire), to;

    do {
        if ((uint32_t)top == 0) {
            return 0;
        }
        to = ((top >> 32) + 1) << 32 |
             atomic_load_explicit(&j->free_next[(uint32_t)top].n, memory_order_relaxed);
    } while (!atomic_compare_exchange_weak_explicit(&j->free_top, &top, to, memory_order_acq_rel,
                                                    memory_order_acquire));
    return (uint32_t)top;
}

static void slot_clear(struct journal *j, uint32_t n)
{
    atomic_store_explicit(&journal_slot(j, n)->id, 0, memory_order_release);
    journal_slot_push(j, n);
}

uint32_t journal_begin(struct journal *j, uint32_t slot, const struct message_usage_record *so_far)
{
    struct message_usage_record m = *so_far;
    uint32_t n = slot_pop(j);
    struct fixed f = {0};
    struct journal_slot *s;
    uint64_t id;

    if (n == 0) {
        atomic_fetch_add_explicit(&j->unjournaled, 1, memory_order_relaxed);
        return slot;
    }
    s = journal_slot(j, n);
    id = slot != 0 ? atomic_load_explicit(&journal_slot(j, slot)->id, memory_order_relaxed)
                   : j->id_base + atomic_fetch_add_explicit(&j->ids, 1, memory_order_relaxed);
    s->len = (uint32_t)measure(&m, JOURNAL_SLOT_BYTES - sizeof(*s), &f);
    put_body((uint8_t *)(s + 1), &m, &f);
    s->sum = journal_slot_sum(j, s, id);
    atomic_store_explicit(&s->id, id, memory_order_release);
    if (slot != 0) {
        slot_clear(j, slot);
    }
    return n;
}

bool journal_end(struct journal *j, uint32_t slot, const struct message_usage_record *r,
                 bool *ret_batch)
{
    uint64_t id =
        slot == 0 ? 0 : atomic_load_explicit(&journal_slot(j, slot)->id, memory_order_relaxed);
    struct message_usage_record m = *r;
    bool ok = journal_append(j, &m, id, j->ring_bytes / SEAL_ROOM, ret_batch);

    if (slot != 0) {
        slot_clear(j, slot);
    }
    return ok;
}

// ---- reports -----------------------------------------------------------------------------------

bool journal_seal(struct journal *j, size_t max_bytes, size_t max_records,
                  struct journal_report *ret)
{
    uint64_t head = atomic_load_explicit(&j->head, memory_order_acquire), p = j->sealed, pos;
    const struct journal_record *r;
    struct journal_record *out;
    size_t n = 0;

    while (p < head && n < max_records && (r = journal_look(j, p, false)) != NULL) {
        if (r->type == JOURNAL_USAGE && n > 0 && p + r->len - j->sealed > max_bytes) {
            break;
        }
        n += r->type == JOURNAL_USAGE;
        p += journal_rounded(r->len);
    }
    out = n == 0 ? NULL : reserve(j, sizeof(*out) + sizeof(struct journal_seal), 0, &pos);
    if (out == NULL) {
        return false;
    }
    const struct journal_seal s = {j->next_number, j->sealed, p, n};

    memcpy(out + 1, &s, sizeof(s));
    journal_commit(j, out, pos, sizeof(*out) + sizeof(s), JOURNAL_SEAL, 0);
    *ret = (struct journal_report){s.number, s.from, s.to, n};
    j->sealed = p;
    j->next_number++;
    atomic_store_explicit(&j->h->next_number, j->next_number, memory_order_release);
    return true;
}

void journal_each_report(struct journal *j, void (*fn)(void *ctx, const struct journal_report *r),
                         void *ctx)
{
    for (size_t i = 0; i < j->n_reports; i++) {
        fn(ctx, &j->reports[i]);
    }
}

size_t journal_read(struct journal *j, const struct journal_report *rep, struct arena *arena,
                    struct message_usage_record **ret)
{
    struct message_usage_record *list = arena_alloc(arena, (rep->n_records + 1) * sizeof(*list));
    const struct journal_record *r;
    size_t n = 0;

    for (uint64_t p = rep->from; p < rep->to && n < rep->n_records; p += journal_rounded(r->len)) {
        r = journal_look(j, p, false);
        if (r == NULL) {
            break;
        }
        if (r->type == JOURNAL_USAGE && r->sum == sum_of(j, r) &&
            journal_get_body((const uint8_t *)(r + 1), r->len - sizeof(*r), arena, &list[n])) {
            n++;
        }
    }
    *ret = list;
    return n;
}

void journal_release(struct journal *j, uint64_t to)
{
    if (to > atomic_load(&j->tail)) {
        atomic_store_explicit(&j->h->tail, to, memory_order_release);
        atomic_store_explicit(&j->tail, to, memory_order_release);
    }
}

// ---- the link's second -------------------------------------------------------------------------

// madvise on whole pages inside [from, to) of the ring, in up to two pieces. Advice only: kernels
// that do not know it lose nothing.
static void advise(struct journal *j, uint64_t from, uint64_t to, int advice)
{
    from = (from + JOURNAL_PAGE - 1) & ~(uint64_t)(JOURNAL_PAGE - 1);
    to &= ~(uint64_t)(JOURNAL_PAGE - 1);
    while (from < to) {
        uint64_t off = from & (j->ring_bytes - 1);
        uint64_t n = to - from < j->ring_bytes - off ? to - from : j->ring_bytes - off;

        (void)madvise(j->ring + off, n, advice);
        from += n;
    }
}

void journal_tick(struct journal *j)
{
    uint64_t tail = atomic_load(&j->tail), head = atomic_load(&j->head);
    uint64_t most = tail + j->ring_bytes, ahead = head + AHEAD;

    if (j->fd >= 0 && tail > j->given_back) { // the file keeps the bytes, we let go of the pages
        advise(j, j->given_back, tail, MADV_DONTNEED);
        j->given_back = tail & ~(uint64_t)(JOURNAL_PAGE - 1);
    }
#ifdef MADV_POPULATE_WRITE
    advise(j, head, ahead < most ? ahead : most, MADV_POPULATE_WRITE);
#else
    (void)most;
    (void)ahead;
#endif
}

const char *journal_stream(const struct journal *j)
{
    return j->h->stream;
}

void journal_stats(const struct journal *j, struct journal_stats *ret)
{
    *ret = (struct journal_stats){
        .records = atomic_load(&j->records),
        .lost = atomic_load(&j->lost),
        .unjournaled = atomic_load(&j->unjournaled),
        .interrupted = j->interrupted,
        .used = atomic_load(&j->head) - atomic_load(&j->tail),
        .size = j->ring_bytes,
        .recovered = j->recovered,
    };
}
