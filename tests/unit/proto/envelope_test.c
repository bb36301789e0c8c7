// SPDX-License-Identifier: Apache-2.0
// The envelope: what one side closes the other opens, and nothing else: every flipped bit, foreign
// cluster, foreign key, wrong purpose, missing or forged signature. A golden message of version 1
// stays readable.
#include "proto/envelope.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "proto/message.h"
#include "proto/seal.h"
#include "tests/unit/proto/golden.h"
#include "tests/unit/proto/keydir.h"

// Fixed keys, so that the golden file can be opened for ever.
#define OTHER  "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define SECRET "cluster=golden\n00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n"
#define SEED   "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb\n"
#define PUBLIC "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c\n"

struct fixture {
    char dir[64];
    struct keys *control, *proxy;
    struct buf wire, body;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    keydir_make(f->dir);
    keydir_write(f->dir, "cluster-secret", SECRET);
    keydir_write(f->dir, "signing-key", SEED);
    keydir_write(f->dir, "control-public-key", PUBLIC);
    f->control = keydir_load(f->dir, true);
    f->proxy = keydir_load(f->dir, false);
    buf_init(&f->wire, ENVELOPE_BYTES_MAX);
    buf_init(&f->body, ENVELOPE_BYTES_MAX);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    keys_unref(&f->control);
    keys_unref(&f->proxy);
    buf_done(&f->wire);
    buf_done(&f->body);
    keydir_remove(f->dir);
    mem_free(f);
    return 0;
}

static const struct envelope sample = {
    .type = MESSAGE_DELTA,
    .epoch = {1, 2, 3},
    .seq = 42,
    .sender = {9, 9},
    .count = 7,
    .request = {5},
    .recipient = {6},
};

static bool is_sample(const struct envelope *e)
{
    return e->type == sample.type && e->seq == sample.seq && e->count == sample.count &&
           memcmp(e->epoch, sample.epoch, 16) == 0 && memcmp(e->sender, sample.sender, 16) == 0 &&
           memcmp(e->request, sample.request, 16) == 0 &&
           memcmp(e->recipient, sample.recipient, 16) == 0;
}

static enum envelope_verdict open_as(struct fixture *f, const struct keys *k, enum keys_purpose p,
                                     struct envelope *ret)
{
    const struct envelope_expect x = {.purpose = p};

    return envelope_open(k, &x, buf_slice(&f->wire), ret, &f->body);
}

static void both_directions(void **state)
{
    static const enum keys_purpose purposes[] = {KEYS_BROADCAST, KEYS_ANSWER, KEYS_UPWARD};
    struct fixture *f = *state;
    struct envelope got;

    for (size_t i = 0; i < ARRAY_LEN(purposes); i++) {
        bool up = purposes[i] == KEYS_UPWARD;

        buf_clear(&f->wire);
        envelope_close(up ? f->proxy : f->control, purposes[i], &sample, SLICE("hello"), &f->wire);
        assert_int_equal(open_as(f, up ? f->control : f->proxy, purposes[i], &got), ENVELOPE_OK);
        assert_true(is_sample(&got));
        assert_true(slice_eq_str(buf_slice(&f->body), "hello"));
        // The plain text is nowhere in it.
        assert_true(slice_find(buf_slice(&f->wire), SLICE("hello")) == SIZE_MAX);
        for (size_t k = 0; k < ARRAY_LEN(purposes); k++) {
            if (k != i) {
                assert_int_equal(open_as(f, f->proxy, purposes[k], &got), ENVELOPE_NOT_AUTHENTIC);
            }
        }
    }
    // An empty body and absent ids.
    buf_clear(&f->wire);
    envelope_close(f->proxy, KEYS_UPWARD, &(struct envelope){.type = 99}, SLICE_NULL, &f->wire);
    assert_int_equal(open_as(f, f->control, KEYS_UPWARD, &got), ENVELOPE_OK);
    assert_int_equal(got.type, 99);
    assert_int_equal(f->body.n, 0);
}

