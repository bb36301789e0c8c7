// SPDX-License-Identifier: Apache-2.0
// What each message means: order of deltas, gaps, snapshots in chunks, refused and unknown
// resources, epochs, digests.
#include "dataplane/sync.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/mem.h"

static const uint8_t one[16] = {1}, two[16] = {2};

// An item made by hand: one team, or anything else that is said to be one.
struct piece {
    struct message_item item;
    struct buf bytes;
};

static void make_piece(struct piece *p, const char *id, uint64_t version)
{
    struct resource *r = resource_new(RESOURCE_TEAM, slice_str(id), version);

    r->u.team->name = "T";
    buf_init(&p->bytes, RESOURCE_BYTES_MAX);
    resource_encode(r, &p->bytes);
    p->item = (struct message_item){RESOURCE_TEAM, id, version, buf_slice(&p->bytes)};
    resource_unref(&r);
}

static enum sync_step send_delta(struct sync *s, const uint8_t epoch[16], uint64_t prev,
                                 uint64_t seq, const struct message_item *items, size_t n,
                                 const char *del)
{
    const struct message_ref ref = {RESOURCE_TEAM, del};
    const struct message m = {MESSAGE_DELTA,
                              {.delta = {.prev_seq = prev,
                                         .seq = seq,
                                         .upserts = items,
                                         .n_upserts = n,
                                         .deletes = &ref,
                                         .n_deletes = del != NULL}}};
    enum sync_step step;
    struct buf b;

    buf_init(&b, MESSAGE_BYTES_MAX);
    message_encode(&m, &b);
    step = sync_delta(s, epoch, buf_slice(&b), NULL);
    buf_done(&b);
    return step;
}

// A delta that sets one team to a version.
static enum sync_step set_team(struct sync *s, uint64_t prev, const char *id, uint64_t version)
{
    struct piece p;
    enum sync_step step;

    make_piece(&p, id, version);
    step = send_delta(s, one, prev, prev + 1, &p.item, 1, NULL);
    buf_done(&p.bytes);
    return step;
}

// Teams t0..tn-1 at version 1, in chunks of `per`.
static enum sync_transfer transfer(struct sync *s, const uint8_t epoch[16], uint64_t seq,
                                   unsigned n, unsigned per, struct slice supersedes, struct err *e)
{
    enum sync_transfer t = SYNC_TRANSFER_MORE;

    sync_transfer_begin(s);
    for (unsigned done = 0, chunk = 0; t == SYNC_TRANSFER_MORE; chunk++) {
        struct piece pieces[16];
        struct message_item items[16];
        char ids[16][8];
        unsigned k = n - done < per ? n - done : per;
        struct message_sync_chunk c = {.snapshot = 5,
                                       .chunk = chunk,
                                       .seq = seq,
                                       .total = n,
                                       .supersedes = supersedes,
                                       .items = items,
                                       .n_items = k};

        for (unsigned i = 0; i < k; i++) {
            (void)snprintf(ids[i], sizeof(ids[i]), "t%u", done + i);
            make_piece(&pieces[i], ids[i], 1);
            items[i] = pieces[i].item;
        }
        done += k;
        c.last = done == n;
        assert_int_equal(sync_transfer_next(s), chunk);
        t = sync_transfer_chunk(s, epoch, &c, e);
        for (unsigned i = 0; i < k; i++) {
            buf_done(&pieces[i].bytes);
        }
    }
    return t;
}

static struct sync *begin(uint64_t seq, unsigned teams)
{
    struct sync *s = sync_new();

    assert_int_equal(transfer(s, one, seq, teams, 4, SLICE_NULL, NULL), SYNC_TRANSFER_DONE);
    assert_int_equal(sync_seq(s), seq);
    return s;
}

static void end(struct sync **s)
{
    sync_free(s);
    snapshot_reap();
}

static uint64_t version_of(const struct sync *s, const char *id)
{
    const struct resource *r = snapshot_find(sync_current(s), RESOURCE_TEAM, slice_str(id));

    return r == NULL ? 0 : r->version;
}

static void nothing_yet(void **state)
{
    struct sync *s = sync_new();
    static const uint8_t zero[16];

    (void)state;
    assert_null(sync_current(s));
    assert_int_equal(sync_seq(s), 0);
    assert_memory_equal(sync_epoch(s), zero, 16);
    assert_int_equal(sync_compare(s, one, 1, 0), SYNC_GAP);
    assert_int_equal(set_team(s, 4, "x", 1), SYNC_GAP); // kept
    // The snapshot comes at 4: the kept delta fits on top.
    assert_int_equal(transfer(s, one, 4, 2, 4, SLICE_NULL, NULL), SYNC_TRANSFER_DONE);
    assert_int_equal(sync_seq(s), 5);
    assert_int_equal(version_of(s, "x"), 1);
    end(&s);
}

