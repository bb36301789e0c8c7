// SPDX-License-Identifier: Apache-2.0
// What decodes must encode to something that decodes to the same.
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "proto/resource.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct resource *r = resource_decode(SLICE_MAKE((const char *)data, n), NULL), *again;
    struct buf first, second;

    if (r == NULL) {
        return 0;
    }
    buf_init(&first, 4 * (size_t)RESOURCE_BYTES_MAX);
    buf_init(&second, 4 * (size_t)RESOURCE_BYTES_MAX);
    resource_encode(r, &first);
    if (first.n <= RESOURCE_BYTES_MAX) {
        again = resource_decode(buf_slice(&first), NULL);
        CHECK(again != NULL);
        resource_encode(again, &second);
        CHECK(slice_eq(buf_slice(&first), buf_slice(&second)));
        resource_unref(&again);
    }
    resource_unref(&r);
    buf_done(&first);
    buf_done(&second);
    return 0;
}
