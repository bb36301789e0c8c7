// SPDX-License-Identifier: Apache-2.0
// The answer to one request before it is put into the words of a shape: thinking, text, calls.
//
//   check of the shape --> struct mock_wants --> mock_turn_build --> struct mock_turn --> the shape
//
// Rule: tools, and the last turn of the conversation brings no tool results: call the first tool
// (or the one that was named; two for `parallel`), with arguments made from its schema. Else text:
// after tool results "Tool results: ..." with all of them, for structured output a value made from
// the schema, otherwise the words every answer has.
#ifndef SLUICE_MOCK_TURN_H
#define SLUICE_MOCK_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/io/json.h"
#include "tests/mock/mock_behave.h"

#define MOCK_CALLS_MAX   2u
#define MOCK_RESULTS_MAX 8u
#define MOCK_TOOLS_MAX   128u
#define MOCK_SIGN_CHARS  44u // of a signature: base64 of 32 bytes

enum mock_choice { MOCK_CHOICE_AUTO, MOCK_CHOICE_NONE, MOCK_CHOICE_ANY, MOCK_CHOICE_NAMED };

// What the request asks for. Everything is borrowed from its document.
struct mock_wants {
    struct slice tools[MOCK_TOOLS_MAX]; // names
    const struct json_value *schemas[MOCK_TOOLS_MAX];
    size_t n_tools;
    enum mock_choice choice;
    struct slice named;
    bool one_call; // parallel calls are forbidden
    bool answered; // the last turn brings tool results
    struct slice results[MOCK_RESULTS_MAX];
    const struct json_value *objects[MOCK_RESULTS_MAX]; // quoted where there is no such text
    size_t n_results;
    bool json;                       // structured output
    const struct json_value *schema; // of it; NULL: any object
    bool think;                      // reasoning is shown
    bool think_hidden;               // signed, but its text is left out
    bool logprobs;
};

struct mock_call {
    size_t args_at, args_n; // in mock_turn.store
    struct slice name;      // borrowed from the request
    char signature[MOCK_SIGN_CHARS + 1];
};

// Part of struct mock_script; the store keeps its room from request to request.
struct mock_turn {
    struct buf store;
    size_t n_calls;
    struct mock_call calls[MOCK_CALLS_MAX];
    bool quiet;   // no text
    bool written; // the text is what lies in the store at text_at, else the mock's words
    bool refusal;
    bool logprobs;
    size_t text_at, text_n;
    uint32_t think; // words of thinking
    bool think_hidden, redacted, unsigned_thinking;
    char signature[MOCK_SIGN_CHARS + 1]; // of the thinking
    char redacted_data[MOCK_SIGN_CHARS + 1];
};

void mock_turn_init(struct mock_turn *t);
void mock_turn_done(struct mock_turn *t);
// The turn of a request nobody looked into: the mock's words, or the call of `tool-call`.
void mock_turn_plain(struct mock_turn *t, const struct mock_behave *b);
void mock_turn_build(struct mock_turn *t, const struct mock_wants *w, const struct mock_behave *b,
                     struct slice model);

struct slice mock_turn_text(const struct mock_turn *t);
struct slice mock_turn_args(const struct mock_turn *t, size_t call);

// Signature of what a model thought: the same text, other model, other signature.
void mock_turn_sign(struct slice model, const char *what, struct slice text,
                    char out[MOCK_SIGN_CHARS + 1]);
// Piece i of ceil(n / size) of a text, cut between characters; may be empty.
struct slice mock_turn_piece(struct slice s, uint64_t i, uint32_t size);
uint64_t mock_turn_pieces(struct slice s, uint32_t size);

#endif
