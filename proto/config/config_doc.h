// SPDX-License-Identifier: Apache-2.0
// docs/configuration.md, made from the tables of the document (`sluice config docs`).
#ifndef SLUICE_PROTO_CONFIG_CONFIG_DOC_H
#define SLUICE_PROTO_CONFIG_CONFIG_DOC_H

#include "common/base/buf.h"

// Appends the whole page.
void config_doc_render(struct buf *out);

#endif
