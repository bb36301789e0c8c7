// SPDX-License-Identifier: Apache-2.0
// Records as Redis may hold them: the input as it comes under a name of the first byte's choice,
// and a genuine sealed record with edits of the input's choice.
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "controlplane/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct record_keys *ring(void)
{
    static struct record_keys k;

    if (k.n == 0) {
        CHECK(record_keys_add(&k, (const uint8_t[CRYPTO_KEY_BYTES]){1}));
        CHECK(record_keys_add(&k, (const uint8_t[CRYPTO_KEY_BYTES]){2}));
    }
    return &k;
}

static struct slice genuine(void)
{
    static struct buf b;

    if (b.n == 0) {
        struct resource *r = resource_new(RESOURCE_PROVIDER_KEY, SLICE("x"), 5);

        r->u.provider_key->provider = "p";
        r->u.provider_key->name = "n";
        r->u.provider_key->value = secret_new(SLICE("v"));
        r->u.provider_key->origin = "api";
        r->u.provider_key->hint = "...";
        buf_init(&b, RECORD_BYTES_MAX);
        record_encode(r, RECORD_API, "f:1", ring(), &b);
        resource_unref(&r);
    }
    return buf_slice(&b);
}

static void decode(struct slice field, struct slice bytes, bool changed)
{
    struct record rec;

    (void)!record_is_stale(bytes, ring());
    (void)!record_is_bare(SLICE("provider:x"), bytes);
    if (record_decode(field, bytes, ring(), &rec, NULL)) {
        CHECK(!changed);
        resource_unref(&rec.res);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char *const fields[] = {"provider_key:x", "settings:global", "key:x",   "team:x",
                                         "router:x",       "provider:x",      "model:x", "user:x"};
    struct slice good = genuine();
    char *copy;

    if (n < 2) {
        return 0;
    }
    decode(slice_str(fields[data[0] % 8]), SLICE_MAKE((const char *)data + 1, n - 1), false);
    copy = mem_alloc(good.n);
    memcpy(copy, good.p, good.n);
    for (size_t i = 1; i + 1 < n; i += 2) {
        copy[data[i] % good.n] ^= (char)data[i + 1];
    }
    decode(SLICE("provider_key:x"), SLICE_MAKE(copy, good.n), memcmp(copy, good.p, good.n) != 0);
    mem_free(copy);
    return 0;
}
