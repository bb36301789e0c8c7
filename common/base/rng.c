// SPDX-License-Identifier: Apache-2.0
// xoshiro256** (Blackman, Vigna), seeded through splitmix64 so that near seeds give far streams.
#include "common/base/rng.h"

#include <sys/random.h>
#include <sys/types.h>

#include "common/base/check.h"

static uint64_t rotl(uint64_t x, unsigned bits)
{
    return (x << bits) | (x >> (64 - bits));
}

static uint64_t splitmix(uint64_t *x)
{
    uint64_t z = (*x += 0x9e3779b97f4a7c15U);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
}

void rng_init(struct rng *r, uint64_t seed)
{
    while (seed == 0) {
        // 8 bytes: never short.
        CHECK(getrandom(&seed, sizeof(seed), 0) == (ssize_t)sizeof(seed));
    }
    for (int i = 0; i < 4; i++) {
        r->s[i] = splitmix(&seed);
    }
}

uint64_t rng_next(struct rng *r)
{
    uint64_t result = rotl(r->s[1] * 5, 7) * 9;
    uint64_t t = r->s[1] << 17;

    r->s[2] ^= r->s[0];
    r->s[3] ^= r->s[1];
    r->s[1] ^= r->s[2];
    r->s[0] ^= r->s[3];
    r->s[2] ^= t;
    r->s[3] = rotl(r->s[3], 45);
    return result;
}

// Lemire's multiply-shift: the high half of a 128-bit product is uniform once the few low halves
// below 2^64 mod n are rejected.
uint64_t rng_below(struct rng *r, uint64_t n)
{
    CHECK(n > 0);
    unsigned __int128 m = (unsigned __int128)rng_next(r) * n;

    if ((uint64_t)m < n) {
        uint64_t floor = -n % n;

        while ((uint64_t)m < floor) {
            m = (unsigned __int128)rng_next(r) * n;
        }
    }
    return (uint64_t)(m >> 64);
}

double rng_unit(struct rng *r)
{
    return (double)(rng_next(r) >> 11) * 0x1p-53;
}
