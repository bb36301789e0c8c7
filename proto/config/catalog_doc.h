// SPDX-License-Identifier: Apache-2.0
// The tables of docs/providers.md, made from the catalogue.
#ifndef SLUICE_PROTO_CONFIG_CATALOG_DOC_H
#define SLUICE_PROTO_CONFIG_CATALOG_DOC_H

#include "common/base/buf.h"
#include "proto/config/catalog.h"

// Appends the tables of providers, their quirks and the models (Markdown).
void catalog_doc_render(const struct catalog *c, struct buf *out);

#endif