static void deltas_in_any_order(void **state)
{
    struct sync *s = begin(10, 3);

    (void)state;
    assert_int_equal(set_team(s, 10, "t0", 2), SYNC_ADVANCED);
    assert_int_equal(set_team(s, 10, "t0", 9), SYNC_NOTHING); // from another replica
    assert_int_equal(set_team(s, 12, "t2", 2), SYNC_GAP);
    assert_int_equal(set_team(s, 13, "t2", 3), SYNC_GAP);
    assert_int_equal(version_of(s, "t2"), 1);
    assert_int_equal(set_team(s, 11, "t1", 2), SYNC_ADVANCED); // and the two kept ones
    assert_int_equal(sync_seq(s), 14);
    assert_int_equal(version_of(s, "t0"), 2);
    assert_int_equal(version_of(s, "t2"), 3);
    assert_int_equal(send_delta(s, one, 14, 15, NULL, 0, "t1"), SYNC_ADVANCED);
    assert_int_equal(version_of(s, "t1"), 0);
    assert_int_equal(send_delta(s, two, 15, 16, NULL, 0, "t0"), SYNC_GAP); // another epoch
    assert_int_equal(version_of(s, "t0"), 2);
    end(&s);
}

static void heartbeats(void **state)
{
    struct sync *s = begin(10, 3);
    uint64_t digest = sync_digest(s);

    (void)state;
    assert_int_equal(sync_compare(s, one, 10, digest), SYNC_NOTHING);
    assert_int_equal(sync_compare(s, one, 10, digest + 1), SYNC_DIVERGED);
    assert_int_equal(sync_compare(s, one, 11, digest), SYNC_GAP);
    assert_int_equal(sync_compare(s, one, 9, digest + 1), SYNC_NOTHING); // lags: no divergence
    assert_int_equal(sync_compare(s, two, 10, digest), SYNC_GAP);
    end(&s);
}

static void bad_deltas(void **state)
{
    struct sync *s = begin(10, 3);
    const struct message_item no_id = {RESOURCE_TEAM, "", 1, {"x", 1}};
    struct err e;

    (void)state;
    assert_int_equal(sync_delta(s, one, SLICE("\xff"), &e), SYNC_BAD);
    assert_int_equal(send_delta(s, one, 10, 11, &no_id, 1, NULL), SYNC_BAD);
    assert_int_equal(sync_seq(s), 10);
    end(&s);
}

static void announced_is_a_gap(void **state)
{
    const struct message m = {MESSAGE_DELTA,
                              {.delta = {.prev_seq = 10, .seq = 11, .announced = true}}};
    struct sync *s = begin(10, 3);
    struct buf b;

    (void)state;
    buf_init(&b, 1000);
    message_encode(&m, &b);
    assert_int_equal(sync_delta(s, one, buf_slice(&b), NULL), SYNC_GAP);
    assert_int_equal(sync_seq(s), 10);
    buf_done(&b);
    end(&s);
}

static void refused_resources_keep_their_version(void **state)
{
    struct sync *s = begin(10, 3);
    const struct message_resource_error *errors;
    struct message_item items[3];
    struct piece good, liar;
    uint64_t digest = sync_digest(s);
    struct arena a;
    size_t n;

    (void)state;
    arena_init(&a, 1024, 0);
    make_piece(&good, "t0", 2);
    make_piece(&liar, "t2", 2);
    items[0] = good.item;
    items[1] = (struct message_item){RESOURCE_TEAM, "t1", 2, {"\xff", 1}};
    items[2] = liar.item;
    items[2].id = "t9"; // says it is t9
    assert_int_equal(send_delta(s, one, 10, 11, items, 3, NULL), SYNC_ADVANCED);
    assert_int_equal(version_of(s, "t0"), 2);
    assert_int_equal(version_of(s, "t1"), 1);
    assert_int_equal(version_of(s, "t9"), 0);
    assert_int_equal(sync_error_count(s), 2);
    errors = sync_errors(s, &a, 10, &n);
    assert_int_equal(n, 2);
    assert_string_equal(errors[0].id, "t1");
    assert_int_equal(errors[0].version, 2);
    assert_non_null(strstr(errors[1].message, "not the resource"));
    (void)sync_errors(s, &a, 1, &n);
    assert_int_equal(n, 1);
    // The digest is of what was announced.
    digest ^= resource_digest(RESOURCE_TEAM, SLICE("t0"), 1) ^
              resource_digest(RESOURCE_TEAM, SLICE("t0"), 2) ^
              resource_digest(RESOURCE_TEAM, SLICE("t1"), 1) ^
              resource_digest(RESOURCE_TEAM, SLICE("t1"), 2) ^
              resource_digest(RESOURCE_TEAM, SLICE("t9"), 2);
    assert_int_equal(sync_compare(s, one, 11, digest), SYNC_NOTHING);
    // The next good version, or a deletion, ends it.
    assert_int_equal(set_team(s, 11, "t1", 3), SYNC_ADVANCED);
    assert_int_equal(send_delta(s, one, 12, 13, NULL, 0, "t9"), SYNC_ADVANCED);
    assert_int_equal(sync_error_count(s), 0);
    assert_true(sync_digest(s) == snapshot_digest(sync_current(s)));
    buf_done(&good.bytes);
    buf_done(&liar.bytes);
    arena_done(&a);
    end(&s);
}

