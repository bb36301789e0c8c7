// SPDX-License-Identifier: Apache-2.0
// Canonical events -> chunks of an OpenAI client's stream. Private to the dialect.
#ifndef SLUICE_DATAPLANE_DIALECT_OPENAI_EVENT_H
#define SLUICE_DATAPLANE_DIALECT_OPENAI_EVENT_H

#include "common/base/buf.h"
#include "dataplane/canon.h"

#define DIALECT_OPENAI_EVENT_WRITER_SIZE 512u // bytes of its memory
// struct dialect.write_event.
void dialect_openai_event_write(void *writer, const struct canon_event *ev,
                                const struct canon_context *c, struct buf *out);

#endif
