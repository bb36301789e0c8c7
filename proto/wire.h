// SPDX-License-Identifier: Apache-2.0
// Bounded protobuf decoding: the bytes are checked against the schema (wire types, counts, string
// lengths, UTF-8, no NUL inside strings, depth) before protobuf-c may allocate anything for them.
// Private to proto/: this and conv.h are the only headers that show protobuf-c.
#ifndef SLUICE_PROTO_WIRE_H
#define SLUICE_PROTO_WIRE_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

struct wire_block;

// Memory of one decoded or to-be-encoded message, wiped and freed at once. One thread.
struct wire_pool {
    struct wire_block *head; // owned chain, newest first
    size_t used, max;        // bytes handed out; ceiling
};

struct wire_limits {
    size_t bytes;   // of the whole message
    uint32_t items; // elements of any one repeated field, and unknown fields of any message
    size_t string;  // bytes of any string
};

#define WIRE_FIELDS_MAX ((size_t)64 * 1024) // fields of a whole message, nested ones included
#define WIRE_DEPTH_MAX  8

// max_bytes: what one unpacked message may take; nothing is allocated. _done frees everything.
void wire_pool_init(struct wire_pool *p, size_t max_bytes);
void wire_pool_done(struct wire_pool *p);
// Zeroed, 16-byte aligned; dies when the pool's ceiling is exceeded: for sizes we chose.
void *wire_pool_alloc(struct wire_pool *p, size_t n);

// The unpacked message, living in *pool, or NULL with *e naming the field ("router.limits: ...").
MUST_CHECK ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *desc, struct slice bytes,
                                         const struct wire_limits *limits, struct wire_pool *pool,
                                         struct err *e);
// Appends the packed message; dies at the buffer's ceiling.
void wire_pack(const ProtobufCMessage *m, struct buf *out);

#endif
