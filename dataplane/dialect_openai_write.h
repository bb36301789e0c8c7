// SPDX-License-Identifier: Apache-2.0
// Canonical answers -> OpenAI clients: whole answers of Chat Completions, Completions and
// Embeddings, and what streams share with them. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_WRITE_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_WRITE_H

#include "common/base/buf.h"
#include "dataplane/canon.h"
#include "dataplane/jwrite.h"

// struct dialect.write_answer.
void dialect_openai_write_answer(const struct canon_answer *answer, const struct canon_context *c,
                                 struct buf *out);

// Members of the open object.
void dialect_openai_write_usage(struct jwrite *w, const struct dialect_usage *u,
                                const struct canon_context *c);
void dialect_openai_write_google_signature(struct jwrite *w, struct slice signature);
// Media that are no file id, as an address: a data: URL where they are here.
void dialect_openai_write_address(struct jwrite *w, const char *name, const struct canon_part *p);
// Values of an open array.
void dialect_openai_write_image(struct jwrite *w, const struct canon_part *p);
void dialect_openai_write_citation(struct jwrite *w, const struct canon_citation *k);
// OpenAI's word, never null: an unknown reason is "stop". `calls`: the choice has tool calls.
struct slice dialect_openai_write_finish(enum canon_finish finish, bool calls,
                                         const struct canon_context *c);
// The model's name as jtext: the provider's, else the one that was asked.
struct slice dialect_openai_write_model(struct slice model, const struct canon_context *c);
// The provider's id, else a made one with the endpoint's prefix.
struct slice dialect_openai_write_id(struct slice id, const struct canon_context *c);

#endif
