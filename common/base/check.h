// SPDX-License-Identifier: Apache-2.0
// CHECK: programmer errors, always on, also in release. Never for input.
#ifndef SLUICE_BASE_CHECK_H
#define SLUICE_BASE_CHECK_H

#include "common/base/cdefs.h"

#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (UNLIKELY(!(cond))) {                                                                   \
            check_failed(__FILE__, __LINE__, __func__, #cond);                                     \
        }                                                                                          \
    } while (0)

#define UNREACHABLE() check_failed(__FILE__, __LINE__, __func__, "unreachable")

// Prints file, line, function and expression to stderr, calls the hook if one is set, aborts.
NORETURN void check_failed(const char *file, int line, const char *func, const char *expr);

// Called (once) with the failing thread's message before abort, to print what that thread was
// doing. Must not allocate. NULL removes it. Process-wide; set at start.
void check_set_hook(void (*hook)(void));

#endif
