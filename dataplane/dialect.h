// SPDX-License-Identifier: Apache-2.0
// Wire formats. A dialect is one vtable of pure functions over slices; client side and provider
// side each have one. Equal dialects pass bytes through: then only edit_request (splices), the
// stream and answer observers and the error writer are used. Different dialects meet in a canonical
// model (canon.h) behind the same vtable.
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

struct canon_answer;
struct canon_context;
struct canon_event;
struct canon_outcome;
struct canon_request;
struct canon_sink;
struct canon_target;
struct tape;

enum dialect_endpoint {
    DIALECT_CHAT,
    DIALECT_COMPLETIONS,
    DIALECT_EMBEDDINGS,
    DIALECT_RESPONSES,
    DIALECT_MESSAGES,     // Anthropic
    DIALECT_COUNT_TOKENS, // Anthropic
    DIALECT_OTHER,        // moderations, rerank, images, audio: JSON, passed through
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
    // extensions, all removed before a provider sees the request
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
    // of the provider being asked: extensions that it defined itself, and gets
    const char *const *keep;
    size_t n_keep;
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

// How the provider says it served a request, where that has a price of its own.
enum dialect_tier {
    DIALECT_TIER_STANDARD, // or it said nothing
    DIALECT_TIER_FLEX,
    DIALECT_TIER_PRIORITY,
    DIALECT_TIER_BATCH,
    DIALECT_TIER_FAST, // Anthropic's speed: fast
};

// "flex", "priority", "batch", "fast", in either case, also behind another word ("ON_DEMAND_FLEX");
// STANDARD for all others.
enum dialect_tier dialect_tier_of(struct slice word);

// What an answer used. known = the provider said so.
struct dialect_usage {
    bool known;
    bool has_cached, has_cache_write, has_reasoning; // the provider's member was there, be it 0
    uint64_t input, cached, cache_write, output, reasoning;
    uint64_t cache_write_1h; // part of cache_write that lives for an hour (Anthropic)
    uint64_t audio_input, audio_output, image_output; // parts of input and output
    uint64_t searches;                                // of the web, that are paid for each
    enum dialect_tier tier;
    bool us_only;       // Anthropic's inference_geo: us
    bool has_cost;      // the provider said what the request cost
    uint64_t cost_pico; // 1e-12 USD
};

// What one SSE event means.
struct dialect_event {
    bool content;          // carries what must not be told twice: nothing is retried after it
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
    unsigned status;   // HTTP status toward the client
    const char *type;  // OpenAI's; NULL: by status. Other dialects go by the status alone
    const char *code;  // may be NULL
    const char *param; // may be NULL
    struct slice message;
    struct slice request_id;
    unsigned attempts;       // > 1: added inside `error`
    uint64_t retry_after_us; // that the body names (Gemini's RetryInfo); 0: none
    bool no_retry;           // it will be the same for hours (a quota of a day): no repeat helps
    bool elsewhere;          // another target may serve it, though the status does not say so
};

// Where a request goes.
struct dialect_call {
    enum dialect_endpoint endpoint;
    bool stream;
    struct slice model;       // provider's model id, characters
    struct slice client_path; // as the client sent it, for endpoints that are passed through
};

struct dialect {
    const char *name; // "openai"
    // Provider side: names of tools are letters, digits and name_extra, at most name_max (0: any
    // name); with name_letter they begin with a letter or '_'. Others go under made names
    // (canon_names.h).
    const char *name_extra;
    size_t name_max;
    bool name_letter;
    // Body -> what routing needs. Errors: ERR_INVALID; *ret_code is the error's code
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
    // What a fallback to another model leaves out beside: signed reasoning. `edits` are those of
    // edit_request; returns the number of all splices, merged and sorted, in the arena at *ret; n:
    // there is nothing to leave out. NULL: this dialect's requests hold none.
    size_t (*strip_request)(struct slice body, const struct dialect_splice *edits, size_t n,
                            struct arena *a, struct dialect_splice **ret);
    // Provider side: is there a request of this dialect for the endpoint? MESSAGES and CHAT are one
    // canonical request, so a provider of either kind serves both.
    bool (*serves)(enum dialect_endpoint ep);
    // Path (and query, when it needs one) below base_url: "chat/completions",
    // "models/x:streamGenerateContent?alt=sse". Only for endpoints it serves.
    void (*write_path)(const struct dialect_call *c, struct buf *out);
    // Looks at one event of a stream; updates *s.
    struct dialect_event (*observe_event)(struct dialect_stream *s, struct slice event,
                                          struct slice data);
    // Looks at a whole answer, in one pass.
    struct dialect_answer (*observe_answer)(struct slice body);
    // Limit headers by getter.
    struct dialect_limits (*observe_limits)(struct slice (*get)(void *ctx, const char *name),
                                            void *ctx, uint64_t wall_us);
    // HTTP status with which this dialect's clients get a provider's error. NULL: er->status.
    unsigned (*error_status)(const struct dialect_error *er);
    // Writes a complete error body / an in-stream error event (with framing).
    void (*write_error)(const struct dialect_error *er, struct buf *out);
    void (*write_error_event)(const struct dialect_error *er, struct buf *out);
    // What this dialect's clients get in a stream that is silent for long.
    struct slice keep_alive;

