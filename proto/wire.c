// SPDX-License-Identifier: Apache-2.0
// Bounded protobuf decoding.
//
//   bytes -> check(schema, bytes): walks tags only, allocates nothing -> protobuf_c_message_unpack
//                                                                       out of the pool
//
// protobuf-c expands small inputs (two bytes of an empty sub-message become a struct of a hundred)
// and does not look into strings; after the walk both are known to be in bounds. The pool has a
// ceiling all the same, and is wiped, since some messages carry secrets.
#include "proto/wire.h"

#include <stdbool.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define POOL_BLOCK  ((size_t)4096 - 64)
#define COUNTED_MAX 64 // fields of one message type in the schema

struct wire_block {
    struct wire_block *next;
    size_t used, cap;
    size_t pad; // keeps the bytes behind 16-byte aligned
};

void wire_pool_init(struct wire_pool *p, size_t max_bytes)
{
    *p = (struct wire_pool){.max = max_bytes};
}

void wire_pool_done(struct wire_pool *p)
{
    while (p->head != NULL) {
        struct wire_block *b = p->head;

        p->head = b->next;
        mem_wipe(b + 1, b->used);
        mem_free(b);
    }
    p->used = 0;
}

static void *pool_try_alloc(struct wire_pool *p, size_t n)
{
    struct wire_block *b = p->head;
    void *at;

    if (n > p->max) {
        return NULL;
    }
    n = n == 0 ? 16 : (n + 15) & ~(size_t)15;
    if (n > p->max - p->used) {
        return NULL;
    }
    if (b == NULL || n > b->cap - b->used) {
        size_t cap = n > POOL_BLOCK ? n : POOL_BLOCK;

        b = mem_try_alloc(sizeof(*b) + cap);
        if (b == NULL) {
            return NULL;
        }
        *b = (struct wire_block){.next = p->head, .cap = cap};
        p->head = b;
    }
    at = (char *)(b + 1) + b->used;
    b->used += n;
    p->used += n;
    return at;
}

void *wire_pool_alloc(struct wire_pool *p, size_t n)
{
    void *at = pool_try_alloc(p, n);

    CHECK(at != NULL);
    return memset(at, 0, n);
}

// ---- the walk --------------------------------------------------------------------------------

struct walk {
    const struct wire_limits *limits;
    size_t fields; // seen so far, all levels
    struct err *e;
};

static bool take_varint(struct slice *s, uint64_t *ret)
{
    uint64_t v = 0;

    for (size_t i = 0; i < s->n && i < 10; i++) {
        uint8_t byte = (uint8_t)s->p[i];

        v |= (uint64_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0) {
            *ret = v;
            *s = slice_from(*s, i + 1);
            return true;
        }
    }
    return false;
}

// Takes the value behind a tag; for length-delimited ones *ret_body is its bytes.
static bool take_value(struct slice *s, unsigned wire_type, struct slice *ret_body)
{
    uint64_t n;

    switch (wire_type) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return take_varint(s, &n);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        n = 8;
        break;
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        n = 4;
        break;
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        if (!take_varint(s, &n)) {
            return false;
        }
        break;
    default: // groups and reserved types do not occur
        return false;
    }
    if (n > s->n) {
        return false;
    }
    *ret_body = slice_head(*s, (size_t)n);
    *s = slice_from(*s, (size_t)n);
    return true;
}

static unsigned wire_type_of(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_ENUM:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
    UNREACHABLE();
}

static bool check_string(struct walk *w, struct slice s)
{
    if (s.n > w->limits->string) {
        return err_set(w->e, ERR_TOO_LARGE, "longer than %zu bytes", w->limits->string);
    }
    if (s.n > 0 && memchr(s.p, '\0', s.n) != NULL) {
        return err_set(w->e, ERR_INVALID, "contains a NUL");
    }
    if (!text_utf8_valid(s)) {
        return err_set(w->e, ERR_INVALID, "is not UTF-8");
    }
    return true;
}

static bool check_message(struct walk *w, const ProtobufCMessageDescriptor *desc, struct slice s,
                          unsigned depth);

