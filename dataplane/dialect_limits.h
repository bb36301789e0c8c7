// SPDX-License-Identifier: Apache-2.0
// Limit headers of providers, in every form that is documented. Shared by the dialects.
#ifndef SLUICE_DATAPLANE_DIALECT_LIMITS_H
#define SLUICE_DATAPLANE_DIALECT_LIMITS_H

#include "common/base/slice.h"
#include "dataplane/dialect.h"

// get: value of a header by lower-case name, SLICE_NULL when absent. wall_us: now.
struct dialect_limits dialect_limits_read(struct slice (*get)(void *ctx, const char *name),
                                          void *ctx, uint64_t wall_us);
// A time from now in any of the forms that occur: "1m30.5s", "17ms", seconds ("90", "0.5"), Unix
// seconds or milliseconds, RFC 3339, HTTP date. Cut at one day; 1 where it is now or past. Seen by
// tests.
MUST_CHECK bool dialect_limits_time(struct slice text, uint64_t wall_us, uint64_t *ret_us);

#endif
