// SPDX-License-Identifier: Apache-2.0
// The one place that calls malloc, so that exhaustion has one policy: small sizes die with a
// message (there is nothing sensible to do), _try_ forms return NULL. Sizes above PTRDIFF_MAX are
// refused here, before the allocator sees them.
//
// Blocks of more than 1 KiB and up to 64 KiB are kept for reuse, per thread. glibc keeps small
// blocks only (tcache, to 1,032 bytes); each larger request, and each larger free, makes it merge
// and split again all the small blocks that are free (malloc_consolidate). With a handful of such
// blocks a request (arenas, answers, heads) that was a tenth of a proxy's user time.
//
//   held->free[k]  -> block -> block     class k: at least class_size(k) bytes; LIFO, so the block
//                                        that is used next is the one that is still in the cache
//
// A block's class follows from malloc_usable_size, so callers need not name the size they free.
// Under a sanitizer nothing is kept: it would hide uses after free.
#include "common/base/mem.h"

#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_bool trim_wanted;

NORETURN static void mem_exhausted(size_t n)
{
    char line[80];
    int len = snprintf(line, sizeof(line), "out of memory: %zu bytes wanted\n", n);

    // The process ends whether or not the line could be written.
    (void)!write(STDERR_FILENO, line, (size_t)len);
    abort();
}

// --- kept blocks -------------------------------------------------------------------------------

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define KEEP_BLOCKS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer)
#define KEEP_BLOCKS false
#else
#define KEEP_BLOCKS true
#endif
#else
#define KEEP_BLOCKS true
#endif

#define KEEP_OVER    1024u // smaller ones are glibc's tcache's
#define KEEP_UP_TO   (64u * 1024)
#define KEEP_CLASSES 24u        // four to a doubling: a fifth of a block is lost at most
#define KEEP_BYTES   (1u << 20) // of one thread

struct block {
    struct block *next;
};

struct held {
    struct block *free[KEEP_CLASSES];
    size_t bytes;
    bool registered; // freed when the thread ends
};

static _Thread_local struct held held;
static pthread_key_t held_key;
static pthread_once_t held_once = PTHREAD_ONCE_INIT;

static bool is_kept_size(size_t n)
{
    return KEEP_BLOCKS && n > KEEP_OVER && n <= KEEP_UP_TO;
}

// Of the smallest class that holds n bytes: 1280 1536 1792 2048 | 2560 3072 3584 4096 | ...
static unsigned class_over(size_t n)
{
    unsigned doubling = 63u - (unsigned)__builtin_clzll(n - 1); // 10..15

    return (doubling - 10) * 4 + (unsigned)((n - 1) >> (doubling - 2) & 3);
}

static size_t class_size(unsigned k)
{
    return (size_t)(5 + (k & 3)) << (8 + k / 4);
}

static void free_held(void *p)
{
    struct held *h = p;

    for (unsigned k = 0; k < KEEP_CLASSES; k++) {
        while (h->free[k] != NULL) {
            struct block *b = h->free[k];

            h->free[k] = b->next;
            free(b);
        }
    }
    *h = (struct held){.bytes = 0};
}

static void make_held_key(void)
{
    if (pthread_key_create(&held_key, free_held) != 0) {
        mem_exhausted(sizeof(held));
    }
}

static void *take_block(size_t n)
{
    unsigned k = class_over(n);
    struct block *b = held.free[k];

    if (b == NULL) {
        return malloc(class_size(k));
    }
    held.free[k] = b->next;
    held.bytes -= class_size(k);
    return b;
}

// False: not one to keep. usable: what glibc gave, a little more than was asked for.
static bool keep_block(void *p, size_t usable)
{
    struct block *b = p;
    unsigned k;

    if (usable < class_size(0) || usable > KEEP_UP_TO + KEEP_OVER) {
        return false;
    }
    k = class_over(usable);
    k -= class_size(k) > usable ? 1 : 0;
    if (held.bytes + class_size(k) > KEEP_BYTES) {
        return false;
    }
    if (!held.registered) {
        (void)pthread_once(&held_once, make_held_key); // its function cannot fail
        held.registered = pthread_setspecific(held_key, &held) == 0;
        if (!held.registered) {
            return false;
        }
    }
    b->next = held.free[k];
    held.free[k] = b;
    held.bytes += class_size(k);
    return true;
}

// --- allocating --------------------------------------------------------------------------------

void *mem_try_alloc(size_t n)
{
    if (is_kept_size(n)) {
        return take_block(n);
    }
    if (n > PTRDIFF_MAX) {
        return NULL;
    }
    return malloc(n == 0 ? 1 : n);
}

void *mem_alloc(size_t n)
{
    void *p = mem_try_alloc(n);

    if (p == NULL) {
        mem_exhausted(n);
    }
    return p;
}

void *mem_zalloc(size_t n)
{
    return mem_zalloc_array(1, n);
}

void *mem_zalloc_array(size_t n, size_t size)
{
    size_t total;
    void *p;

    if (__builtin_mul_overflow(n, size, &total) || total > PTRDIFF_MAX) {
        mem_exhausted(SIZE_MAX);
    }
    if (is_kept_size(total)) {
        p = take_block(total);
        if (p != NULL) {
            memset(p, 0, total);
        }
    } else {
        p = calloc(1, total == 0 ? 1 : total);
    }
    if (p == NULL) {
        mem_exhausted(total);
    }
    return p;
}

void *mem_try_realloc(void *p, size_t n)
{
    size_t have = KEEP_BLOCKS && p != NULL ? malloc_usable_size(p) : 0;
    void *q;

    if (n > PTRDIFF_MAX) {
        return NULL;
    }
    if (!is_kept_size(n)) { // glibc may copy without a copy (mremap) where it is worth it
        return realloc(p, n == 0 ? 1 : n);
    }
    if (n <= have && n > have / 2) {
        return p;
    }
    q = mem_try_alloc(n);
    if (q != NULL && p != NULL) {
        memcpy(q, p, have < n ? have : n);
        mem_free(p);
    }
    return q;
}

void *mem_realloc_array(void *p, size_t n, size_t size)
{
    size_t total;
    void *q;

    if (__builtin_mul_overflow(n, size, &total)) {
        mem_exhausted(SIZE_MAX);
    }
    q = mem_try_realloc(p, total);
    if (q == NULL) {
        mem_exhausted(total);
    }
    return q;
}

char *mem_strndup(const char *p, size_t n)
{
    char *copy;

    if (n >= PTRDIFF_MAX) {
        mem_exhausted(n);
    }
    copy = mem_alloc(n + 1);
    if (n > 0) {
        memcpy(copy, p, n);
    }
    copy[n] = '\0';
    return copy;
}

char *mem_strdup(const char *s)
{
    return s == NULL ? NULL : mem_strndup(s, strlen(s));
}

void mem_free(void *p)
{
    if (!KEEP_BLOCKS || p == NULL || !keep_block(p, malloc_usable_size(p))) {
        free(p);
    }
}

void mem_trim_later(void)
{
    atomic_store(&trim_wanted, true);
}

void mem_trim(void)
{
    if (atomic_exchange(&trim_wanted, false)) {
        (void)malloc_trim(0);
    }
}

void mem_wipe(void *p, size_t n)
{
    if (n > 0) {
        explicit_bzero(p, n);
    }
}
