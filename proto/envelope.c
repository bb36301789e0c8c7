// SPDX-License-Identifier: Apache-2.0
// The envelope: protobuf on the wire, and a fixed-layout rendering of its plain fields that is the
// associated data of the seal and the first part of what is signed:
//
//   "SLUICE1\0" | version u32 | type u32 | cluster 8 | key_id u32 | epoch 16 | seq u64 | sender 16
//   | count u64 | request 16 | recipient 16 | signer u32                        (integers
//   little-endian)
//
// So the protobuf encoding itself need not be canonical: another encoding of the same fields is the
// same message, and any other field value breaks the seal.
#include "proto/envelope.h"

#include <string.h>

#include "common/base/check.h"
#include "proto/message.h"
#include "proto/seal.h"
#include "proto/wire.h"
#include "sluice.pb-c.h"

#define ASSOCIATED_BYTES (8 + 4 + 4 + 8 + 4 + 16 + 8 + 16 + 8 + 16 + 16 + 4)

const char *envelope_verdict_name(enum envelope_verdict v)
{
    static const char *const names[ENVELOPE_VERDICTS] = {
        [ENVELOPE_OK] = "ok",
        [ENVELOPE_MALFORMED] = "malformed",
        [ENVELOPE_FOREIGN_VERSION] = "foreign_version",
        [ENVELOPE_FOREIGN_CLUSTER] = "foreign_cluster",
        [ENVELOPE_UNKNOWN_KEY] = "unknown_key",
        [ENVELOPE_NOT_AUTHENTIC] = "not_authentic",
        [ENVELOPE_NOT_SIGNED] = "not_signed",
        [ENVELOPE_REPLAYED] = "replayed",
        [ENVELOPE_OLD] = "old",
    };

    return names[v];
}

static char *put(char *at, const void *p, size_t n)
{
    memcpy(at, p, n);
    return at + n;
}

static char *put_int(char *at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        at[i] = (char)(v >> (8 * i));
    }
    return at + n;
}

static struct slice associate(const struct envelope *e, const uint8_t *cluster, uint32_t key_id,
                              uint32_t signer, char out[ASSOCIATED_BYTES])
{
    char *at = put(out, "SLUICE1", 8);

    at = put_int(at, ENVELOPE_VERSION, 4);
    at = put_int(at, e->type, 4);
    at = put(at, cluster, KEYS_CLUSTER_BYTES);
    at = put_int(at, key_id, 4);
    at = put(at, e->epoch, ENVELOPE_ID_BYTES);
    at = put_int(at, e->seq, 8);
    at = put(at, e->sender, ENVELOPE_ID_BYTES);
    at = put_int(at, e->count, 8);
    at = put(at, e->request, ENVELOPE_ID_BYTES);
    at = put(at, e->recipient, ENVELOPE_ID_BYTES);
    at = put_int(at, signer, 4);
    CHECK(at == out + ASSOCIATED_BYTES);
    return SLICE_MAKE(out, ASSOCIATED_BYTES);
}

static bool is_signed(enum keys_purpose p)
{
    return p == KEYS_BROADCAST || p == KEYS_ANSWER;
}

// protobuf-c wants pointers to non-const and does not write through them when packing.
static ProtobufCBinaryData lend(const void *p, size_t n)
{
    ProtobufCBinaryData b = {.len = n};

    memcpy(&b.data, &p, sizeof(b.data));
    return b;
}

// 16 zero bytes mean absent and are not sent.
static ProtobufCBinaryData lend_id(const uint8_t id[ENVELOPE_ID_BYTES])
{
    static const uint8_t zero[ENVELOPE_ID_BYTES];

    return lend(id, memcmp(id, zero, ENVELOPE_ID_BYTES) == 0 ? 0 : ENVELOPE_ID_BYTES);
}

void envelope_close(const struct keys *k, enum keys_purpose p, const struct envelope *e,
                    struct slice body, struct buf *out)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES], signature[CRYPTO_SIGNATURE_BYTES];
    char text[ASSOCIATED_BYTES];
    struct slice parts[3];
    uint32_t signer = 0;
    struct buf sealed;
    Pb__Envelope pb;

    if (is_signed(p)) {
        CHECK(keys_signing(k, &signer) != NULL);
    }
    parts[0] = associate(e, keys_cluster(k), keys_current(k), signer, text);
    buf_init(&sealed, body.n + CRYPTO_TAG_BYTES);
    seal_close(k, p, parts[0], body, nonce, &sealed);
    parts[1] = SLICE_MAKE((const char *)nonce, sizeof(nonce));
    parts[2] = buf_slice(&sealed);

    pb__envelope__init(&pb);
    pb.version = ENVELOPE_VERSION;
    pb.type = e->type;
    pb.cluster = lend(keys_cluster(k), KEYS_CLUSTER_BYTES);
    pb.key_id = keys_current(k);
    pb.epoch = lend_id(e->epoch);
    pb.seq = e->seq;
    pb.sender = lend_id(e->sender);
    pb.count = e->count;
    pb.request = lend_id(e->request);
    pb.recipient = lend_id(e->recipient);
    pb.nonce = lend(nonce, sizeof(nonce));
    pb.body = lend(parts[2].p, parts[2].n);
    if (is_signed(p)) {
        seal_sign(k, parts, 3, signature);
        pb.signer = signer;
        pb.signature = lend(signature, sizeof(signature));
    }
    wire_pack(&pb.base, out);
    buf_done(&sealed);
}

