// SPDX-License-Identifier: Apache-2.0
// Names of tools that the client's dialect has and the provider's refuses (too long, or with
// characters that it does not take): they go there under another name, and the answer says the
// client's again. The same tools in the same order become the same other ones, so that
// conversations and prompt caches go on.
//
//   fits                 as it is
//   too long             its first characters, "_" and 8 hex digits of its SHA-256
//   other characters     "_" in place of each; and the digits as well where that is another
//                        tool's name; other digits and a number where even that is
//
// The names of one request: every tool that is declared, chosen or called in it. Pure.
#ifndef SLUICE_DATAPLANE_CANON_NAMES_H
#define SLUICE_DATAPLANE_CANON_NAMES_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/arena.h"
#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/canon_index.h"
#include "dataplane/dialect.h"

// Zero-initialised: every name is itself. Lives as long as the arena.
struct canon_names {
    struct canon_index to, from; // client's -> provider's; provider's -> client's
    bool any;                    // some name is another one there
};

// Fills *n for a provider. The names stay the request's, which is only looked at.
void canon_names_make(struct canon_names *n, struct canon_request *r,
                      const struct dialect *provider, struct arena *a);
// Puts the provider's names into the request, or takes them out again.
void canon_names_put(const struct canon_names *n, struct canon_request *r);
void canon_names_take(const struct canon_names *n, struct canon_request *r);
// The client's name of a tool that the provider named.
struct slice canon_names_client(const struct canon_names *n, struct slice name);
// In all calls of an answer.
void canon_names_answer(const struct canon_names *n, struct canon_answer *answer);

#endif
