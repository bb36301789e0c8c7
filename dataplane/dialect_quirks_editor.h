// SPDX-License-Identifier: Apache-2.0
// One body under edit. Private to dialect_quirks*.c, which copy members of the tape to the writer,
// or something else in their place, and then set `touched`.
#ifndef SLUICE_DATAPLANE_DIALECT_QUIRKS_EDITOR_H
#define SLUICE_DATAPLANE_DIALECT_QUIRKS_EDITOR_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"
#include "proto/resource.h"

struct dialect_quirks_editor {
    const struct tape *t;
    const struct resource_quirks *q; // never NULL
    const struct resource_traits *tr;
    const struct canon_target *target;
    const struct canon_request *r; // NULL between equal dialects
    struct canon_outcome *o;
    struct arena *a;
    struct jwrite w;
    bool touched, failed;
    bool stream, chat;
    bool forced;                       // the client wants no stream, the vendor will send one
    enum canon_effort effort;          // asked for, by dialect_quirks_reason_plan
    struct slice only;                 // of the tools this one stays; SLICE_NULL: all
    bool no_tools;                     // none does
    struct slice schema;               // raw: to be told in words, the vendor takes no schema
    struct canon_index ids, taken_ids; // of tool calls: what they became, and what is taken
};

static inline bool dialect_quirks_has(const struct dialect_quirks_editor *e, uint64_t flag)
{
    return (e->q->flags & flag) != 0;
}

static inline bool dialect_quirks_model(const struct dialect_quirks_editor *e, uint64_t trait)
{
    return e->tr != NULL && (e->tr->flags & trait) != 0;
}

// Google's endpoint of OpenAI's dialect and a model that checks the signatures of its calls?
bool dialect_quirks_editor_signs(const struct resource_quirks *q, const struct resource_traits *tr);
// A member's name, in the vendor's words; its value must follow.
void dialect_quirks_editor_begin(struct dialect_quirks_editor *e, uint32_t name);
// The member as it is; with another value; not at all, and named to the client.
void dialect_quirks_editor_keep(struct dialect_quirks_editor *e, uint32_t name);
void dialect_quirks_editor_change(struct dialect_quirks_editor *e, uint32_t name,
                                  struct slice value);
void dialect_quirks_editor_drop(struct dialect_quirks_editor *e, uint32_t name);
const char *dialect_quirks_editor_client_name(const struct dialect_quirks_editor *e, uint32_t name);

// What the model will be told to think: asked for, as far as this target can be told (never off
// where it always thinks; off where a forced tool is refused otherwise).
enum canon_effort dialect_quirks_reason_plan(struct dialect_quirks_editor *e,
                                             enum canon_effort asked);
// temperature, top_p, max_tokens or max_completion_tokens, stop (dialect_quirks_number.c)
void dialect_quirks_number_temperature(struct dialect_quirks_editor *e, uint32_t name);
void dialect_quirks_number_top_p(struct dialect_quirks_editor *e, uint32_t name);
void dialect_quirks_number_max_tokens(struct dialect_quirks_editor *e, uint32_t name);
void dialect_quirks_number_stops(struct dialect_quirks_editor *e, uint32_t name);
// tools and tool_choice; plan: before the walk, what the choice leaves of the tools
// (dialect_quirks_tool.c)
void dialect_quirks_tool_plan(struct dialect_quirks_editor *e);
void dialect_quirks_tool_choice(struct dialect_quirks_editor *e, uint32_t name);
void dialect_quirks_tool_list(struct dialect_quirks_editor *e, uint32_t name);
// messages (dialect_quirks_message.c)
void dialect_quirks_message_list(struct dialect_quirks_editor *e, uint32_t messages);
// reasoning_effort in the vendor's form (dialect_quirks_reason.c): `value` TAPE_NONE where the
// client asked for none.
void dialect_quirks_reason_effort(struct dialect_quirks_editor *e, uint32_t value);
// The nearest effort that the vendor and the model take.
const char *dialect_quirks_reason_nearest(const struct dialect_quirks_editor *e,
                                          enum canon_effort effort);

#endif
