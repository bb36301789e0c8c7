// SPDX-License-Identifier: Apache-2.0
// What a proxy says of itself in its health reports: replaced by any thread, read by the link, and
// the reports built from it. Used by link*.c only.
#ifndef SLUICE_DATAPLANE_VITALS_H
#define SLUICE_DATAPLANE_VITALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "proto/message.h"

struct vitals;

// Nothing is known yet. Free it when no thread is left that calls.
struct vitals *vitals_new(void);
void vitals_free(struct vitals **v);
// Any thread. Copied.
void vitals_set(struct vitals *v, uint64_t in_flight, const struct message_target_health *targets,
                size_t n);
// Fills in_flight, and with_targets also targets (in *arena).
void vitals_fill(struct vitals *v, bool with_targets, struct arena *arena,
                 struct message_report *ret);

// The name of this proxy: `given` if not NULL, else the one kept in dir (made when there is none),
// else (dir NULL) a random one. Owned by the caller (mem_free). NULL with *e: unfit, or dir cannot
// be written.
MUST_CHECK char *vitals_proxy_id(const char *given, const char *dir, struct err *e);

#endif
