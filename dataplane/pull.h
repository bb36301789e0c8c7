// SPDX-License-Identifier: Apache-2.0
// Asks a control plane for a whole snapshot when something is missing or differs: when, from whom,
// how soon again after a failure. Used by link*.c only; link thread.
#ifndef SLUICE_DATAPLANE_PULL_H
#define SLUICE_DATAPLANE_PULL_H

#include <stdint.h>

#include "common/io/loop.h"
#include "dataplane/roster.h"
#include "dataplane/sync.h"

struct pull;

// All borrowed for the life of pull.
struct pull_config {
    struct loop *loop;
    struct sync *sync;
    struct roster *roster;
    const char *proxy;
    void *arg;
    void (*on_done)(void *arg); // sync has a new current snapshot
};

// *c is copied. Link thread, like everything here.
struct pull *pull_new(const struct pull_config *c);
// Its call, if one is under way, must have ended or be ignored: pull_end first, then the roster
// goes, then this.
void pull_free(struct pull **p);
// Starts nothing more.
void pull_end(struct pull *p);

// A state of at least seq in this epoch exists.
void pull_gap(struct pull *p, const uint8_t epoch[16], uint64_t seq);
// Same sequence as a control plane, other content.
void pull_diverged(struct pull *p);
// Same sequence, same content.
void pull_agreed(struct pull *p);

struct pull_stats {
    uint64_t syncs, gaps, divergences;
};
// Counted since pull_new.
void pull_stats(const struct pull *p, struct pull_stats *ret);

#endif
