// SPDX-License-Identifier: Apache-2.0
// Growable byte queue. Storage doubles; consumed room at the front is reclaimed by moving the data
// down when at least as much was consumed as is left, so that moving costs O(1) per byte.
#include "common/base/buf.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define BUF_FIRST_CAP 64

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes};
}

void buf_init_soft(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max = max_bytes, .soft = true};
}

static void forget(struct buf *b)
{
    *b = (struct buf){.max = b->max, .soft = b->soft};
}

void buf_done(struct buf *b)
{
    mem_free(b->p);
    forget(b);
}

void buf_clear(struct buf *b)
{
    b->off = 0;
    b->n = 0;
    b->over = false;
}

// Makes room for `extra` bytes behind the data, ceiling aside (the NUL of buf_cstr is not content).
static bool ensure_room(struct buf *b, size_t extra)
{
    size_t need, cap;
    char *p;

    if (extra <= b->cap - b->off - b->n) {
        return true;
    }
    if (__builtin_add_overflow(b->n, extra, &need)) {
        return false;
    }
    if (need <= b->cap && b->off >= b->n) {
        memmove(b->p, b->p + b->off, b->n);
        b->off = 0;
        return true;
    }
    if (need > SIZE_MAX / 4) {
        return false;
    }
    cap = b->cap < BUF_FIRST_CAP ? BUF_FIRST_CAP : b->cap;
    while (cap < need) {
        cap *= 2;
    }
    if (b->off == 0) {
        p = mem_try_realloc(b->p, cap);
    } else {
        // A fresh block: realloc would copy the consumed bytes too.
        p = mem_try_alloc(cap);
        if (p != NULL) {
            memcpy(p, b->p + b->off, b->n);
            mem_free(b->p);
        }
    }
    if (p == NULL) {
        return false;
    }
    b->p = p;
    b->off = 0;
    b->cap = cap;
    return true;
}

bool buf_try_reserve(struct buf *b, size_t extra)
{
    return b->n <= b->max && extra <= b->max - b->n && ensure_room(b, extra);
}

bool buf_try_append(struct buf *b, struct slice s)
{
    if (!buf_try_reserve(b, s.n)) {
        return false;
    }
    if (s.n > 0) {
        memcpy(b->p + b->off + b->n, s.p, s.n);
        b->n += s.n;
    }
    return true;
}

static bool try_vprintf(struct buf *b, const char *fmt, va_list ap) PRINTF_LIKE(2, 0);

static bool try_vprintf(struct buf *b, const char *fmt, va_list ap)
{
    size_t room = b->cap - b->off - b->n;
    va_list again;
    int n;

    va_copy(again, ap);
    // First into whatever room there is; only text that did not fit is formatted twice.
    n = vsnprintf(room == 0 ? NULL : b->p + b->off + b->n, room, fmt, ap);
    if (n >= 0 && (size_t)n >= room) {
        if (!buf_try_reserve(b, (size_t)n) || !ensure_room(b, (size_t)n + 1)) {
            n = -1;
        } else {
            n = vsnprintf(b->p + b->off + b->n, (size_t)n + 1, fmt, again);
        }
    }
    va_end(again);
    if (n < 0 || b->n > b->max || (size_t)n > b->max - b->n) {
        return false;
    }
    b->n += (size_t)n;
    return true;
}

bool buf_try_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    bool ok;

    va_start(ap, fmt);
    ok = try_vprintf(b, fmt, ap);
    va_end(ap);
    return ok;
}

void buf_append(struct buf *b, struct slice s)
{
    if (!b->over && !buf_try_append(b, s)) {
        CHECK(b->soft);
        b->over = true;
    }
}

void buf_append_str(struct buf *b, const char *s)
{
    buf_append(b, slice_str(s));
}

void buf_append_char(struct buf *b, char c)
{
    buf_append(b, (struct slice){&c, 1});
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    if (!b->over && !try_vprintf(b, fmt, ap)) {
        CHECK(b->soft);
        b->over = true;
    }
    va_end(ap);
}

char *buf_tail(struct buf *b, size_t *ret_room)
{
    size_t room = b->cap - b->off - b->n;
    size_t allowed = b->max > b->n ? b->max - b->n : 0;

    *ret_room = room < allowed ? room : allowed;
    return b->p == NULL ? NULL : b->p + b->off + b->n;
}

void buf_commit(struct buf *b, size_t n)
{
    CHECK(n <= b->cap - b->off - b->n);
    b->n += n;
}

void buf_consume(struct buf *b, size_t n)
{
    CHECK(n <= b->n);
    b->off += n;
    b->n -= n;
    if (b->n == 0) {
        b->off = 0;
    }
}

void buf_move(struct buf *to, struct buf *from)
{
    if (to == from) {
        return;
    }
    mem_free(to->p);
    to->p = from->p;
    to->off = from->off;
    to->n = from->n;
    to->cap = from->cap;
    to->over = from->over;
    forget(from);
}

const char *buf_cstr(struct buf *b)
{
    CHECK(ensure_room(b, 1));
    b->p[b->off + b->n] = '\0';
    return b->p + b->off;
}
