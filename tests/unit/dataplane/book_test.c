// SPDX-License-Identifier: Apache-2.0
// What is written is there for the next process of the same boot, and for nobody else.
#include "dataplane/book.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"

struct place {
    char dir[64], file[128];
};

static int setup(void **state)
{
    static struct place p;

    (void)snprintf(p.dir, sizeof(p.dir), "/tmp/sluice-book-XXXXXX");
    assert_non_null(mkdtemp(p.dir));
    (void)snprintf(p.file, sizeof(p.file), "%s/" BOOK_FILE, p.dir);
    *state = &p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;

    (void)unlink(p->file);
    return rmdir(p->dir);
}

struct seen {
    unsigned n;
    uint32_t line;
    char id[BOOK_ID_MAX + 1];
    struct book_line last;
};

static void on_line(void *ctx, uint32_t line, const struct book_line *l)
{
    struct seen *s = ctx;

    s->n++;
    s->line = line;
    s->last = *l;
    (void)snprintf(s->id, sizeof(s->id), "%s", l->limit_id);
}

static struct seen look(struct book *b)
{
    struct seen s = {.n = 0};

    book_each(b, on_line, &s);
    return s;
}

static void a_killed_process_leaves_its_lines(void **state)
{
    struct place *p = *state;
    struct seen s;
    struct book *b;
    pid_t child = fork();
    int status;

    if (child == 0) {
        b = book_open(p->dir, "boot", NULL);
        if (b == NULL || book_add(b, "k:1:0") == 0) {
            _exit(1);
        }
        book_write(b, 1, &(const struct book_line){.window = 7, .units = 12});
        book_write(
            b, 1,
            &(const struct book_line){
                .window = 7, .units = 11, .taken = 30, .no = 12, .unit = 2, .period = 86400000000});
        (void)book_add(b, "k:2:0"); // nothing in it
        (void)raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    b = book_open(p->dir, "boot", NULL);
    assert_non_null(b);
    s = look(b);
    assert_int_equal(s.n, 1);
    assert_string_equal(s.id, "k:1:0");
    assert_int_equal(s.last.units, 11);
    assert_int_equal(s.last.window, 7);
    assert_int_equal(s.last.debt, 0);
    assert_int_equal(s.last.taken, 30);
    assert_int_equal(s.last.no, 12);
    assert_int_equal(s.last.unit, 2);
    assert_int_equal(s.last.period, 86400000000);
    book_write(b, s.line, &(const struct book_line){.batch = 3, .debt = 5});
    book_close(&b);
    b = book_open(p->dir, "boot", NULL);
    s = look(b);
    assert_int_equal(s.last.debt, 5);
    assert_int_equal(s.last.batch, 3);
    assert_int_equal(s.last.units, 0);
    book_drop(b, s.line);
    assert_int_equal(look(b).n, 0);
    book_close(&b);
}

static void another_boot_finds_nothing(void **state)
{
    static const char *const others[] = {"another", "", "boot "};
    struct place *p = *state;

    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        struct book *b = book_open(p->dir, "boot", NULL);
        uint32_t line = book_add(b, "k:1:0");

        book_write(b, line, &(const struct book_line){.units = 12});
        book_close(&b);
        b = book_open(p->dir, others[i], NULL);
        assert_int_equal(look(b).n, 0);
        book_close(&b);
    }
}

// Whoever continues the file is the same holder; a file that is begun anew has another one.
static void the_holder_goes_with_the_file(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    char first[BOOK_HOLDER + 1];

    (void)snprintf(first, sizeof(first), "%s", book_holder(b));
    assert_int_equal(strlen(first), BOOK_HOLDER);
    book_close(&b);
    b = book_open(p->dir, "boot", NULL);
    assert_string_equal(book_holder(b), first);
    book_close(&b);
    b = book_open(p->dir, "another", NULL);
    assert_string_not_equal(book_holder(b), first);
    book_close(&b);
}

