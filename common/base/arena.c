// SPDX-License-Identifier: Apache-2.0
// Bump allocator over a chain of blocks.
//
//   head -> [hdr|####....] -> [hdr|#########] -> [hdr|######]   the last one is the first made
//
// Pieces are cut from the newest block; all but strings begin at a multiple of 16. Blocks double up
// to 1 MiB. A piece larger than a block gets a block of its own, chained behind the head so that
// the head's free room stays in use (unless the head is the first made, which must stay last for
// arena_reset).
#include "common/base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define ARENA_ALIGN     ((size_t)16)
#define ARENA_MIN_BLOCK ((size_t)256)
#define ARENA_MAX_BLOCK ((size_t)1 << 20)

struct arena_block {
    struct arena_block *next; // older
    size_t used, cap;         // of the bytes behind the header
    size_t borrowed;          // 1: in the caller's memory, never freed
};

_Static_assert(sizeof(struct arena_block) == ARENA_BLOCK_HEAD, "pieces must be 16-byte aligned");

static char *block_bytes(struct arena_block *b)
{
    return (char *)(b + 1);
}

void arena_init(struct arena *a, size_t first_block, size_t max_bytes)
{
    *a = (struct arena){
        .max = max_bytes,
        .next_block = first_block < ARENA_MIN_BLOCK ? ARENA_MIN_BLOCK : first_block,
    };
}

void arena_init_in(struct arena *a, void *memory, size_t n)
{
    struct arena_block *b = memory;

    CHECK((uintptr_t)memory % ARENA_ALIGN == 0 && n >= sizeof(*b));
    arena_init(a, 0, 0);
    *b = (struct arena_block){.cap = n - sizeof(*b), .borrowed = 1};
    a->head = b;
}

// Frees all blocks from b on, except the oldest when keep_oldest; returns that one or NULL.
static struct arena_block *free_blocks(struct arena_block *b, bool keep_oldest)
{
    while (b != NULL && !(keep_oldest && b->next == NULL)) {
        struct arena_block *next = b->next;

        if (b->borrowed == 0) {
            mem_free(b);
        }
        b = next;
    }
    return b;
}

void arena_done(struct arena *a)
{
    a->head = free_blocks(a->head, false);
    a->used = 0;
}

void arena_reset(struct arena *a)
{
    a->head = free_blocks(a->head, true);
    a->used = 0;
    if (a->head != NULL) {
        a->head->used = 0;
        // Blocks grow anew from the one that is kept: an arena that is used again and again must
        // not end up asking for 1 MiB whenever its first block is not quite enough.
        a->next_block = a->head->cap < ARENA_MAX_BLOCK / 2 ? a->head->cap * 2 : ARENA_MAX_BLOCK;
    }
}

static struct arena_block *block_new(struct arena *a, size_t n)
{
    size_t cap = n > a->next_block ? n : a->next_block;
    struct arena_block *b = mem_try_alloc(sizeof(*b) + cap);

    if (b == NULL) {
        return NULL;
    }
    b->used = b->borrowed = 0;
    b->cap = cap;
    if (n > a->next_block && a->head != NULL && a->head->next != NULL) {
        b->next = a->head->next;
        a->head->next = b;
        return b;
    }
    b->next = a->head;
    a->head = b;
    if (a->next_block < ARENA_MAX_BLOCK) {
        a->next_block *= 2;
    }
    return b;
}

// n bytes at the next multiple of align (1 or ARENA_ALIGN).
static void *cut(struct arena *a, size_t n, size_t align)
{
    struct arena_block *b = a->head;
    size_t gap = b == NULL ? 0 : -b->used & (align - 1);
    char *p;

    if (n > SIZE_MAX / 4) {
        return NULL;
    }
    n = (n + align - 1) & ~(align - 1);
    if (a->max != 0 && (a->used > a->max || gap + n > a->max - a->used)) {
        return NULL;
    }
    if (b == NULL || gap > b->cap - b->used || n > b->cap - b->used - gap) {
        b = block_new(a, n);
        if (b == NULL) {
            return NULL;
        }
        gap = 0;
    }
    p = block_bytes(b) + b->used + gap;
    b->used += gap + n;
    a->used += gap + n;
    return p;
}

void *arena_try_alloc(struct arena *a, size_t n)
{
    return cut(a, n == 0 ? 1 : n, ARENA_ALIGN);
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p = arena_try_alloc(a, n);

    CHECK(p != NULL);
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    return memset(arena_alloc(a, n), 0, n);
}

static char *copy_text(char *to, const char *p, size_t n)
{
    CHECK(to != NULL);
    if (n > 0) {
        memcpy(to, p, n);
    }
    to[n] = '\0';
    return to;
}

// Close together: a hundred thousand keys are mostly short strings.
char *arena_strndup(struct arena *a, const char *p, size_t n)
{
    CHECK(n < SIZE_MAX);
    return copy_text(cut(a, n + 1, 1), p, n);
}

char *arena_strdup(struct arena *a, const char *s)
{
    return s == NULL ? NULL : arena_strndup(a, s, strlen(s));
}

struct slice arena_dup(struct arena *a, struct slice s)
{
    CHECK(s.n < SIZE_MAX);
    return s.p == NULL ? SLICE_NULL
                       : (struct slice){copy_text(arena_alloc(a, s.n + 1), s.p, s.n), s.n};
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *text;
    int n;

    CHECK(fmt != NULL);
    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    CHECK(n >= 0);
    text = arena_alloc(a, (size_t)n + 1);
    CHECK(vsnprintf(text, (size_t)n + 1, fmt, again) == n);
    va_end(again);
    return text;
}
