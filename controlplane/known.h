// SPDX-License-Identifier: Apache-2.0
// Where this installation has been: an epoch, and the highest sequence that anybody has seen in it.
// A Redis that has less went back in time. Pure; the caller's thread.
#ifndef SLUICE_CONTROLPLANE_KNOWN_H
#define SLUICE_CONTROLPLANE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "controlplane/state.h"

#define KNOWN_SUPERSEDED_MAX (8u * STATE_EPOCH_BYTES)
#define KNOWN_REASON_CHARS   160u

// Embedded; zero-initialise: nowhere yet. To be read, but only changed by what follows.
struct known {
    bool somewhere; // epoch is one
    uint8_t epoch[STATE_EPOCH_BYTES];
    uint64_t seq; // the highest seen in it
    // The epochs that Redis's epoch replaces by a person's decision, oldest first.
    char superseded[KNOWN_SUPERSEDED_MAX];
    size_t n_superseded; // bytes, whole epochs
};

// We have been there ourselves. Another epoch than before takes its place, with its sequence.
void known_reach(struct known *k, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq);
// Somebody else (a proxy) has been there: counts if it is of our epoch.
void known_hear(struct known *k, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq);
// What Redis says that its epoch replaces, 16 bytes each; copied, the newest if there are too many.
void known_supersede(struct known *k, struct slice list);
// Is a Redis with this epoch and sequence not where we have been? Not if its epoch replaces ours,
// nor if we have been nowhere. True: message says why, for a person.
MUST_CHECK bool known_has_regressed(const struct known *k, const uint8_t epoch[STATE_EPOCH_BYTES],
                                    uint64_t seq, char message[KNOWN_REASON_CHARS]);

#endif
