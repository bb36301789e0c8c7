// SPDX-License-Identifier: Apache-2.0
// Settings as tables. A table describes one section: for each key its type, bounds, default, other
// spellings, whether a reload applies it, and the text of the manual. conf_read fills a plain
// struct from a node tree and reports every problem; conf_doc.h writes the manual from the same
// tables.
//
// What a field of each type looks like in the target struct:
//
//   CONF_BOOL      bool                  CONF_STRING   struct conf_text
//   CONF_INT       uint64_t              CONF_SECRET   struct conf_text, never shown
//   CONF_DECIMAL   uint64_t, x 10^scale  CONF_STRINGS  struct conf_texts (one string will do, too)
//   CONF_DURATION  uint64_t, us          CONF_PAIRS    struct conf_entries of struct conf_text
//   CONF_SIZE      uint64_t, bytes       CONF_CHOICES  struct conf_entries of struct conf_texts
//   CONF_ENUM      int                   CONF_MAP      struct conf_entries of the table's struct
//   CONF_SECTION   the table's struct    CONF_LIST     struct conf_entries of the table's struct
//   CONF_ANY       const struct node *   (accepted as it is)
//
// The struct of a table starts with `const struct node *node`: NULL where the section is absent
// (defaults are filled in all the same).
#ifndef SLUICE_BASE_CONF_H
#define SLUICE_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/node.h"
#include "common/base/problem.h"
#include "common/base/slice.h"

#define CONF_PATH_MAX   512u
#define CONF_STRING_MAX 4096u // bytes of a string
#define CONF_ITEMS_MAX  1024u // entries of a list or map, unless its field says otherwise

enum conf_type {
    CONF_BOOL,
    CONF_INT,
    CONF_DECIMAL,
    CONF_DURATION,
    CONF_SIZE,
    CONF_ENUM,
    CONF_STRING,
    CONF_SECRET,
    CONF_STRINGS,
    CONF_PAIRS,
    CONF_CHOICES,
    CONF_SECTION,
    CONF_MAP,
    CONF_LIST,
    CONF_ANY,
};

struct conf_text {
    const char *s;           // NULL = not set
    const struct node *node; // NULL = not set or a default
};

struct conf_texts {
    const struct conf_text *items;
    size_t n;
    const struct node *node; // NULL = not set
};

struct conf_entry {
    const char *name;        // maps: the key; lists: NULL
    const struct node *node; // its value
    void *value;             // see the table above
};

struct conf_entries {
    struct conf_entry *items;
    size_t n;
    const struct node *node; // NULL = not set
};

// A word of a CONF_ENUM. Several words may mean one value: the first is the one to document.
struct conf_word {
    const char *word;
    int value;
};

struct conf_table;

struct conf_field {
    const char *key; // kebab-case
    enum conf_type type;
    size_t offset;     // in the target struct
    const char *def;   // default as it would be written; NULL = 0, false, not set
    uint64_t min, max; // of numbers, in the unit of the target; max 0 = no bound. Lists,
                       // maps: most entries, 0 = CONF_ITEMS_MAX
    unsigned scale;    // CONF_DECIMAL: digits behind the point
    const struct conf_word *words;  // CONF_ENUM; ends with {NULL, 0}
    const struct conf_table *table; // CONF_SECTION, CONF_MAP, CONF_LIST
    const char *aliases;            // other spellings, separated by spaces
    const char *inert;              // set to anything but the default: warned of with this sentence
    const char *help;               // NULL: kept out of the manual
    bool required;
    bool reload; // a reload (SIGHUP) applies it
};

struct conf_table {
    const char *name;
    size_t size; // of the struct
    const struct conf_field *fields;
    size_t n;
    const char *shorthand; // a plain value stands for this key of the section ("{key: value}")
    const char *help;      // one paragraph for the manual
};

// A reading in progress; also what later checks use to complain. `path` is where we are.
struct conf_ctx {
    struct arena *arena; // for everything in the target
    struct problem_list *problems;
    char path[CONF_PATH_MAX];
    size_t path_n;
};

// What is read is put into the arena, what is wrong into problems; both are borrowed.
void conf_init(struct conf_ctx *c, struct arena *arena, struct problem_list *problems);

// Fills *out (t->size bytes, any content). node NULL: all defaults. True if no error was added.
bool conf_read(struct conf_ctx *c, const struct conf_table *t, const struct node *node, void *out);

// Steps into / out of a path: ".name", "[index]" or both (name NULL, index SIZE_MAX: without).
// conf_leave takes what conf_enter returned.
size_t conf_enter(struct conf_ctx *c, const char *name, size_t index);
void conf_leave(struct conf_ctx *c, size_t mark);

// Adds a problem at a node (its key where it has one and `at_key`), under the current path.
void conf_complain(struct conf_ctx *c, enum problem_level level, const struct node *n, bool at_key,
                   const char *fmt, ...) PRINTF_LIKE(5, 6);

// " (did you mean \"x\"?)" or "", in the arena.
const char *conf_did_you_mean(struct conf_ctx *c, struct slice word, const struct slice *known,
                              size_t n);

// Appends ", "-separated keys of t (with `prefix`) that differ between two filled structs and that
// only a restart applies. CONF_MAP, CONF_LIST, CONF_ANY are not compared.
void conf_restart_keys(const struct conf_table *t, const char *prefix, const void *a, const void *b,
                       struct buf *out);

#endif
