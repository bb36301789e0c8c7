// SPDX-License-Identifier: Apache-2.0
// Conversion between our plain C structs and the structs protobuf-c generates, driven by one table
// for each message: a row says where a field is on both sides and what bounds it has. Both
// directions use the same row, so they cannot disagree. Private to proto/.
//
//   static const struct conv_field pair_fields[] = {
//       CONV_S(resource_pair, Pb__Pair, name), CONV_S(resource_pair, Pb__Pair, value)};
//   const struct conv_table pair_table = CONV_TABLE(resource_pair, pb__pair, pair_fields);
//
// The row macros check the types of both fields at compile time.
#ifndef SLUICE_PROTO_CONV_H
#define SLUICE_PROTO_CONV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/secret.h"
#include "common/base/slice.h"
#include "proto/wire.h"

enum conv_type {
    CONV_STRING,   // const char *, never NULL after decoding
    CONV_NULLABLE, // const char *, NULL <-> ""
    CONV_U32,      // bounded by min, max (also enums)
    CONV_ENUM,     // one of 0..max; a value of a later version is read as 0: nothing known
    CONV_U64,
    CONV_BOOL,
    CONV_FIXED,    // uint8_t[max] <-> bytes of exactly that length, or none (zero)
    CONV_SLICE,    // struct slice <-> bytes
    CONV_SECRET,   // struct secret * <-> bytes; none: NULL
    CONV_STRINGS,  // const char *const * and count
    CONV_MESSAGE,  // embedded struct
    CONV_MESSAGES, // const struct * and count
};

struct conv_table;

struct conv_field {
    const char *name;
    enum conv_type type;
    uint16_t ours, ours_n; // offsets
    uint16_t pb, pb_n;
    uint32_t min, max;
    const struct conv_table *sub;
};

struct conv_table {
    const ProtobufCMessageDescriptor *desc;
    size_t size; // of our struct
    const struct conv_field *fields;
    size_t n;
};

// Our struct -> a protobuf-c message in the pool. Strings and bytes are borrowed.
ProtobufCMessage *conv_to_pb(const struct conv_table *t, const void *ours, struct wire_pool *pool);
// protobuf-c message -> *ours, everything copied into the arena; false with *e naming the field.
// On failure secrets already made are released by the caller as for a complete struct (fields not
// reached are zero).
MUST_CHECK bool conv_from_pb(const struct conv_table *t, const ProtobufCMessage *m,
                             struct arena *arena, void *ours, struct err *e);

// 0, or a compile-time error.
#define CONV_ASSERT(cond)   (0 * sizeof(char[(cond) ? 1 : -1]))
#define CONV_IS(S, f, type) __builtin_types_compatible_p(__typeof__(((S *)0)->f), type)
#define CONV_AT(S, f, cond) (uint16_t)(offsetof(S, f) + CONV_ASSERT(cond))
#define CONV_ROW(S, P, f, kind, is_ours, is_pb, ...)                                               \
    {                                                                                              \
        .name = #f, .type = (kind), .ours = CONV_AT(struct S, f, is_ours),                         \
        .pb = CONV_AT(P, f, is_pb), __VA_ARGS__                                                    \
    }

#define CONV_S(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_STRING, CONV_IS(struct S, f, const char *), CONV_IS(P, f, char *), )
#define CONV_N(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_NULLABLE, CONV_IS(struct S, f, const char *), CONV_IS(P, f, char *), )
#define CONV_U(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_U64, CONV_IS(struct S, f, uint64_t), CONV_IS(P, f, uint64_t), )
#define CONV_I(S, P, f, lo, hi)                                                                    \
    CONV_ROW(S, P, f, CONV_U32, sizeof(((struct S *)0)->f) == 4, CONV_IS(P, f, uint32_t),          \
             .min = (lo), .max = (hi))
#define CONV_E(S, P, f, hi)                                                                        \
    CONV_ROW(S, P, f, CONV_ENUM, sizeof(((struct S *)0)->f) == 4, CONV_IS(P, f, uint32_t),         \
             .max = (hi))
#define CONV_B(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_BOOL, CONV_IS(struct S, f, bool), CONV_IS(P, f, protobuf_c_boolean), )
#define CONV_F(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_FIXED, sizeof(((struct S *)0)->f[0]) == 1,                              \
             CONV_IS(P, f, ProtobufCBinaryData), .max = sizeof(((struct S *)0)->f))
#define CONV_D(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_SLICE, CONV_IS(struct S, f, struct slice),                              \
             CONV_IS(P, f, ProtobufCBinaryData), )
#define CONV_X(S, P, f)                                                                            \
    CONV_ROW(S, P, f, CONV_SECRET, CONV_IS(struct S, f, struct secret *),                          \
             CONV_IS(P, f, ProtobufCBinaryData), )
#define CONV_SS(S, P, f)                                                                           \
    CONV_ROW(S, P, f, CONV_STRINGS, CONV_IS(struct S, f, const char *const *),                     \
             CONV_IS(P, f, char **), .ours_n = CONV_AT(struct S, n_##f, 1),                        \
             .pb_n = CONV_AT(P, n_##f, 1))
#define CONV_M(S, P, f, sub_type, sub_table)                                                       \
    CONV_ROW(S, P, f, CONV_MESSAGE, CONV_IS(struct S, f, struct sub_type),                         \
             sizeof(((P *)0)->f) == sizeof(void *), .sub = (sub_table))
#define CONV_MS(S, P, f, sub_type, sub_table)                                                      \
    CONV_ROW(S, P, f, CONV_MESSAGES, CONV_IS(struct S, f, const struct sub_type *),                \
             sizeof(((P *)0)->f) == sizeof(void *), .ours_n = CONV_AT(struct S, n_##f, 1),         \
             .pb_n = CONV_AT(P, n_##f, 1), .sub = (sub_table))
#define CONV_TABLE(S, pb_name, rows)                                                               \
    {                                                                                              \
        .desc = &pb_name##__descriptor, .size = sizeof(struct S), .fields = (rows),                \
        .n = ARRAY_LEN(rows)                                                                       \
    }

#endif
