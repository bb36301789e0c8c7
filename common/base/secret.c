// SPDX-License-Identifier: Apache-2.0
// A secret is a small header on the heap and its bytes in pages of their own, which are locked (no
// swap) and left out of core dumps where the system allows it, wiped and unmapped at the end. Pages
// of their own, because unlocking a page would unlock every other secret in it.
#include "common/base/secret.h"

#include <sys/mman.h>

#include "common/base/check.h"
#include "common/base/mem.h"

struct secret {
    size_t n;      // bytes of the value
    size_t mapped; // bytes of the mapping at p
    char *p;       // owned mapping; NUL behind the value
};

struct secret *secret_new(struct slice value)
{
    struct secret *s;

    if (value.p == NULL) {
        return NULL;
    }
    CHECK(value.n < SIZE_MAX / 4);
    s = mem_zalloc(sizeof(*s));
    s->n = value.n;
    s->mapped = value.n + 1;
    s->p = mmap(NULL, s->mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(s->p != MAP_FAILED);
    // Best effort: RLIMIT_MEMLOCK may be small, and an unlocked secret is better than no service.
    (void)mlock(s->p, s->mapped);
    (void)madvise(s->p, s->mapped, MADV_DONTDUMP);
    if (value.n > 0) {
        memcpy(s->p, value.p, value.n);
    }
    return s;
}

void secret_free(struct secret **s)
{
    struct secret *old = *s;

    *s = NULL;
    if (old == NULL) {
        return;
    }
    mem_wipe(old->p, old->mapped);
    CHECK(munmap(old->p, old->mapped) == 0);
    mem_free(old);
}

struct slice secret_reveal(const struct secret *s)
{
    return s == NULL ? SLICE_NULL : (struct slice){s->p, s->n};
}

void secret_hint(const struct secret *s, char out[8])
{
    size_t tail = s != NULL && s->n >= 12 ? 4 : 0;

    memcpy(out, "...", 3);
    if (tail > 0) {
        memcpy(out + 3, s->p + s->n - tail, tail);
    }
    out[3 + tail] = '\0';
}