static void every_flipped_bit_is_noticed(void **state)
{
    struct fixture *f = *state;
    unsigned spellings = 0;
    struct envelope got;

    envelope_close(f->control, KEYS_BROADCAST, &sample, SLICE("hello"), &f->wire);
    for (size_t i = 0; i < f->wire.n * 8; i++) {
        f->wire.p[f->wire.off + i / 8] ^= (char)(1 << (i % 8));
        // A bit that varint decoding drops is another spelling of the same message.
        if (open_as(f, f->proxy, KEYS_BROADCAST, &got) == ENVELOPE_OK &&
            (!is_sample(&got) || !slice_eq_str(buf_slice(&f->body), "hello") || ++spellings > 6)) {
            fail_msg("bit %zu of byte %zu was not noticed", i % 8, i / 8);
        }
        f->wire.p[f->wire.off + i / 8] ^= (char)(1 << (i % 8));
    }
    for (size_t n = f->wire.n; n > 0; n--) {
        const struct envelope_expect x = {.purpose = KEYS_BROADCAST};
        struct slice s = slice_head(buf_slice(&f->wire), n - 1);

        assert_int_not_equal(envelope_open(f->proxy, &x, s, &got, &f->body), ENVELOPE_OK);
    }
}

// A proxy holds the cluster secret, so it can seal as the control plane; it cannot sign.
static void a_proxy_cannot_speak_for_the_control_plane(void **state)
{
    struct fixture *f = *state;
    struct keys *mallory;
    struct envelope got;

    keydir_write(f->dir, "signing-key",
                 "0000000000000000000000000000000000000000000000000000000000000001\n");
    mallory = keydir_load(f->dir, true);
    envelope_close(mallory, KEYS_BROADCAST, &sample, SLICE("hello"), &f->wire);
    assert_int_equal(open_as(f, f->proxy, KEYS_BROADCAST, &got), ENVELOPE_NOT_SIGNED);
    keys_unref(&mallory);
}

static void strangers_are_told_apart(void **state)
{
    struct fixture *f = *state;
    struct keys *other;
    struct envelope got;

    keydir_write(f->dir, "cluster-secret",
                 "cluster=golden\n"
                 "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n");
    other = keydir_load(f->dir, true);
    envelope_close(other, KEYS_ANSWER, &sample, SLICE("x"), &f->wire);
    assert_int_equal(open_as(f, f->proxy, KEYS_ANSWER, &got), ENVELOPE_UNKNOWN_KEY);
    keys_unref(&other);

    keydir_write(f->dir, "cluster-secret", SECRET "cluster=staging\n");
    other = keydir_load(f->dir, true);
    buf_clear(&f->wire);
    envelope_close(other, KEYS_ANSWER, &sample, SLICE("x"), &f->wire);
    assert_int_equal(open_as(f, f->proxy, KEYS_ANSWER, &got), ENVELOPE_FOREIGN_CLUSTER);
    keys_unref(&other);

    buf_clear(&f->wire);
    buf_append(&f->wire, SLICE("\x08\x02"));
    assert_int_equal(open_as(f, f->proxy, KEYS_ANSWER, &got), ENVELOPE_FOREIGN_VERSION);
    buf_clear(&f->wire);
    assert_int_equal(open_as(f, f->proxy, KEYS_ANSWER, &got), ENVELOPE_FOREIGN_VERSION);
    buf_append(&f->wire, SLICE("GET / HTTP/1.1\r\n\r\n"));
    assert_int_equal(open_as(f, f->proxy, KEYS_ANSWER, &got), ENVELOPE_MALFORMED);
}

