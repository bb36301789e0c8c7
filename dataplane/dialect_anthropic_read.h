// SPDX-License-Identifier: Apache-2.0
// Anthropic's answers, events and errors -> the canonical model. Private to the dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_READ_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_READ_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

// struct dialect.read_answer.
bool dialect_anthropic_read_answer(const struct tape *t, const struct canon_context *c,
                                   struct canon_answer *ret);

#define DIALECT_ANTHROPIC_OPEN_BLOCKS 8u    // blocks that may be open at once; they never are
#define DIALECT_ANTHROPIC_CITATIONS   1024u // most of a stream: the arena keeps them

// struct dialect.reader.
struct dialect_anthropic_reader {
    bool started, finished, ended;
    bool called;    // a tool call was told
    uint32_t tools; // calls that have begun
    struct dialect_usage usage;
    struct dialect_anthropic_open {
        bool open;
        bool json;   // the JSON tool: its arguments are text
        bool filled; // its arguments have begun
        uint32_t tool;
        uint64_t index;
        struct slice input; // of the start, as a text; for a call that gets no other
    } blocks[DIALECT_ANTHROPIC_OPEN_BLOCKS]; // of tools only
    // The text block under way: citations are told when it is whole, since they are of all of it.
    uint64_t chars, text_begin;
    struct canon_citation *citations, **citations_tail;
    uint32_t n_citations;
    bool json;    // the JSON tool was called: texts and such calls behind it are left out
    bool foreign; // the block of this index is of no type that is shown, nor are its deltas
    uint64_t foreign_index;
};

// struct dialect.read_event, .read_end.
bool dialect_anthropic_read_event(void *reader, struct tape *t, struct slice event,
                                  struct slice data, const struct canon_context *c,
                                  struct canon_sink to);
void dialect_anthropic_read_end(void *reader, const struct canon_context *c, struct canon_sink to);
// struct dialect.read_error.
void dialect_anthropic_read_error(unsigned status, struct slice body, struct arena *a,
                                  struct dialect_error *ret);

#endif
