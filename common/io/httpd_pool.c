// SPDX-License-Identifier: Apache-2.0
// Buffers for request bodies and stream queues: powers of two from 512 bytes to 64 KiB are kept in
// LIFO lists (the most recently used is the one in cache), at most 4 MiB of them; larger ones come
// from malloc and go back to it.
#include "common/base/mem.h"
#include "common/io/httpd_priv.h"

#define SMALLEST 512u
#define LARGEST  (SMALLEST << (HTTPD_POOL_CLASSES - 1))
#define HELD_MAX (4u << 20)

static unsigned class_of(size_t size)
{
    return size <= SMALLEST ? 0 : (unsigned)(64 - __builtin_clzll(size - 1)) - 9; // 512 = 1 << 9
}

// At least `want` bytes; *ret_cap = the real size, to be handed back. NULL on exhaustion.
static char *take(struct httpd_pool *p, size_t want, size_t *ret_cap)
{
    unsigned k;
    char *buf;

    if (want > LARGEST) {
        *ret_cap = want;
        return mem_try_alloc(want);
    }
    k = class_of(want);
    *ret_cap = (size_t)SMALLEST << k;
    if (p->free[k] == NULL) {
        return mem_try_alloc(*ret_cap);
    }
    buf = p->free[k];
    memcpy(&p->free[k], buf, sizeof p->free[k]); // the link is kept in the free buffer
    p->held -= *ret_cap;
    return buf;
}

static void give(struct httpd_pool *p, char *buf, size_t cap)
{
    unsigned k;

    if (buf == NULL) {
        return;
    }
    if (cap > LARGEST || p->held + cap > HELD_MAX) {
        mem_free(buf);
        return;
    }
    k = class_of(cap);
    memcpy(buf, &p->free[k], sizeof p->free[k]);
    p->free[k] = buf;
    p->held += cap;
}

void httpd_pool_done(struct httpd_pool *p)
{
    for (unsigned k = 0; k < HTTPD_POOL_CLASSES; k++) {
        while (p->free[k] != NULL) {
            void *buf = p->free[k];

            memcpy(&p->free[k], buf, sizeof p->free[k]);
            mem_free(buf);
        }
    }
    p->held = 0;
}

bool httpd_bytes_reserve(struct httpd_pool *p, struct httpd_bytes *b, size_t extra)
{
    size_t cap, want;
    char *buf;

    if (b->off + b->n + extra <= b->cap) {
        return true;
    }
    if (b->n + extra <= b->cap) {
        memmove(b->p, b->p + b->off, b->n);
        b->off = 0;
        return true;
    }
    want = b->n + extra;
    if (want > LARGEST && want < 2 * b->cap) {
        want = 2 * b->cap; // doubling, so that growing stays linear
    }
    buf = take(p, want, &cap);
    if (buf == NULL) {
        return false;
    }
    if (b->n > 0) {
        memcpy(buf, b->p + b->off, b->n);
    }
    give(p, b->p, b->cap);
    *b = (struct httpd_bytes){.p = buf, .n = b->n, .cap = cap};
    return true;
}

void httpd_bytes_done(struct httpd_pool *p, struct httpd_bytes *b)
{
    give(p, b->p, b->cap);
    *b = (struct httpd_bytes){0};
}
