// SPDX-License-Identifier: Apache-2.0
// No input opens unless it was closed with the right keys. A random input never gets past the seal,
// so the first byte also makes genuine envelopes whose body and one flipped byte come from the
// input: they must open to exactly what was put in, or not at all.
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/check.h"
#include "proto/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct keys *ring(void)
{
    static struct keys *k;
    char dir[] = "/tmp/sluice-fuzz-XXXXXX", path[3][64];
    struct keys_files f = {.cluster_secret = path[0], .signing_key = path[1]};

    if (k == NULL) {
        CHECK(mkdtemp(dir) != NULL);
        (void)snprintf(path[0], sizeof(path[0]), "%s/cluster-secret", dir);
        (void)snprintf(path[1], sizeof(path[1]), "%s/signing-key", dir);
        (void)snprintf(path[2], sizeof(path[2]), "%s/control-public-key", dir);
        CHECK(keys_create(dir, NULL));
        k = keys_load(&f, NULL);
        CHECK(k != NULL);
        for (unsigned i = 0; i < 3; i++) {
            CHECK(unlink(path[i]) == 0);
        }
        CHECK(rmdir(dir) == 0);
    }
    return k;
}

static void flip_one(const uint8_t *data, size_t n, enum keys_purpose p)
{
    const struct envelope_expect x = {.purpose = p};
    struct envelope e = {.type = data[1], .seq = data[2], .sender = {data[3]}}, got;
    struct slice text = SLICE_MAKE((const char *)data, n);
    struct buf wire, body;
    size_t at;

    buf_init(&wire, ENVELOPE_BYTES_MAX);
    buf_init(&body, ENVELOPE_BYTES_MAX);
    envelope_close(ring(), p, &e, text, &wire);
    at = ((size_t)data[4] << 8 | data[5]) % wire.n;
    wire.p[wire.off + at] ^= (char)data[6];
    if (envelope_open(ring(), &x, buf_slice(&wire), &got, &body) == ENVELOPE_OK) {
        CHECK(slice_eq(buf_slice(&body), text));
        CHECK(got.type == e.type && got.seq == e.seq && got.count == e.count);
        CHECK(memcmp(got.sender, e.sender, sizeof(e.sender)) == 0);
    } else {
        CHECK(data[6] != 0);
    }
    buf_done(&wire);
    buf_done(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    enum keys_purpose p = n > 0 ? (enum keys_purpose)(data[0] % 3 + 1) : KEYS_BROADCAST;
    const struct envelope_expect x = {.purpose = p};
    struct envelope got;
    struct buf body;

    buf_init(&body, ENVELOPE_BYTES_MAX);
    CHECK(envelope_open(ring(), &x, SLICE_MAKE((const char *)data, n), &got, &body) != ENVELOPE_OK);
    buf_done(&body);
    if (n >= 7 && n < 4096) {
        flip_one(data, n, p);
    }
    return 0;
}
