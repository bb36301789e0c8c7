// SPDX-License-Identifier: Apache-2.0
// Wire formats. A dialect is one vtable of pure functions over slices; client side and provider
// side each have one. Equal dialects pass bytes through: then only edit_request (splices), the
// stream and answer observers and the error writer are used. Different dialects will meet in a
// canonical model (issue 4) behind the same vtable.
#ifndef SLUICE_DATAPLANE_DIALECT_H
#define SLUICE_DATAPLANE_DIALECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "dataplane/scan.h"

enum dialect_endpoint {
    DIALECT_CHAT,
    DIALECT_COMPLETIONS,
    DIALECT_EMBEDDINGS,
    DIALECT_RESPONSES,
    DIALECT_MESSAGES, // Anthropic
    DIALECT_OTHER,    // moderations, rerank, images, audio: JSON, passed through
};

// What routing, limits and metering need of a request. Slices borrow the body or the arena.
struct dialect_request {
    enum dialect_endpoint endpoint;
    struct scan_object top;
    struct slice model;                     // decoded
    const struct scan_member *model_member; // NULL: not given, model is the first of models
    bool stream;
    bool include_usage; // the client itself asked for stream usage
    const struct scan_member *stream_options;
    uint64_t max_tokens;   // 0 = not given
    uint64_t prompt_bytes; // length of messages/input/prompt values, for estimates
    uint32_t n;            // choices asked for, >= 1
    // extensions (interfaces.md section 3), all removed before a provider sees the request
    const struct slice *models;
    size_t n_models; // body models[]
    const struct slice *order;
    size_t n_order; // provider.order
    const struct slice *only;
    size_t n_only; // provider.only
    const struct slice *ignore;
    size_t n_ignore;    // provider.ignore
    bool no_fallbacks;  // provider.allow_fallbacks: false
    bool usage_in_body; // usage: {include: true}
};

// Whether the client expects the usage event at the end of a stream, in OpenAI's words or in
// OpenRouter's.
static inline bool dialect_shows_usage(const struct dialect_request *r)
{
    return r->include_usage || r->usage_in_body;
}

// One edit of the source: bytes [begin, end) are replaced by text. Sorted, not overlapping.
struct dialect_splice {
    size_t begin, end;
    struct slice text; // arena
};

#define DIALECT_SPLICES_MAX 8u // most that edit_request makes

// Counters of providers/README.md section 5. known = the provider said so.
struct dialect_usage {
    bool known;
    uint64_t input, cached, cache_write, output, reasoning;
};

// What one SSE event means.
struct dialect_event {
    bool content;          // "first content" of architecture.md rule 4
    bool finish;           // some choice has a finish reason
    bool terminator;       // [DONE], message_stop
    bool malformed;        // the data is not JSON this dialect can read
    bool error;            // an error object inside the stream
    bool usage_only;       // choices: [] with a usage object: dropped when the gateway asked for it
    unsigned error_status; // HTTP status the error stands for (429, 503, 500...), when error
};

// What a whole answer means.
struct dialect_answer {
    bool malformed; // not JSON; then nothing else is said
    struct dialect_usage usage;
    unsigned error_status; // HTTP status of an error object where an answer was due; 0: it is none
};

// Carried over the events of one stream; zero-initialise.
struct dialect_stream {
    bool content_seen; // from then on only cheap looks at each event
    struct dialect_usage usage;
    uint32_t choices_finished, choices_seen;
    bool terminated;
};

// Provider's limit headers, as far as it sent them.
struct dialect_limits {
    bool has_requests, has_tokens;
    uint64_t remaining_requests, limit_requests, remaining_tokens, limit_tokens;
    uint64_t reset_us;       // until the nearer one is whole again; 0 unknown
    uint64_t retry_after_us; // retry-after(-ms), else the reset of a counter that is at 0; 0 = not
                             // timed
};

struct dialect_error {
    unsigned status;
    const char *type; // NULL: by status
    const char *code;
    const char *param; // may be NULL
    struct slice message;
    struct slice request_id;
    unsigned attempts; // > 1: added inside `error`
};

struct dialect {
    const char *name; // "openai"
    // Body -> what routing needs. Errors: ERR_INVALID; *ret_code is the error code of interfaces.md
    // section 4
    // ("invalid_json", "missing_field"), *ret_param the field.
    bool (*parse_request)(struct slice body, enum dialect_endpoint ep, struct arena *a,
                          struct dialect_request *ret, const char **ret_code,
                          const char **ret_param, struct err *e);
    // Splices for an equal-dialect upstream: model name, extensions removed, include_usage injected
    // when asked (want_usage) and not there. Returns their number, sorted. max >=
    // DIALECT_SPLICES_MAX.
    size_t (*edit_request)(const struct dialect_request *r, struct slice body,
                           struct slice upstream_model, bool want_usage, struct arena *a,
                           struct dialect_splice *out, size_t max);
    // Path below base_url for the endpoint ("chat/completions").
    const char *(*path)(enum dialect_endpoint ep);
    // Looks at one event of a stream; updates *s.
    struct dialect_event (*observe_event)(struct dialect_stream *s, struct slice event,
                                          struct slice data);
    // Looks at a whole answer, in one pass.
    struct dialect_answer (*observe_answer)(struct slice body);
    // Limit headers by getter.
    struct dialect_limits (*observe_limits)(struct slice (*get)(void *ctx, const char *name),
                                            void *ctx, uint64_t wall_us);
    // Writes a complete error body / an in-stream error event (with framing).
    void (*write_error)(const struct dialect_error *er, struct buf *out);
    void (*write_error_event)(const struct dialect_error *er, struct buf *out);
};

// By name; NULL if unknown.
const struct dialect *dialect_find(struct slice name);
extern const struct dialect dialect_openai;
extern const struct dialect dialect_anthropic; // issue 2: write_error only for /v1/messages
                                               // clients; the rest comes with the native dialect

// Prompt estimate in tokens from bytes (4 bytes a token, rounded up): used for reservations and
// interrupted attempts.
uint64_t dialect_estimate_tokens(uint64_t bytes);
// Request body: number of bytes after the splices; and the pieces (<= 2n+1, max at least that) to
// send, borrowed from body and splices.
size_t dialect_spliced(struct slice body, const struct dialect_splice *sp, size_t n,
                       struct slice *pieces, size_t max, size_t *ret_bytes);

#endif
