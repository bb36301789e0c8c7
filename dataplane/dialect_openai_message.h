// SPDX-License-Identifier: Apache-2.0
// Messages of an OpenAI client -> canonical messages. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_MESSAGE_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_MESSAGE_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// The messages at token `messages`, in the arena. ERR_INVALID: *ret_param names the member.
MUST_CHECK bool dialect_openai_message_list(const struct tape *t, uint32_t messages,
                                            struct arena *a, struct canon_message **ret,
                                            const char **ret_param, struct err *e);

#endif
