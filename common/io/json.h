// SPDX-License-Identifier: Apache-2.0
// JSON for the control plane and the tools: the only user of jansson. (The data plane never builds
// trees: it has a scanner of its own.) Reading is strict and says where: a `struct json_at` is a
// place in a document that knows its path ("limits[0].per"), the json_want_* getters check type and
// bounds and note what is wrong, with its path, in a `struct json_report`. Writing appends text to
// a buffer. Any thread, no shared state.
//
//   struct json_at root = json_root(doc), name = json_member(&root, "name");
//   json_known(&root, names, n, &report);
//   if (json_want_text(&name, 1, 128, &s, &report)) { ... }
//   if (report.n > 0) { 422 }
#ifndef SLUICE_IO_JSON_H
#define SLUICE_IO_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

#define JSON_PATH_MAX     160
#define JSON_PROBLEMS_MAX 16

struct json_value; // a parsed document or a part of one; opaque

// One complete document; text may be changed afterwards. NULL when it is larger than max_bytes or
// deeper than max_depth (ERR_TOO_LARGE), or not JSON (ERR_INVALID, naming line and column): invalid
// UTF-8, duplicate keys, U+0000 and numbers beyond int64/double are refused too.
MUST_CHECK struct json_value *json_parse(struct slice text, size_t max_bytes, unsigned max_depth,
                                         struct err *e);
// *v becomes NULL; NULL allowed. Everything borrowed from it dies.
void json_free(struct json_value **v);

// "2.14": of the library in use.
const char *json_library_version(void);

// --- reading ------------------------------------------------------------------------------------

// A place in a document, on the caller's stack. `up` must outlive it.
struct json_at {
    const struct json_value *value; // NULL: not there
    const struct json_at *up;       // NULL: the root
    const char *name;               // in an object; NULL: an element of an array
    size_t index;
};

struct json_problem {
    char field[JSON_PATH_MAX];
    char problem[200];
};

// Zero-initialise. Problems beyond JSON_PROBLEMS_MAX are counted, not kept.
struct json_report {
    size_t n;
    struct json_problem items[JSON_PROBLEMS_MAX];
};

// The document itself, without a name; v is borrowed and may be NULL.
struct json_at json_root(const struct json_value *v);
// value is NULL when `o` is no object or has no such member. `name` is borrowed.
struct json_at json_member(const struct json_at *o, const char *name);
struct json_at json_element(const struct json_at *a, size_t index);
// Elements of an array, members of an object; else 0.
size_t json_size(const struct json_at *a);
bool json_present(const struct json_at *a);
bool json_present_null(const struct json_at *a); // there, and null
// "limits[0].per"; the root is "". Hostile names are cut and their control bytes shown as '?'.
void json_path(const struct json_at *a, char out[JSON_PATH_MAX]);

// Getters: true and *ret set when the place is there and right. False and nothing noted when it is
// absent; false with a problem noted when it is wrong (null is wrong: ask json_present_null first).
// Text: length in bytes; no C0/C1 controls, no bidirectional overrides. Borrowed from the document.
bool json_want_text(const struct json_at *a, size_t min, size_t max, struct slice *ret,
                    struct json_report *r);
// Does a text hold none of the characters that json_want_text refuses? For names that come by other
// ways; s is valid UTF-8.
bool json_text_is_plain(struct slice s);
// Text of any characters.
bool json_want_raw_text(const struct json_at *a, size_t min, size_t max, struct slice *ret,
                        struct json_report *r);
bool json_want_bool(const struct json_at *a, bool *ret, struct json_report *r);
bool json_want_int(const struct json_at *a, int64_t min, int64_t max, int64_t *ret,
                   struct json_report *r);
bool json_want_number(const struct json_at *a, double min, double max, double *ret,
                      struct json_report *r);
// The right container with at most `max` entries.
bool json_want_list(const struct json_at *a, size_t max, struct json_report *r);
bool json_want_map(const struct json_at *a, size_t max, struct json_report *r);
// Members of an object in order of the text; fn returns false to stop. `at` dies with the call.
void json_each(const struct json_at *o, bool (*fn)(void *ctx, const struct json_at *at), void *ctx);

// Notes a problem at a place.
void json_note(struct json_report *r, const struct json_at *a, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
// Notes "is required" when it is absent or null; true when it is there.
bool json_require(const struct json_at *a, struct json_report *r);
// Notes every member whose name is not in the list, with a "did you mean".
void json_known(const struct json_at *o, const char *const *names, size_t n, struct json_report *r);

// --- writing ------------------------------------------------------------------------------------

// Writes into a buffer that must be able to hold it (dies otherwise: bound what goes in). Commas
// and quotes are put by themselves.
struct json_out {
    struct buf *b; // borrowed
    bool comma;    // something precedes on this level
};

// Begins a text at the end of *b, borrowed.
struct json_out json_out_to(struct buf *b);
void json_out_open(struct json_out *o, char bracket); // '{' or '['
void json_out_close(struct json_out *o, char bracket);
void json_out_key(struct json_out *o, const char *name);
void json_out_text(struct json_out *o, struct slice s); // SLICE_NULL: null
void json_out_u64(struct json_out *o, uint64_t v);
// Shortest of up to 15 digits that says it; NaN and infinity: null.
void json_out_double(struct json_out *o, double v);
void json_out_bool(struct json_out *o, bool v);
void json_out_null(struct json_out *o);
// A value that is JSON text already.
void json_out_raw(struct json_out *o, struct slice json);
// Part of a parsed document; numbers with up to 15 digits, so that 0.6 stays 0.6.
void json_out_value(struct json_out *o, const struct json_value *v);

// key and value in one.
void json_out_field(struct json_out *o, const char *name, struct slice s);
void json_out_field_str(struct json_out *o, const char *name, const char *s); // NULL: null
void json_out_field_u64(struct json_out *o, const char *name, uint64_t v);
void json_out_field_bool(struct json_out *o, const char *name, bool v);
// "name": ["a", "b"], also of nothing.
void json_out_field_texts(struct json_out *o, const char *name, const char *const *list, size_t n);
// As text_format_duration writes it; 0 is not set: nothing is written.
void json_out_field_duration(struct json_out *o, const char *name, uint64_t us);

#endif
