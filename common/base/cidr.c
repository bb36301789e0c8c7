// SPDX-License-Identifier: Apache-2.0
#include "common/base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

bool cidr_parse(struct slice s, struct cidr *ret)
{
    struct cidr c = {.v4 = true};
    struct slice address, bits = slice_cut(s, '/', &address);
    uint64_t n = 0;
    char text[64];

    if (address.n >= sizeof(text) || (bits.p != NULL && !slice_to_u64(bits, &n))) {
        return false;
    }
    memcpy(text, address.p, address.n);
    text[address.n] = '\0';
    c.v4 = inet_pton(AF_INET, text, c.addr) == 1;
    if (!c.v4 && inet_pton(AF_INET6, text, c.addr) != 1) {
        return false;
    }
    uint64_t most = c.v4 ? 32 : 128;
    if (n > most) {
        return false;
    }
    c.bits = (uint8_t)(bits.p == NULL ? most : n);
    *ret = c;
    return true;
}

static bool same_bits(const uint8_t *a, const uint8_t *b, unsigned bits)
{
    unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, b, whole) == 0 && (rest == 0 || (a[whole] ^ b[whole]) >> (8 - rest) == 0);
}

bool cidr_contains(const struct cidr *list, size_t n, const struct sockaddr *address)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    const uint8_t *bytes;
    bool v4 = address->sa_family == AF_INET;

    if (v4) {
        bytes = (const uint8_t *)&((const struct sockaddr_in *)(const void *)address)->sin_addr;
    } else if (address->sa_family == AF_INET6) {
        bytes = ((const struct sockaddr_in6 *)(const void *)address)->sin6_addr.s6_addr;
        v4 = memcmp(bytes, mapped, sizeof(mapped)) == 0;
        bytes += v4 ? sizeof(mapped) : 0;
    } else {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (list[i].v4 == v4 && same_bits(list[i].addr, bytes, list[i].bits)) {
            return true;
        }
    }
    return false;
}
