// SPDX-License-Identifier: Apache-2.0
// tools, system: 0 .. first-1; messages: first .. all-1. Kept: `also`, the last of the first ones,
// and all from `from` on.
#include "dataplane/dialect_anthropic_marks.h"

#define MARKS_MAX 4u

bool dialect_anthropic_marks_plan(struct dialect_anthropic_marks *m, size_t tools, size_t system,
                                  size_t messages, size_t own)
{
    size_t room = own < MARKS_MAX ? MARKS_MAX - own : 0;
    size_t first = tools + system, all = first + messages;

    *m = (struct dialect_anthropic_marks){.also = all, .tools = tools};
    if (all <= room) {
        return true;
    }
    if (room > 0 && first > 0 && messages >= room) {
        m->also = first - 1;
        room--;
    }
    m->from = all - room;
    return false;
}

struct slice dialect_anthropic_marks_next(struct dialect_anthropic_marks *m, struct slice raw)
{
    size_t at = m->at;

    if (raw.p == NULL) {
        return raw;
    }
    m->at++;
    return at >= m->from || at == m->also ? raw : SLICE_NULL;
}
