// SPDX-License-Identifier: Apache-2.0
//   | header: magic, boot, count | line 1 | line 2 | ...     512 bytes each
//
// A line is free while its first byte of the id is 0. Units are stored last, and set to 0 before
// what they are of changes; each store is one instruction, in this order (a process that dies
// leaves what it has stored, whatever was on its way to the disk).
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
#include "common/base/mem.h"

#define MAGIC "SLULEAS1"

struct header {
    char magic[8];
    char boot[64];
    uint64_t lines;
    char rest[512 - 8 - 64 - 8];
};

struct line {
    _Atomic uint64_t window, batch, units, debt;
    char id[512 - 4 * 8]; // "": free
};

struct book {
    int fd;
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

static void begin(struct book *b, const char *boot)
{
    bool same = memcmp(b->h->magic, MAGIC, sizeof(b->h->magic)) == 0 && boot[0] != '\0' &&
                strncmp(b->h->boot, boot, sizeof(b->h->boot)) == 0 && b->h->lines == BOOK_LINES;

    if (same) {
        for (size_t i = 0; i < BOOK_LINES; i++) { // damaged ids end all the same
            b->lines[i].id[sizeof(b->lines[i].id) - 1] = '\0';
        }
        return;
    }
    memset(b->h, 0, file_bytes());
    (void)snprintf(b->h->boot, sizeof(b->h->boot), "%s", boot); // cut ones are never the same
    b->h->lines = BOOK_LINES;
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
    begin(b, boot);
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

void book_each(struct book *b, void (*fn)(void *ctx, uint32_t line, const struct book_line *l),
               void *ctx)
{
    for (uint32_t i = 0; i < BOOK_LINES; i++) {
        struct line *s = &b->lines[i];
        struct book_line l = {s->id, s->window, s->batch, s->units, s->debt};

        if (s->id[0] == '\0') {
            continue;
        }
        if (l.units == 0 && l.debt == 0) {
            book_drop(b, i + 1);
        } else {
            fn(ctx, i + 1, &l);
        }
    }
    let_go(b);
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
            b->lines[i].units = b->lines[i].debt = 0;
            memcpy(b->lines[i].id, limit_id, n + 1);
            found = i + 1;
            b->next = (i + 1) % BOOK_LINES; // all before it are taken, or were just now
        }
    }
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
    return found;
}

void book_write(struct book *b, uint32_t line, const struct book_line *l)
{
    struct line *s = &b->lines[line - 1];

    if (s->window != l->window || s->batch != l->batch) {
        atomic_store_explicit(&s->units, 0, memory_order_release);
        atomic_store_explicit(&s->window, l->window, memory_order_release);
        atomic_store_explicit(&s->batch, l->batch, memory_order_release);
    }
    atomic_store_explicit(&s->debt, l->debt, memory_order_release);
    atomic_store_explicit(&s->units, l->units, memory_order_release);
}

void book_drop(struct book *b, uint32_t line)
{
    CHECK(pthread_mutex_lock(&b->lock) == 0);
    b->lines[line - 1].units = b->lines[line - 1].debt = 0;
    b->lines[line - 1].id[0] = '\0';
    b->next = line - 1 < b->next ? line - 1 : b->next; // few pages are in use
    CHECK(pthread_mutex_unlock(&b->lock) == 0);
}
