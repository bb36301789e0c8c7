// SPDX-License-Identifier: Apache-2.0
// Making the journal's file, and finding out what a process that was killed has left in it. The
// content is not trusted: everything is checked against the file's own size before it is used.
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"
#include "dataplane/journal_priv.h"

static const struct hash_key header_key = {0x6a6f75726e616c31, 0x736c756963650001};

static size_t bytes_of(uint64_t ring, uint32_t slots)
{
    return (size_t)(JOURNAL_PAGE + (uint64_t)slots * JOURNAL_SLOT_BYTES + ring);
}

static uint64_t header_sum(const struct journal_header *h)
{
    return hash_bytes(&header_key,
                      SLICE_MAKE((const char *)h, offsetof(struct journal_header, sum)));
}

static bool header_is_good(const struct journal_header *h, size_t file_bytes)
{
    uint64_t tail = atomic_load(&h->tail), next = atomic_load(&h->next_number);

    return memcmp(h->magic, JOURNAL_MAGIC, sizeof(h->magic)) == 0 && h->sum == header_sum(h) &&
           h->ring >= JOURNAL_RING_MIN && h->ring <= JOURNAL_RING_MAX &&
           (h->ring & (h->ring - 1)) == 0 && h->slots >= 1 && h->slots <= JOURNAL_SLOTS_MAX &&
           bytes_of(h->ring, h->slots) == file_bytes &&
           memchr(h->stream, 0, sizeof(h->stream)) != NULL && tail < JOURNAL_POS_MAX &&
           tail % JOURNAL_ALIGN == 0 && next >= 1 && next < JOURNAL_POS_MAX;
}

// A slot for each 512 bytes of the ring, JOURNAL_SLOTS at most.
static uint32_t slots_for(uint64_t ring)
{
    uint64_t n = ring / JOURNAL_SLOT_BYTES;

    return n < JOURNAL_SLOTS ? (uint32_t)n : JOURNAL_SLOTS;
}

// The magic comes last: a file without it was never used.
static void header_make(struct journal_header *h, uint64_t ring)
{
    struct journal_header fresh = {.slots = slots_for(ring), .ring = ring};

    crypto_random(&fresh.key, sizeof(fresh.key));
    crypto_random_id(fresh.stream, 22);
    memcpy(fresh.magic, JOURNAL_MAGIC, sizeof(fresh.magic));
    fresh.sum = header_sum(&fresh);
    memset(fresh.magic, 0, sizeof(fresh.magic));
    memcpy(h, &fresh, offsetof(struct journal_header, tail));
    atomic_store(&h->tail, 0);
    atomic_store(&h->next_number, 1);
    atomic_store(&h->starts, 0);
    memcpy(h->magic, JOURNAL_MAGIC, sizeof(h->magic));
}

static void lay_out(struct journal *j)
{
    j->h = (struct journal_header *)(void *)j->map;
    j->slots = j->map + JOURNAL_PAGE;
    j->ring = j->slots + (size_t)j->h->slots * JOURNAL_SLOT_BYTES;
    j->ring_bytes = j->h->ring;
    j->key = j->h->key;
    j->next_number = 1; // until something else is found
    // Ids of another start are others. 2^40 requests later one could be met again.
    j->id_base = ((atomic_fetch_add(&j->h->starts, 1) + 1) << 40) + 1;
    j->free_next = mem_zalloc_array(j->h->slots + 1, sizeof(*j->free_next));
}

// ---- recovery: the ring ------------------------------------------------------------------------

// What was open, by id and then attempts.
struct open_slot {
    uint64_t id;
    uint32_t n, attempts;
    bool ended;
};

struct found {
    struct open_slot *open;
    size_t n_open, cap_reports;
};

static int by_id(const void *va, const void *vb)
{
    const struct open_slot *a = va, *b = vb;

    if (a->id != b->id) {
        return a->id < b->id ? -1 : 1;
    }
    return a->attempts < b->attempts ? -1 : a->attempts > b->attempts;
}

