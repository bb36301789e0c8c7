// SPDX-License-Identifier: Apache-2.0
// Text in the form it has inside a JSON string: escaped, without the quotes. That is the form in
// which text goes from a token tape (tape.h) into the canonical model and out through the writer
// (jwrite.h), so that joining and copying text never decodes it. Where its characters matter (data
// URLs, JSON inside strings, blank texts) the functions here look at them.
//
// All texts are well formed: they come from a tape, from jtext_encode, or are literals of plain
// ASCII without quotes and backslashes. Results are in the arena or borrow the argument. Pure.
#ifndef SLUICE_DATAPLANE_JTEXT_H
#define SLUICE_DATAPLANE_JTEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"

// The characters. A lone surrogate becomes U+FFFD. Borrows the text where nothing is escaped.
struct slice jtext_decode(struct slice text, struct arena *a);
struct slice jtext_encode(struct slice chars, struct arena *a);
// Is the decoded text this one?
bool jtext_eq(struct slice text, const char *chars);
// Nothing, or white space only (also written as \n, \t, \r, \u0020...).
bool jtext_is_blank(struct slice text);
// Without the white space at its end.
struct slice jtext_trim_end(struct slice text);
// Characters (code points) of the decoded text, and the bytes it takes in UTF-8.
size_t jtext_count(struct slice text, size_t *ret_bytes);
// a followed by b.
struct slice jtext_join(struct slice a, struct slice b, struct arena *arena);
// The JSON text that the string holds (tool arguments), validated. Empty or blank: "{}". False: it
// is not JSON. *ret borrows the text where nothing is escaped.
MUST_CHECK bool jtext_to_json(struct slice text, struct arena *a, struct slice *ret);
// The same, for a JSON object: *ret starts with its '{'. False: it is not JSON, or no object.
MUST_CHECK bool jtext_to_object(struct slice text, struct arena *a, struct slice *ret);
// "data:<media type>;base64,<data>" in its parts; false: no such URL. Parameters beside the media
// type are dropped ("data:text/plain;charset=utf-8;base64,"). Parts are texts.
MUST_CHECK bool jtext_data_url(struct slice text, struct arena *a, struct slice *ret_media_type,
                               struct slice *ret_data);

#endif