// The new secret is appended everywhere, then moved to the front, then the old one goes.
static void rotation_never_locks_out(void **state)
{
    static const char *const files[] = {
        SECRET,
        (SECRET OTHER),
        ("cluster=golden\n" OTHER SECRET),
        ("cluster=golden\n" OTHER),
    };
    struct fixture *f = *state;
    struct keys *rings[ARRAY_LEN(files)];
    struct envelope got;

    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        keydir_write(f->dir, "cluster-secret", files[i]);
        rings[i] = keydir_load(f->dir, false);
    }
    for (size_t i = 0; i + 1 < ARRAY_LEN(files); i++) {
        for (size_t from = i; from <= i + 1; from++) {
            buf_clear(&f->wire);
            envelope_close(rings[from], KEYS_UPWARD, &sample, SLICE("x"), &f->wire);
            assert_int_equal(open_as(f, rings[2 * i + 1 - from], KEYS_UPWARD, &got), ENVELOPE_OK);
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(files); i++) {
        keys_unref(&rings[i]);
    }
}

static void applied_deltas_are_dropped_early(void **state)
{
    struct fixture *f = *state;
    struct envelope_expect x = {.purpose = KEYS_BROADCAST, .have_epoch = sample.epoch};
    struct envelope got;

    envelope_close(f->control, KEYS_BROADCAST, &sample, SLICE("x"), &f->wire);
    x.have_seq = 42;
    assert_int_equal(envelope_open(f->proxy, &x, buf_slice(&f->wire), &got, &f->body),
                     ENVELOPE_OLD);
    x.have_seq = 41;
    assert_int_equal(envelope_open(f->proxy, &x, buf_slice(&f->wire), &got, &f->body), ENVELOPE_OK);
    x.have_seq = 100;
    x.have_epoch = sample.sender;
    assert_int_equal(envelope_open(f->proxy, &x, buf_slice(&f->wire), &got, &f->body), ENVELOPE_OK);
}

// Sealed with a random nonce, so the bytes cannot be compared, only read.
static void golden_envelope_is_readable(void **state)
{
    struct fixture *f = *state;
    struct envelope got;
    char path[512];

    golden_path("envelope.bin", path);
    if (access(path, R_OK) != 0 && getenv("SLUICE_UPDATE_GOLDEN") != NULL) {
        envelope_close(f->control, KEYS_BROADCAST, &sample, SLICE("golden body"), &f->wire);
        golden_check("envelope.bin", buf_slice(&f->wire));
        buf_clear(&f->wire);
    }
    golden_read("envelope.bin", &f->wire);
    assert_int_equal(open_as(f, f->proxy, KEYS_BROADCAST, &got), ENVELOPE_OK);
    assert_true(is_sample(&got));
    assert_true(slice_eq_str(buf_slice(&f->body), "golden body"));
}

static void signatures_frame_their_parts(void **state)
{
    const struct slice ab_c[] = {SLICE("ab"), SLICE("c")}, a_bc[] = {SLICE("a"), SLICE("bc")};
    uint8_t signature[CRYPTO_SIGNATURE_BYTES];
    struct fixture *f = *state;
    uint32_t signer;

    assert_non_null(keys_signing(f->control, &signer));
    seal_sign(f->control, ab_c, 2, signature);
    assert_true(seal_verify(f->proxy, signer, ab_c, 2, signature));
    assert_false(seal_verify(f->proxy, signer, a_bc, 2, signature));
    assert_false(seal_verify(f->proxy, signer + 1, ab_c, 2, signature));
}

static void verdicts_have_names(void **state)
{
    (void)state;
    for (unsigned v = 0; v < ENVELOPE_VERDICTS; v++) {
        assert_non_null(envelope_verdict_name(v));
    }
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(both_directions),
        TEST(every_flipped_bit_is_noticed),
        TEST(a_proxy_cannot_speak_for_the_control_plane),
        TEST(strangers_are_told_apart),
        TEST(rotation_never_locks_out),
        TEST(applied_deltas_are_dropped_early),
        TEST(golden_envelope_is_readable),
        TEST(signatures_frame_their_parts),
        cmocka_unit_test(verdicts_have_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
