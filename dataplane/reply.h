// SPDX-License-Identifier: Apache-2.0
// What goes to the client: headers of every answer, and errors in the client's dialect.
#ifndef SLUICE_DATAPLANE_REPLY_H
#define SLUICE_DATAPLANE_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/slice.h"
#include "common/io/httpd.h"
#include "dataplane/limit.h"

struct dialect;
struct req;

// Name, status, type in OpenAI's shape, code.
#define REPLY_CODES(X)                                                                             \
    X(INVALID_JSON, 400, "invalid_request_error", "invalid_json")                                  \
    X(MISSING_FIELD, 400, "invalid_request_error", "missing_field")                                \
    X(INVALID_VALUE, 400, "invalid_request_error", "invalid_value")                                \
    X(NO_THREADS, 400, "invalid_request_error", "thread_unsupported_request")                      \
    X(UNSUPPORTED_PARAMETER, 400, "invalid_request_error", "unsupported_parameter")                \
    X(BAD_FRAMING, 400, "invalid_request_error", "bad_framing")                                    \
    X(MODEL_NOT_FOUND, 404, "invalid_request_error", "model_not_found")                            \
    X(INVALID_API_KEY, 401, "invalid_request_error", "invalid_api_key")                            \
    X(KEY_DISABLED, 401, "invalid_request_error", "key_disabled")                                  \
    X(KEY_EXPIRED, 401, "invalid_request_error", "key_expired")                                    \
    X(NOT_ALLOWED, 403, "permission_error", "not_allowed")                                         \
    X(ROUTER_NOT_FOUND, 404, "invalid_request_error", "router_not_found")                          \
    X(UNKNOWN_ROUTE, 404, "invalid_request_error", "unknown_route")                                \
    X(WRONG_METHOD, 405, "invalid_request_error", "method_not_allowed")                            \
    X(TOO_LARGE, 413, "invalid_request_error", "request_too_large")                                \
    X(UNSUPPORTED_ENCODING, 415, "invalid_request_error", "unsupported_encoding")                  \
    X(HEAD_TOO_LARGE, 431, "invalid_request_error", "header_too_large")                            \
    X(RATE_LIMITED, 429, "rate_limit_error", "rate_limit_exceeded")                                \
    X(BUDGET_EXCEEDED, 429, "insufficient_quota", "budget_exceeded")                               \
    X(NOT_SERVED, 501, "server_error", "not_supported")                                            \
    X(UPSTREAM_FAILED, 502, "server_error", "upstream_failed")                                     \
    X(UPSTREAM_TRUNCATED, 502, "server_error", "upstream_truncated")                               \
    X(OVERLOADED, 503, "server_error", "overloaded")                                               \
    X(NO_TARGET, 503, "server_error", "no_target_available")                                       \
    X(ALL_COOLING, 429, "rate_limit_error", "rate_limit_exceeded")                                 \
    X(STARTING, 503, "server_error", "starting")                                                   \
    X(SHUTTING_DOWN, 503, "server_error", "shutting_down")                                         \
    X(ONLY_IF_CACHED, 504, "invalid_request_error", "not_cached")                                  \
    X(UPSTREAM_TIMEOUT, 504, "timeout_error", "upstream_timeout")

enum reply_code {
    REPLY_NONE,
#define X(name, status, type, code) REPLY_##name,
    REPLY_CODES(X)
#undef X
        REPLY_N_CODES
};

// HTTP status and code ("invalid_json") of the table above; static.
unsigned reply_status(enum reply_code c);
const char *reply_code_text(enum reply_code c);

#define REPLY_HEADERS_MAX 80u

// A response head being put together; on the stack. Values are borrowed or in the arena.
struct reply_head {
    struct arena *arena;
    size_t n;
    struct httpd_header h[REPLY_HEADERS_MAX];
};

// Adds a header; none for SLICE_NULL. Control bytes of the value are replaced (in the arena). What
// is beyond REPLY_HEADERS_MAX is left out. name is static.
void reply_head_add(struct reply_head *h, const char *name, struct slice value);
void reply_head_printf(struct reply_head *h, const char *name, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
// The x-ratelimit-*, RateLimit and (anthropic) anthropic-ratelimit-* headers of a view.
void reply_head_limits(struct reply_head *h, const struct limit_view *v, bool anthropic,
                       uint64_t wall_us);

// Whole answers. *body is taken.
void reply_plain(struct req *r, unsigned status, struct slice content_type, struct buf *body);
void reply_json(struct req *r, unsigned status, struct buf *body);
// Head of a stream of events.
void reply_stream_head(struct req *r);
// Head of the provider's answer as it is; its bytes follow.
void reply_relay_head(struct req *r);
// Writes r->fail or r->best as fits what the client has seen so far: a whole answer, an event in
// its stream, or the end of its connection.
void reply_failure(struct req *r);
// For a request that httpd refused: with or without a struct req.
void reply_refusal(struct httpd_req *q, bool anthropic, enum reply_code c, const char *message,
                   struct slice request_id);

// An error of ours in the words of a dialect that has a write_error; for tests.
void reply_write_error(const struct dialect *d, enum reply_code c, struct slice message,
                       const char *param, struct slice request_id, struct buf *out);

#endif