// Two proxies on copies of one directory, or one on a directory that was brought back.
static void a_copy_is_another_holder_s(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    char first[BOOK_HOLDER + 1], aside[160], command[512];

    (void)snprintf(first, sizeof(first), "%s", book_holder(b));
    book_write(b, book_add(b, "k:1:0"), &(const struct book_line){.window = 7, .taken = 30});
    book_close(&b);
    (void)snprintf(aside, sizeof(aside), "%s.aside", p->file);
    assert_int_equal(rename(p->file, aside), 0);
    (void)snprintf(command, sizeof(command), "cp -a %s %s", aside, p->file);
    assert_int_equal(system(command), 0);
    b = book_open(p->dir, "boot", NULL);
    assert_string_not_equal(book_holder(b), first);
    assert_int_equal(look(b).n, 0);
    book_close(&b);
    assert_int_equal(rename(aside, p->file), 0);
    b = book_open(p->dir, "boot", NULL); // the one itself, wherever it is moved
    assert_string_equal(book_holder(b), first);
    assert_int_equal(look(b).last.taken, 30);
    book_close(&b);
}

// What a window has of this proxy is said to the next process even when nothing is in hand: its
// last question may have been granted something.
// Of a question that was under way at the death, nothing may be known but that it was asked.
static void what_was_asked_is_kept(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    uint32_t line = book_add(b, "k:1:0");

    book_write(b, line, &(const struct book_line){.no = 40, .since = 30, .period = 3});
    book_close(&b);
    b = book_open(p->dir, "boot", NULL);
    assert_int_equal(look(b).n, 1);
    assert_int_equal(look(b).last.since, 30);
    assert_int_equal(look(b).last.no, 40);
    book_write(b, line, &(const struct book_line){.no = 40, .window = 7});
    assert_int_equal(look(b).n, 0);
    book_close(&b);
}

static void what_is_taken_is_kept(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    uint32_t line = book_add(b, "k:1:0");

    book_write(b, line, &(const struct book_line){.window = 7, .taken = 30});
    assert_int_equal(look(b).last.taken, 30);
    book_write(b, line, &(const struct book_line){.window = 7});
    assert_int_equal(look(b).n, 0);
    book_close(&b);
}

// The version before this one did not say what its units count.
static void another_version_s_file_is_begun_anew(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    FILE *f;

    book_write(b, book_add(b, "k:1:0"), &(const struct book_line){.units = 12});
    book_close(&b);
    f = fopen(p->file, "r+");
    assert_non_null(f);
    (void)fputs("SLULEAS1", f);
    (void)fclose(f);
    b = book_open(p->dir, "boot", NULL);
    assert_int_equal(look(b).n, 0);
    book_close(&b);
}

static void one_process_at_a_time(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    struct err e;

    assert_null(book_open(p->dir, "boot", &e));
    assert_int_equal(e.code, ERR_CONFLICT);
    book_close(&b);
    assert_null(book_open("/nowhere/at/all", "boot", &e));
    assert_int_equal(e.code, ERR_IO);
}

static void lines_run_out(void **state)
{
    struct place *p = *state;
    struct book *b = book_open(p->dir, "boot", NULL);
    char id[BOOK_ID_MAX + 2];

    memset(id, 'x', sizeof(id));
    id[sizeof(id) - 1] = '\0';
    assert_int_equal(book_add(b, id), 0); // too long
    for (unsigned i = 0; i < BOOK_LINES; i++) {
        (void)snprintf(id, sizeof(id), "k:%u:0", i);
        assert_int_not_equal(book_add(b, id), 0);
    }
    assert_int_equal(book_add(b, "one more"), 0);
    book_drop(b, 77);
    assert_int_equal(book_add(b, "one more"), 77);
    book_close(&b);
}

static void a_damaged_file_is_begun_anew(void **state)
{
    struct place *p = *state;
    struct book *b;
    FILE *f = fopen(p->file, "w");

    assert_non_null(f);
    (void)fputs("SLULEAS1 and then nothing", f);
    (void)fclose(f);
    b = book_open(p->dir, "boot", NULL);
    assert_non_null(b);
    assert_int_equal(look(b).n, 0);
    assert_int_not_equal(book_add(b, "k:1:0"), 0);
    book_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_killed_process_leaves_its_lines, setup, teardown),
        cmocka_unit_test_setup_teardown(another_boot_finds_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(the_holder_goes_with_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_another_holder_s, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_asked_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_taken_is_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(another_version_s_file_is_begun_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(one_process_at_a_time, setup, teardown),
        cmocka_unit_test_setup_teardown(lines_run_out, setup, teardown),
        cmocka_unit_test_setup_teardown(a_damaged_file_is_begun_anew, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
