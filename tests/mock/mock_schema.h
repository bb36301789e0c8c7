// SPDX-License-Identifier: Apache-2.0
// A value that fits a JSON Schema (or Gemini's OpenAPI form of one): what a model that was given
// the schema would have written. The same schema gives the same value.
#ifndef SLUICE_MOCK_SCHEMA_H
#define SLUICE_MOCK_SCHEMA_H

#include "common/base/buf.h"
#include "common/io/json.h"

// Appends compact JSON. ordinal: makes the values of several calls differ. pad: bytes that the
// first string is filled up to. schema NULL: "{}".
void mock_schema_value(const struct json_value *schema, unsigned ordinal, size_t pad,
                       struct buf *out);

#endif
