// SPDX-License-Identifier: Apache-2.0
// Where master keys come from: formats, several of them, what is refused, and that no message shows
// what a file holds.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "controlplane/master.h"
#include "tests/unit/proto/keydir.h"

#define HEX_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define B64_A "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define B64_B "//////////////////////////////////////////8="

static void files(void **state)
{
    static const struct {
        const char *text;
        size_t n;          // keys
        const char *error; // NULL: the first is A
    } cases[] = {
        {B64_A, 1, NULL},
        {B64_A "\n", 1, NULL},
        {HEX_A "\r\n", 1, NULL},
        {"# of the year\n\n" B64_A "\n  " B64_B "  \n", 2, NULL},
        {"", 0, "no key in it"},
        {"# none\n", 0, "no key in it"},
        {B64_A "\nsecretive\n", 0, ":2: must hold 32 bytes"},
        {B64_A B64_A "\n", 0, ":1: must hold 32 bytes"},
        {B64_A "\n" B64_A "\n" B64_A "\n" B64_A "\n" B64_A "\n" B64_A "\n" B64_A "\n" B64_A
               "\n" B64_A "\n",
         0, ":9: more than 8 keys"},
    };
    char dir[64], path[256];
    uint8_t id[RECORD_KEY_ID_LEN];

    (void)state;
    keydir_make(dir);
    keydir_path(path, dir, "master-key");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct record_keys *k;
        struct err e = {0};

        keydir_write(dir, "master-key", cases[i].text);
        k = master_read(i % 2 == 0 ? path : NULL, dir, &e);
        if (cases[i].error != NULL) {
            assert_null(k);
            assert_int_equal(e.code, ERR_INVALID);
            assert_non_null(strstr(e.message, cases[i].error));
            assert_null(strstr(e.message, "secretive"));
            continue;
        }
        if (k == NULL) {
            fail_msg("%zu: %s", i, e.message);
            return;
        }
        assert_int_equal(k->n, cases[i].n);
        if (i == 0) {
            memcpy(id, k->list[0].id, sizeof(id));
        }
        assert_memory_equal(k->list[0].id, id, sizeof(id));
        master_free(&k);
        assert_null(k);
    }
    keydir_remove(dir);
}

static void who_may_read(void **state)
{
    struct record_keys *k;
    char dir[64], path[256];
    struct err e = {0};

    (void)state;
    keydir_make(dir);
    keydir_path(path, dir, "master-key");
    assert_null(master_read(NULL, dir, &e));
    assert_non_null(strstr(e.message, "sluice init"));
    keydir_write(dir, "master-key", B64_A);
    assert_int_equal(chmod(path, 0644), 0);
    assert_null(master_read(NULL, dir, &e));
    assert_non_null(strstr(e.message, "everybody may read it"));
    assert_int_equal(chmod(path, 0640), 0); // orchestrators mount with a group
    k = master_read(NULL, dir, &e);
    assert_non_null(k);
    master_free(&k);
    keydir_remove(dir);
}

static void the_variable(void **state)
{
    struct record_keys *k;
    char dir[64], path[256];
    struct err e = {0};

    (void)state;
    keydir_make(dir);
    keydir_path(path, dir, "master-key");
    keydir_write(dir, "master-key", B64_A);
    assert_int_equal(setenv("SLUICE_MASTER_KEY", B64_B "," B64_A, 1), 0);
    k = master_read(NULL, dir, &e);
    assert_non_null(k);
    assert_int_equal(k->n, 2);
    master_free(&k);
    k = master_read(path, dir, &e); // what is named goes before it
    assert_non_null(k);
    assert_int_equal(k->n, 1);
    master_free(&k);
    assert_int_equal(setenv("SLUICE_MASTER_KEY", "secretive", 1), 0);
    assert_null(master_read(NULL, dir, &e));
    assert_non_null(strstr(e.message, "SLUICE_MASTER_KEY:1: must hold"));
    assert_null(strstr(e.message, "secretive"));
    assert_int_equal(unsetenv("SLUICE_MASTER_KEY"), 0);
    keydir_remove(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files),
        cmocka_unit_test(who_may_read),
        cmocka_unit_test(the_variable),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
