// SPDX-License-Identifier: Apache-2.0
// Records: the header, then the resource, sealed or not (layout in record.h).
#include "controlplane/record.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define HEADER_BYTES 12u
#define FORMAT       1

bool record_keys_add(struct record_keys *k, const uint8_t master[CRYPTO_KEY_BYTES])
{
    const struct slice label = SLICE("sluice master key id");
    struct record_key *one = &k->list[k->n];
    uint8_t id[16];

    if (k->n == RECORD_KEYS_MAX) {
        return false;
    }
    crypto_derive(one->seal, master, "slcstore", 1);
    crypto_derive(one->secret, master, "slcstore", 2);
    crypto_keyed_hash(id, sizeof(id), master, &label, 1);
    memcpy(one->id, id, sizeof(one->id));
    k->n++;
    return true;
}

bool record_field(enum resource_kind kind, struct slice id, char out[RECORD_FIELD_MAX])
{
    int n;

    if (id.n > RESOURCE_ID_MAX) {
        return false;
    }
    n = snprintf(out, RECORD_FIELD_MAX, "%s:" SLICE_FMT, resource_kind_name(kind), SLICE_ARG(id));
    return n > 0 && (size_t)n < RECORD_FIELD_MAX;
}

bool record_parse_field(struct slice field, enum resource_kind *ret_kind, struct slice *ret_id)
{
    struct slice name, id = slice_cut(field, ':', &name);

    if (id.p == NULL || id.n == 0 || id.n > RESOURCE_ID_MAX) {
        return false;
    }
    for (int k = 1; k <= RESOURCE_KIND_MAX; k++) {
        if (slice_eq_str(name, resource_kind_name((enum resource_kind)k))) {
            *ret_kind = (enum resource_kind)k;
            *ret_id = id;
            return true;
        }
    }
    return false;
}

static bool is_secret(enum resource_kind kind)
{
    return kind == RESOURCE_PROVIDER_KEY || kind == RESOURCE_SETTINGS;
}

// Values of headers and query parameters may be secrets, too.
bool record_is_sealed(const struct resource *r)
{
    return is_secret(r->kind) || (r->kind == RESOURCE_PROVIDER &&
                                  (r->u.provider->n_headers > 0 || r->u.provider->n_query > 0));
}

// field ‖ 0 ‖ header: what the seal vouches for besides the text.
static void associated(struct buf *b, struct slice field, struct slice header)
{
    buf_append(b, field);
    buf_append_char(b, '\0');
    buf_append(b, header);
}

static void append_sealed(struct buf *out, struct slice plain, struct slice field,
                          struct slice header, const struct record_key *k)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    uint8_t *sealed = mem_alloc(plain.n + CRYPTO_TAG_BYTES);
    struct buf ad;

    buf_init(&ad, 4096);
    associated(&ad, field, header);
    crypto_random(nonce, sizeof(nonce));
    crypto_seal(sealed, plain, buf_slice(&ad), nonce, k->seal);
    buf_append(out, SLICE_MAKE((const char *)k->id, sizeof(k->id)));
    buf_append(out, SLICE_MAKE((const char *)nonce, sizeof(nonce)));
    buf_append(out, SLICE_MAKE((const char *)sealed, plain.n + CRYPTO_TAG_BYTES));
    mem_free(sealed);
    buf_done(&ad);
}

void record_encode(const struct resource *r, enum record_origin origin, const char *where,
                   const struct record_keys *k, struct buf *out)
{
    char field[RECORD_FIELD_MAX];
    unsigned char head[HEADER_BYTES + RECORD_WHERE_MAX];
    struct slice w = slice_head(slice_str(where == NULL ? "" : where), RECORD_WHERE_MAX);
    struct slice header = {(const char *)head, HEADER_BYTES + w.n};
    struct buf plain;

    CHECK(k->n > 0);
    CHECK(record_field(r->kind, slice_str(r->id), field)); // resource_new bounds ids
    head[0] = FORMAT;
    head[1] = record_is_sealed(r) ? 1 : 0;
    head[2] = (unsigned char)origin;
    head[3] = (unsigned char)w.n;
    for (size_t i = 0; i < 8; i++) {
        head[4 + i] = (unsigned char)(r->version >> (56 - 8 * i));
    }
    if (w.n > 0) {
        memcpy(head + HEADER_BYTES, w.p, w.n);
    }
    buf_append(out, header);
    if (!record_is_sealed(r)) {
        resource_encode(r, out);
        return;
    }
    buf_init(&plain, RECORD_BYTES_MAX);
    resource_encode(r, &plain);
    append_sealed(out, buf_slice(&plain), slice_str(field), header, &k->list[0]);
    if (plain.p != NULL) {
        mem_wipe(plain.p, plain.cap);
    }
    buf_done(&plain);
}

// The key whose id stands at the beginning of the body, or NULL.
static const struct record_key *find_key(const struct record_keys *k, struct slice body)
{
    for (size_t i = 0; i < k->n && body.n >= RECORD_KEY_ID_LEN; i++) {
        if (memcmp(body.p, k->list[i].id, RECORD_KEY_ID_LEN) == 0) {
            return &k->list[i];
        }
    }
    return NULL;
}