static bool check_field(struct walk *w, const ProtobufCFieldDescriptor *f, unsigned wire_type,
                        struct slice body, unsigned depth)
{
    bool ok = true;

    if (wire_type != wire_type_of(f)) {
        ok = err_set(w->e, ERR_INVALID, "has wire type %u", wire_type);
    } else if (f->type == PROTOBUF_C_TYPE_STRING) {
        ok = check_string(w, body);
    } else if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        ok = check_message(w, f->descriptor, body, depth + 1);
        if (!ok) {
            return err_prefix(w->e, "%s", f->name);
        }
    }
    return ok || err_prefix(w->e, "%s", f->name);
}

static bool check_message(struct walk *w, const ProtobufCMessageDescriptor *desc, struct slice s,
                          unsigned depth)
{
    uint32_t counts[COUNTED_MAX] = {0}, unknown = 0;

    CHECK(desc->n_fields <= COUNTED_MAX);
    if (depth > WIRE_DEPTH_MAX) {
        return err_set(w->e, ERR_TOO_LARGE, "nested deeper than %d", WIRE_DEPTH_MAX);
    }
    while (s.n > 0) {
        const ProtobufCFieldDescriptor *f;
        struct slice body = SLICE_NULL;
        uint32_t *count = &unknown;
        uint64_t tag;

        if (!take_varint(&s, &tag) || tag > UINT32_MAX || tag >> 3 == 0 ||
            !take_value(&s, tag & 7, &body)) {
            return err_set(w->e, ERR_INVALID, "damaged encoding");
        }
        if (++w->fields > WIRE_FIELDS_MAX) {
            return err_set(w->e, ERR_TOO_LARGE, "more than %zu fields", WIRE_FIELDS_MAX);
        }
        f = protobuf_c_message_descriptor_get_field(desc, (unsigned)(tag >> 3));
        if (f != NULL) {
            count = &counts[f - desc->fields];
        }
        // A singular field that comes twice is legal protobuf (the last wins, messages merge), but
        // nobody we talk to writes that.
        if (++*count >
            (f == NULL || f->label == PROTOBUF_C_LABEL_REPEATED ? w->limits->items : 1)) {
            return err_set(w->e, ERR_TOO_LARGE, "%s: too many", f == NULL ? "unknown" : f->name);
        }
        if (f != NULL && !check_field(w, f, tag & 7, body, depth)) {
            return false;
        }
    }
    return true;
}

static void *on_alloc(void *data, size_t n)
{
    return pool_try_alloc(data, n);
}

static void on_free(void *data, void *p)
{
    // The pool goes as a whole.
    (void)data;
    (void)p;
}

ProtobufCMessage *wire_unpack(const ProtobufCMessageDescriptor *desc, struct slice bytes,
                              const struct wire_limits *limits, struct wire_pool *pool,
                              struct err *e)
{
    struct walk w = {.limits = limits, .e = e};
    ProtobufCAllocator allocator = {.alloc = on_alloc, .free = on_free, .allocator_data = pool};
    ProtobufCMessage *m;

    if (bytes.n > limits->bytes) {
        err_set(e, ERR_TOO_LARGE, "%zu bytes, at most %zu are allowed", bytes.n, limits->bytes);
        return NULL;
    }
    if (!check_message(&w, desc, bytes, 0)) {
        return NULL;
    }
    m = protobuf_c_message_unpack(desc, &allocator, bytes.n, (const uint8_t *)bytes.p);
    if (m == NULL) {
        err_set(e, ERR_INVALID, "damaged encoding");
    }
    return m;
}

void wire_pack(const ProtobufCMessage *m, struct buf *out)
{
    size_t n = protobuf_c_message_get_packed_size(m), room;
    char *at;

    if (n == 0) {
        return;
    }
    CHECK(buf_try_reserve(out, n));
    at = buf_tail(out, &room);
    CHECK(room >= n);
    CHECK(protobuf_c_message_pack(m, (uint8_t *)at) == n);
    buf_commit(out, n);
}