// A kind of a later version is carried along, not complained about.
static void unknown_kinds_are_ignored(void **state)
{
    const struct message_item item = {99, "x", 4, {"whatever", 8}};
    struct sync *s = begin(10, 3);
    uint64_t digest = sync_digest(s) ^ resource_digest(99, SLICE("x"), 4);

    (void)state;
    assert_int_equal(send_delta(s, one, 10, 11, &item, 1, NULL), SYNC_ADVANCED);
    assert_int_equal(sync_error_count(s), 0);
    assert_int_equal(sync_compare(s, one, 11, digest), SYNC_NOTHING);
    end(&s);
}

static void a_snapshot_keeps_what_it_cannot_read(void **state)
{
    struct sync *s = begin(10, 3);
    struct message_item items[2] = {{RESOURCE_TEAM, "t1", 7, {"\xff", 1}},
                                    {RESOURCE_TEAM, "new", 1, {"\xff", 1}}};
    const struct message_sync_chunk c = {
        .snapshot = 6, .last = true, .seq = 12, .total = 2, .items = items, .n_items = 2};

    (void)state;
    sync_transfer_begin(s);
    assert_int_equal(sync_transfer_chunk(s, one, &c, NULL), SYNC_TRANSFER_DONE);
    assert_int_equal(version_of(s, "t1"), 1);
    assert_int_equal(version_of(s, "t0"), 0); // no longer there
    assert_int_equal(sync_error_count(s), 2);
    assert_true(sync_digest(s) == (resource_digest(RESOURCE_TEAM, SLICE("t1"), 7) ^
                                   resource_digest(RESOURCE_TEAM, SLICE("new"), 1)));
    end(&s);
}

static const struct resource *team(const struct sync *s, const char *id)
{
    return snapshot_find(sync_current(s), RESOURCE_TEAM, slice_str(id));
}

// What has the same version is taken over, not made again; in another epoch nothing is.
static void a_snapshot_takes_over_what_it_has(void **state)
{
    struct sync *s = begin(10, 3);
    const struct resource *t0 = team(s, "t0"), *t1;

    (void)state;
    assert_int_equal(set_team(s, 10, "t1", 2), SYNC_ADVANCED);
    t1 = team(s, "t1");
    assert_int_equal(transfer(s, one, 12, 4, 3, SLICE_NULL, NULL), SYNC_TRANSFER_DONE);
    assert_ptr_equal(team(s, "t0"), t0);
    assert_int_equal(version_of(s, "t1"), 1); // the snapshot's word counts
    assert_int_equal(version_of(s, "t3"), 1);
    assert_ptr_not_equal(team(s, "t1"), t1);
    assert_int_equal(transfer(s, two, 12, 4, 3, (struct slice){(const char *)one, 16}, NULL),
                     SYNC_TRANSFER_DONE);
    assert_int_equal(version_of(s, "t0"), 1);
    assert_ptr_not_equal(team(s, "t0"), t0);
    end(&s);
}

static void wrong_chunks_are_refused(void **state)
{
    static const struct {
        struct message_sync_chunk c;
        const char *error;
    } cases[] = {
        {{.snapshot = 0, .last = true, .seq = 11}, "not the chunk"},
        {{.snapshot = 7, .chunk = 1, .last = true, .seq = 11}, "not the chunk"},
        {{.snapshot = 7, .last = true, .seq = 11, .total = 3}, "wrong number"},
        {{.snapshot = 7, .last = false, .seq = 11, .total = 3}, "wrong number"},
        {{.snapshot = 7, .last = true, .seq = 9}, "behind ours"},
        {{.snapshot = 7, .last = true, .seq = 11, .total = UINT64_MAX}, "more than"},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sync *s = begin(10, 3);
        struct err e = {0};

        sync_transfer_begin(s);
        assert_int_equal(sync_transfer_chunk(s, one, &cases[i].c, &e), SYNC_TRANSFER_BAD);
        if (strstr(e.message, cases[i].error) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", e.message, cases[i].error);
        }
        // Nothing has changed, and a chunk that nobody asked for changes nothing either.
        assert_int_equal(sync_seq(s), 10);
        assert_int_equal(sync_transfer_chunk(s, one, &cases[i].c, &e), SYNC_TRANSFER_BAD);
        end(&s);
    }
}

