// SPDX-License-Identifier: Apache-2.0
// The words of the mock: OpenAI-shaped bodies, stream events, error bodies and response heads.
// Everything is appended to a buffer; nothing is parsed or built as a tree.
#ifndef SLUICE_MOCK_ANSWER_H
#define SLUICE_MOCK_ANSWER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "tests/mock/mock_ask.h"
#include "tests/mock/mock_behave.h"

enum mock_api { MOCK_CHAT, MOCK_COMPLETIONS, MOCK_EMBEDDINGS, MOCK_MODELS, MOCK_MODEL, MOCK_ECHO };

#define MOCK_TOKENS_DEFAULT 40u

// What an answer is made from; all borrowed.
struct mock_subject {
    enum mock_api api;
    const struct mock_ask *ask;
    const struct mock_behave *behave;
    uint64_t id;        // makes the ids of this answer
    uint64_t created_s; // wall clock
    uint16_t port;
    uint64_t body_length; // of the request, for usage
};

// Size in bytes of the filler that belongs between *pre and *post so that the body has the size
// that the behaviour asks for; the filler is any part of mock_answer_filler repeated.
uint64_t mock_answer_plain(const struct mock_subject *s, struct buf *pre, struct buf *post);
// 16 KiB that may stand in a JSON string.
struct slice mock_answer_filler(void);

// Stream: everything of an event in front of its delta.
void mock_answer_event_prefix(const struct mock_subject *s, struct buf *out);
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
// One SSE event with its blank line. index: of the content event. prefix: from above.
void mock_answer_event(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                       struct slice prefix, struct buf *out);
// Number of content events of a stream.
uint64_t mock_answer_events(const struct mock_subject *s);

void mock_answer_models(uint64_t created_s, struct buf *out);
void mock_answer_model(struct slice id, uint64_t created_s, struct buf *out);
#endif
