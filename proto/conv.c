// SPDX-License-Identifier: Apache-2.0
// The table-driven converter. Nothing here knows a particular message.
//
// Strings that occur in almost every resource ("*", "api", ...) are not copied but pointed at: with
// 100,000 virtual keys in memory that is a fifth of their size.
#include "proto/conv.h"

#include <string.h>

#include "common/base/check.h"

static const char *const common_strings[] = {"", "*", "api", "file", "env"};
static const char *const only_star[] = {"*"};

static const char *intern(struct arena *a, const char *s)
{
    size_t n = strlen(s);

    for (size_t i = 0; n <= 4 && i < ARRAY_LEN(common_strings); i++) {
        if (strcmp(s, common_strings[i]) == 0) {
            return common_strings[i];
        }
    }
    return arena_strndup(a, s, n);
}

// ---- ours -> pb ------------------------------------------------------------------------------

// protobuf-c's structs have non-const pointers and never write through them when packing.
static char *lend(const char *s)
{
    char *p;

    memcpy(&p, &s, sizeof(p));
    return p;
}

static bool all_zero(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

static ProtobufCBinaryData lend_bytes(struct slice s)
{
    return (ProtobufCBinaryData){.len = s.n, .data = (uint8_t *)lend(s.p)};
}

static void strings_to_pb(const struct conv_field *f, const char *from, char *to,
                          struct wire_pool *pool)
{
    const char *const *strings;
    size_t n;
    char **list;

    memcpy(&strings, from + f->ours, sizeof(const char *const *));
    memcpy(&n, from + f->ours_n, sizeof(n));
    list = wire_pool_alloc(pool, n * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        list[i] = lend(strings[i]);
    }
    memcpy(to + f->pb, &list, sizeof(char **));
    memcpy(to + f->pb_n, &n, sizeof(n));
}

static void messages_to_pb(const struct conv_field *f, const char *from, char *to,
                           struct wire_pool *pool)
{
    const char *elements;
    size_t n;
    ProtobufCMessage **list;

    memcpy(&elements, from + f->ours, sizeof(elements));
    memcpy(&n, from + f->ours_n, sizeof(n));
    list = wire_pool_alloc(pool, n * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        list[i] = conv_to_pb(f->sub, elements + i * f->sub->size, pool);
    }
    memcpy(to + f->pb, &list, sizeof(ProtobufCMessage **));
    memcpy(to + f->pb_n, &n, sizeof(n));
}

static void field_to_pb(const struct conv_field *f, const char *from, char *to,
                        struct wire_pool *pool)
{
    const void *at = from + f->ours;
    char *out = to + f->pb;

    switch (f->type) {
    case CONV_STRING:
    case CONV_NULLABLE: {
        const char *s = *(const char *const *)at;

        if (s != NULL) {
            *(char **)(void *)out = lend(s);
        }
        break;
    }
    case CONV_U32:
    case CONV_ENUM:
        memcpy(out, at, sizeof(uint32_t));
        break;
    case CONV_U64:
        memcpy(out, at, sizeof(uint64_t));
        break;
    case CONV_BOOL:
        *(protobuf_c_boolean *)(void *)out = *(const bool *)at;
        break;
    case CONV_FIXED:
        *(ProtobufCBinaryData *)(void *)out =
            lend_bytes(all_zero(at, f->max) ? SLICE_NULL : SLICE_MAKE(at, f->max));
        break;
    case CONV_SLICE:
        *(ProtobufCBinaryData *)(void *)out = lend_bytes(*(const struct slice *)at);
        break;
    case CONV_SECRET:
        *(ProtobufCBinaryData *)(void *)out =
            lend_bytes(secret_reveal(*(struct secret *const *)at));
        break;
    case CONV_STRINGS:
        strings_to_pb(f, from, to, pool);
        break;
    case CONV_MESSAGE:
        *(ProtobufCMessage **)(void *)out = conv_to_pb(f->sub, at, pool);
        break;
    case CONV_MESSAGES:
        messages_to_pb(f, from, to, pool);
        break;
    }
}

ProtobufCMessage *conv_to_pb(const struct conv_table *t, const void *ours, struct wire_pool *pool)
{
    ProtobufCMessage *m = wire_pool_alloc(pool, t->desc->sizeof_message);

    t->desc->message_init(m);
    for (size_t i = 0; i < t->n; i++) {
        field_to_pb(&t->fields[i], ours, (char *)m, pool);
    }
    return m;
}

// ---- pb -> ours ------------------------------------------------------------------------------

static void strings_from_pb(const struct conv_field *f, const char *from, char *to,
                            struct arena *arena)
{
    char *const *list = *(char **const *)(const void *)(from + f->pb);
    size_t n = *(const size_t *)(const void *)(from + f->pb_n);
    const char *const *result = only_star;

    if (n == 0) {
        return;
    }
    if (n > 1 || strcmp(list[0], "*") != 0) {
        const char **copy = arena_alloc(arena, n * sizeof(*copy));

        for (size_t i = 0; i < n; i++) {
            copy[i] = intern(arena, list[i]);
        }
        result = copy;
    }
    memcpy(to + f->ours, &result, sizeof(const char *const *));
    memcpy(to + f->ours_n, &n, sizeof(n));
}

static bool messages_from_pb(const struct conv_field *f, const char *from, char *to,
                             struct arena *arena, struct err *e)
{
    ProtobufCMessage *const *list = *(ProtobufCMessage * *const *)(const void *)(from + f->pb);
    size_t n = *(const size_t *)(const void *)(from + f->pb_n);
    char *elements;

    if (n == 0) {
        return true;
    }
    elements = arena_zalloc(arena, n * f->sub->size);
    memcpy(to + f->ours, &elements, sizeof(elements));
    memcpy(to + f->ours_n, &n, sizeof(n));
    for (size_t i = 0; i < n; i++) {
        if (!conv_from_pb(f->sub, list[i], arena, elements + i * f->sub->size, e)) {
            return err_prefix(e, "%s[%zu]", f->name, i);
        }
    }
    return true;
}

static bool bytes_from_pb(const struct conv_field *f, const ProtobufCBinaryData *b, void *at,
                          struct arena *arena, struct err *e)
{
    struct slice s = SLICE_MAKE((const char *)b->data, b->len);

    if (s.n == 0) {
        return true; // zero, absent, NULL
    }
    if (f->type == CONV_SLICE) {
        *(struct slice *)at = arena_dup(arena, s);
    } else if (f->type == CONV_SECRET) {
        *(struct secret **)at = secret_new(s);
    } else if (s.n != f->max) {
        return err_set(e, ERR_INVALID, "%s: %zu bytes instead of %u", f->name, s.n, f->max);
    } else {
        memcpy(at, s.p, s.n);
    }
    return true;
}

static bool field_from_pb(const struct conv_field *f, const char *from, char *to,
                          struct arena *arena, struct err *e)
{
    const void *in = from + f->pb;
    void *at = to + f->ours;

    switch (f->type) {
    case CONV_STRING:
    case CONV_NULLABLE: {
        const char *s = *(char *const *)in;

        if (f->type == CONV_STRING || s[0] != '\0') {
            *(const char **)at = intern(arena, s);
        }
        return true;
    }
    case CONV_U32: {
        uint32_t v = *(const uint32_t *)in;

        if (v < f->min || v > f->max) {
            return err_set(e, ERR_INVALID, "%s: %u is not in %u..%u", f->name, v, f->min, f->max);
        }
        memcpy(at, &v, sizeof(v));
        return true;
    }
    case CONV_ENUM: {
        uint32_t v = *(const uint32_t *)in;

        v = v > f->max ? 0 : v;
        memcpy(at, &v, sizeof(v));
        return true;
    }
    case CONV_U64:
        memcpy(at, in, sizeof(uint64_t));
        return true;
    case CONV_BOOL:
        *(bool *)at = *(const protobuf_c_boolean *)in != 0;
        return true;
    case CONV_FIXED:
    case CONV_SLICE:
    case CONV_SECRET:
        return bytes_from_pb(f, in, at, arena, e);
    case CONV_STRINGS:
        strings_from_pb(f, from, to, arena);
        return true;
    case CONV_MESSAGE: {
        const ProtobufCMessage *sub = *(ProtobufCMessage *const *)in;

        return sub == NULL || conv_from_pb(f->sub, sub, arena, at, e) ||
               err_prefix(e, "%s", f->name);
    }
    case CONV_MESSAGES:
        return messages_from_pb(f, from, to, arena, e);
    }
    UNREACHABLE();
}

bool conv_from_pb(const struct conv_table *t, const ProtobufCMessage *m, struct arena *arena,
                  void *ours, struct err *e)
{
    CHECK(m->descriptor == t->desc);
    memset(ours, 0, t->size);
    for (size_t i = 0; i < t->n; i++) {
        if (!field_from_pb(&t->fields[i], (const char *)m, ours, arena, e)) {
            return false;
        }
    }
    return true;
}
