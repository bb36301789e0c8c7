// SPDX-License-Identifier: Apache-2.0
// <think>...</think> at the very start of a text, told apart from it (quirk split-think), as the
// text comes in pieces. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_THINK_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_THINK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/slice.h"

#define DIALECT_OPENAI_THINK_HELD 48u // bytes: "</think>" with every character as \uXXXX

// Zero-initialised: nothing came yet.
struct dialect_openai_think {
    uint8_t state;
    uint8_t n;                            // bytes held back, that may be the begin of a tag
    char held[DIALECT_OPENAI_THINK_HELD]; // jtext
};

// Feeds a piece (jtext); fn is told what is thought and what is text, in order, never empty. What
// may be the begin of a tag waits for the next piece.
void dialect_openai_think_feed(struct dialect_openai_think *s, struct slice text,
                               void (*fn)(void *ctx, bool thought, struct slice text), void *ctx);
// A whole text (jtext) that closes a thought which it does not open: some templates open it in the
// prompt.
bool dialect_openai_think_is_open(struct slice text);
// The text is over: tells what was held back.
void dialect_openai_think_end(struct dialect_openai_think *s,
                              void (*fn)(void *ctx, bool thought, struct slice text), void *ctx);

#endif
