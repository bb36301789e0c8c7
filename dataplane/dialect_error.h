// SPDX-License-Identifier: Apache-2.0
// Errors of providers in our words: status, type and code toward the client from whatever a
// provider sent. Pure; strings of the result are static or in the arena.
#ifndef SLUICE_DATAPLANE_DIALECT_ERROR_H
#define SLUICE_DATAPLANE_DIALECT_ERROR_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/dialect.h"
#include "dataplane/tape.h"

// By status alone: sets status, type and code (the table), leaves the rest. `code` is what the
// provider calls it, in characters, or SLICE_NULL: taken where the table fixes none and it is a
// word of at most 64 of [A-Za-z0-9_.-] that is no number. 404: model_not_found where the message
// (ret->message, set before) speaks of a model.
void dialect_error_classify(unsigned status, struct slice code, struct arena *a,
                            struct dialect_error *ret);
// Message-based upgrades, behind classify: a 4xx that speaks of the context's length becomes 400
// context_length_exceeded (not 401, 402, 403, 429); with `quota` one that speaks of credit used up
// becomes 429 insufficient_quota (400, 402, 403, 429).
void dialect_error_upgrade(struct dialect_error *ret, bool quota);
// Sets what these conditions are called, whatever the status was.
void dialect_error_context_length(struct dialect_error *ret);
void dialect_error_quota(struct dialect_error *ret);
void dialect_error_policy(struct dialect_error *ret); // content_policy_violation

// struct dialect.read_error of OpenAI's dialect and its vendors: a text, OpenAI's
// object, or any of the flat and nested ones that vendors send instead. A status below 400 (a
// vendor that says 200) is taken from the body, else 500. *ret is set as a whole; request_id and
// attempts are the caller's to add.
void dialect_error_read(unsigned status, struct slice body, struct arena *a,
                        struct dialect_error *ret);
// The same of a body, or an event of a stream, that is on a tape.
void dialect_error_of(unsigned status, const struct tape *t, struct arena *a,
                      struct dialect_error *ret);
// HTTP status that MiniMax's base_resp.status_code stands for; 0 for its success, 0.
unsigned dialect_error_base_resp(uint64_t status_code);
// Is this already what OpenAI would have said, so that between equal dialects it goes to the client
// byte for byte? An error object with texts as message and type (in OpenAI's spelling), a status
// that stays, and nothing in it that the normaliser reads more out of (credit used up, a prompt
// refused by policy).
bool dialect_error_is_openai(unsigned status, struct slice body);

#endif
