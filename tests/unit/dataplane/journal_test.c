// SPDX-License-Identifier: Apache-2.0
// A process that is killed at any instruction: what it had begun, ended, sealed is found again, and
// nothing else. Killing is played by copying the file as it lies and opening the copy.
#include "dataplane/journal.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/proc.h"
#include "dataplane/journal_priv.h"

#define RING  (256u << 10)
#define SLOTS (RING / JOURNAL_SLOT_BYTES)

static char dir[64], copy_dir[64];
static struct arena arena;

static struct message_usage_record record(unsigned i)
{
    static char id[32];

    (void)snprintf(id, sizeof(id), "req-%u", i);
    return (struct message_usage_record){.request_id = id,
                                         .key = "k1",
                                         .provider = "openai",
                                         .model = "gpt-4o-mini",
                                         .status = 200,
                                         .input = i,
                                         .output = 2,
                                         .attempts = 1};
}

static void path_in(const char *d, const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", d, name);
}

static void forget(const char *d)
{
    char path[128];

    path_in(d, JOURNAL_FILE, path);
    (void)unlink(path);
    path_in(d, JOURNAL_FILE ".damaged", path);
    (void)unlink(path);
}

static void read_all(const char *d, struct buf *b)
{
    char path[128];

    path_in(d, JOURNAL_FILE, path);
    buf_init(b, 256u << 20);
    assert_true(proc_read_file(path, 256u << 20, b, NULL));
}

static void write_all(const char *d, struct slice s)
{
    char path[128];

    path_in(d, JOURNAL_FILE, path);
    assert_true(proc_write_file(path, s, 0600, NULL));
}

// As a new process would find it now.
static struct journal *after_kill(void)
{
    struct journal *j;
    struct buf b;

    forget(copy_dir);
    read_all(dir, &b);
    write_all(copy_dir, buf_slice(&b));
    buf_done(&b);
    j = journal_open(copy_dir, RING, NULL);
    assert_non_null(j);
    return j;
}

static struct journal *fresh(void)
{
    struct journal *j;

    forget(dir);
    j = journal_open(dir, RING, NULL);
    assert_non_null(j);
    return j;
}

static void end(struct journal *j, uint32_t slot, unsigned i)
{
    struct message_usage_record r = record(i);
    bool batch;

    assert_true(journal_end(j, slot, &r, &batch));
}

static uint32_t begin(struct journal *j, uint32_t slot, unsigned i, unsigned attempts)
{
    struct message_usage_record r = record(i);

    r.attempts = attempts;
    return journal_begin(j, slot, &r);
}

static struct journal_report seal(struct journal *j)
{
    struct journal_report r = {0};

    assert_true(journal_seal(j, 64 << 10, 1024, &r));
    return r;
}

static size_t read_report(struct journal *j, const struct journal_report *r,
                          struct message_usage_record **list)
{
    arena_reset(&arena);
    return journal_read(j, r, &arena, list);
}

static struct journal_report seen[64];
static size_t n_seen;

static void see(void *ctx, const struct journal_report *r)
{
    (void)ctx;
    assert_true(n_seen < 64);
    seen[n_seen++] = *r;
}

static void look_at(struct journal *j)
{
    n_seen = 0;
    journal_each_report(j, see, NULL);
}

// ---- tests -------------------------------------------------------------------------------------

