// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/boot.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/io/document.h"

static struct arena arena;
static struct problem_list problems;
static struct env *env;
static char dir[] = "/tmp/sluice-document-XXXXXX";

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 4096, 0);
    problem_list_init(&problems);
    env = env_new();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_done(&arena);
    problem_list_done(&problems);
    env_free(&env);
    return 0;
}

static const char *file(const char *name, const char *text)
{
    const char *path = arena_printf(&arena, "%s/%s", dir, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    return path;
}

static const char *complaints(void)
{
    struct buf b;
    const char *text;

    buf_init(&b, 1 << 20);
    problem_render_all(&problems, &b);
    text = arena_strdup(&arena, buf_cstr(&b));
    buf_done(&b);
    return text;
}

static void files_are_read_whole_and_bounded(void **state)
{
    const char *path = file("a", "hello\n");
    struct err e;
    size_t n;
    char *text = document_read_file(NULL, path, 6, &n, &e);

    (void)state;
    assert_non_null(text);
    assert_int_equal(n, 6);
    assert_string_equal(text, "hello\n");
    mem_free(text);
    assert_null(document_read_file(NULL, path, 5, &n, &e));
    assert_int_equal(e.code, ERR_TOO_LARGE);
    assert_null(document_read_file(NULL, "/nonexistent/x", 5, &n, &e));
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_null(document_read_file(NULL, dir, 5, &n, &e));
    assert_int_equal(e.code, ERR_IO);
}

static void a_document_with_everything(void **state)
{
    const char *key = file("key", "sk-from-file\n");
    const char *path =
        file("c.yaml", arena_printf(&arena, "a: file:%s\nb: ${B}\nserver: {port: 1}\n", key));
    struct node *root;

    (void)state;
    assert_true(env_set(env, SLICE("B"), SLICE("bee")));
    assert_true(env_set(env, SLICE("SLUICE__SERVER__PORT"), SLICE("2")));
    root = document_load(&arena, path, env, &problems);
    assert_non_null(root);
    assert_string_equal(node_get(root, SLICE("a"))->text.p, "sk-from-file");
    assert_string_equal(node_get(root, SLICE("b"))->text.p, "bee");
    assert_string_equal(node_get(node_get(root, SLICE("server")), SLICE("port"))->text.p, "2");
    document_wipe(root);
    assert_int_equal(node_get(root, SLICE("a"))->text.p[0], 0);
}

static void sections_of_others_are_not_looked_into(void **state)
{
    const char *path = file("own.yaml", "providers: {x: '${NOT_SET}'}\nserver: {port: 5}\n");
    struct node *root = document_load_own(&arena, path, boot_other_sections, env, &problems);
    struct conf_ctx c;
    struct boot boot;

    (void)state;
    assert_non_null(root);
    assert_int_equal(node_count(root), 1);
    conf_init(&c, &arena, &problems);
    assert_true(boot_read(&c, root, &boot));
    assert_int_equal(boot.server.port, 5);
    assert_null(document_load(&arena, path, env, &problems));
}

static void no_files_means_none(void **state)
{
    const struct document_env from = {env, document_no_files};

    (void)state;
    assert_null(document_parse(&arena, "t", SLICE("a: file:/etc/hostname"), &from, &problems));
    assert_string_equal(complaints(),
                        "t:1:4: a: files are not read for a document that came over the network\n");
}

static void the_process_goes_before_the_env_file(void **state)
{
    const char *path = file(".env", "SLUICE_TEST_A=file\nSLUICE_TEST_B=file\n");

    (void)state;
    assert_int_equal(setenv("SLUICE_TEST_A", "process", 1), 0);
    assert_true(document_read_env(env, path, true, &problems));
    assert_string_equal(env_get(env, SLICE("SLUICE_TEST_A")).p, "process");
    assert_string_equal(env_get(env, SLICE("SLUICE_TEST_B")).p, "file");
    assert_true(document_read_env(env, "/nonexistent/.env", false, &problems));
    assert_false(document_read_env(env, "/nonexistent/.env", true, &problems));
}

static void a_missing_document_is_reported_and_none_is_fine(void **state)
{
    struct node *root = document_load(&arena, NULL, env, &problems);

    (void)state;
    assert_non_null(root);
    assert_int_equal(node_count(root), 0);
    assert_null(document_load(&arena, "/nonexistent.yaml", env, &problems));
    assert_non_null(strstr(complaints(), "cannot open /nonexistent.yaml"));
}

static int make_dir(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL;
}

static int remove_dir(void **state)
{
    static const char *const names[] = {"a", "key", "c.yaml", "own.yaml", ".env"};
    char path[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    return rmdir(dir);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(files_are_read_whole_and_bounded),
        T(a_document_with_everything),
        T(sections_of_others_are_not_looked_into),
        T(no_files_means_none),
        T(the_process_goes_before_the_env_file),
        T(a_missing_document_is_reported_and_none_is_fine),
    };

    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
