// SPDX-License-Identifier: Apache-2.0
// Marks of the prompt cache (cache_control): Anthropic takes four. Where a client has more, those
// stay that are worth most: the last one of what all its requests begin with (tools, system), and
// the latest of the conversation. Private to the dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_MARKS_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_MARKS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/slice.h"

// Numbers go through tools, system and messages, in this order.
struct dialect_anthropic_marks {
    size_t also, from; // kept: this one, and all from there on
    size_t tools;      // there are so many in the tools
    size_t at;         // number of the next one
};

// How many there are where; own: so many more that cannot be left out. True: all stay.
bool dialect_anthropic_marks_plan(struct dialect_anthropic_marks *m, size_t tools, size_t system,
                                  size_t messages, size_t own);
// The next mark as it is to be written: raw, or SLICE_NULL. No mark: SLICE_NULL.
struct slice dialect_anthropic_marks_next(struct dialect_anthropic_marks *m, struct slice raw);

#endif
