// SPDX-License-Identifier: Apache-2.0
// A borrowed run of bytes: pointer and length, no NUL promised. {NULL, 0} is "absent", n == 0 with
// p != NULL is "present and empty".
#ifndef SLUICE_BASE_SLICE_H
#define SLUICE_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/cdefs.h"

struct slice {
    const char *p;
    size_t n;
};

#define SLICE(lit)       ((struct slice){(lit), sizeof(lit) - 1})
#define SLICE_NULL       ((struct slice){NULL, 0})
#define SLICE_FMT        "%.*s"
#define SLICE_ARG(s)     (int)(s).n, (s).p
#define SLICE_MAKE(p, n) ((struct slice){(p), (n)})

static inline struct slice slice_str(const char *s)
{
    return s == NULL ? SLICE_NULL : (struct slice){s, strlen(s)};
}

static inline bool slice_eq(struct slice a, struct slice b)
{
    // The pointers are never NULL when n > 0; said here for the static analyzer.
    return a.n == b.n && (a.n == 0 || (a.p != NULL && b.p != NULL && memcmp(a.p, b.p, a.n) == 0));
}

static inline bool slice_eq_str(struct slice a, const char *s)
{
    return slice_eq(a, slice_str(s));
}

// One of 64 bits, the same for all spellings of a name. The bits of all names in a list, or-ed,
// tell of most names that they are not in it.
static inline uint64_t slice_nocase_bit(struct slice s)
{
    unsigned first = s.n == 0 ? 0 : (unsigned char)s.p[0] | 0x20u;
    unsigned last = s.n == 0 ? 0 : (unsigned char)s.p[s.n - 1] | 0x20u;

    return 1ull << ((s.n * 5 + first * 3 + last) & 63);
}

// ASCII only.
bool slice_eq_nocase(struct slice a, struct slice b);
bool slice_starts(struct slice s, struct slice prefix);
bool slice_starts_nocase(struct slice s, struct slice prefix);
bool slice_ends(struct slice s, struct slice suffix);
// Index of the first c, or SIZE_MAX.
size_t slice_find_char(struct slice s, char c);
// Index of the first occurrence, or SIZE_MAX.
size_t slice_find(struct slice s, struct slice needle);
// Without spaces and tabs at both ends.
struct slice slice_trim(struct slice s);
// From byte `from` to the end (empty when from >= n); the first `n` bytes at most.
struct slice slice_from(struct slice s, size_t from);
struct slice slice_head(struct slice s, size_t n);
// Splits at the first `sep`: *head is before it, the rest after it is returned; no sep: all in
// *head and SLICE_NULL returned.
struct slice slice_cut(struct slice s, char sep, struct slice *ret_head);
// Decimal digits only, no sign, no spaces; false on anything else or overflow.
MUST_CHECK bool slice_to_u64(struct slice s, uint64_t *ret);
// Byte-wise order, shorter first on a common prefix; for qsort and tables.
int slice_cmp(struct slice a, struct slice b);

#endif
