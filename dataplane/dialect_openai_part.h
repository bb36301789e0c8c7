// SPDX-License-Identifier: Apache-2.0
// Content parts of an OpenAI client -> canonical parts. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_PART_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_PART_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

struct dialect_openai_part_reader {
    const struct tape *t;
    struct arena *a;
    unsigned message; // index of the one being read
    const char **ret_param;
    struct err *e;
};

// "messages[3].<member> <what>"; member "": the message itself. Returns false.
bool dialect_openai_part_fail(struct dialect_openai_part_reader *r, const char *member,
                              const char *what);
// A string or an array of parts, appended to the list; an empty string is nothing.
MUST_CHECK bool dialect_openai_part_content(struct dialect_openai_part_reader *r, uint32_t content,
                                            enum canon_role role, struct canon_part ***tail);

#endif
