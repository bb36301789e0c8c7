// SPDX-License-Identifier: Apache-2.0
// The only caller of malloc. Small fixed sizes die on exhaustion with a message; sizes chosen by a
// client or an upstream use the _try_ forms and must be bounded by the caller first.
#ifndef SLUICE_BASE_MEM_H
#define SLUICE_BASE_MEM_H

#include <stddef.h>

#include "common/base/cdefs.h"

// Never NULL; uninitialised. Free with mem_free.
void *mem_alloc(size_t n) __attribute__((malloc, alloc_size(1)));
// Never NULL; zeroed. Dies when n * size overflows.
void *mem_zalloc(size_t n) __attribute__((malloc, alloc_size(1)));
void *mem_zalloc_array(size_t n, size_t size) __attribute__((malloc, alloc_size(1, 2)));
// NULL on exhaustion.
MUST_CHECK void *mem_try_alloc(size_t n);
// NULL on exhaustion, p then still valid.
MUST_CHECK void *mem_try_realloc(void *p, size_t n);
// Dies on exhaustion.
void *mem_realloc_array(void *p, size_t n, size_t size);
// Owned NUL-terminated copy of n bytes / of a C string (NULL stays NULL).
char *mem_strndup(const char *p, size_t n);
char *mem_strdup(const char *s);
// NULL allowed.
void mem_free(void *p);
// Something large was freed: mem_trim has something to do. Any thread.
void mem_trim_later(void);
// Gives free pages back to the system if mem_trim_later was called. Takes milliseconds and locks
// every thread's heap meanwhile: on a thread that nobody waits for, but none of low priority (it
// would be stopped while others wait for what it has locked).
void mem_trim(void);
// Overwrites n bytes; not optimised away.
void mem_wipe(void *p, size_t n);

#endif