static void chunks_of_two_snapshots_do_not_mix(void **state)
{
    struct message_sync_chunk c = {.snapshot = 7, .seq = 11, .total = 2, .n_items = 1};
    struct sync *s = begin(10, 3);
    struct piece p, q;
    struct err e;

    (void)state;
    make_piece(&p, "a", 1);
    make_piece(&q, "b", 1);
    sync_transfer_begin(s);
    c.items = &p.item;
    assert_int_equal(sync_transfer_chunk(s, one, &c, &e), SYNC_TRANSFER_MORE);
    assert_int_equal(sync_transfer_snapshot(s), 7);
    c.items = &q.item;
    c.chunk = 1;
    c.last = true;
    c.seq = 12;
    assert_int_equal(sync_transfer_chunk(s, one, &c, &e), SYNC_TRANSFER_BAD);
    assert_int_equal(version_of(s, "a"), 0);
    buf_done(&p.bytes);
    buf_done(&q.bytes);
    end(&s);
}

static void epochs_follow_only_by_name(void **state)
{
    struct sync *s = begin(10, 3);
    char several[48] = {9};
    struct err e;

    (void)state;
    assert_int_equal(transfer(s, two, 3, 2, 4, SLICE_NULL, &e), SYNC_TRANSFER_BAD);
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_int_equal(transfer(s, two, 3, 2, 4, SLICE_MAKE((const char *)two, 16), &e),
                     SYNC_TRANSFER_BAD);
    assert_int_equal(sync_seq(s), 10);
    assert_int_equal(transfer(s, two, 3, 2, 4, SLICE_MAKE((const char *)one, 16), &e),
                     SYNC_TRANSFER_DONE);
    assert_int_equal(sync_seq(s), 3);
    assert_memory_equal(sync_epoch(s), two, 16);
    end(&s);

    // Nothing loaded, but there is a past: the file's. Any of several superseded epochs may be it.
    s = sync_new();
    sync_expect(s, one);
    assert_int_equal(transfer(s, two, 3, 2, 4, SLICE_NULL, &e), SYNC_TRANSFER_BAD);
    assert_int_equal(e.code, ERR_CONFLICT);
    assert_int_equal(transfer(s, two, 3, 2, 4, SLICE_MAKE(several, 48), &e), SYNC_TRANSFER_BAD);
    memcpy(several + 16, one, 16);
    assert_int_equal(transfer(s, two, 3, 2, 4, SLICE_MAKE(several, 48), &e), SYNC_TRANSFER_DONE);
    end(&s);
    s = sync_new();
    sync_expect(s, one);
    assert_int_equal(transfer(s, one, 3, 2, 4, SLICE_NULL, &e), SYNC_TRANSFER_DONE);
    end(&s);
}

static void what_is_kept_is_bounded(void **state)
{
    struct sync *s = begin(10, 1);

    (void)state;
    for (uint64_t i = 0; i < 5000; i++) {
        assert_int_equal(send_delta(s, one, 20 + i, 21 + i, NULL, 0, "x"), SYNC_GAP);
    }
    // Too many: they were dropped, the snapshot alone counts (and the few that came after).
    assert_int_equal(transfer(s, one, 20, 1, 4, SLICE_NULL, NULL), SYNC_TRANSFER_DONE);
    assert_int_equal(sync_seq(s), 20);
    end(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_yet),
        cmocka_unit_test(deltas_in_any_order),
        cmocka_unit_test(heartbeats),
        cmocka_unit_test(bad_deltas),
        cmocka_unit_test(announced_is_a_gap),
        cmocka_unit_test(refused_resources_keep_their_version),
        cmocka_unit_test(unknown_kinds_are_ignored),
        cmocka_unit_test(a_snapshot_keeps_what_it_cannot_read),
        cmocka_unit_test(a_snapshot_takes_over_what_it_has),
        cmocka_unit_test(wrong_chunks_are_refused),
        cmocka_unit_test(chunks_of_two_snapshots_do_not_mix),
        cmocka_unit_test(epochs_follow_only_by_name),
        cmocka_unit_test(what_is_kept_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
