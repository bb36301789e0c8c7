// SPDX-License-Identifier: Apache-2.0
// The end of the process after a broken promise inside it: message, hook, abort. Nothing here
// allocates or takes a lock, since the heap may be what is broken.
#include "common/base/check.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef void (*check_hook_fn)(void);

static _Atomic(check_hook_fn) hook_fn;

void check_set_hook(void (*hook)(void))
{
    atomic_store(&hook_fn, hook);
}

void check_failed(const char *file, int line, const char *func, const char *expr)
{
    char text[512];
    int n = snprintf(text, sizeof(text), "CHECK failed: %s:%d: %s: %s\n", file, line, func, expr);
    // Taken out before it is called: a hook that itself fails a CHECK is not entered again.
    check_hook_fn hook = atomic_exchange(&hook_fn, NULL);

    if (n > 0) {
        size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;

        // The process ends whether or not the line could be written.
        (void)!write(STDERR_FILENO, text, len);
    }
    if (hook != NULL) {
        hook();
    }
    abort();
}
