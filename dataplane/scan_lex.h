// SPDX-License-Identifier: Apache-2.0
// Grammar of JSON texts: steps over strings and values, checking them. Private to scan*.c. No
// recursion; linear time. Every function leaves the cursor where it stopped and, on failure, says
// in `what` what was expected or found there.
#ifndef SLUICE_DATAPLANE_SCAN_LEX_H
#define SLUICE_DATAPLANE_SCAN_LEX_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

struct scan_cursor {
    const char *base, *p, *end;
    const char *what; // static text
    uint64_t names;   // see scan_object
};

static inline struct scan_cursor scan_lex_begin(struct slice s)
{
    return (struct scan_cursor){s.p, s.p, s.p == NULL ? NULL : s.p + s.n, NULL, 0};
}

static inline bool scan_lex_fail(struct scan_cursor *c, const char *what)
{
    c->what = what;
    return false;
}

static inline bool scan_lex_at(const struct scan_cursor *c, char ch)
{
    return c->p < c->end && *c->p == ch;
}

static inline void scan_lex_space(struct scan_cursor *c)
{
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\n' || *c->p == '\t' || *c->p == '\r')) {
        c->p++;
    }
}

// From the opening quote to behind the closing one. *ret_escaped is set when it has a backslash.
MUST_CHECK bool scan_lex_string(struct scan_cursor *c, bool *ret_escaped);
// A member's name, the colon and the space around it. *ret_name: without the quotes.
MUST_CHECK bool scan_lex_name(struct scan_cursor *c, struct slice *ret_name, bool *ret_escaped);
// One value of any kind, no space before it; `outer` levels are open around it.
MUST_CHECK bool scan_lex_value(struct scan_cursor *c, unsigned outer);

#endif
