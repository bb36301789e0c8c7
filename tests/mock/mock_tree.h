// SPDX-License-Identifier: Apache-2.0
// Short questions about a parsed request. The shapes' checks ask hundreds of them.
#ifndef SLUICE_MOCK_TREE_H
#define SLUICE_MOCK_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/io/json.h"

// What a place holds; MOCK_ABSENT: it is not there.
enum mock_type {
    MOCK_ABSENT,
    MOCK_NULL,
    MOCK_TEXT,
    MOCK_INT,
    MOCK_REAL,
    MOCK_BOOL,
    MOCK_LIST,
    MOCK_MAP
};

enum mock_type mock_tree_type(const struct json_at *a);
// The member of an object if it is a string, else SLICE_NULL. Borrowed from the document.
struct slice mock_tree_text(const struct json_at *o, const char *name);
// The value of a place if it is a string, else SLICE_NULL.
struct slice mock_tree_string(const struct json_at *a);
enum mock_type mock_tree_member_type(const struct json_at *o, const char *name);
bool mock_tree_has(const struct json_at *o, const char *name); // there and not null
bool mock_tree_true(const struct json_at *o, const char *name);
// The member as a number; false when it is none.
bool mock_tree_number(const struct json_at *o, const char *name, double *ret);
// The value as compact JSON.
void mock_tree_print(const struct json_at *a, struct buf *out);
// Name of the first member that is not in the list (ends with NULL), or SLICE_NULL.
struct slice mock_tree_unknown(const struct json_at *o, const char *const *known);
bool mock_tree_in(struct slice s, const char *const *list);
// 1 to max characters of letters, digits and those in `more`.
bool mock_tree_is_name(struct slice s, const char *more, size_t max);
bool mock_tree_is_blank(struct slice s);

#endif
