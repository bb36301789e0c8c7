// SPDX-License-Identifier: Apache-2.0
// Content blocks of an Anthropic client's messages -> canonical parts. Private to the dialect.
// Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_BLOCKS_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_BLOCKS_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// A request being read: where it is and how it fails.
struct dialect_anthropic_ask {
    const struct tape *t;
    struct arena *a;
    const char **ret_param;
    struct err *e;
};

// Fails the request: sets *ret_param to `where` and the message to "where: why"; false.
bool dialect_anthropic_blocks_refuse(const struct dialect_anthropic_ask *q, const char *where,
                                     const char *why);
// content: a string, or an array of blocks, appended to the list at *tail. where: what the content
// is called in errors ("messages[2].content").
MUST_CHECK bool dialect_anthropic_blocks_read(const struct dialect_anthropic_ask *q,
                                              uint32_t content, const char *where,
                                              struct canon_part ***tail);

#endif
