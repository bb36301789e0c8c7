// SPDX-License-Identifier: Apache-2.0
// The operations of an entry of the stream: each is cut from within the input, and every one makes
// what is left shorter.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "controlplane/entry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void inside(struct slice part, const char *whole, size_t n)
{
    CHECK(part.p >= whole && part.n <= n && part.p + part.n <= whole + n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy;
    struct slice ops;
    struct entry_op op;
    size_t left = n;

    if (n == 0) {
        return 0;
    }
    copy = mem_alloc(n); // so that what is read beyond the end is seen
    memcpy(copy, data, n);
    ops = SLICE_MAKE(copy, n);
    while (entry_take_op(&ops, &op)) {
        inside(op.field, copy, n);
        inside(op.record, copy, n);
        CHECK(ops.n + 8 + op.field.n + op.record.n == left);
        left = ops.n;
    }
    mem_free(copy);
    return 0;
}
