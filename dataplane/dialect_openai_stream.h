// SPDX-License-Identifier: Apache-2.0
// Streams of providers of OpenAI's dialect -> canonical events. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_STREAM_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_STREAM_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "dataplane/canon.h"
#include "dataplane/tape.h"

#define DIALECT_OPENAI_STREAM_READER_SIZE 256u // bytes of its memory
// struct dialect.read_event, read_end.
MUST_CHECK bool dialect_openai_stream_event(void *reader, struct tape *t, struct slice event,
                                            struct slice data, const struct canon_context *c,
                                            struct canon_sink to);
void dialect_openai_stream_end(void *reader, const struct canon_context *c, struct canon_sink to);

#endif
