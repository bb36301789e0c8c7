// SPDX-License-Identifier: Apache-2.0
// Hours of a working day, "01:00-04:00", in UTC: when a vendor's other price holds. Pure.
#ifndef SLUICE_PROTO_HOURS_H
#define SLUICE_PROTO_HOURS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "common/base/slice.h"

// Minutes of a day: [begin, end), end up to 1440 (24:00) and behind begin.
struct hours_span {
    unsigned begin, end;
};

// False: no such text.
MUST_CHECK bool hours_parse(struct slice text, struct hours_span *ret);
// Is this time (microseconds since the epoch) within one of the spans, Monday to Friday? Spans that
// cannot be parsed do not count.
bool hours_include(const char *const *spans, size_t n, uint64_t wall_us);

#endif
