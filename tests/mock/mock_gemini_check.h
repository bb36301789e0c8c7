// SPDX-License-Identifier: Apache-2.0
// What Google refuses of a Gemini request; part of mock_gemini.c.
#ifndef SLUICE_MOCK_GEMINI_CHECK_H
#define SLUICE_MOCK_GEMINI_CHECK_H

#include "tests/mock/mock_shape.h"

bool mock_gemini_check(struct mock_request *q);
// Tools, their choice and the generationConfig of a request.
bool mock_gemini_options(struct mock_request *q, const struct json_at *root);
// No member but these (ends with NULL); where: for the message, "" for the root.
bool mock_gemini_known(struct mock_request *q, const struct json_at *o, const char *where,
                       const char *const *known);
// 3 and later: signs calls, takes thinking levels.
bool mock_gemini_signs(struct slice model);

#endif
