// SPDX-License-Identifier: Apache-2.0
// What OpenAI-dialect answers say: content, finish reasons, errors, usage. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_ANSWER_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_ANSWER_H

#include "common/base/slice.h"
#include "dataplane/dialect.h"

// struct dialect.observe_event.
struct dialect_event dialect_openai_answer_event(struct dialect_stream *s, struct slice event,
                                                 struct slice data);
// struct dialect.observe_answer.
struct dialect_answer dialect_openai_answer_whole(struct slice body);
// The counters of a usage object, of any vendor; *ret stays as it is where it says nothing. False:
// it is no object.
bool dialect_openai_answer_usage(struct slice usage, struct dialect_usage *ret);
// The tier it was served in, from the member of an answer or event; stays where there is none.
void dialect_openai_answer_tier(struct slice service_tier, struct dialect_usage *ret);
// HTTP status that an error object inside a stream stands for.
unsigned dialect_openai_answer_error_status(struct slice error);

#endif
