// SPDX-License-Identifier: Apache-2.0
// What every shape says: the text of an answer in tokens, the events of a stream, counts.
// Everything is appended to a buffer; nothing is built as a tree.
#ifndef SLUICE_MOCK_ANSWER_H
#define SLUICE_MOCK_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/mock/mock_ask.h"
#include "tests/mock/mock_behave.h"
#include "tests/mock/mock_turn.h"

struct mock_shape;

enum mock_api {
    MOCK_CHAT,
    MOCK_COMPLETIONS,
    MOCK_EMBEDDINGS,
    MOCK_EMBED_ONE, // Gemini's embedContent
    MOCK_COUNT,     // of tokens
    MOCK_MODELS,
    MOCK_MODEL,
    MOCK_ECHO
};

#define MOCK_TOKENS_DEFAULT 40u

// What an answer is made from; all borrowed.
struct mock_subject {
    enum mock_api api;
    const struct mock_shape *shape;
    const struct mock_ask *ask;
    const struct mock_turn *turn;
    const struct mock_behave *behave;
    uint64_t id;        // makes the ids of this answer
    uint64_t created_s; // wall clock
    uint16_t port;
    uint64_t body_length; // of the request, for usage
    struct slice date;    // RFC 3339, for shapes that say the time
};

// Size in bytes of the filler that belongs between *pre and *post so that the body has the size
// that the behaviour asks for; the filler is any part of mock_answer_filler repeated.
uint64_t mock_answer_filler_size(const struct mock_subject *s, const struct buf *pre,
                                 const struct buf *post);
// 16 KiB that may stand in a JSON string.
struct slice mock_answer_filler(void);

enum mock_event {
    MOCK_EVENT_ROLE,
    MOCK_EVENT_EMPTY,
    MOCK_EVENT_THINK,
    MOCK_EVENT_CONTENT,
    MOCK_EVENT_FINISH,
    MOCK_EVENT_USAGE,
    MOCK_EVENT_DONE,
    MOCK_EVENT_ERROR,
    MOCK_EVENT_BROKEN, // not JSON
};

// Number of content events of a stream: the tokens of the text, then of each call its beginning and
// its arguments in pieces (or all calls at once, shape.whole_calls).
uint64_t mock_answer_events(const struct mock_subject *s);
uint64_t mock_answer_tokens(const struct mock_subject *s);
bool mock_answer_whole_calls(const struct mock_subject *s);
uint64_t mock_answer_call_events(const struct mock_subject *s, size_t call);

// What a content event is.
struct mock_piece {
    int call;      // -1: text
    uint64_t part; // the token; of a call 0 = its beginning, then pieces of its arguments
    bool last;     // of the text or of the call
};
struct mock_piece mock_answer_piece(const struct mock_subject *s, uint64_t index);

// Inside of a JSON string: a token, the whole text (without the filler), a piece of arguments.
void mock_answer_put_token(const struct mock_subject *s, uint64_t index, struct buf *out);
void mock_answer_put_text(const struct mock_subject *s, struct buf *out);
void mock_answer_put_args(const struct mock_subject *s, const struct mock_piece *p,
                          struct buf *out);

enum mock_finish { MOCK_FINISH_STOP, MOCK_FINISH_LENGTH, MOCK_FINISH_CALLS, MOCK_FINISH_REFUSAL };
enum mock_finish mock_answer_finish(const struct mock_subject *s);

// prompt holds the cached ones, completion the thinking.
struct mock_usage {
    uint64_t prompt, completion, think, cache_read, cache_write;
};
struct mock_usage mock_answer_usage(const struct mock_subject *s);

#endif