    // --- translation, client side ---
    // Body -> canonical request; the body is on the tape already, rq is what parse_request found.
    // ERR_INVALID: *ret_param names the member ("messages[2].content[0].type"; arena or static).
    bool (*read_request)(const struct dialect_request *rq, const struct tape *t, struct arena *a,
                         struct canon_request *ret, const char **ret_param, struct err *e);
    void (*write_answer)(const struct canon_answer *answer, const struct canon_context *c,
                         struct buf *out);
    // Appends the client's events for one canonical event, framing included (maybe none).
    // `writer`: writer_size zeroed bytes at the stream's begin, its own memory from then on.
    size_t writer_size;
    void (*write_event)(void *writer, const struct canon_event *ev, const struct canon_context *c,
                        struct buf *out);

    // --- translation, provider side ---
    // Canonical request -> complete body. False: the outcome says why (a 400 to the client).
    bool (*write_request)(const struct canon_request *r, const struct canon_target *t,
                          struct canon_outcome *o, struct buf *out);
    // A complete 2xx body, on the tape. False: it is no answer of this dialect.
    bool (*read_answer)(const struct tape *t, const struct canon_context *c,
                        struct canon_answer *ret);
    // One event of a stream; `data` is JSON (or a terminator such as [DONE]); `t` is a tape to
    // parse it with. False: malformed. `reader`: reader_size zeroed bytes at the begin.
    size_t reader_size;
    bool (*read_event)(void *reader, struct tape *t, struct slice event, struct slice data,
                       const struct canon_context *c, struct canon_sink to);
    // The transfer ended well, without END so far: tells END where that is this dialect's way to
    // end (Gemini), or where every choice has finished; nothing else.
    void (*read_end)(void *reader, const struct canon_context *c, struct canon_sink to);
    bool ndjson; // streams are lines of JSON, not SSE
    // An error body of whatever shape, with the provider's status -> status, type, code and message
    // for the client. Strings in the arena.
    void (*read_error)(unsigned status, struct slice body, struct arena *a,
                       struct dialect_error *ret);
    // Is the error body what this dialect itself would have said, so that between equal dialects it
    // goes to the client byte for byte? NULL: never.
    bool (*is_own_error)(unsigned status, struct slice body);
};

// By name; NULL if unknown.
const struct dialect *dialect_find(struct slice name);
extern const struct dialect dialect_openai;
extern const struct dialect dialect_anthropic;
extern const struct dialect dialect_gemini; // as a provider only
extern const struct dialect dialect_ollama; // as a provider only

// Prompt estimate in tokens from bytes (4 bytes a token, rounded up): used for reservations and
// interrupted attempts.
uint64_t dialect_estimate_tokens(uint64_t bytes);
// Request body: number of bytes after the splices; and the pieces (<= 2n+1, max at least that) to
// send, borrowed from body and splices.
size_t dialect_spliced(struct slice body, const struct dialect_splice *sp, size_t n,
                       struct slice *pieces, size_t max, size_t *ret_bytes);

#endif
