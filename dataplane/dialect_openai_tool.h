// SPDX-License-Identifier: Apache-2.0
// Tools of an OpenAI client -> canonical tools and choice. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_TOOL_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_TOOL_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// `tools`, or `functions` of old. ERR_INVALID: *ret_param names the member.
MUST_CHECK bool dialect_openai_tool_list(const struct tape *t, uint32_t list, const char *member,
                                         struct arena *a, struct canon_request *r,
                                         const char **ret_param, struct err *e);
// `tool_choice`, and `function_call` of old.
MUST_CHECK bool dialect_openai_tool_choice(const struct tape *t, uint32_t choice, struct arena *a,
                                           struct canon_request *r, const char **ret_param,
                                           struct err *e);
MUST_CHECK bool dialect_openai_tool_function_choice(const struct tape *t, uint32_t choice,
                                                    struct arena *a, struct canon_request *r,
                                                    const char **ret_param, struct err *e);

#endif
