// SPDX-License-Identifier: Apache-2.0
// One request's translation between the client's dialect and that of the provider being tried.
// Joins the two vtables (dialect.h) through the canonical model (canon.h) and holds what lives
// across calls: the canonical request (read once, written for each attempt), the reader and writer
// of a stream, the tape.
//
// `out` is a soft buf (buf_init_soft) everywhere: a name that is repeated, or many small parts,
// grow without any bound that the size of the source gives. What is `over` counts as malformed.
//
//   xlate_request ---> upstream body          once an attempt
//   xlate_answer  ---> client body            a plain answer
//   xlate_gather  ---> client body            a stream that the client did not ask for
//   xlate_event*  ---> client events          a stream, event by event as they arrive
//   xlate_end     ---> client events          its transfer ended well
//
// Used where the dialects differ (and see xlate_equal). Pure; belongs to the request's thread.
#ifndef SLUICE_DATAPLANE_XLATE_H
#define SLUICE_DATAPLANE_XLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/rng.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/canon_names.h"
#include "dataplane/dialect.h"
#include "dataplane/tape.h"

#define XLATE_BODY_MAX   ((size_t)256 * 1024 * 1024) // ceiling of a translated request's body
#define XLATE_ANSWER_MAX ((size_t)32 * 1024 * 1024)  // a larger plain answer is not translated

// Why a request cannot be put into a provider's words.
struct xlate_refusal {
    const char *code;  // static
    const char *param; // static or in the arena; may be NULL
};

// Embedded; zero-initialised is idle, xlate_done frees.
struct xlate {
    const struct dialect *client, *provider; // provider NULL: no translation under way
    struct arena *arena;                     // of the request
    struct rng *rng;

    bool has_request; // `request` was read from the client's body
    struct canon_request request;
    struct tape request_tape; // behind `request`

    // of the attempt
    struct canon_outcome outcome;
    struct canon_context context;
    struct canon_names names; // of tools, where the provider wants others
    struct tape tape;         // of its answer or current event
    void *reader, *writer;
    bool ended, failed;            // END or ERROR was told
    struct buf *out;               // of the call under way
    struct dialect_event *seen;    // of the call under way
    struct dialect_stream *stream; // of the call under way
};

// client, arena and rng outlive it.
void xlate_init(struct xlate *x, const struct dialect *client, struct arena *arena,
                struct rng *rng);
void xlate_done(struct xlate *x);
// Forgets the attempt, keeps the request.
void xlate_reset(struct xlate *x);

// Writes the upstream body for a provider. `body` and rq: the client's, alive as long as the
// request. wall_s: Unix seconds, for ids and `created` (corrected by xlate_answered). False:
// *ret_why and *e say why it is a 400; its code is "unsupported_parameter", "invalid_value" or
// the reader's own.
MUST_CHECK bool xlate_request(struct xlate *x, const struct dialect *provider,
                              const struct canon_target *target, const struct dialect_request *rq,
                              struct slice body, struct buf *out, struct xlate_refusal *ret_why,
                              struct err *e);
// The dialects are equal, and the answer is written anew all the same: a document where a stream
// was asked for, a stream that is put together, or what a quirk of the provider's wants
// (split-think, normalize).
void xlate_equal(struct xlate *x, const struct dialect_request *rq, struct slice model);
// The head came: `created` of what follows.
void xlate_answered(struct xlate *x, uint64_t wall_s);
// A plain 2xx body -> the client's. as_stream: the client asked for a stream: out gets events. What
// the answer means goes to *ret. False: it is no answer of the provider's dialect.
MUST_CHECK bool xlate_answer(struct xlate *x, struct slice body, bool as_stream, struct buf *out,
                             struct dialect_answer *ret);
// A whole stream of the provider's (canon_outcome.streams) -> the client's plain answer. False: it
// was cut or malformed, or failed; then ret->error_status says as what, and *ret_error is the data
// of the error event, in the request's arena.
MUST_CHECK bool xlate_gather(struct xlate *x, struct slice stream, struct buf *out,
                             struct dialect_answer *ret, struct slice *ret_error);
// One event of the provider's stream. *s is kept as dialect->observe_event keeps it. An error event
// is noted in the result and written to `out` for a client that has content already.
struct dialect_event xlate_event(struct xlate *x, struct dialect_stream *s, struct slice event,
                                 struct slice data, struct buf *out);
// The transfer ended cleanly: what the client's dialect still has to say. Sets s->terminated when
// the stream is complete by the provider's rules.
void xlate_end(struct xlate *x, struct dialect_stream *s, struct buf *out);
// A translated stream was cut: the error that its client is told
// (upstream_disconnect).
struct dialect_error xlate_cut_error(struct slice request_id);

// Answer to count_tokens where no provider of the route has one: ceil(bytes / 4) over all text and
// 1,600 an image. False: as xlate_request.
MUST_CHECK bool xlate_count_tokens(struct xlate *x, const struct dialect_request *rq,
                                   struct slice body, struct buf *out, const char **ret_param,
                                   struct err *e);

#endif
