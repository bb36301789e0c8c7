// SPDX-License-Identifier: Apache-2.0
// A canonical conversation in the order in which Anthropic takes it. Private to the dialect. Pure;
// everything is in the outcome's arena and borrows the canonical request.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_TURNS_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_TURNS_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"
#include "dataplane/dialect_anthropic_marks.h"
#include "dataplane/jwrite.h"

// A part that is written, in a list.
struct dialect_anthropic_block {
    struct dialect_anthropic_block *next;
    const struct canon_part *part;
};

struct dialect_anthropic_blocks {
    struct dialect_anthropic_block *first, **tail;
};

// Messages of one role in a row.
struct dialect_anthropic_turn {
    struct dialect_anthropic_turn *next;
    enum canon_role role;
    struct dialect_anthropic_blocks results; // tool results come first
    struct dialect_anthropic_blocks blocks;
    bool reasons; // holds signed reasoning
    bool calls;   // holds tool calls
};

struct dialect_anthropic_turns {
    struct dialect_anthropic_turn *first, *last;
    struct dialect_anthropic_blocks system; // texts
    // The last turn holds tool results, and the assistant's turn before it no signed reasoning.
    bool goes_on_unreasoned;
    bool prefilled; // the last turn is the assistant's
    struct canon_ids ids;
    struct dialect_anthropic_marks marks; // of whoever writes; planned before
};

// False: a part cannot be taken and the outcome says so.
MUST_CHECK bool dialect_anthropic_turns_make(const struct canon_request *r,
                                             const struct canon_target *t, struct canon_outcome *o,
                                             struct dialect_anthropic_turns *ret);
// The member `messages` of the open object.
void dialect_anthropic_turns_write(struct dialect_anthropic_turns *turns, struct arena *a,
                                   struct jwrite *w);
// One text block, cache_control included.
void dialect_anthropic_turns_write_text(struct dialect_anthropic_turns *turns,
                                        const struct canon_part *p, struct slice text,
                                        struct jwrite *w);
// How many cache_control there are in the messages; in the system's texts.
size_t dialect_anthropic_turns_marks(const struct dialect_anthropic_turns *turns,
                                     size_t *ret_system);

#endif
