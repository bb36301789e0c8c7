// SPDX-License-Identifier: Apache-2.0
// What Ollama's own API answers. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OLLAMA_READ_H
#define SLUICE_DATAPLANE_DIALECT_OLLAMA_READ_H

#include <stdbool.h>

#include "common/base/slice.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

#define DIALECT_OLLAMA_READER_SIZE 16u // bytes of a reader's memory

// Members of struct dialect.
bool dialect_ollama_read_answer(const struct tape *t, const struct canon_context *c,
                                struct canon_answer *ret);
bool dialect_ollama_read_event(void *reader, struct tape *t, struct slice event, struct slice data,
                               const struct canon_context *c, struct canon_sink to);
void dialect_ollama_read_end(void *reader, const struct canon_context *c, struct canon_sink to);

#endif