static void note_end(struct found *f, uint64_t id)
{
    size_t lo = 0, hi = f->n_open;

    while (lo < hi) {
        size_t mid = (lo + hi) / 2;

        if (f->open[mid].id < id) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    for (; id != 0 && lo < f->n_open && f->open[lo].id == id; lo++) {
        f->open[lo].ended = true;
    }
}

static void note_seal(struct journal *j, struct found *f, uint64_t pos,
                      const struct journal_record *r)
{
    struct journal_seal s;

    if (r->len != sizeof(*r) + sizeof(s)) {
        return;
    }
    memcpy(&s, r + 1, sizeof(s));
    if (s.to <= j->sealed || s.from != j->sealed || s.to > pos || s.number < 1 ||
        s.number >= JOURNAL_POS_MAX || s.n_records > (s.to - s.from) / JOURNAL_ALIGN ||
        (j->n_reports > 0 && s.number <= j->reports[j->n_reports - 1].number)) {
        return; // of a report that was released, or nonsense
    }
    if (j->n_reports == f->cap_reports) {
        f->cap_reports = f->cap_reports == 0 ? 64 : 2 * f->cap_reports;
        j->reports = mem_realloc_array(j->reports, f->cap_reports, sizeof(*j->reports));
    }
    j->reports[j->n_reports++] = (struct journal_report){s.number, s.from, s.to, s.n_records};
    j->sealed = s.to;
    if (s.number >= j->next_number) {
        j->next_number = s.number + 1;
    }
}

static void fill_hole(struct journal *j, uint64_t from, uint64_t to)
{
    while (from < to) {
        uint64_t room = j->ring_bytes - (from & (j->ring_bytes - 1));
        uint64_t n = to - from < room ? to - from : room;

        journal_commit(j, journal_at(j, from), from, (uint32_t)n, JOURNAL_PAD, 0);
        from += n;
    }
}

static void read_ring(struct journal *j, struct found *f)
{
    uint64_t tail = atomic_load(&j->h->tail), end = tail, p = tail;

    j->sealed = j->given_back = tail;
    j->next_number = atomic_load(&j->h->next_number);
    while (p < tail + j->ring_bytes) {
        const struct journal_record *r = journal_look(j, p, true);

        if (r == NULL || p + journal_rounded(r->len) > tail + j->ring_bytes) {
            if (atomic_load(&journal_at(j, p)->mark) == (p ^ j->key.k0)) {
                atomic_store(&journal_at(j, p)->mark, 0); // not to be taken for one later
            }
            p += JOURNAL_ALIGN;
            continue;
        }
        fill_hole(j, end, p);
        if (r->type == JOURNAL_USAGE) {
            note_end(f, r->id);
            atomic_fetch_add(&j->records, 1);
        } else if (r->type == JOURNAL_SEAL) {
            note_seal(j, f, p, r);
        }
        p += journal_rounded(r->len);
        end = p;
    }
    atomic_store(&j->tail, tail);
    atomic_store(&j->head, end);
    atomic_store(&j->h->next_number, j->next_number);
}

// ---- recovery: the slots -----------------------------------------------------------------------

static bool slot_read(const struct journal *j, uint32_t n, struct arena *a,
                      struct message_usage_record *r)
{
    const struct journal_slot *s = journal_slot(j, n);
    uint64_t id = atomic_load(&s->id);

    return id != 0 && s->len <= JOURNAL_SLOT_BYTES - sizeof(*s) &&
           s->sum == journal_slot_sum(j, s, id) &&
           journal_get_body((const uint8_t *)(s + 1), s->len, a, r);
}

static void read_slots(struct journal *j, struct found *f)
{
    struct message_usage_record r;
    struct arena a;

    f->open = mem_zalloc_array(j->h->slots, sizeof(*f->open));
    arena_init(&a, 4096, 0);
    for (uint32_t n = 1; n <= j->h->slots; n++) {
        arena_reset(&a);
        if (atomic_load(&journal_slot(j, n)->id) != 0 && slot_read(j, n, &a, &r)) {
            f->open[f->n_open++] =
                (struct open_slot){atomic_load(&journal_slot(j, n)->id), n, r.attempts, false};
        }
    }
    arena_done(&a);
    qsort(f->open, f->n_open, sizeof(*f->open), by_id);
}

// What has no end gets one. A kill in the middle of this is no different from the first.
static void end_open(struct journal *j, const struct found *f)
{
    struct message_usage_record r;
    struct arena a;
    bool batch;

    arena_init(&a, 4096, 0);
    for (size_t i = 0; i < f->n_open; i++) {
        const struct open_slot *o = &f->open[i];
        bool later = i + 1 < f->n_open && f->open[i + 1].id == o->id;

        arena_reset(&a);
        if (!o->ended && !later && slot_read(j, o->n, &a, &r)) {
            r.interrupted = r.estimated = true;
            j->interrupted += journal_append(j, &r, o->id, 0, &batch);
        }
    }
    arena_done(&a);
    for (uint32_t n = j->h->slots; n > 0; n--) {
        if (atomic_load(&journal_slot(j, n)->id) != 0) {
            atomic_store(&journal_slot(j, n)->id, 0);
        }
    }
}

static void recover(struct journal *j)
{
    struct found f = {0};

    if (j->recovered) {
        read_slots(j, &f);
        read_ring(j, &f); // all of it
        end_open(j, &f);
        mem_free(f.open);
        (void)madvise(j->map, j->map_bytes, MADV_DONTNEED); // of the file: only the pages go
        LOG(INFO, "journal.recovered", LOG_UINT("records", atomic_load(&j->records)),
            LOG_UINT("reports", j->n_reports), LOG_UINT("interrupted", j->interrupted),
            LOG_UINT("next_report", j->next_number));
    }
}

// ---- opening -----------------------------------------------------------------------------------

static bool map_file(struct journal *j, const char *path, size_t bytes, struct err *e)
{
    struct stat st;
    int rc;

    j->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (j->fd < 0 || fstat(j->fd, &st) != 0) {
        (void)err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        return false;
    }
    if (st.st_size > 0) {
        bytes = (size_t)st.st_size;
    } else {
        // All of it now: a write to a page that the disk has no room for would kill us.
        rc = posix_fallocate(j->fd, 0, (off_t)bytes);
        if (rc != 0) {
            (void)!ftruncate(j->fd, 0); // what there is may be in the way of others
            (void)err_set(e, ERR_IO, "%s: %zu bytes: %s", path, bytes, strerror(rc));
            return false;
        }
    }
    if (bytes < JOURNAL_PAGE || bytes > bytes_of(JOURNAL_RING_MAX, JOURNAL_SLOTS_MAX)) {
        (void)err_set(e, ERR_INVALID, "%s: %zu bytes are not a journal", path, bytes);
        return false;
    }
    j->map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, j->fd, 0);
    if (j->map == MAP_FAILED) {
        j->map = NULL;
        (void)err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        return false;
    }
    j->map_bytes = bytes;
    return true;
}

