// SPDX-License-Identifier: Apache-2.0
// What Anthropic-dialect answers say: content, stop reasons, errors, usage. Private to the dialect.
// Pure; everything borrows its arguments.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_ANSWER_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_ANSWER_H

#include "common/base/slice.h"
#include "dataplane/dialect.h"

// struct dialect.observe_event.
struct dialect_event dialect_anthropic_answer_event(struct dialect_stream *s, struct slice event,
                                                    struct slice data);
// struct dialect.observe_answer.
struct dialect_answer dialect_anthropic_answer_whole(struct slice body);
// Takes a `usage` object (JSON; anything else says nothing) into *u. Its numbers are cumulative: a
// later object replaces what it names, null means no news.
void dialect_anthropic_answer_usage(struct slice usage, struct dialect_usage *u);
// HTTP status that an error object's `type` stands for; 500: unknown type. type: without quotes.
unsigned dialect_anthropic_answer_status(struct slice type);

#endif
