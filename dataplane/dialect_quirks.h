// SPDX-License-Identifier: Apache-2.0
// What vendors of OpenAI's dialect, and some models, want otherwise than OpenAI's documents say: an
// OpenAI body is edited as the quirks and traits of the target say (proto/resource.h), which are
// data; no vendor is known here. Used on a client's body between equal dialects, and on what
// write_request wrote. Members that nothing is said about keep their bytes. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_QUIRKS_H
#define SLUICE_DATAPLANE_DIALECT_QUIRKS_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/dialect.h"

enum dialect_quirks_result {
    DIALECT_QUIRKS_NONE,    // nothing to edit: the body goes as it is
    DIALECT_QUIRKS_EDITED,  // `out` has the body
    DIALECT_QUIRKS_REFUSED, // the outcome says why: a 400
};

// Between equal dialects, before a body is looked at closely: false: this target changes nothing of
// it, so that it passes in pieces, uncopied. Cheap: names of top-level members, and a search for
// the names of a few inner ones. `body`: the client's, `top` what was found in it.
bool dialect_quirks_may_touch(const struct scan_object *top, struct slice body,
                              const struct canon_target *t);
// Edits a body for the endpoint (CHAT, COMPLETIONS, EMBEDDINGS; others are never edited). r: the
// canonical request it was written from, whose client's names go into dropped params; NULL between
// equal dialects. out is only written to when EDITED.
MUST_CHECK enum dialect_quirks_result
dialect_quirks_edit(struct slice body, enum dialect_endpoint ep, const struct canon_request *r,
                    const struct canon_target *t, struct canon_outcome *o, struct buf *out);

#endif
