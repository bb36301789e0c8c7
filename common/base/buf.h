// SPDX-License-Identifier: Apache-2.0
// Growable byte queue with a ceiling.
//
//   p            p+off           p+off+n          p+cap
//   | consumed   | data          | free           |
//
// Data is appended at the end and consumed at the front.
#ifndef SLUICE_BASE_BUF_H
#define SLUICE_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

struct buf {
    char *p;    // owned, from mem_*; NULL while nothing was stored
    size_t off; // bytes consumed at the front
    size_t n;   // bytes of data behind off
    size_t cap; // allocated bytes
    size_t max; // ceiling for n
    bool soft;  // buf_init_soft
    bool over;  // soft: something did not fit
};

// Empty; max_bytes is the most it may ever hold. Nothing is allocated.
void buf_init(struct buf *b, size_t max_bytes);
// For output whose size others choose: what does not fit is left out, and everything behind it, and
// `over` is set instead of dying. buf_clear and buf_done begin anew.
void buf_init_soft(struct buf *b, size_t max_bytes);
// Frees the storage; usable again with the same ceiling.
void buf_done(struct buf *b);
// Empties it, keeps the storage.
void buf_clear(struct buf *b);
static inline struct slice buf_slice(const struct buf *b)
{
    return (struct slice){b->p == NULL ? "" : b->p + b->off, b->n};
}

// All of them: false (and nothing changed) when the ceiling or memory does not allow it.
MUST_CHECK bool buf_try_append(struct buf *b, struct slice s);
MUST_CHECK bool buf_try_reserve(struct buf *b, size_t extra);
MUST_CHECK bool buf_try_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
// For text whose size the program chooses: die instead (buf_init_soft: note it in `over`).
void buf_append(struct buf *b, struct slice s);
void buf_append_str(struct buf *b, const char *s);
void buf_append_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);

// Room of at least 1 byte after a successful buf_try_reserve: write there, then buf_commit.
char *buf_tail(struct buf *b, size_t *ret_room);
void buf_commit(struct buf *b, size_t n);
// Drops n (<= b->n) bytes at the front.
void buf_consume(struct buf *b, size_t n);
// Moves storage and content of *from into *to (to's old storage freed); *from becomes empty.
void buf_move(struct buf *to, struct buf *from);
// NUL-terminates in place (not counted in n) and returns the data; dies on exhaustion.
const char *buf_cstr(struct buf *b);

#endif
