// SPDX-License-Identifier: Apache-2.0
// The last-known-good file: what was saved comes back; every damage, cut and foreign key is refused
// with a reason; the older generation steps in; no secret is readable in it.
#include "dataplane/lkg.h"

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/proc.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/proto/golden.h"
#include "tests/unit/proto/keydir.h"

static const uint8_t epoch[16] = {7, 7};

struct fixture {
    char dir[64], path[256], older[256];
    struct keys *keys;
    struct buf file;
};

static int setup(void **state)
{
    struct fixture *f = mem_zalloc(sizeof(*f));

    keydir_make(f->dir);
    assert_true(keys_create(f->dir, NULL));
    f->keys = keydir_load(f->dir, false);
    keydir_path(f->path, f->dir, "last-known-good");
    keydir_path(f->older, f->dir, "last-known-good.1");
    buf_init(&f->file, 64 << 20);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    keys_unref(&f->keys);
    buf_done(&f->file);
    keydir_remove(f->dir);
    mem_free(f);
    snapshot_reap();
    return 0;
}

static struct snapshot *make_snapshot(uint64_t seq, unsigned n)
{
    struct resource **list = mem_zalloc_array(n + 2, sizeof(struct resource *));
    struct snapshot *s;

    for (unsigned i = 0; i < n; i++) {
        char id[32];

        (void)snprintf(id, sizeof(id), "team%u", i);
        list[i] = resource_new(RESOURCE_TEAM, slice_str(id), i + 1);
        list[i]->u.team->name = "a team";
    }
    list[n] = resource_new(RESOURCE_PROVIDER_KEY, SLICE("pk"), 1);
    list[n]->u.provider_key->provider = "openai";
    list[n]->u.provider_key->weight = 1;
    list[n]->u.provider_key->value = secret_new(SLICE("sk-planted-secret-0123456789"));
    list[n + 1] = resource_new(RESOURCE_SETTINGS, SLICE("global"), 1);
    memcpy(list[n + 1]->u.settings->key_hash_key, "planted-hash-key-0123456789abcde", 32);
    s = snapshot_new(epoch, seq, list, n + 2);
    for (unsigned i = 0; i < n + 2; i++) {
        resource_unref(&list[i]);
    }
    mem_free(list);
    return s;
}

static void save(struct fixture *f, uint64_t seq, unsigned n)
{
    struct lkg *l = lkg_new(f->dir, f->keys, NULL);
    struct snapshot *s = make_snapshot(seq, n);

    assert_non_null(l);
    lkg_save(l, s);
    snapshot_unref(&s);
    lkg_free(&l); // finishes it
    assert_null(l);
    buf_clear(&f->file);
    assert_true(proc_read_file(f->path, 64 << 20, &f->file, NULL));
}

static void put_file(struct fixture *f, struct slice bytes)
{
    assert_true(proc_write_file(f->path, bytes, 0600, NULL));
}

static void drop(struct snapshot **s)
{
    snapshot_unref(s);
    snapshot_reap();
}

static void comes_back_whole(void **state)
{
    static const unsigned sizes[] = {0, 10, 5000};
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        struct snapshot *s, *was = make_snapshot(42, sizes[i]);
        struct err e = {0};

        save(f, 42, sizes[i]);
        s = lkg_load(f->dir, f->keys, NULL, &e);
        if (s == NULL) {
            fail_msg("%s", e.message);
        }
        assert_int_equal(snapshot_seq(s), 42);
        assert_memory_equal(snapshot_epoch(s), epoch, 16);
        assert_true(snapshot_digest(s) == snapshot_digest(was));
        assert_int_equal(snapshot_count(s, RESOURCE_TEAM), sizes[i]);
        assert_true(slice_eq_str(
            secret_reveal(
                snapshot_find(s, RESOURCE_PROVIDER_KEY, SLICE("pk"))->u.provider_key->value),
            "sk-planted-secret-0123456789"));
        drop(&s);
        drop(&was);
    }
    assert_true(slice_find(buf_slice(&f->file), SLICE("planted")) == SIZE_MAX);
    assert_true(slice_find(buf_slice(&f->file), SLICE("team1")) == SIZE_MAX);
}

