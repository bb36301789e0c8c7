// SPDX-License-Identifier: Apache-2.0
// SipHash-1-3 (Aumasson, Bernstein): one compression round per 8 bytes, three at the end. Keyed
// with a random process key, nobody outside can choose colliding keys.
#include "common/base/hash.h"

#include <pthread.h>
#include <sys/random.h>

#include "common/base/check.h"

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t rotl(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v1 = rotl(s->v1, 13) ^ s->v0;
    s->v0 = rotl(s->v0, 32);
    s->v2 += s->v3;
    s->v3 = rotl(s->v3, 16) ^ s->v2;
    s->v0 += s->v3;
    s->v3 = rotl(s->v3, 21) ^ s->v0;
    s->v2 += s->v1;
    s->v1 = rotl(s->v1, 17) ^ s->v2;
    s->v2 = rotl(s->v2, 32);
}

// Little-endian whatever the machine, so that test vectors hold.
static inline uint64_t load64(const char *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    x = __builtin_bswap64(x);
#endif
    return x;
}

uint64_t hash_bytes(const struct hash_key *key, struct slice s)
{
    struct sip h = {
        .v0 = key->k0 ^ 0x736f6d6570736575U,
        .v1 = key->k1 ^ 0x646f72616e646f6dU,
        .v2 = key->k0 ^ 0x6c7967656e657261U,
        .v3 = key->k1 ^ 0x7465646279746573U,
    };
    uint64_t last = (uint64_t)s.n << 56;
    size_t i = 0;

    for (; s.n - i >= 8; i += 8) {
        uint64_t m = load64(s.p + i);

        h.v3 ^= m;
        sip_round(&h);
        h.v0 ^= m;
    }
    for (unsigned shift = 0; i < s.n; i++, shift += 8) {
        last |= (uint64_t)(uint8_t)s.p[i] << shift;
    }
    h.v3 ^= last;
    sip_round(&h);
    h.v0 ^= last;
    h.v2 ^= 0xff;
    sip_round(&h);
    sip_round(&h);
    sip_round(&h);
    return h.v0 ^ h.v1 ^ h.v2 ^ h.v3;
}

static struct hash_key process_key;
static pthread_once_t process_key_once = PTHREAD_ONCE_INIT;

static void process_key_make(void)
{
    // 16 bytes: never short, and blocks only before the kernel's pool is seeded.
    CHECK(getrandom(&process_key, sizeof(process_key), 0) == (ssize_t)sizeof(process_key));
}

const struct hash_key *hash_process_key(void)
{
    CHECK(pthread_once(&process_key_once, process_key_make) == 0);
    return &process_key;
}