static void what_was_sealed_stays_sealed(void **state)
{
    struct journal *j = fresh(), *again;
    struct message_usage_record *list;
    struct journal_report r;
    char stream[32];

    (void)state;
    (void)snprintf(stream, sizeof(stream), "%s", journal_stream(j));
    for (unsigned i = 0; i < 5; i++) {
        end(j, 0, i);
    }
    r = seal(j);
    assert_int_equal(r.number, 1);
    assert_int_equal(r.n_records, 5);
    end(j, 0, 5);
    end(j, 0, 6);
    assert_int_equal(seal(j).number, 2);
    end(j, 0, 7);
    again = after_kill();
    assert_string_equal(journal_stream(again), stream); // the numbering goes on
    look_at(again);
    assert_int_equal(n_seen, 2);
    assert_int_equal(seen[0].number, 1);
    assert_int_equal(read_report(again, &seen[0], &list), 5);
    assert_int_equal(list[4].input, 4);
    assert_string_equal(list[4].request_id, "req-4");
    assert_string_equal(list[4].model, "gpt-4o-mini");
    assert_int_equal(read_report(again, &seen[1], &list), 2);
    r = seal(again); // what was not sealed yet
    assert_int_equal(r.number, 3);
    assert_int_equal(read_report(again, &r, &list), 1);
    assert_int_equal(list[0].input, 7);
    assert_false(journal_seal(again, 64 << 10, 1024, &r));
    journal_close(&again);
    // Released reports are gone, their numbers are not used again.
    journal_release(j, seal(j).to);
    again = after_kill();
    look_at(again);
    assert_int_equal(n_seen, 0);
    end(again, 0, 9);
    assert_int_equal(seal(again).number, 4);
    journal_close(&again);
    journal_close(&j);
}

static void what_had_no_end_is_interrupted(void **state)
{
    struct journal *j = fresh(), *again;
    struct message_usage_record *list;
    struct journal_stats s;
    struct journal_report r;
    uint32_t a, b, c;

    (void)state;
    a = begin(j, 0, 1, 1);
    b = begin(j, 0, 2, 1);
    c = begin(j, 0, 3, 1);
    assert_true(a != 0 && b != 0 && c != 0 && a != b && b != c);
    b = begin(j, b, 2, 2); // a second attempt of the same request
    end(j, a, 1);
    again = after_kill();
    journal_stats(again, &s);
    assert_true(s.recovered);
    assert_int_equal(s.interrupted, 2);
    assert_int_equal(s.records, 3);
    r = seal(again);
    assert_int_equal(read_report(again, &r, &list), 3);
    assert_false(list[0].interrupted);
    for (int i = 1; i < 3; i++) {
        assert_true(list[i].interrupted && list[i].estimated);
        assert_int_equal(list[i].attempts, list[i].input == 2 ? 2 : 1);
    }
    journal_close(&again);
    end(j, b, 2);
    end(j, c, 3);
    again = after_kill();
    journal_stats(again, &s);
    assert_int_equal(s.interrupted, 0);
    journal_close(&again);
    journal_close(&j);
    // Opened again after an orderly end: the same.
    j = journal_open(dir, RING, NULL);
    journal_stats(j, &s);
    assert_int_equal(s.interrupted, 0);
    assert_int_equal(s.records, 3);
    journal_close(&j);
}

// Killed between the record's mark and the slot's: it has ended. Between the reservation and the
// mark: it has not, and what others wrote behind it is found.
static void kills_in_the_middle(void **state)
{
    struct journal *j = fresh(), *again;
    struct message_usage_record *list;
    struct journal_record *hole;
    struct journal_report r;
    struct journal_stats s;
    uint64_t id, at;
    uint32_t slot;

    (void)state;
    slot = begin(j, 0, 1, 1);
    id = atomic_load(&journal_slot(j, slot)->id);
    end(j, slot, 1);
    atomic_store(&journal_slot(j, slot)->id, id);
    at = atomic_load(&j->head);
    end(j, 0, 2);
    hole = journal_at(j, at);
    atomic_store(&hole->mark, 0);
    end(j, 0, 3);
    assert_int_equal(seal(j).n_records, 1); // stops at the place that is not filled yet
    assert_false(journal_seal(j, 64 << 10, 1024, &r));
    again = after_kill();
    journal_stats(again, &s);
    assert_int_equal(s.interrupted, 0);
    assert_int_equal(s.records, 2);
    look_at(again);
    assert_int_equal(n_seen, 1);
    r = seal(again);
    assert_int_equal(read_report(again, &r, &list), 1);
    assert_int_equal(list[0].input, 3);
    journal_close(&again);
    journal_close(&j);
}

