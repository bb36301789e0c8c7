// SPDX-License-Identifier: Apache-2.0
// A shape: how one kind of provider is asked and how it answers. One file each (mock_openai.c,
// mock_anthropic.c, ...) fills this table; what they say is the turn (mock_turn.h).
#ifndef SLUICE_MOCK_SHAPE_H
#define SLUICE_MOCK_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/io/json.h"
#include "tests/mock/mock_answer.h"
#include "tests/mock/mock_head.h"
#include "tests/mock/mock_turn.h"

// A request under examination.
struct mock_request {
    enum mock_api api;
    const struct mock_head *head;
    const struct json_at *root; // of the body; NULL: the endpoint has none
    struct mock_ask *ask;       // max_tokens is taken over
    const struct mock_behave *behave;
    struct mock_wants wants;
    uint32_t status;   // of the refusal
    const char *kind;  // NULL: what the status says
    const char *code;  // may be NULL
    char message[400]; // of the refusal
};

struct mock_shape {
    const char *name;
    const char *stream_type; // content-type of a stream
    bool whole_calls;        // all calls in one event
    // Says what this provider would say: false with status and message on a refusal, else wants.
    bool (*check)(struct mock_request *q);
    // The body of an error; code and kind may be NULL.
    void (*error)(uint32_t status, const char *kind, const char *code, const char *message,
                  struct buf *out);
    // Whole answer around the filler; see mock_answer.h.
    uint64_t (*plain)(const struct mock_subject *s, struct buf *pre, struct buf *post);
    // What the events of a stream have in common (may be NULL).
    void (*prefix)(const struct mock_subject *s, struct buf *out);
    // An event with its framing, or nothing where the shape has no such event.
    void (*event)(const struct mock_subject *s, enum mock_event kind, uint64_t index,
                  struct slice prefix, struct buf *out);
    // Lists, counts, embeddings: the answer to everything that is no chat.
    void (*other)(const struct mock_subject *s, struct buf *out);
    // Headers besides those of every answer.
    void (*headers)(uint64_t id, const struct mock_behave *b, struct buf *out);
};

extern const struct mock_shape mock_openai, mock_anthropic, mock_gemini, mock_ollama;

// Sets the refusal; always false.
bool mock_shape_refuse(struct mock_request *q, uint32_t status, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
bool mock_shape_refuse_code(struct mock_request *q, uint32_t status, const char *code,
                            const char *fmt, ...) PRINTF_LIKE(4, 5);
// Adds a tool; false (with a refusal) when there are too many.
bool mock_shape_add_tool(struct mock_request *q, struct slice name, const struct json_at *schema);
void mock_shape_add_result(struct mock_request *q, struct slice result);
// A header of the request or SLICE_NULL.
struct slice mock_shape_header(const struct mock_head *h, const char *name);

#endif
