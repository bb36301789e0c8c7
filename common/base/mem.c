// SPDX-License-Identifier: Apache-2.0
// The one place that calls malloc, so that exhaustion has one policy: small sizes die with a
// message (there is nothing sensible to do), _try_ forms return NULL. Sizes above PTRDIFF_MAX are
// refused here, before the allocator sees them.
#include "common/base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

NORETURN static void mem_exhausted(size_t n)
{
    char line[80];
    int len = snprintf(line, sizeof(line), "out of memory: %zu bytes wanted\n", n);

    // The process ends whether or not the line could be written.
    (void)!write(STDERR_FILENO, line, (size_t)len);
    abort();
}

void *mem_try_alloc(size_t n)
{
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
    p = calloc(1, total == 0 ? 1 : total);
    if (p == NULL) {
        mem_exhausted(total);
    }
    return p;
}

void *mem_try_realloc(void *p, size_t n)
{
    if (n > PTRDIFF_MAX) {
        return NULL;
    }
    return realloc(p, n == 0 ? 1 : n);
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
    free(p);
}

void mem_wipe(void *p, size_t n)
{
    if (n > 0) {
        explicit_bzero(p, n);
    }
}
