// SPDX-License-Identifier: Apache-2.0
// One validating pass over a JSON text (RFC 8259): checks syntax, UTF-8, depth and duplicate
// top-level members, and yields a token tape over the source bytes (offsets, no copies).
// Pass-through looks at the top-level members only; translation between dialects walks the tape.
// Pure; linear time.
#ifndef SLUICE_DATAPLANE_SCAN_H
#define SLUICE_DATAPLANE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

#define SCAN_DEPTH_MAX 64u

enum scan_type {
    SCAN_NULL,
    SCAN_FALSE,
    SCAN_TRUE,
    SCAN_NUMBER,
    SCAN_STRING,
    SCAN_ARRAY,
    SCAN_OBJECT
};

// A member of the top-level object. Ranges are byte offsets into the source.
struct scan_member {
    struct slice key;   // decoded; borrows the source where it has no escapes
    struct slice value; // whole value, quotes and brackets included
    enum scan_type type;
    uint32_t begin, end; // from the key's opening quote to behind the value
    bool key_escaped;    // key has a backslash
};

struct scan_object {
    struct scan_member *members; // in the arena
    size_t n;
    uint32_t open, close; // offsets of '{' and '}'
    uint64_t names;       // scan_name_bit of every member name in the text, at every depth
};

// A bit for a member's name: when it is not in scan_object.names, no member is called so.
static inline uint64_t scan_name_bit(struct slice name)
{
    unsigned first = name.n == 0 ? 0 : (unsigned char)name.p[0];
    unsigned last = name.n == 0 ? 0 : (unsigned char)name.p[name.n - 1];

    // The factors keep the names that are asked for apart from those of every request.
    return 1ull << ((name.n * 4 + first * 36 + last * 13) & 63);
}

// Validates `src` (<= 4 GiB) as one JSON object and lists its top-level members. ERR_INVALID with
// position and what was expected: bad syntax, bad UTF-8, deeper than SCAN_DEPTH_MAX, trailing
// bytes, not an object, a member that occurs twice, more than 4,096 members.
MUST_CHECK bool scan_object(struct slice src, struct arena *a, struct scan_object *ret,
                            struct err *e);
// Only validates (any JSON value); used on provider answers.
MUST_CHECK bool scan_validate(struct slice src, struct err *e);
// As scan_validate; where the value is an object, fn is told each of its members as it is passed
// (name undecoded), and may have been told some when the text turns out to be malformed.
MUST_CHECK bool scan_members(struct slice src,
                             void (*fn)(void *ctx, struct slice name, struct slice value),
                             void *ctx);
// Values of the members called so, in one pass; the first of several wins, values that were set
// stay. False as scan_members; what was found before the error is there.
MUST_CHECK bool scan_named(struct slice object, const struct slice *names, struct slice *values,
                           size_t n);
// Member by decoded key, or NULL.
const struct scan_member *scan_find(const struct scan_object *o, const char *key);
// Members of a nested object value found in a scan (already validated).
MUST_CHECK bool scan_nested(struct slice object, struct arena *a, struct scan_object *ret);
// Elements of an array value; fn returns false to stop. Stops silently where the text is not well
// formed.
void scan_array(struct slice array, bool (*fn)(void *ctx, struct slice value, enum scan_type t),
                void *ctx);
// Value of a member of an object, without allocation and without trust: false when the text up to
// the member is not a well-formed object or has no such member. key is compared undecoded. First of
// several wins.
MUST_CHECK bool scan_get(struct slice object, const char *key, struct slice *ret);
// Decodes a string value (with quotes) into the arena: escapes and surrogate pairs. Without escapes
// the result borrows the source. False: value is not a string or holds a lone surrogate.
MUST_CHECK bool scan_string(struct slice value, struct arena *a, struct slice *ret);
// *text begins with a valid \uXXXX: steps behind it, and behind the low half of a pair, and gives
// the code point. False: half a pair alone; it is stepped over as well, *ret is untouched.
MUST_CHECK bool scan_unicode(struct slice *text, uint32_t *ret);
MUST_CHECK bool scan_u64(struct slice value, uint64_t *ret);
enum scan_type scan_type_of(struct slice value);

#endif