// Absent is zero; any length but 16 is malformed.
static bool take_id(const ProtobufCBinaryData *b, uint8_t out[ENVELOPE_ID_BYTES])
{
    memset(out, 0, ENVELOPE_ID_BYTES);
    if (b->len != 0 && b->len != ENVELOPE_ID_BYTES) {
        return false;
    }
    if (b->len > 0) {
        memcpy(out, b->data, ENVELOPE_ID_BYTES);
    }
    return true;
}

static bool take_header(const Pb__Envelope *pb, struct envelope *ret)
{
    *ret = (struct envelope){.type = pb->type, .seq = pb->seq, .count = pb->count};
    return pb->cluster.len == KEYS_CLUSTER_BYTES && pb->nonce.len == CRYPTO_NONCE_BYTES &&
           pb->body.len >= CRYPTO_TAG_BYTES && take_id(&pb->epoch, ret->epoch) &&
           take_id(&pb->sender, ret->sender) && take_id(&pb->request, ret->request) &&
           take_id(&pb->recipient, ret->recipient);
}

static bool is_old(const struct envelope_expect *x, const struct envelope *e)
{
    return x->have_epoch != NULL && e->type == MESSAGE_DELTA && e->seq <= x->have_seq &&
           memcmp(e->epoch, x->have_epoch, ENVELOPE_ID_BYTES) == 0;
}

static enum envelope_verdict open_checked(const struct keys *k, const struct envelope_expect *x,
                                          const Pb__Envelope *pb, struct envelope *ret,
                                          struct buf *body)
{
    char text[ASSOCIATED_BYTES];
    struct slice parts[3];

    if (pb->version != ENVELOPE_VERSION) {
        return ENVELOPE_FOREIGN_VERSION;
    }
    if (!take_header(pb, ret)) {
        return ENVELOPE_MALFORMED;
    }
    if (memcmp(pb->cluster.data, keys_cluster(k), KEYS_CLUSTER_BYTES) != 0) {
        return ENVELOPE_FOREIGN_CLUSTER;
    }
    if (keys_sealing(k, pb->key_id, x->purpose) == NULL) {
        return ENVELOPE_UNKNOWN_KEY;
    }
    if (is_old(x, ret)) {
        return ENVELOPE_OLD;
    }
    parts[0] = associate(ret, keys_cluster(k), pb->key_id, pb->signer, text);
    parts[1] = SLICE_MAKE((const char *)pb->nonce.data, pb->nonce.len);
    parts[2] = SLICE_MAKE((const char *)pb->body.data, pb->body.len);
    buf_clear(body);
    if (!seal_open(k, x->purpose, pb->key_id, parts[0], pb->nonce.data, parts[2], body)) {
        return ENVELOPE_NOT_AUTHENTIC;
    }
    if (is_signed(x->purpose) && (pb->signature.len != CRYPTO_SIGNATURE_BYTES ||
                                  !seal_verify(k, pb->signer, parts, 3, pb->signature.data))) {
        return ENVELOPE_NOT_SIGNED;
    }
    return ENVELOPE_OK;
}

enum envelope_verdict envelope_open(const struct keys *k, const struct envelope_expect *expect,
                                    struct slice bytes, struct envelope *ret, struct buf *body)
{
    // No strings in an envelope; unknown fields of a later version are few.
    const struct wire_limits limits = {.bytes = ENVELOPE_BYTES_MAX, .items = 16, .string = 0};
    enum envelope_verdict v = ENVELOPE_MALFORMED;
    struct wire_pool pool;
    ProtobufCMessage *m;

    wire_pool_init(&pool, 2 * ENVELOPE_BYTES_MAX);
    m = wire_unpack(&pb__envelope__descriptor, bytes, &limits, &pool, NULL);
    if (m != NULL) {
        v = open_checked(k, expect, (const Pb__Envelope *)m, ret, body);
    }
    wire_pool_done(&pool);
    return v;
}