static void round_and_round(void **state)
{
    struct journal *j = fresh(), *again;
    struct message_usage_record *list;
    unsigned next = 0, read = 0;

    (void)state;
    for (int lap = 0; lap < 200; lap++) {
        struct journal_report r;

        for (unsigned i = 0; i < 300; i++) {
            end(j, 0, next++);
        }
        while (journal_seal(j, 64 << 10, 1024, &r)) {
            size_t n = read_report(j, &r, &list);

            assert_int_equal(n, r.n_records);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(list[i].input, read++);
            }
            if (lap % 50 == 49) {
                again = after_kill();
                look_at(again);
                assert_int_equal(seen[n_seen - 1].number, r.number);
                assert_int_equal(read_report(again, &seen[n_seen - 1], &list), n);
                assert_int_equal(list[n - 1].input, read - 1);
                journal_close(&again);
            }
            journal_release(j, r.to);
        }
        journal_tick(j);
    }
    assert_int_equal(read, next);
    journal_close(&j);
}

static void full(void **state)
{
    struct journal *j = fresh();
    struct message_usage_record m = record(1);
    struct journal_report r;
    struct journal_stats s;
    uint32_t slot = 0;
    bool batch;

    (void)state;
    for (unsigned i = 0; i < SLOTS; i++) {
        slot = begin(j, 0, i, 1);
        assert_true(slot != 0);
    }
    assert_int_equal(begin(j, 0, 0, 1), 0);
    assert_int_equal(begin(j, slot, 0, 2), slot); // keeps what it has
    while (journal_end(j, 0, &m, &batch)) {
    }
    journal_stats(j, &s);
    assert_int_equal(s.lost, 1);
    assert_int_equal(s.unjournaled, 2);
    assert_true(journal_seal(j, 64 << 10, 1024, &r)); // seals have room of their own
    journal_release(j, r.to);
    assert_true(journal_end(j, 0, &m, &batch));
    journal_close(&j);
}

// Every byte of the used part, damaged: opens, or is put aside; never more records than were there.
static void damage(void **state)
{
    struct journal *j = fresh();
    struct journal_stats s;
    struct buf b;
    size_t used;

    (void)state;
    for (unsigned i = 0; i < 20; i++) {
        end(j, begin(j, 0, i, 1), i);
    }
    (void)seal(j);
    (void)begin(j, 0, 99, 1);
    used = JOURNAL_PAGE + SLOTS * JOURNAL_SLOT_BYTES + (size_t)atomic_load(&j->head);
    journal_close(&j);
    read_all(dir, &b);
    for (size_t i = 0; i < used; i += i < 512 || i > used - 1024 ? 61 : 40961) {
        b.p[i] = (char)(b.p[i] ^ 0x55);
        forget(copy_dir);
        write_all(copy_dir, buf_slice(&b));
        b.p[i] = (char)(b.p[i] ^ 0x55);
        j = journal_open(copy_dir, RING, NULL);
        assert_non_null(j);
        journal_stats(j, &s);
        assert_true(s.records <= 21 && s.interrupted <= 1 + 20);
        end(j, 0, 1);
        (void)seal(j);
        journal_close(&j);
    }
    // Cut short.
    forget(copy_dir);
    write_all(copy_dir, slice_head(buf_slice(&b), 5000));
    j = journal_open(copy_dir, RING, NULL);
    assert_non_null(j);
    journal_stats(j, &s);
    assert_int_equal(s.records, 0);
    journal_close(&j);
    buf_done(&b);
}

