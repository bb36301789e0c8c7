// SPDX-License-Identifier: Apache-2.0
//   | header: magic, boot, count, inode, holder | line 1 | line 2 | ...     512 bytes each
//
// A line is free while its first byte of the id is 0. Each store is one instruction; a process that
// dies leaves what it has stored, whatever was on its way to the disk. The order makes every state
// in between one in which no unit is there twice: units are less, debt is more, `taken` includes
// them, and a question that has no answer is known (`since`: set first, cleared last):
//
//   what they are of changes    units 0, window 0 | batch, unit, period, taken, no | window | units
//   only numbers change         units down, debt up | taken, no | debt, units
//
// (Of window 0 nothing is taken back: not known.)
#include "dataplane/book.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"

#define MAGIC "SLULEAS3" // the last byte is the version

struct header {
    char magic[8];
    char boot[64];
    uint64_t lines;
    uint64_t inode; // of the file that it was made as: a copy is of another one
    char holder[BOOK_HOLDER + 1];
    char rest[512 - 8 - 64 - 8 - 8 - BOOK_HOLDER - 1];
};

struct line {
    _Atomic uint64_t window, batch, units, debt, taken, no, unit, period;
    char id[512 - 9 * 8];   // "": free
    _Atomic uint64_t since; // always 0 in files of builds that did not have it
};

struct book {
    int fd;
    uint64_t inode;
    struct header *h;
    struct line *lines; // [0] is line 1
    pthread_mutex_t lock;
    uint32_t next; // where a free line is looked for; under the lock
};

static size_t file_bytes(void)
{
    return sizeof(struct header) + BOOK_LINES * sizeof(struct line);
}

