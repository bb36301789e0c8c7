// SPDX-License-Identifier: Apache-2.0
// What OpenAI refuses of a chat request; part of mock_openai.c.
#ifndef SLUICE_MOCK_OPENAI_CHECK_H
#define SLUICE_MOCK_OPENAI_CHECK_H

#include "tests/mock/mock_shape.h"

bool mock_openai_check(struct mock_request *q);

#endif
