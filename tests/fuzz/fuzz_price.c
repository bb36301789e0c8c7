// SPDX-License-Identifier: Apache-2.0
// Costs that providers write: what is a number comes back from its own text, and a body with a cost
// put in is still JSON with that cost in its usage.
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "dataplane/meter.h"
#include "dataplane/scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = {(const char *)data, size}, usage, cost;
    uint64_t pico = 0, back = 0;
    char text[40];
    struct buf out;

    if (price_parse_usd(in, &pico)) {
        CHECK(price_parse_usd(slice_str(price_format_usd(pico, text)), &back) && back == pico);
    }
    buf_init(&out, size + 64);
    if (meter_insert_cost(in, SLICE("0.25"), &out)) {
        CHECK(scan_get(buf_slice(&out), "usage", &usage));
        CHECK(scan_get(usage, "cost", &cost) && slice_eq_str(cost, "0.25"));
        CHECK(scan_validate(in, NULL) == scan_validate(buf_slice(&out), NULL));
    }
    buf_done(&out);
    return 0;
}
