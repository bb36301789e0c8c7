// SPDX-License-Identifier: Apache-2.0
// After Redis went back in time (or was emptied) a person may decide to go on with what it holds:
// a new epoch begins, naming those it supersedes, and proxies follow. docs/internals/
// control-plane.md. Loop thread only.
#ifndef SLUICE_CONTROLPLANE_RECOVERY_H
#define SLUICE_CONTROLPLANE_RECOVERY_H

#include <stdint.h>

#include "common/base/slice.h"
#include "controlplane/store.h"

enum recovery_outcome {
    RECOVERY_DONE,
    RECOVERY_NOT_NEEDED,  // nothing has regressed
    RECOVERY_CHANGED,     // Redis has another epoch than at our last look: look again, then decide
    RECOVERY_UNAVAILABLE, // nothing was done
    RECOVERY_UNKNOWN,     // no answer: it may have happened; the status shows it
};

struct recovery_result {
    enum recovery_outcome outcome;
    uint8_t epoch[STATE_EPOCH_BYTES]; // DONE: the new one
    struct slice superseded;          // DONE: 16 bytes each; borrowed
    uint64_t seq;                     // DONE: of what was adopted
    const char *message;              // a sentence, or ""
};

typedef void (*recovery_fn)(void *arg, const struct recovery_result *r);

// named: an epoch that proxies are known to be in, besides those known here; NULL: none. audit:
// JSON, copied. fn comes exactly once, within a second, never from inside the call.
void recovery_adopt(struct store *s, const uint8_t *named, struct slice audit, recovery_fn fn,
                    void *arg);

#endif
