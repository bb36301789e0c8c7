// SPDX-License-Identifier: Apache-2.0
// Numbering, acknowledging, going back, bounds.
#include "dataplane/outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/buf.h"

#define SEC ((uint64_t)1000000)

static const struct message_usage_record sample = {
    .request_id = "req", .key = "k", .provider = "openai", .model = "m", .status = 200, .input = 7};

static struct journal *journal;

static struct outbox *open_outbox(size_t bytes)
{
    journal = journal_open(NULL, bytes, NULL);
    assert_non_null(journal);
    return outbox_new(journal);
}

static void close_outbox(struct outbox **o)
{
    outbox_free(o);
    journal_close(&journal);
}

static void add(struct outbox *o, unsigned n)
{
    bool due;

    for (unsigned i = 0; i < n; i++) {
        assert_true(outbox_add(o, 0, &sample, &due));
    }
}

static struct arena arena; // of the report last taken

static bool next(struct outbox *o, struct message_usage_report *r)
{
    arena_reset(&arena);
    return outbox_next(o, &arena, r);
}

static void reports_are_numbered_in_order(void **state)
{
    struct outbox *o = open_outbox(1 << 20);
    struct message_usage_report r;
    struct outbox_stats s;

    (void)state;
    assert_false(next(o, &r));
    outbox_close(o); // nothing to close
    assert_false(next(o, &r));
    add(o, 2);
    assert_false(next(o, &r)); // not closed yet
    outbox_close(o);
    add(o, 1);
    outbox_close(o);
    assert_true(next(o, &r));
    assert_int_equal(r.number, 1);
    assert_int_equal(r.oldest, 1);
    assert_int_equal(r.n_records, 2);
    assert_string_equal(r.records[0].provider, "openai");
    assert_string_equal(r.records[0].router, ""); // NULL becomes empty
    assert_true(next(o, &r));
    assert_int_equal(r.number, 1); // until it is acknowledged
    assert_false(outbox_is_empty(o));
    outbox_acked(o, 1, SEC);
    assert_true(next(o, &r));
    assert_int_equal(r.number, 2);
    outbox_acked(o, 2, SEC);
    assert_false(next(o, &r));
    assert_true(outbox_is_empty(o));
    outbox_stats(o, &s);
    assert_int_equal(s.acked, 3);
    assert_int_equal(s.pending, 0);
    close_outbox(&o);
    assert_null(o);
}

static void a_store_that_lost_its_tail_gets_it_again(void **state)
{
    struct outbox *o = open_outbox(1 << 20);
    struct message_usage_report r;
    struct outbox_stats s;

    (void)state;
    for (int i = 0; i < 3; i++) {
        add(o, 1);
        outbox_close(o);
    }
    outbox_acked(o, 3, SEC);
    assert_false(next(o, &r));
    outbox_acked(o, 1, 5 * SEC); // gone back
    assert_true(next(o, &r));
    assert_int_equal(r.number, 2);
    outbox_stats(o, &s);
    assert_int_equal(s.pending, 2);
    outbox_acked(o, 3, 6 * SEC);
    assert_false(next(o, &r));
    // After 10 s they are gone; a store that goes back further gets what is left.
    add(o, 1);
    outbox_close(o);
    outbox_acked(o, 4, 12 * SEC); // forgets 1
    outbox_acked(o, 4, 17 * SEC); // forgets 2 and 3
    outbox_acked(o, 0, 18 * SEC);
    assert_true(next(o, &r));
    assert_int_equal(r.number, 4);
    assert_int_equal(r.oldest, 4);
    close_outbox(&o);
}

static void reports_have_a_size(void **state)
{
    struct outbox *o = open_outbox(64 << 20);
    struct message_usage_report r;
    unsigned dues = 0, records = 0;
    uint64_t last = 0;

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        bool due;

        assert_true(outbox_add(o, 0, &sample, &due));
        dues += due;
    }
    assert_true(dues >= 5);
    outbox_close(o);
    while (next(o, &r)) {
        const struct message m = {MESSAGE_USAGE_REPORT, {.usage_report = r}};
        struct message whole = m;
        struct buf b;

        buf_init(&b, MESSAGE_BYTES_MAX);
        whole.u.usage_report.proxy = whole.u.usage_report.stream = "p";
        message_encode(&whole, &b);
        assert_true(b.n <= OUTBOX_REPORT_BYTES);
        buf_done(&b);
        assert_int_equal(r.number, last + 1);
        records += (unsigned)r.n_records;
        last = r.number;
        outbox_acked(o, last, SEC);
    }
    assert_int_equal(records, 3000);
    close_outbox(&o);
}

static void memory_is_bounded(void **state)
{
    struct outbox *o = open_outbox(64 * 1024);
    struct outbox_stats s;
    unsigned taken = 0;
    bool due;

    (void)state;
    while (outbox_add(o, 0, &sample, &due)) {
        taken++;
    }
    assert_true(taken > 50 && taken < 1000);
    assert_false(outbox_add(o, 0, &sample, &due));
    outbox_stats(o, &s);
    assert_int_equal(s.lost, 2);
    assert_int_equal(s.pending, taken);
    // What is acknowledged makes room, even before its 10 s are over.
    outbox_close(o);
    outbox_acked(o, 1, SEC);
    assert_true(outbox_add(o, 0, &sample, &due));
    close_outbox(&o);
}

static void unreadable_strings_and_reports(void **state)
{
    struct message_usage_record odd = sample;
    struct outbox *o = open_outbox(1 << 20);
    struct message_usage_report r;
    struct outbox_stats s;
    bool due;

    (void)state;
    odd.user = "caf\xe9";
    odd.tags = "caf\xc3\xa9";
    assert_true(outbox_add(o, 0, &odd, &due));
    outbox_close(o);
    add(o, 1);
    outbox_close(o);
    assert_true(next(o, &r));
    assert_string_equal(r.records[0].user, "caf?");
    assert_string_equal(r.records[0].tags, "caf\xc3\xa9");
    outbox_drop(o, 1); // refused for good: the next one says what is missing
    assert_true(next(o, &r));
    assert_int_equal(r.number, 2);
    assert_int_equal(r.oldest, 2);
    outbox_stats(o, &s);
    assert_int_equal(s.lost, 1);
    assert_int_equal(s.pending, 1);
    close_outbox(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reports_are_numbered_in_order),
        cmocka_unit_test(a_store_that_lost_its_tail_gets_it_again),
        cmocka_unit_test(reports_have_a_size),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(unreadable_strings_and_reports),
    };

    int rc;

    arena_init(&arena, 4096, 0);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    arena_done(&arena);
    return rc;
}
