// SPDX-License-Identifier: Apache-2.0
// The manual of a table, as Markdown: one heading and one table of keys for each section, in the
// order of the fields.
#ifndef SLUICE_BASE_CONF_DOC_H
#define SLUICE_BASE_CONF_DOC_H

#include "common/base/buf.h"
#include "common/base/conf.h"

// Appends the sections of t, each top-level one as a heading of level 2. A table that several
// sections use is written out once and referred to after that.
void conf_doc_render(const struct conf_table *t, struct buf *out);

#endif
