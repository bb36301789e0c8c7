// SPDX-License-Identifier: Apache-2.0
// What went wrong, where, as data. Functions that can fail return bool or a pointer and take a
// `struct err *` last; it is written only on failure. NULL is allowed where the caller does not
// care.
#ifndef SLUICE_BASE_ERR_H
#define SLUICE_BASE_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#include "common/base/cdefs.h"

enum err_code {
    ERR_NONE = 0,
    ERR_INVALID,   // the input is wrong: message names the place
    ERR_TOO_LARGE, // a bound was exceeded
    ERR_NOT_FOUND,
    ERR_CONFLICT,    // version or ownership does not match
    ERR_DENIED,      // authentication or signature failed
    ERR_UNAVAILABLE, // a dependency did not answer; state unknown
    ERR_TIMEOUT,
    ERR_IO,
    ERR_INTERNAL,
};

struct err {
    enum err_code code;
    char message[400]; // one sentence, no newline, never a secret
};

// Fills *e (if not NULL) and returns false, so that `return err_set(e, ...)` reads well.
bool err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF_LIKE(3, 4);

// Puts "<prefix>: " in front of the message of *e (if not NULL) and returns false.
bool err_prefix(struct err *e, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
