// SPDX-License-Identifier: Apache-2.0
// Revisions and admin tokens as Redis may hold them: the input as it comes, and a genuine revision
// with bytes changed and cut where the input says.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "controlplane/revision.h"
#include "controlplane/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct record_keys *ring(void)
{
    static struct record_keys k;

    if (k.n == 0) {
        CHECK(record_keys_add(&k, (const uint8_t[CRYPTO_KEY_BYTES]){1}));
    }
    return &k;
}

static void read_one(struct slice bytes)
{
    struct revision r;
    struct err e;

    if (revision_read(bytes, ring(), &r, &e)) {
        for (size_t i = 0; i < r.n; i++) {
            CHECK(r.resources[i]->id != NULL && r.where[i] != NULL);
        }
        revision_done(&r);
    }
}

static struct slice genuine(void)
{
    static struct buf b;

    if (b.n == 0) {
        struct resource *team = resource_new(RESOURCE_TEAM, SLICE("t"), 3);
        struct resource *key = resource_new(RESOURCE_PROVIDER_KEY, SLICE("k"), 1);

        team->u.team->name = "t";
        *key->u.provider_key = (struct resource_provider_key){
            .provider = "p", .name = "n", .value = secret_new(SLICE("v")), .weight = 1};
        buf_init(&b, REVISION_BYTES_MAX);
        revision_add(&b, team, RECORD_FILE, "f:1", ring());
        revision_add(&b, key, RECORD_FILE, "f:2", ring());
        resource_unref(&team);
        resource_unref(&key);
    }
    return buf_slice(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct slice input = SLICE_MAKE((const char *)data, n), good = genuine();
    struct token t;
    char *copy;

    read_one(input);
    if (n > 0 && tokens_decode(SLICE("abc"), input, &t)) {
        CHECK(t.scopes != 0 && memchr(t.name, '\0', sizeof(t.name)) != NULL);
    }
    copy = mem_strndup(good.p, good.n);
    for (size_t i = 1; i + 2 < n; i += 3) {
        copy[(data[i] | data[i + 1] << 8) % good.n] ^= (char)data[i + 2];
    }
    read_one(SLICE_MAKE(copy, n == 0 ? good.n : good.n - data[0] % good.n));
    mem_free(copy);
    return 0;
}
