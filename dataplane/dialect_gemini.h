// SPDX-License-Identifier: Apache-2.0
// Parts of Google's Gemini dialect, for dialect_gemini*.c only.
#ifndef SLUICE_DATAPLANE_DIALECT_GEMINI_H
#define SLUICE_DATAPLANE_DIALECT_GEMINI_H

#include <stdbool.h>
#include <stddef.h>

#include "dataplane/canon.h"
#include "dataplane/dialect.h"
#include "dataplane/dialect_gemini_cite.h"
#include "dataplane/tape.h"

#define DIALECT_GEMINI_CHOICES 8u // candidateCount is at most 8

// State of a stream. Finishes and usage are told at the end of the transfer, which is this
// dialect's terminator.
struct dialect_gemini_reader {
    bool started, blocked;
    uint32_t seen; // candidates, a bit each
    uint32_t tools[DIALECT_GEMINI_CHOICES];
    enum canon_finish finish[DIALECT_GEMINI_CHOICES];
    struct dialect_gemini_cite cites[DIALECT_GEMINI_CHOICES];
    struct dialect_usage usage;
};

// See struct dialect.
bool dialect_gemini_write_request(const struct canon_request *r, const struct canon_target *t,
                                  struct canon_outcome *o, struct buf *out);
bool dialect_gemini_read_answer(const struct tape *t, const struct canon_context *c,
                                struct canon_answer *ret);
bool dialect_gemini_read_event(void *reader, struct tape *t, struct slice event, struct slice data,
                               const struct canon_context *c, struct canon_sink to);
void dialect_gemini_read_end(void *reader, const struct canon_context *c, struct canon_sink to);
void dialect_gemini_read_error(unsigned status, struct slice body, struct arena *a,
                               struct dialect_error *ret);

// Parts of an answer, shared by whole ones and events.
void dialect_gemini_read_usage(const struct tape *t, uint32_t top, struct dialect_usage *ret);
enum canon_finish dialect_gemini_finish(const struct tape *t, uint32_t candidate, bool tools);
// OpenAI's logprobs member from logprobsResult; SLICE_NULL: there is none.
struct slice dialect_gemini_logprobs(const struct tape *t, uint32_t candidate, struct arena *a);
// One part; false: none that is shown. The part's text is the tape's; ids are made where missing.
bool dialect_gemini_read_part(const struct tape *t, uint32_t i, const struct canon_context *c,
                              struct canon_part *ret);
// JSON Schema -> OpenAPI subset of `responseSchema` (Gemini 2.0 and older): members it does not
// have go, $ref is put in place, const becomes enum, null types become nullable. What would take
// too long makes out->over.
void dialect_gemini_write_schema(struct jwrite *w, struct slice schema);

#endif