static void one_process_at_a_time(void **state)
{
    struct journal *j = fresh();
    struct err e = {0};

    (void)state;
    assert_null(journal_open(dir, RING, &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    journal_close(&j);
    assert_null(journal_open("/nonexistent", RING, &e));
    journal_close(&j); // NULL
}

static void long_strings_are_cut(void **state)
{
    char *text = mem_alloc(70000);
    struct message_usage_record m = record(1), *list;
    struct journal *j = fresh(), *again;
    struct journal_report r;
    bool batch;

    (void)state;
    memset(text, 'x', 69999);
    text[69999] = '\0';
    m.user = m.tags = text;
    (void)journal_begin(j, 0, &m);
    assert_true(journal_end(j, 0, &m, &batch));
    again = after_kill();
    r = seal(again);
    assert_int_equal(read_report(again, &r, &list), 2);
    assert_string_equal(list[0].request_id, "req-1");
    assert_true(strlen(list[0].user) > 3000 && strlen(list[0].tags) == 0);
    assert_true(strlen(list[1].user) > 200 && strlen(list[1].user) < 512);
    journal_close(&again);
    journal_close(&j);
    mem_free(text);
}

// ---- many threads ------------------------------------------------------------------------------

#define THREADS 4
#define EACH    20000u

static void *producer(void *arg)
{
    struct journal *j = arg;
    unsigned done = 0;
    bool batch;

    while (done < EACH) {
        struct message_usage_record m = {.provider = "p", .input = 1};
        uint32_t slot = journal_begin(j, 0, &m);

        slot = journal_begin(j, slot, &m);
        if (journal_end(j, slot, &m, &batch)) {
            done++;
        }
    }
    return NULL;
}

static void many_threads(void **state)
{
    struct journal *j = fresh();
    struct message_usage_record *list;
    struct journal_report r;
    pthread_t t[THREADS];
    struct journal_stats s;
    size_t n = 0;

    (void)state;
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&t[i], NULL, producer, j), 0);
    }
    while (n < (size_t)THREADS * EACH) {
        if (journal_seal(j, 64 << 10, 1024, &r)) {
            assert_int_equal(read_report(j, &r, &list), r.n_records);
            n += r.n_records;
            journal_release(j, r.to);
        }
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(t[i], NULL), 0);
    }
    journal_stats(j, &s);
    assert_int_equal(s.records, (uint64_t)THREADS * EACH);
    assert_int_equal(s.unjournaled, 0);
    journal_close(&j);
    j = journal_open(dir, RING, NULL);
    journal_stats(j, &s);
    assert_int_equal(s.interrupted, 0);
    journal_close(&j);
}

// Not a limit in a test (machines differ): printed, docs/internals/control-plane.md has the figure.
static void what_it_costs(void **state)
{
    struct journal *j;
    struct message_usage_record m = record(1);
    struct journal_report r;
    uint64_t spent = 0;
    bool batch;

    (void)state;
    forget(dir);
    j = journal_open(dir, JOURNAL_RING_BYTES, NULL);
    for (int round = 0; round < 100; round++) {
        uint64_t start = mono_now_us();

        for (int i = 0; i < 1000; i++) {
            uint32_t slot = journal_begin(j, 0, &m);

            assert_true(journal_end(j, slot, &m, &batch));
        }
        spent += mono_now_us() - start;
        while (journal_seal(j, 64 << 10, 1024, &r)) {
            journal_release(j, r.to);
        }
        journal_tick(j);
    }
    print_message("journal: %.0f ns a request (begin + end)\n", (double)spent * 1000 / 100000);
    journal_close(&j);
}

static int make_dirs(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sluice-journal-XXXXXX");
    (void)snprintf(copy_dir, sizeof(copy_dir), "/tmp/sluice-journal-XXXXXX");
    arena_init(&arena, 64 << 10, 0);
    return mkdtemp(dir) == NULL || mkdtemp(copy_dir) == NULL;
}

static int remove_dirs(void **state)
{
    const char *dirs[] = {dir, copy_dir};
    char path[128];

    (void)state;
    for (int i = 0; i < 2; i++) {
        forget(dirs[i]);
        path_in(dirs[i], JOURNAL_FILE ".lock", path);
        (void)unlink(path);
        (void)rmdir(dirs[i]);
    }
    arena_done(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_sealed_stays_sealed),
        cmocka_unit_test(what_had_no_end_is_interrupted),
        cmocka_unit_test(kills_in_the_middle),
        cmocka_unit_test(round_and_round),
        cmocka_unit_test(full),
        cmocka_unit_test(damage),
        cmocka_unit_test(one_process_at_a_time),
        cmocka_unit_test(long_strings_are_cut),
        cmocka_unit_test(many_threads),
        cmocka_unit_test(what_it_costs),
    };

    return cmocka_run_group_tests(tests, make_dirs, remove_dirs);
}
