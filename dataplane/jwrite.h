// SPDX-License-Identifier: Apache-2.0
// The one JSON writer of the data plane: compact (no spaces), commas by itself, source bytes as
// they are. Used by every translator. The caller keeps begin and end in pairs; the writer holds no
// stack. Pure; writes to the end of a buf (whose ceiling the caller chose above what it can write,
// see buf.h).
#ifndef SLUICE_DATAPLANE_JWRITE_H
#define SLUICE_DATAPLANE_JWRITE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

struct jwrite {
    struct buf *out; // borrowed
    bool comma;      // the next value or name of this container needs one before it
};

static inline struct jwrite jwrite_to(struct buf *out)
{
    return (struct jwrite){out, false};
}

// Containers; the _in forms are members of the open object.
void jwrite_object(struct jwrite *w);
void jwrite_object_in(struct jwrite *w, const char *name);
void jwrite_object_end(struct jwrite *w);
void jwrite_array(struct jwrite *w);
void jwrite_array_in(struct jwrite *w, const char *name);
void jwrite_array_end(struct jwrite *w);

// A member's name; one value must follow. name: plain ASCII.
void jwrite_name(struct jwrite *w, const char *name);
// The same for a name that came from somewhere, as jtext.
void jwrite_name_text(struct jwrite *w, struct slice name);

// Values, in an array or after a name.
void jwrite_raw(struct jwrite *w, struct slice json); // JSON, byte for byte
void jwrite_compact(struct jwrite *w,
                    struct slice json); // JSON, without white space between tokens, strings in
                                        // their shortest form (\u00e9 is written as the letter)
void jwrite_text(struct jwrite *w, struct slice text);    // jtext
void jwrite_string(struct jwrite *w, struct slice chars); // characters, escaped here
void jwrite_u64(struct jwrite *w, uint64_t v);
void jwrite_bool(struct jwrite *w, bool v);
void jwrite_null(struct jwrite *w);
// JSON, compact, as the text of a string: {"a": 1} -> "{\"a\":1}".
void jwrite_quoted(struct jwrite *w, struct slice json);

// A string in pieces.
void jwrite_text_begin(struct jwrite *w);
void jwrite_text_more(struct jwrite *w, struct slice text);    // jtext
void jwrite_string_more(struct jwrite *w, struct slice chars); // characters
void jwrite_quoted_more(struct jwrite *w, struct slice json);  // compact JSON
void jwrite_text_end(struct jwrite *w);

// Members of the open object. Those marked (o) write nothing when the slice is SLICE_NULL.
void jwrite_raw_in(struct jwrite *w, const char *name, struct slice json);     // (o)
void jwrite_text_in(struct jwrite *w, const char *name, struct slice text);    // (o)
void jwrite_string_in(struct jwrite *w, const char *name, struct slice chars); // (o)
void jwrite_u64_in(struct jwrite *w, const char *name, uint64_t v);
void jwrite_bool_in(struct jwrite *w, const char *name, bool v);
void jwrite_null_in(struct jwrite *w, const char *name);

#endif
