// SPDX-License-Identifier: Apache-2.0
// What one run writes, the next reads; what is damaged or not there is nothing.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/io/proc.h"
#include "controlplane/datadir.h"

static const char *const names[] = {"admin-token", "applied-config", "state-mark", "initialised"};

struct fixture {
    char path[64];
    struct datadir d;
};

static void file_of(const struct fixture *f, const char *name, char out[128])
{
    (void)snprintf(out, 128, "%s/%s", f->path, name);
}

static void put(const struct fixture *f, const char *name, const char *text)
{
    char path[128];
    struct err e;

    file_of(f, name, path);
    assert_true(proc_write_file(path, slice_str(text), 0600, &e));
}

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){.path = "/tmp/sluice-datadir-XXXXXX"};
    assert_non_null(mkdtemp(f.path));
    f.d.path = f.path;
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    const struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char path[128];

        file_of(f, names[i], path);
        (void)unlink(path); // not every test makes every file
    }
    return rmdir(f->path);
}

static void token_is_made_once(void **state)
{
    struct fixture *f = *state;
    struct err e;
    struct secret *first = datadir_admin_token(&f->d, NULL, &e);
    struct secret *second = datadir_admin_token(&f->d, NULL, &e);

    assert_non_null(first);
    assert_non_null(second);
    assert_int_equal(secret_reveal(first).n, 40);
    assert_true(slice_eq(secret_reveal(first), secret_reveal(second)));
    secret_free(&first);
    secret_free(&second);
}

static void token_is_the_first_line(void **state)
{
    struct fixture *f = *state;
    struct err e = {0};
    struct secret *token;

    put(f, "admin-token", " 12345678 \r\nmore\n");
    token = datadir_admin_token(&f->d, NULL, &e);
    assert_non_null(token);
    assert_true(slice_eq_str(secret_reveal(token), "12345678"));
    secret_free(&token);
    put(f, "admin-token", "1234567\n89");
    assert_null(datadir_admin_token(&f->d, NULL, &e));
    assert_int_equal(e.code, ERR_INVALID);
}

static void mark_comes_back(void **state)
{
    static const uint8_t epoch[STATE_EPOCH_BYTES] = "0123456789abcde";
    struct fixture *f = *state;
    struct datadir next = {.path = f->path};
    uint8_t found[STATE_EPOCH_BYTES];
    uint64_t seq;

    assert_false(datadir_read_mark(&f->d, found, &seq));
    datadir_write_mark(&f->d, epoch, 7);
    datadir_write_mark(&f->d, epoch, UINT64_MAX);
    assert_true(datadir_read_mark(&next, found, &seq));
    assert_memory_equal(found, epoch, sizeof(epoch));
    assert_true(seq == UINT64_MAX);
    put(f, "state-mark", "x"); // the same mark again is not written
    datadir_write_mark(&f->d, epoch, UINT64_MAX);
    assert_false(datadir_read_mark(&next, found, &seq));
    datadir_write_mark(&f->d, epoch, 8);
    assert_true(datadir_read_mark(&next, found, &seq));
    assert_int_equal(seq, 8);
}

static void damaged_marks_are_none(void **state)
{
    static const char *const damaged[] = {"",
                                          " 1\n",
                                          "30313233343536373839616263646500\n",
                                          "30313233343536373839616263646500 \n",
                                          "30313233343536373839616263646500 x\n",
                                          "303132333435363738396162636465 1\n",
                                          "3031323334353637383961626364650g 1\n"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        uint8_t epoch[STATE_EPOCH_BYTES];
        uint64_t seq;

        put(f, "state-mark", damaged[i]);
        assert_false(datadir_read_mark(&f->d, epoch, &seq));
    }
}

static void offer_is_remembered(void **state)
{
    struct fixture *f = *state;

    assert_false(datadir_offered_before(&f->d, "abcd"));
    datadir_remember_offer(&f->d, "abcd");
    assert_true(datadir_offered_before(&f->d, "abcd"));
    assert_false(datadir_offered_before(&f->d, "abce"));
    datadir_remember_offer(&f->d, "abce");
    assert_false(datadir_offered_before(&f->d, "abcd"));
}

static void initialised_stays(void **state)
{
    struct fixture *f = *state;

    assert_false(datadir_is_initialised(&f->d));
    datadir_remember_initialised(&f->d);
    datadir_remember_initialised(&f->d);
    assert_true(datadir_is_initialised(&f->d));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(token_is_made_once, setup, teardown),
        cmocka_unit_test_setup_teardown(token_is_the_first_line, setup, teardown),
        cmocka_unit_test_setup_teardown(mark_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(damaged_marks_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(offer_is_remembered, setup, teardown),
        cmocka_unit_test_setup_teardown(initialised_stays, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
