// SPDX-License-Identifier: Apache-2.0
// A secret value: locked in memory where the limit allows, wiped when freed, and opaque so that it
// cannot be handed to a format string or a log field by accident. Only secret_reveal gives the
// bytes out; grep for it.
#ifndef SLUICE_BASE_SECRET_H
#define SLUICE_BASE_SECRET_H

#include "common/base/slice.h"

struct secret; // immutable

// Copies the bytes; the caller wipes its own copy. NULL for an absent slice.
struct secret *secret_new(struct slice value);
// Wipes and frees; *s becomes NULL; NULL allowed.
void secret_free(struct secret **s);
// Borrowed while s lives; NUL behind it. SLICE_NULL for NULL.
struct slice secret_reveal(const struct secret *s);
// "...abcd" (last 4 of a value of at least 12 bytes, else "..."): what may be shown. Writes at most
// 8 bytes with NUL.
void secret_hint(const struct secret *s, char out[8]);

#endif
