// SPDX-License-Identifier: Apache-2.0
// JSON schemas as Anthropic takes them. Private to the dialect. Pure.
#ifndef SLUICE_DATAPLANE_DIALECT_ANTHROPIC_SCHEMA_H
#define SLUICE_DATAPLANE_DIALECT_ANTHROPIC_SCHEMA_H

#include "common/base/slice.h"
#include "dataplane/jwrite.h"

// The value of output_config.format.schema: the subset of keywords that structured outputs know,
// objects closed (additionalProperties: false), oneOf as anyOf. schema: JSON.
void dialect_anthropic_schema_write(struct slice schema, struct jwrite *w);
// A tool's input_schema: as it is, but always of type object, and without alternatives at the top:
// their properties are put together. schema: JSON or SLICE_NULL.
void dialect_anthropic_schema_write_input(struct slice schema, struct jwrite *w);

#endif
