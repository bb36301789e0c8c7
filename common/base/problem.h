// SPDX-License-Identifier: Apache-2.0
// What is wrong (or worth saying) about a configuration, collected instead of reported one at a
// time. A list keeps at most PROBLEM_MAX of them and counts the rest. One thread.
#ifndef SLUICE_BASE_PROBLEM_H
#define SLUICE_BASE_PROBLEM_H

#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/node.h"
#include "common/base/slice.h"

#define PROBLEM_MAX 200u

enum problem_level {
    PROBLEM_NOTICE,  // worth one line at start: "provider openai has no key: set OPENAI_API_KEY"
    PROBLEM_WARNING, // accepted, but does not do what it says
    PROBLEM_ERROR,   // the document is refused
};

// Where it is. `file` may be NULL, line 0 = unknown.
struct problem_place {
    const char *file;
    unsigned line, col;
};

struct problem {
    struct problem *next;
    enum problem_level level;
    struct problem_place place;
    const char *path;    // "routers.production.cache.buckets", or ""
    const char *message; // one line, never a secret
};

struct problem_list {
    struct arena arena; // owns everything below
    struct problem *first, *last;
    size_t errors, warnings, notices; // also those that were not kept
    size_t kept;
};

// Empty. problem_list_done frees all problems and what problem_show made.
void problem_list_init(struct problem_list *l);
void problem_list_done(struct problem_list *l);

// All strings are copied and cut to 400 bytes; control bytes become '?'.
void problem_add(struct problem_list *l, enum problem_level level, struct problem_place place,
                 const char *path, const char *fmt, ...) PRINTF_LIKE(5, 6);
// The place of a node's value, and of its key where it has one.
struct problem_place problem_place_of(const struct node *n);
struct problem_place problem_place_of_key(const struct node *n);

// "file:line:col: warning: path: message" for each, in order (errors have no word in front, notices
// "note"), and a last line when some were not kept.
void problem_render_all(const struct problem_list *l, struct buf *out);

// What a value looks like in a message: quoted, cut at 40 bytes, "(a secret)" where its text came
// from the environment or a file. Lives in the list's arena.
const char *problem_show(struct problem_list *l, const struct node *n);

#endif
