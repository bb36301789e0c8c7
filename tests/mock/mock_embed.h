// SPDX-License-Identifier: Apache-2.0
// The answer to /embeddings.
#ifndef SLUICE_MOCK_EMBED_H
#define SLUICE_MOCK_EMBED_H

#include "tests/mock/mock_answer.h"

void mock_embed_answer(const struct mock_subject *s, struct buf *out);

#endif
