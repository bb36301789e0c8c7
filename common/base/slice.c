// SPDX-License-Identifier: Apache-2.0
// Reading functions over borrowed bytes. None of them touches a NULL pointer: an absent slice
// behaves as an empty one.
#include "common/base/slice.h"

static unsigned char lower(char c)
{
    unsigned char u = (unsigned char)c;

    return u >= 'A' && u <= 'Z' ? (unsigned char)(u | 0x20) : u;
}

bool slice_eq_nocase(struct slice a, struct slice b)
{
    if (a.n != b.n) {
        return false;
    }
    for (size_t i = 0; i < a.n; i++) {
        if (a.p[i] != b.p[i] && lower(a.p[i]) != lower(b.p[i])) {
            return false;
        }
    }
    return true;
}

bool slice_starts(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq(slice_head(s, prefix.n), prefix);
}

bool slice_starts_nocase(struct slice s, struct slice prefix)
{
    return s.n >= prefix.n && slice_eq_nocase(slice_head(s, prefix.n), prefix);
}

bool slice_ends(struct slice s, struct slice suffix)
{
    return s.n >= suffix.n && slice_eq(slice_from(s, s.n - suffix.n), suffix);
}

size_t slice_find_char(struct slice s, char c)
{
    const char *at = s.n == 0 ? NULL : memchr(s.p, c, s.n);

    return at == NULL ? SIZE_MAX : (size_t)(at - s.p);
}

size_t slice_find(struct slice s, struct slice needle)
{
    const char *at;

    if (needle.n == 0) {
        return 0;
    }
    if (s.n < needle.n) {
        return SIZE_MAX;
    }
    at = memmem(s.p, s.n, needle.p, needle.n);
    return at == NULL ? SIZE_MAX : (size_t)(at - s.p);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct slice slice_trim(struct slice s)
{
    while (s.n > 0 && is_blank(s.p[0])) {
        s.p++;
        s.n--;
    }
    while (s.n > 0 && is_blank(s.p[s.n - 1])) {
        s.n--;
    }
    return s;
}

struct slice slice_from(struct slice s, size_t from)
{
    if (s.p == NULL) {
        return s;
    }
    if (from > s.n) {
        from = s.n;
    }
    return (struct slice){s.p + from, s.n - from};
}

struct slice slice_head(struct slice s, size_t n)
{
    return (struct slice){s.p, n < s.n ? n : s.n};
}

struct slice slice_cut(struct slice s, char sep, struct slice *ret_head)
{
    size_t at = slice_find_char(s, sep);

    if (at == SIZE_MAX) {
        *ret_head = s;
        return SLICE_NULL;
    }
    *ret_head = slice_head(s, at);
    return slice_from(s, at + 1);
}

bool slice_to_u64(struct slice s, uint64_t *ret)
{
    uint64_t v = 0;

    if (s.n == 0) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v)) {
            return false;
        }
    }
    *ret = v;
    return true;
}

int slice_cmp(struct slice a, struct slice b)
{
    size_t n = a.n < b.n ? a.n : b.n;
    int c = n == 0 ? 0 : memcmp(a.p, b.p, n);

    return c != 0 ? c : (a.n > b.n) - (a.n < b.n);
}
