// SPDX-License-Identifier: Apache-2.0
// A stream put together: canonical events in, the whole answer out. For models that answer streams
// only, asked by a client that wants a plain answer.
#ifndef SLUICE_DATAPLANE_GATHER_H
#define SLUICE_DATAPLANE_GATHER_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"

// Embedded; gather_init before use. What it makes is in the arena.
struct gather {
    struct arena *arena;
    struct canon_answer answer;
    struct gather_choice *choices; // private
    bool ended, failed;            // END or ERROR was told
    unsigned error_status;         // when failed
};

void gather_init(struct gather *g, struct arena *arena);
void gather_done(struct gather *g);
// struct canon_sink.tell; ctx: a struct gather.
void gather_tell(void *ctx, const struct canon_event *ev);
// The answer, once the events are all told. False: the stream was cut, or failed.
MUST_CHECK bool gather_finish(struct gather *g, struct canon_answer *ret);

#endif