static bool map_file(struct book *b, const char *path, struct err *e)
{
    struct stat st;
    void *map;
    int rc;

    b->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (b->fd < 0 || fstat(b->fd, &st) != 0) {
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    b->inode = (uint64_t)st.st_ino;
    if (flock(b->fd, LOCK_EX | LOCK_NB) != 0) {
        return err_set(e, ERR_CONFLICT, "%s: another process has it open", path);
    }
    if ((size_t)st.st_size != file_bytes() && ftruncate(b->fd, 0) != 0) {
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    // All of it now: a write to a page that the disk has no room for would kill us.
    rc = posix_fallocate(b->fd, 0, (off_t)file_bytes());
    if (rc != 0) {
        return err_set(e, ERR_IO, "%s: %zu bytes: %s", path, file_bytes(), strerror(rc));
    }
    map = mmap(NULL, file_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, 0);
    if (map == MAP_FAILED) {
        return err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    b->h = map;
    b->lines = (struct line *)((char *)map + sizeof(struct header));
    return true;
}

// Pages that were only looked at are the file's again, not this process's memory.
static void let_go(struct book *b)
{
    (void)!madvise(b->h, file_bytes(), MADV_DONTNEED); // advice
}

// Why what is in the file does not count; NULL: it does. "": nothing is in it.
static const char *unfit(const struct header *h, const char *boot, uint64_t inode)
{
    if (h->magic[0] == '\0') {
        return "";
    }
    if (memcmp(h->magic, MAGIC, sizeof(h->magic) - 1) != 0) {
        return "it is damaged";
    }
    if (memcmp(h->magic, MAGIC, sizeof(h->magic)) != 0) {
        return "another version of this program wrote it";
    }
    if (boot[0] == '\0' || strncmp(h->boot, boot, sizeof(h->boot)) != 0) {
        return "it is of another boot of this machine";
    }
    if (h->inode != inode) { // older than what was spent since, or in use under the same name
        return "it is a copy";
    }
    return h->lines == BOOK_LINES && strnlen(h->holder, sizeof(h->holder)) == BOOK_HOLDER
               ? NULL
               : "it is damaged";
}

static void begin(struct book *b, const char *boot, const char *path)
{
    const char *why = unfit(b->h, boot, b->inode);

    if (why == NULL) {
        for (size_t i = 0; i < BOOK_LINES; i++) { // damaged ids end all the same
            b->lines[i].id[sizeof(b->lines[i].id) - 1] = '\0';
        }
        return;
    }
    if (why[0] != '\0') {
        LOG(INFO, "book.dropped", LOG_STR("file", path), LOG_STR("reason", why),
            LOG_STR("effect", "leases in it are not given back"));
    }
    memset(b->h, 0, file_bytes());
    (void)snprintf(b->h->boot, sizeof(b->h->boot), "%s", boot); // cut ones are never the same
    b->h->lines = BOOK_LINES;
    b->h->inode = b->inode;
    crypto_random_id(b->h->holder, BOOK_HOLDER);
    memcpy(b->h->magic, MAGIC, sizeof(b->h->magic));
}

struct book *book_open(const char *dir, const char *boot, struct err *e)
{
    struct book *b = mem_zalloc(sizeof(*b));
    char path[4096];

    b->fd = -1;
    CHECK(pthread_mutex_init(&b->lock, NULL) == 0);
    if (snprintf(path, sizeof(path), "%s/" BOOK_FILE, dir) >= (int)sizeof(path)) {
        (void)err_set(e, ERR_INVALID, "the data directory's name is too long");
        book_close(&b);
        return NULL;
    }
    if (!map_file(b, path, e)) {
        book_close(&b);
        return NULL;
    }
    begin(b, boot, path);
    let_go(b);
    return b;
}

void book_close(struct book **bp)
{
    struct book *b = *bp;

    *bp = NULL;
    if (b == NULL) {
        return;
    }
    if (b->h != NULL) {
        (void)munmap(b->h, file_bytes());
    }
    if (b->fd >= 0) {
        (void)close(b->fd);
    }
    (void)pthread_mutex_destroy(&b->lock);
    mem_free(b);
}

const char *book_holder(const struct book *b)
{
    return b->h->holder;
}

void book_each(struct book *b, void (*fn)(void *ctx, uint32_t line, const struct book_line *l),
               void *ctx)
{
    for (uint32_t i = 0; i < BOOK_LINES; i++) {
        struct line *s = &b->lines[i];
        struct book_line l = {s->id,    s->window, s->batch, s->units, s->debt,
                              s->taken, s->no,     s->since, s->unit,  s->period};

        if (s->id[0] == '\0') {
            continue;
        }
        if (l.units == 0 && l.debt == 0 && l.taken == 0 && l.since == 0) {
            book_drop(b, i + 1);
        } else {
            fn(ctx, i + 1, &l);
        }
    }
    let_go(b);
}

// Its units first.
static void clear(struct line *s)
{
    s->units = s->debt = s->taken = s->no = s->since = 0;
    s->window = s->batch = s->unit = s->period = 0;
}

uint32_t book_add(struct book *b, const char *limit_id)
{
    size_t n = strlen(limit_id);
    uint32_t found = 0;

    if (n == 0 || n > BOOK_ID_MAX) {
        return 0;
    }
    CHECK(pthread_mutex_lock(&b->lock) == 0);
    for (uint32_t k = 0; k < BOOK_LINES && found == 0; k++) {
        uint32_t i = (b->next + k) % BOOK_LINES;

        if (b->lines[i].id[0] == '\0') {
            clear(&b->lines[i]);
            memcpy(b->lines[i].id, limit_id, n + 1);
            found = i + 1;
            b->next = (i + 1) % BOOK_LINES; // all before it are taken, or were just now
        }
    }
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
    return found;
}

static uint64_t get(_Atomic uint64_t *v)
{
    return atomic_load_explicit(v, memory_order_relaxed); // one thread at a time writes a line
}

static void set(_Atomic uint64_t *to, uint64_t v)
{
    atomic_store_explicit(to, v, memory_order_release);
}

static uint64_t min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

void book_write(struct book *b, uint32_t line, const struct book_line *l)
{
    struct line *s = &b->lines[line - 1];
    bool other = get(&s->window) != l->window || get(&s->batch) != l->batch ||
                 get(&s->unit) != l->unit || get(&s->period) != l->period;

    if (l->since != 0) {
        set(&s->since, l->since);
    }
    if (other || get(&s->no) != l->no || get(&s->taken) != l->taken) {
        set(&s->units, other ? 0 : min(get(&s->units), l->units));
        set(&s->debt, max(get(&s->debt), l->debt));
        if (other) {
            set(&s->window, 0);
            set(&s->batch, l->batch);
            set(&s->unit, l->unit);
            set(&s->period, l->period);
        }
        set(&s->no, l->no);
        set(&s->taken, l->taken);
        set(&s->window, l->window);
    }
    set(&s->debt, l->debt);
    set(&s->units, l->units);
    set(&s->since, l->since);
}

void book_drop(struct book *b, uint32_t line)
{
    CHECK(pthread_mutex_lock(&b->lock) == 0);
    clear(&b->lines[line - 1]);
    b->lines[line - 1].id[0] = '\0';
    b->next = line - 1 < b->next ? line - 1 : b->next; // few pages are in use
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
}
