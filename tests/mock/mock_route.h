// SPDX-License-Identifier: Apache-2.0
// Which shape and endpoint a request is for.
#ifndef SLUICE_MOCK_ROUTE_H
#define SLUICE_MOCK_ROUTE_H

#include "common/base/slice.h"

struct mock_head;
struct mock_script;

// Sets shape, api and date of s->subject, and of s->ask what such requests say elsewhere than
// OpenAI's: the model in the path, streaming by path or by default.
void mock_route_set(const struct mock_head *h, struct slice body, struct mock_script *s);

#endif