bool record_is_stale(struct slice bytes, const struct record_keys *k)
{
    size_t header = bytes.n < HEADER_BYTES ? 0 : HEADER_BYTES + (unsigned char)bytes.p[3];

    return header > 0 && bytes.p[1] == 1 && bytes.n >= header + RECORD_KEY_ID_LEN && k->n > 0 &&
           memcmp(bytes.p + header, k->list[0].id, RECORD_KEY_ID_LEN) != 0;
}

bool record_is_bare(struct slice field, struct slice bytes)
{
    size_t header = bytes.n < HEADER_BYTES ? 0 : HEADER_BYTES + (unsigned char)bytes.p[3];
    enum resource_kind kind;
    struct resource *r;
    struct slice id;
    bool bare;

    if (header == 0 || bytes.n < header || bytes.n > RECORD_BYTES_MAX || bytes.p[1] != 0 ||
        !record_parse_field(field, &kind, &id) || kind != RESOURCE_PROVIDER) {
        return false;
    }
    r = resource_decode(slice_from(bytes, header), NULL);
    bare = r != NULL && record_is_sealed(r);
    resource_unref(&r);
    return bare;
}

// Opens into *plain (which the caller wipes).
static bool open_sealed(struct slice field, struct slice header, struct slice body,
                        const struct record_keys *k, struct buf *plain, struct err *e)
{
    const size_t prefix = RECORD_KEY_ID_LEN + CRYPTO_NONCE_BYTES;
    const struct record_key *key = find_key(k, body);
    struct buf ad;
    struct slice sealed;
    size_t room;
    char *p;
    bool ok;

    if (body.n < prefix + CRYPTO_TAG_BYTES) {
        return err_set(e, ERR_INVALID, SLICE_FMT ": record is cut short", SLICE_ARG(field));
    }
    if (key == NULL) {
        return err_set(e, ERR_DENIED, SLICE_FMT ": sealed with another master key",
                       SLICE_ARG(field));
    }
    sealed = slice_from(body, prefix);
    if (!buf_try_reserve(plain, sealed.n)) {
        return err_set(e, ERR_TOO_LARGE, SLICE_FMT ": record is too large", SLICE_ARG(field));
    }
    buf_init(&ad, 4096);
    associated(&ad, field, header);
    p = buf_tail(plain, &room);
    ok = crypto_open((uint8_t *)p, sealed, buf_slice(&ad),
                     (const uint8_t *)body.p + RECORD_KEY_ID_LEN, key->seal);
    buf_done(&ad);
    if (!ok) {
        return err_set(e, ERR_DENIED, SLICE_FMT ": the seal is broken", SLICE_ARG(field));
    }
    buf_commit(plain, sealed.n - CRYPTO_TAG_BYTES);
    return true;
}

bool record_decode(struct slice field, struct slice bytes, const struct record_keys *k,
                   struct record *ret, struct err *e)
{
    const unsigned char *head = (const unsigned char *)bytes.p;
    enum resource_kind kind;
    struct slice id, header, body;
    struct buf plain;
    struct resource *res;
    uint64_t version = 0;
    bool ok = true;

    if (!record_parse_field(field, &kind, &id)) {
        return err_set(e, ERR_INVALID, "a record of unknown kind");
    }
    if (bytes.n < HEADER_BYTES || bytes.n > RECORD_BYTES_MAX || head[0] != FORMAT ||
        bytes.n < HEADER_BYTES + (size_t)head[3] ||
        (head[2] != RECORD_API && head[2] != RECORD_FILE && head[2] != RECORD_ENV)) {
        return err_set(e, ERR_INVALID, SLICE_FMT ": not a record of this version",
                       SLICE_ARG(field));
    }
    header = slice_head(bytes, HEADER_BYTES + head[3]);
    body = slice_from(bytes, header.n);
    for (size_t i = 0; i < 8; i++) {
        version = version << 8 | head[4 + i];
    }
    buf_init(&plain, RECORD_BYTES_MAX);
    if (head[1] == 1) {
        ok = open_sealed(field, header, body, k, &plain, e);
        body = buf_slice(&plain);
    }
    res = ok ? resource_decode(body, e) : NULL;
    if (plain.p != NULL) {
        mem_wipe(plain.p, plain.cap);
    }
    buf_done(&plain);
    if (res == NULL) {
        return false;
    }
    if (res->kind != kind || !slice_eq_str(id, res->id) || res->version != version ||
        (is_secret(kind) && head[1] != 1)) {
        resource_unref(&res);
        return err_set(e, ERR_INVALID, SLICE_FMT ": the record holds something else",
                       SLICE_ARG(field));
    }
    *ret = (struct record){res, (enum record_origin)head[2], slice_from(header, HEADER_BYTES)};
    return true;
}

const char *record_origin_name(enum record_origin o)
{
    switch (o) {
    case RECORD_API:
        return "api";
    case RECORD_FILE:
        return "file";
    case RECORD_ENV:
        return "env";
    }
    return "api";
}
