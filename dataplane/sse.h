// SPDX-License-Identifier: Apache-2.0
// Server-sent events: incremental parser that finds event boundaries in a byte stream without
// copying more than the unfinished tail. As the HTML standard says: \n, \r\n, \r; BOM; comments;
// `data:` without space; several data lines; an unterminated last event counts at the
// end. Any split of the bytes gives the same events. Pure.
#ifndef SLUICE_DATAPLANE_SSE_H
#define SLUICE_DATAPLANE_SSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"

#define SSE_EVENT_MAX (8u * 1024 * 1024) // bytes of one event

struct sse_event {
    struct slice raw;   // all bytes of the event incl. its blank line, as received
    struct slice event; // "event:" value or SLICE_NULL
    struct slice data;  // joined data lines; SLICE_NULL: no data (comment or field-only event)
    bool comment;       // only comment lines
    bool bare;          // no SSE: JSON between events, its lines are the data (Google's errors)
};

// Embedded; sse_init before use.
struct sse {
    struct buf tail;   // bytes of the unfinished event
    struct buf joined; // data of an event with several data lines
    size_t line;       // private: start of the unfinished line in tail
    size_t scanned;    // private: bytes of tail already searched for a line end
    bool started;      // private: the first event was seen (a BOM may stand before it only)
};

// No memory before the first unfinished event.
void sse_init(struct sse *s);
void sse_done(struct sse *s);
// Feeds bytes; calls fn for every complete event, in order. Slices are valid during the call. fn
// returns false to stop: the rest of `in` is then dropped. False from sse_feed: an event is larger
// than SSE_EVENT_MAX.
MUST_CHECK bool sse_feed(struct sse *s, struct slice in,
                         bool (*fn)(void *ctx, const struct sse_event *e), void *ctx);
// End of stream: the unterminated last event, if it holds data.
void sse_end(struct sse *s, bool (*fn)(void *ctx, const struct sse_event *e), void *ctx);

#endif
