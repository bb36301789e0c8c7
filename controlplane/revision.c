// SPDX-License-Identifier: Apache-2.0
// Records one behind the other. Reading trusts nothing: Redis may have been written to by others.
#include "controlplane/revision.h"

#include "common/base/mem.h"

static void add_bytes(struct buf *b, struct slice s)
{
    const unsigned char n[4] = {(unsigned char)(s.n >> 24), (unsigned char)(s.n >> 16),
                                (unsigned char)(s.n >> 8), (unsigned char)s.n};

    buf_append(b, SLICE_MAKE((const char *)n, sizeof(n)));
    buf_append(b, s);
}

// In clear, without the key that makes them secret.
static void encode_settings(const struct resource *r, struct buf *out)
{
    uint8_t *key = r->u.settings->key_hash_key, kept[32];

    memcpy(kept, key, sizeof(kept));
    memset(key, 0, sizeof(kept));
    resource_encode(r, out);
    memcpy(key, kept, sizeof(kept));
    mem_wipe(kept, sizeof(kept));
}

void revision_add(struct buf *b, const struct resource *r, enum record_origin origin,
                  const char *where, const struct record_keys *k)
{
    char field[RECORD_FIELD_MAX];
    struct buf record;

    if (origin == RECORD_ENV || !record_field(r->kind, slice_str(r->id), field)) {
        return;
    }
    buf_init(&record, RECORD_BYTES_MAX);
    if (r->kind == RESOURCE_SETTINGS) {
        encode_settings(r, &record);
    } else {
        record_encode(r, origin, where, k, &record);
    }
    add_bytes(b, slice_str(field));
    add_bytes(b, buf_slice(&record));
    buf_done(&record);
}

static bool take_bytes(struct slice *s, struct slice *ret)
{
    const unsigned char *p = (const unsigned char *)s->p;
    size_t n;

    if (s->n < 4) {
        return false;
    }
    n = (size_t)p[0] << 24 | (size_t)p[1] << 16 | (size_t)p[2] << 8 | p[3];
    if (n > s->n - 4) {
        return false;
    }
    *ret = SLICE_MAKE(s->p + 4, n);
    *s = slice_from(*s, 4 + n);
    return true;
}

static bool read_one(struct slice field, struct slice bytes, const struct record_keys *k,
                     struct record *ret, struct err *e)
{
    enum resource_kind kind;
    struct slice id;

    if (!record_parse_field(field, &kind, &id) || kind != RESOURCE_SETTINGS) {
        return record_decode(field, bytes, k, ret, e);
    }
    *ret = (struct record){resource_decode(bytes, e), RECORD_FILE, SLICE("")};
    if (ret->res != NULL && ret->res->kind != RESOURCE_SETTINGS) {
        resource_unref(&ret->res);
        return err_set(e, ERR_INVALID, "the revision's settings are something else");
    }
    return ret->res != NULL;
}

void revision_done(struct revision *r)
{
    for (size_t i = 0; i < r->n; i++) {
        resource_unref(&r->resources[i]);
    }
    mem_free(r->resources);
    mem_free(r->where);
    arena_done(&r->arena);
    *r = (struct revision){0};
}

bool revision_read(struct slice bytes, const struct record_keys *k, struct revision *ret,
                   struct err *e)
{
    size_t cap = 0;

    *ret = (struct revision){0};
    arena_init(&ret->arena, 4096, 0);
    while (bytes.n > 0) {
        struct slice field, record;
        struct record one;

        if (!take_bytes(&bytes, &field) || !take_bytes(&bytes, &record)) {
            revision_done(ret);
            return err_set(e, ERR_INVALID, "the revision is cut short");
        }
        if (!read_one(field, record, k, &one, e)) {
            revision_done(ret);
            return false;
        }
        if (ret->n == cap) {
            cap = cap == 0 ? 128 : 2 * cap;
            ret->resources = mem_realloc_array(ret->resources, cap, sizeof(*ret->resources));
            ret->where = mem_realloc_array(ret->where, cap, sizeof(*ret->where));
        }
        ret->where[ret->n] = arena_strndup(&ret->arena, one.where.p, one.where.n);
        ret->resources[ret->n++] = one.res;
    }
    return true;
}
