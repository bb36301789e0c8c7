// SPDX-License-Identifier: Apache-2.0
// Token tape of a JSON text (RFC 8259): one validating pass (grammar, UTF-8, depth as scan.h)
// writes one token a value and a member name; translation between dialects walks the tokens.
// Offsets only: numbers, strings and subtrees are read as their bytes in the source.
//
// The tokens of an object are its names and values in turn, those of an array its values, each
// followed by the tokens of what it holds; `next` steps over a whole value:
//
//   {"a":[1,2],"b":"x"}     0 object, next 7
//                           1 "a"   2 array, next 5   3 1   4 2
//                           5 "b"   6 "x"
//
// A token is named by its index; TAPE_NONE stands for "there is none" and every reader takes it, so
// that reads can be nested without checks. Pure.
#ifndef SLUICE_DATAPLANE_TAPE_H
#define SLUICE_DATAPLANE_TAPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "dataplane/scan.h"

#define TAPE_TOKENS_MAX (1u << 20) // values and names of one text
#define TAPE_NONE       UINT32_MAX

struct tape_token {
    uint32_t begin, end; // bytes in the source, quotes and brackets included
    uint32_t next;       // index of the first token behind this value
    uint8_t type;        // enum scan_type
    bool escaped;        // a string with a backslash
};

// Zero-initialised is empty; may be filled again and again, keeps its memory until tape_done.
struct tape {
    struct slice src; // borrowed
    struct tape_token *tokens;
    uint32_t n, cap;
};

// Frees the tokens; empty again.
void tape_done(struct tape *t);
// Fills the tape; token 0 is the value itself. `src` must outlive its use. ERR_INVALID with
// position and what was expected, ERR_TOO_LARGE; the tape is then empty.
MUST_CHECK bool tape_parse(struct tape *t, struct slice src, struct err *e);

static inline bool tape_is(const struct tape *t, uint32_t i, enum scan_type type)
{
    return i < t->n && t->tokens[i].type == (uint8_t)type;
}

// The value as its bytes; SLICE_NULL for TAPE_NONE.
static inline struct slice tape_raw(const struct tape *t, uint32_t i)
{
    if (i >= t->n) {
        return SLICE_NULL;
    }
    return (struct slice){t->src.p + t->tokens[i].begin, t->tokens[i].end - t->tokens[i].begin};
}

// A string between its quotes, still escaped (jtext.h); SLICE_NULL when it is no string.
static inline struct slice tape_text(const struct tape *t, uint32_t i)
{
    if (!tape_is(t, i, SCAN_STRING)) {
        return SLICE_NULL;
    }
    return (struct slice){t->src.p + t->tokens[i].begin + 1,
                          t->tokens[i].end - t->tokens[i].begin - 2};
}

// True: the value is `true`.
static inline bool tape_true(const struct tape *t, uint32_t i)
{
    return tape_is(t, i, SCAN_TRUE);
}

// Not there, or null: clients send null for "not given".
static inline bool tape_absent(const struct tape *t, uint32_t i)
{
    return i >= t->n || t->tokens[i].type == SCAN_NULL;
}

// First token inside an array (a value) or object (a name); TAPE_NONE when empty or no container.
static inline uint32_t tape_first(const struct tape *t, uint32_t i)
{
    if (i >= t->n || t->tokens[i].type < SCAN_ARRAY || t->tokens[i].next == i + 1) {
        return TAPE_NONE;
    }
    return i + 1;
}

// The token behind value i of a container; TAPE_NONE at its end.
static inline uint32_t tape_after(const struct tape *t, uint32_t container, uint32_t i)
{
    uint32_t next = t->tokens[i].next;

    return next < t->tokens[container].next ? next : TAPE_NONE;
}

// for each value i of an array (none where it is no array)
#define TAPE_ITEMS(t, array, i)                                                                    \
    for (uint32_t i = tape_is(t, array, SCAN_ARRAY) ? tape_first(t, array) : TAPE_NONE;            \
         i != TAPE_NONE; i = tape_after(t, array, i))
// for each member of an object: name at i, value at i + 1
#define TAPE_MEMBERS(t, object, i)                                                                 \
    for (uint32_t i = tape_is(t, object, SCAN_OBJECT) ? tape_first(t, object) : TAPE_NONE;         \
         i != TAPE_NONE; i = tape_after(t, object, i + 1))

// Value of a member; TAPE_NONE: no object or no such member. The last one counts where a name
// occurs several times.
uint32_t tape_get(const struct tape *t, uint32_t object, const char *key);
// As tape_get; TAPE_NONE too where the value is null.
uint32_t tape_given(const struct tape *t, uint32_t object, const char *key);
// Is the text of this name or string value the one given (decoded)?
bool tape_eq(const struct tape *t, uint32_t i, const char *text);
// Whole number; false: something else, or beyond 64 bits. A number given as a string ("5", as
// Google's 64-bit integers) counts.
MUST_CHECK bool tape_u64(const struct tape *t, uint32_t i, uint64_t *ret);
// tape_text(tape_get(...)), the most frequent read.
struct slice tape_get_text(const struct tape *t, uint32_t object, const char *key);

#endif
