// SPDX-License-Identifier: Apache-2.0
// Where an answer of Gemini's has its sources from, for dialect_gemini*.c only: Google counts bytes
// of the choice's text, clients want characters.
#ifndef SLUICE_DATAPLANE_DIALECT_GEMINI_CITE_H
#define SLUICE_DATAPLANE_DIALECT_GEMINI_CITE_H

#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// A choice's text so far: how wide its characters are. Zero-initialise.
struct dialect_gemini_cite {
    struct dialect_gemini_run *runs;   // arena
    struct dialect_gemini_mark *marks; // arena
    uint32_t n, cap;                   // runs
    uint64_t bytes, chars;             // of all of it
    uint64_t cited;                    // bytes of the text of which the sources were told
};

// More of the text (jtext; whole characters). Takes memory only where the width changes.
void dialect_gemini_cite_text(struct dialect_gemini_cite *s, struct slice text, struct arena *a);
// The web sources that a candidate names and no earlier one did, for the text so far.
struct canon_citation *dialect_gemini_cite_sources(struct dialect_gemini_cite *s,
                                                   const struct tape *t, uint32_t candidate,
                                                   struct arena *a);

#endif
