// SPDX-License-Identifier: Apache-2.0
// Embeddings. The numbers are multiples of 1/1024 below 1, exact in float32 and in decimal, so that
// the list and the base64 form of an answer can be compared bit for bit.
#include "tests/mock/mock_embed.h"

#include "tests/mock/mock_put.h"

#define DIMENSIONS_DEFAULT 16u
#define DIMENSIONS_MAX     4096u

// -1023 .. 1023
static int32_t component(uint64_t input, uint64_t i)
{
    uint64_t x = (input * 1000003 + i + 1) * 0x9e3779b97f4a7c15u;

    return (int32_t)((x >> 40) % 2047) - 1023;
}

static void put_fraction(struct buf *out, int32_t thousand24ths)
{
    uint32_t a = (uint32_t)(thousand24ths < 0 ? -thousand24ths : thousand24ths);
    char digits[10];
    uint64_t v = (uint64_t)a * 9765625; // a / 1024 in units of 1e-10

    if (thousand24ths < 0) {
        put(out, "-");
    }
    put(out, "0.");
    for (size_t i = sizeof(digits); i > 0; i--) {
        digits[i - 1] = (char)('0' + v % 10);
        v /= 10;
    }
    buf_append(out, SLICE_MAKE(digits, sizeof(digits)));
}

static void put_base64(struct buf *out, const uint8_t *p, size_t n)
{
    static const char set[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)p[i] << 16;
        char four[4];

        v |= i + 1 < n ? (uint32_t)p[i + 1] << 8 : 0;
        v |= i + 2 < n ? (uint32_t)p[i + 2] : 0;
        four[0] = set[v >> 18];
        four[1] = set[v >> 12 & 63];
        four[2] = i + 1 < n ? set[v >> 6 & 63] : '=';
        four[3] = i + 2 < n ? set[v & 63] : '=';
        buf_append(out, SLICE_MAKE(four, 4));
    }
}

static void put_vector(struct buf *out, uint64_t input, uint64_t dimensions, bool base64)
{
    uint8_t bytes[DIMENSIONS_MAX * 4];

    for (uint64_t i = 0; i < dimensions; i++) {
        int32_t c = component(input, i);
        float f = (float)c / 1024.0f;

        if (base64) {
            memcpy(bytes + i * 4, &f, 4); // little-endian, as every machine this runs on
            continue;
        }
        buf_append_str(out, i > 0 ? "," : "[");
        put_fraction(out, c);
    }
    if (base64) {
        put(out, "\"");
        put_base64(out, bytes, (size_t)dimensions * 4);
        put(out, "\"");
    } else {
        put(out, "]");
    }
}

void mock_embed_vector(const struct mock_subject *s, uint64_t i, bool base64, struct buf *out)
{
    uint64_t dimensions = s->ask->dimensions > 0 && s->ask->dimensions <= DIMENSIONS_MAX
                              ? s->ask->dimensions
                              : DIMENSIONS_DEFAULT;
    // What is embedded must matter, how it came must not.
    uint64_t seed = 0;

    for (size_t k = 0; k < s->ask->user.n; k++) {
        seed = seed * 31 + (unsigned char)s->ask->user.p[k];
    }
    put_vector(out, seed + i, dimensions, base64);
}
