// SPDX-License-Identifier: Apache-2.0
// What happens to the events of a stream between provider and client: whole events are held until
// the first content, then relayed as they came; the usage event that we asked for is hidden; usage,
// finish reasons, errors and the terminator are noted; a copy goes to the cache's tee.
//
//          bytes            events                  emit
//   feed ---------> sse ------------> observe ---+---------> held (HOLDING) | client (RELAYING)
//                                                +---------> tee, while it fits
//
// Where the client speaks another dialect than the provider, `observe` is a translation (xlate.h)
// and what is held, relayed and copied are the client's events that it made.
//
// No I/O: the bytes leave by a callback.
#ifndef SLUICE_DATAPLANE_STREAM_H
#define SLUICE_DATAPLANE_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "dataplane/dialect.h"
#include "dataplane/ndjson.h"
#include "dataplane/sse.h"
#include "dataplane/xlate.h"

#define STREAM_HOLD_MAX  (64u * 1024)       // bytes held before the first content
#define STREAM_TEE_MAX   (4u * 1024 * 1024) // larger streams are not cached
#define STREAM_ERROR_MAX (64u * 1024)
#define STREAM_MADE_MAX  (8u * SSE_EVENT_MAX) // of one translated event; a larger one is malformed

// Embedded in the request; stream_begin before use, stream_close after (idempotent).
struct stream {
    bool live; // begun
    struct sse sse;
    struct ndjson lines;           // instead of sse, for dialects that stream lines
    const struct dialect *dialect; // of the provider
    struct xlate *xlate;           // NULL: equal dialects
    struct buf made;               // the client's events of the event under way
    struct dialect_stream seen;
    uint32_t choices; // that the client asked for
    bool hide_usage;  // the client did not ask for the usage event
    bool teeing;
    struct slice (*cost)(void *ctx, const struct dialect_usage *u, char out[40]);
    void *cost_ctx;
    struct buf held, tee, error;               // error: data of the error event
    void (*emit)(void *ctx, struct slice raw); // NULL: events go to held
    void *ctx;

    // What was seen.
    bool content;   // first content came: the head may go out
    bool overfull;  // held is at its bound without content
    bool failed;    // an error event came
    bool oversized; // one event over SSE_EVENT_MAX
    bool malformed; // the first event that should hold content is not JSON; translated: any event
    unsigned error_status; // of the error event
    bool progress;         // an event that counts against the idle deadline, since the last look
    uint64_t events, bytes;
};

// choices: finish reasons to expect, >= 1. xlate: NULL, or set up for this attempt; outlives the
// stream.
void stream_begin(struct stream *s, const struct dialect *provider, struct xlate *xlate,
                  uint32_t choices, bool hide_usage, bool tee);
// After stream_begin, equal dialects: what cost tells (SLICE_NULL: unpriced) is put into the usage
// of the events that the client sees, as usage.cost; the tee stays as it came.
void stream_show_cost(struct stream *s,
                      struct slice (*cost)(void *ctx, const struct dialect_usage *u, char out[40]),
                      void *ctx);
// Frees the buffers, forgets everything.
void stream_close(struct stream *s);
// Feeds bytes of the provider. Stops by itself at an error event: look at s->failed.
void stream_feed(struct stream *s, struct slice in);
// The transfer ended: an unterminated last event counts.
void stream_finish(struct stream *s);
// From now on (and what is held at once) everything goes to emit.
void stream_release(struct stream *s, void (*emit)(void *ctx, struct slice raw), void *ctx);
// The terminator came, or a finish reason for every choice. The caller adds "and the
// transfer ended cleanly".
bool stream_is_complete(const struct stream *s);

#endif