static void there_is_none(void **state)
{
    struct fixture *f = *state;
    struct err e;

    assert_null(lkg_load(f->dir, f->keys, NULL, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void every_cut_and_flip_is_noticed(void **state)
{
    struct fixture *f = *state;
    struct err e;

    save(f, 42, 3);
    (void)unlink(f->older);
    for (size_t n = 0; n < f->file.n; n += 7) {
        put_file(f, slice_head(buf_slice(&f->file), n));
        assert_null(lkg_load(f->dir, f->keys, NULL, &e));
        assert_non_null(strstr(e.message, "truncated"));
    }
    for (size_t i = 0; i < f->file.n; i++) {
        f->file.p[f->file.off + i] ^= 0x40;
        put_file(f, buf_slice(&f->file));
        if (lkg_load(f->dir, f->keys, NULL, &e) != NULL) {
            fail_msg("byte %zu changed, and nobody noticed", i);
        }
        f->file.p[f->file.off + i] ^= 0x40;
    }
    assert_true(strlen(e.message) > 0);
}

static void another_key_is_told_as_such(void **state)
{
    struct fixture *f = *state;
    struct keys *other;
    char dir[64];
    struct err e;

    save(f, 42, 3);
    keydir_make(dir);
    assert_true(keys_create(dir, NULL));
    other = keydir_load(dir, false);
    assert_null(lkg_load(f->dir, other, NULL, &e));
    assert_int_equal(e.code, ERR_DENIED);
    assert_non_null(strstr(e.message, "another cluster secret"));
    keys_unref(&other);
    keydir_remove(dir);
}

static void the_older_generation_steps_in(void **state)
{
    struct fixture *f = *state;
    struct snapshot *s;
    struct err e;

    uint8_t was[16];
    char oldest[256];

    assert_false(lkg_epoch(f->dir, f->keys, was));
    save(f, 40, 3);
    save(f, 41, 3);
    save(f, 42, 3);
    save(f, 43, 3);
    assert_true(lkg_epoch(f->dir, f->keys, was));
    assert_memory_equal(was, epoch, 16);
    put_file(f, SLICE("garbage"));
    s = lkg_load(f->dir, f->keys, NULL, &e);
    assert_non_null(s);
    assert_int_equal(snapshot_seq(s), 42);
    drop(&s);
    assert_true(proc_write_file(f->older, SLICE("garbage"), 0600, NULL));
    s = lkg_load(f->dir, f->keys, NULL, &e);
    assert_non_null(s);
    assert_int_equal(snapshot_seq(s), 41);
    drop(&s);
    memset(was, 0, sizeof(was));
    assert_true(lkg_epoch(f->dir, f->keys, was));
    assert_memory_equal(was, epoch, 16);
    keydir_path(oldest, f->dir, "last-known-good.2");
    assert_true(proc_write_file(oldest, SLICE("garbage"), 0600, NULL));
    assert_null(lkg_load(f->dir, f->keys, NULL, &e));
    assert_non_null(strstr(e.message, "last-known-good.1: "));
    assert_false(lkg_epoch(f->dir, f->keys, was));
}

// The first secret seals, all open; a file under an older one says so.
static void the_secret_is_rotated(void **state)
{
    static const char a[] = "cluster=c\n"
                            "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\n";
    static const char ba[] = "cluster=c\n"
                             "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=\n"
                             "YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\n";
    static const char b[] = "cluster=c\n"
                            "YmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmJiYmI=\n";
    struct fixture *f = *state;
    struct keys *old, *both, *fresh;
    struct snapshot *s = make_snapshot(1, 3), *got;
    bool stale = true;
    struct lkg *l;
    struct err e;

    keydir_write(f->dir, "cluster-secret", a);
    old = keydir_load(f->dir, false);
    keydir_write(f->dir, "cluster-secret", ba);
    both = keydir_load(f->dir, false);
    keydir_write(f->dir, "cluster-secret", b);
    fresh = keydir_load(f->dir, false);
    l = lkg_new(f->dir, old, NULL);
    lkg_save(l, s);
    while ((got = lkg_load(f->dir, old, &stale, &e)) == NULL) {
        assert_int_equal(e.code, ERR_NOT_FOUND); // not yet
        (void)sched_yield();
    }
    assert_false(stale);
    drop(&got);
    got = lkg_load(f->dir, both, &stale, &e);
    assert_non_null(got);
    assert_true(stale);
    drop(&got);
    assert_null(lkg_load(f->dir, fresh, NULL, &e));
    lkg_set_keys(l, both);
    keys_unref(&both); // it holds its own
    keys_unref(&old);
    lkg_save(l, s);
    lkg_free(&l);
    got = lkg_load(f->dir, fresh, &stale, &e);
    assert_non_null(got);
    assert_false(stale);
    drop(&got);
    drop(&s);
    keys_unref(&fresh);
}

// A file that an earlier build has written is read by every later one. It cannot be written twice
// alike (nonces), so it is made once: SLUICE_UPDATE_GOLDEN=1 where it is missing.
static void the_golden_file_is_read(void **state)
{
    static const char secret[] = "cluster=golden\n"
                                 "Z29sZGVuZ29sZGVuZ29sZGVuZ29sZGVuZ29sZGVuZ28=\n";
    struct fixture *f = *state;
    struct keys *keys;
    struct snapshot *s;
    struct buf bytes;
    char path[512];
    struct err e;

    keydir_write(f->dir, "cluster-secret", secret);
    keys = keydir_load(f->dir, false);
    golden_path("last-known-good.bin", path);
    if (getenv("SLUICE_UPDATE_GOLDEN") != NULL && access(path, F_OK) != 0) {
        struct lkg *l = lkg_new(f->dir, keys, NULL);

        s = make_snapshot(42, 3);
        lkg_save(l, s);
        lkg_free(&l);
        drop(&s);
        buf_init(&bytes, 1 << 20);
        assert_true(proc_read_file(f->path, 1 << 20, &bytes, NULL));
        golden_check("last-known-good.bin", buf_slice(&bytes));
        buf_done(&bytes);
    }
    buf_init(&bytes, 1 << 20);
    golden_read("last-known-good.bin", &bytes);
    put_file(f, buf_slice(&bytes));
    s = lkg_load(f->dir, keys, NULL, &e);
    if (s == NULL) {
        fail_msg("%s", e.message);
    }
    assert_int_equal(snapshot_seq(s), 42);
    assert_int_equal(snapshot_count(s, RESOURCE_TEAM), 3);
    assert_true(slice_eq_str(
        secret_reveal(snapshot_find(s, RESOURCE_PROVIDER_KEY, SLICE("pk"))->u.provider_key->value),
        "sk-planted-secret-0123456789"));
    drop(&s);
    buf_done(&bytes);
    keys_unref(&keys);
}

// Of several that wait only the last is written.
static void the_latest_wins(void **state)
{
    struct fixture *f = *state;
    struct lkg *l = lkg_new(f->dir, f->keys, NULL);
    struct snapshot *s;

    for (uint64_t seq = 1; seq <= 50; seq++) {
        s = make_snapshot(seq, 100);
        lkg_save(l, s);
        drop(&s);
    }
    lkg_free(&l);
    s = lkg_load(f->dir, f->keys, NULL, NULL);
    assert_non_null(s);
    assert_int_equal(snapshot_seq(s), 50);
    drop(&s);
}

// By itself after a second, the last of those that came; at once when it ends.
static void what_is_saved_soon(void **state)
{
    struct fixture *f = *state;
    struct lkg *l = lkg_new(f->dir, f->keys, NULL);
    struct snapshot *s, *got;

    for (uint64_t seq = 1; seq <= 3; seq++) {
        s = make_snapshot(seq, 3);
        lkg_save_soon(l, s);
        drop(&s);
    }
    fake_mono_advance(999 * MONO_MS);
    (void)usleep(10000); // were it written before its time, it would be about now
    assert_null(lkg_load(f->dir, f->keys, NULL, NULL));
    fake_mono_advance(MONO_MS);
    while ((got = lkg_load(f->dir, f->keys, NULL, NULL)) == NULL) {
        (void)usleep(1000);
    }
    assert_int_equal(snapshot_seq(got), 3);
    drop(&got);
    s = make_snapshot(4, 3);
    lkg_save_soon(l, s);
    drop(&s);
    lkg_free(&l);
    got = lkg_load(f->dir, f->keys, NULL, NULL);
    assert_int_equal(snapshot_seq(got), 4);
    drop(&got);
}

static void an_unwritable_directory_is_no_catastrophe(void **state)
{
    struct fixture *f = *state;
    struct lkg *l = lkg_new("/proc/nowhere", f->keys, NULL);
    struct snapshot *s = make_snapshot(1, 1);

    lkg_save(l, s);
    lkg_free(&l);
    drop(&s);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_back_whole),
        TEST(there_is_none),
        TEST(every_cut_and_flip_is_noticed),
        TEST(another_key_is_told_as_such),
        TEST(the_older_generation_steps_in),
        TEST(the_secret_is_rotated),
        TEST(the_golden_file_is_read),
        TEST(the_latest_wins),
        TEST(what_is_saved_soon),
        TEST(an_unwritable_directory_is_no_catastrophe),
    };

    fake_mono_begin_now();
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
