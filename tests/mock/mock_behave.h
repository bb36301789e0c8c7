// SPDX-License-Identifier: Apache-2.0
// How one attempt behaves, read from words joined by '+' ("delay-200ms+status-429-retry-after-2").
// The words and what they mean are in docs/mock.md; the table in mock_behave.c is the truth.
#ifndef SLUICE_MOCK_BEHAVE_H
#define SLUICE_MOCK_BEHAVE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

enum mock_flag {
    MOCK_RESET = 1u << 0,           // RST once the request has been read
    MOCK_RESET_MID = 1u << 1,       // RST after half of the answer
    MOCK_SILENCE = 1u << 2,         // never answers
    MOCK_STALL_FIRST = 1u << 3,     // 200 head, then nothing
    MOCK_ROLE_THEN_STALL = 1u << 4, // head, role-only event, then nothing
    MOCK_MALFORMED_CHUNK = 1u << 5, // a chunk-size line that is not hexadecimal
    MOCK_BAD_JSON = 1u << 6,        // a body or event that is not JSON
    MOCK_NO_DONE = 1u << 7,         // everything but [DONE]
    MOCK_NO_FINISH = 1u << 8,       // no event with a finish reason
    MOCK_TYPE_JSON = 1u << 9,       // a stream that calls itself application/json
    MOCK_HTML = 1u << 10,           // a page where JSON was expected
    MOCK_GZIP = 1u << 11,           // content-encoding: gzip, asked for or not
    MOCK_HALF_HEAD = 1u << 12,      // half of the response head, then nothing
    MOCK_BAD_STATUS_LINE = 1u << 13,
    MOCK_TOOL_CALL = 1u << 14,
    MOCK_NO_USAGE = 1u << 15,
    MOCK_UNKNOWN_MODEL = 1u << 16, // 404 in OpenAI's words
    MOCK_STAMP = 1u << 17,         // each event carries x_mock_sent_us (CLOCK_MONOTONIC)
    MOCK_CHUNKED = 1u << 18,       // plain answers chunked
    MOCK_UNTIL_CLOSE = 1u << 19,   // plain answers end with the connection
    MOCK_CLOSE = 1u << 20,         // "connection: close" and close
    MOCK_CLOSE_QUIETLY = 1u << 21, // closes after the answer without having said so
    MOCK_RESET_REUSED = 1u << 22,  // RST if the connection has served a request before
    MOCK_NO_STREAM = 1u << 23,     // a plain answer where a stream was asked for
    MOCK_EARLY = 1u << 24,         // answers before the request body has been read
    MOCK_SPLIT = 1u << 25,         // one byte a write for the first 512 bytes
    MOCK_INTERIM = 1u << 26,       // 103 before the answer
    MOCK_TWO_LENGTHS = 1u << 27,   // two different content-lengths
    MOCK_SHORT_BODY = 1u << 28,    // promises 100 bytes more than it sends, then closes
    MOCK_LIMIT_HEADERS = 1u << 29, // limit_remaining and limit_reset_us are set
    MOCK_USAGE = 1u << 30,         // usage_prompt and usage_completion are set
};

// What the answer holds. No faults.
enum mock_wish {
    MOCK_WISH_PARALLEL = 1u << 0, // calls two tools (the only one twice)
    MOCK_WISH_NO_TOOLS = 1u << 1, // answers with text although there are tools
    MOCK_WISH_PREFACE = 1u << 2,  // text before the calls
    MOCK_WISH_REDACTED = 1u << 3, // an encrypted thinking block behind the readable one
    MOCK_WISH_REFUSAL = 1u << 4,  // refuses to answer, in the words of the shape
    MOCK_WISH_STRICT = 1u << 5,   // refuses what OpenAI itself refuses: unknown members, ...
    MOCK_WISH_CACHED = 1u << 6,   // cache_read and cache_write are set
    MOCK_WISH_UNSIGNED = 1u << 7, // does not sign thinking
    MOCK_WISH_VENDOR = 1u << 8,   // OpenAI's shape with the deviations of its imitators
};

struct mock_behave {
    uint32_t flags;        // enum mock_flag
    uint32_t wishes;       // enum mock_wish
    uint32_t status;       // 0 = 200
    int32_t retry_after_s; // -1 = no header
    uint64_t delay_us;     // before the head
    uint64_t lognormal_us; // median of a log-normal delay (sigma 0.5) before the head
    uint64_t ttft_us;      // stream: between the head and the first content
    uint64_t pace_us;      // between content events
    uint64_t comments_us;  // ": keep-alive" every so often while waiting; 0 = none
    uint64_t size;         // bytes of a plain body; of all content of a stream; 0 = by tokens
    uint64_t event_size;   // bytes of content in each event; 0 = a word
    uint64_t slow_read;    // bytes per second of the request that are read; 0 = all
    uint64_t slow_write;   // bytes per second of the answer that are sent; 0 = all
    uint64_t head_size;    // bytes of extra response headers
    uint32_t tokens;       // 0 = default
    uint32_t think;        // reasoning events before the content
    uint32_t empty_deltas; // empty events before the content
    // After so many content events (plain answer: bytes of body); -1 = never.
    int64_t stall_after, cut_after, reset_after, end_after, error_after;
    uint32_t fail_first; // faults apply to the first N attempts of this model name only
    uint32_t flaky;      // faults apply to so many per cent of the attempts; 0 = all
    uint64_t limit_remaining, limit_reset_us;
    uint64_t usage_prompt, usage_completion;
    uint64_t cache_read, cache_write; // tokens of the prompt
    uint64_t args_size;               // at least so many bytes of arguments in each call
    uint32_t piece;                   // bytes of each streamed piece of arguments or JSON; 0 = 8
};

// The plain behaviour.
void mock_behave_init(struct mock_behave *b);
// Adds the words of `text` to *b. A part that is no word at all is ignored (a model's own name),
// one that starts like a word but does not parse is an error. *ret_words = number of words found
// (may be NULL).
MUST_CHECK bool mock_behave_parse(struct slice text, struct mock_behave *b, unsigned *ret_words,
                                  struct err *e);
// The part of a model name that is looked at: behind the last '/', before a ':'.
struct slice mock_behave_of_model(struct slice model);
bool mock_behave_has_fault(const struct mock_behave *b);
// Leaves delays, sizes and contents.
void mock_behave_drop_faults(struct mock_behave *b);

#endif
