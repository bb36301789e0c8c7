// SPDX-License-Identifier: Apache-2.0
// Bump allocator tied to one lifetime (a request, a decoded resource): pieces are never freed
// singly. It has a ceiling, so input cannot make it grow without bound.
#ifndef SLUICE_BASE_ARENA_H
#define SLUICE_BASE_ARENA_H

#include <stddef.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

struct arena_block;

struct arena {
    struct arena_block *head; // owns the chain, newest first
    size_t used;              // bytes handed out, all blocks
    size_t max;               // ceiling for `used`; 0 = none
    size_t next_block;        // size of the next block to allocate
};

// No allocation happens before the first use. max_bytes 0 = no ceiling.
void arena_init(struct arena *a, size_t first_block, size_t max_bytes);
// The first block is in memory of the caller, 16-byte aligned, which it frees after arena_done; the
// arena must not be used again then. ARENA_BLOCK_HEAD bytes of n are not for pieces.
#define ARENA_BLOCK_HEAD 32u
void arena_init_in(struct arena *a, void *memory, size_t n);
// Frees every block; the arena can be used again as after arena_init.
void arena_done(struct arena *a);
// Keeps the first block for reuse, frees the others.
void arena_reset(struct arena *a);

// 16-byte aligned, uninitialised / zeroed. NULL when the ceiling or memory is exhausted.
MUST_CHECK void *arena_try_alloc(struct arena *a, size_t n);
// Dies when exhausted: for sizes the program chooses.
void *arena_alloc(struct arena *a, size_t n);
void *arena_zalloc(struct arena *a, size_t n);
// NUL-terminated copies owned by the arena, not aligned; die when exhausted (bound the input
// first).
char *arena_strndup(struct arena *a, const char *p, size_t n);
char *arena_strdup(struct arena *a, const char *s);      // NULL stays NULL
struct slice arena_dup(struct arena *a, struct slice s); // 16-byte aligned
char *arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