static void unmap(struct journal *j)
{
    if (j->map != NULL) {
        (void)munmap(j->map, j->map_bytes); // ours, whole
        j->map = NULL;
    }
    if (j->fd >= 0) {
        (void)close(j->fd); // nothing was written through it
        j->fd = -1;
    }
}

static bool never_used(const struct journal *j)
{
    static const char none[8];

    return memcmp(j->map, none, sizeof(none)) == 0;
}

// A damaged file is kept for a person to look at.
static bool put_aside(const char *path, struct err *e)
{
    char *to = mem_alloc(strlen(path) + 16);
    bool ok;

    (void)snprintf(to, strlen(path) + 16, "%s.damaged", path); // fits
    ok = rename(path, to) == 0;
    LOG(ERROR, "journal.damaged", LOG_STR("file", path), LOG_STR("kept_as", ok ? to : ""));
    if (!ok) {
        (void)err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    mem_free(to);
    return ok;
}

static bool open_file(struct journal *j, const char *path, size_t ring_bytes, struct err *e)
{
    size_t bytes = bytes_of(ring_bytes, slots_for(ring_bytes));
    bool mapped = map_file(j, path, bytes, e);

    if (mapped &&
        header_is_good((const struct journal_header *)(const void *)j->map, j->map_bytes)) {
        j->recovered = true;
        return true;
    }
    if (!mapped && e->code != ERR_INVALID) {
        return false;
    }
    if (!mapped || j->map_bytes != bytes || !never_used(j)) {
        unmap(j);
        if (!put_aside(path, e) || !map_file(j, path, bytes, e)) {
            return false;
        }
    }
    header_make((struct journal_header *)(void *)j->map, ring_bytes);
    return true;
}

static bool open_in(struct journal *j, const char *dir, size_t ring_bytes, struct err *e)
{
    size_t n = strlen(dir) + sizeof(JOURNAL_FILE) + 8;
    char *path = mem_alloc(n);
    bool ok;

    (void)snprintf(path, n, "%s/%s.lock", dir, JOURNAL_FILE); // fits
    j->lock = proc_lock(path, e);
    (void)snprintf(path, n, "%s/%s", dir, JOURNAL_FILE);
    ok = j->lock >= 0 && open_file(j, path, ring_bytes, e);
    mem_free(path);
    return ok;
}

static bool open_memory(struct journal *j, size_t ring_bytes, struct err *e)
{
    j->map_bytes = bytes_of(ring_bytes, slots_for(ring_bytes));
    j->map = mmap(NULL, j->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (j->map == MAP_FAILED) {
        j->map = NULL;
        (void)err_set(e, ERR_UNAVAILABLE, "journal: %s", strerror(errno));
        return false;
    }
    header_make((struct journal_header *)(void *)j->map, ring_bytes);
    return true;
}

struct journal *journal_open(const char *dir, size_t ring_bytes, struct err *e)
{
    struct journal *j = mem_zalloc(sizeof(*j));

    j->fd = j->lock = -1;
    if (!(dir == NULL ? open_memory(j, ring_bytes, e) : open_in(j, dir, ring_bytes, e))) {
        journal_close(&j);
        return NULL;
    }
    lay_out(j);
    recover(j);
    for (uint32_t n = j->h->slots; n > 0; n--) {
        journal_slot_push(j, n);
    }
    return j;
}

void journal_close(struct journal **jp)
{
    struct journal *j = *jp;

    *jp = NULL;
    if (j != NULL) {
        unmap(j);
        if (j->lock >= 0) {
            (void)close(j->lock); // unlocks
        }
        mem_free(j->free_next);
        mem_free(j->reports);
        mem_free(j);
    }
}
