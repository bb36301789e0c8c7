// SPDX-License-Identifier: Apache-2.0
// Embeddings in any shape: of the first input's text and the number of the input.
#ifndef SLUICE_MOCK_EMBED_H
#define SLUICE_MOCK_EMBED_H

#include "tests/mock/mock_answer.h"

// [0.1,...] or "base64 of float32".
void mock_embed_vector(const struct mock_subject *s, uint64_t i, bool base64, struct buf *out);

#endif
