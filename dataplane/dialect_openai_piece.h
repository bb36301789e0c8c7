// SPDX-License-Identifier: Apache-2.0
// The pieces of an answer's `message` or a stream's `delta`, in every form that vendors of OpenAI's
// dialect send, one by one. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_PIECE_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_PIECE_H

#include <stdbool.h>

#include "common/base/arena.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

enum dialect_openai_piece_kind {
    DIALECT_OPENAI_TEXT,
    DIALECT_OPENAI_REFUSAL,
    DIALECT_OPENAI_REASONING,
    DIALECT_OPENAI_DETAILS,   // reasoning of a list that some vendors repeat from its beginning
    DIALECT_OPENAI_SIGNATURE, // of the reasoning before it
    DIALECT_OPENAI_REDACTED,
    DIALECT_OPENAI_IMAGE,            // part
    DIALECT_OPENAI_CITATION,         // citation
    DIALECT_OPENAI_GOOGLE_SIGNATURE, // of the text before it
};

struct dialect_openai_piece {
    enum dialect_openai_piece_kind kind;
    struct slice text; // jtext
    const struct canon_part *part;
    const struct canon_citation *citation; // of this call only
};

// Reasoning first, then content in its order, then what stands beside it. Empty texts are not told.
void dialect_openai_piece_each(const struct tape *t, uint32_t message, struct arena *a,
                               void (*fn)(void *ctx, const struct dialect_openai_piece *p),
                               void *ctx);
// Where the answer, or event, as a whole says what it is based on (Perplexity, xAI):
// search_results, else citations, each told as a CITATION.
void dialect_openai_piece_sources(const struct tape *t,
                                  void (*fn)(void *ctx, const struct dialect_openai_piece *p),
                                  void *ctx);
// The finish-reason normaliser. *ret_broken: the provider gave up, rather than the model came to an
// end: an error where nothing was said yet.
enum canon_finish dialect_openai_piece_finish(struct slice reason, bool *ret_broken);
// extra_content.google.thought_signature of a message or call; SLICE_NULL: none.
struct slice dialect_openai_piece_google_signature(const struct tape *t, uint32_t object);

#endif
