// SPDX-License-Identifier: Apache-2.0
// The first byte chooses the message type; what decodes must encode to something that decodes to
// the same.
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "proto/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct message m, again;
    struct buf first, second;
    struct arena arena;
    struct slice body;

    if (n == 0) {
        return 0;
    }
    body = SLICE_MAKE((const char *)data + 1, n - 1);
    arena_init(&arena, 4096, 0);
    buf_init(&first, 4 * (size_t)MESSAGE_BYTES_MAX);
    buf_init(&second, 4 * (size_t)MESSAGE_BYTES_MAX);
    if (message_decode(data[0] % (MESSAGE_TYPE_MAX + 2), body, &arena, &m, NULL)) {
        message_encode(&m, &first);
        if (first.n <= MESSAGE_BYTES_MAX) {
            CHECK(message_decode(m.type, buf_slice(&first), &arena, &again, NULL));
            message_encode(&again, &second);
            CHECK(slice_eq(buf_slice(&first), buf_slice(&second)));
        }
    }
    buf_done(&first);
    buf_done(&second);
    arena_done(&arena);
    return 0;
}
