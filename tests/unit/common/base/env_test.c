// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "common/base/env.h"
#include "common/base/mem.h"
#include "common/io/yaml.h"

static struct arena arena;
static struct problem_list problems;
static struct env *env;

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
    return env != NULL;
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

static const char *get(const char *name)
{
    return env_get(env, slice_str(name)).p;
}

static void set(const char *name, const char *value)
{
    assert_true(env_set(env, slice_str(name), slice_str(value)));
}

static void a_dotenv_file_is_read(void **state)
{
    (void)state;
    set("TAKEN", "from the process");
    assert_true(env_parse(env, ".env",
                          SLICE("# comment\n\nA=1\n  export B = two words  # why\r\nC='it''s #'\n"
                                "C2='literal \\n $X' # fine\nD=\"a\\nb \\\"q\\\" \\\\\"\nE=\n"
                                "F=a#b\nTAKEN=file\nG=last"),
                          &problems) == false);
    // Only C is wrong: two quoted pieces.
    assert_string_equal(complaints(), ".env:5:1: the quotes do not end this line's value\n");
    assert_string_equal(get("A"), "1");
    assert_string_equal(get("B"), "two words");
    assert_null(get("C"));
    assert_string_equal(get("C2"), "literal \\n $X");
    assert_string_equal(get("D"), "a\nb \"q\" \\");
    assert_string_equal(get("E"), "");
    assert_string_equal(get("F"), "a#b");
    assert_string_equal(get("TAKEN"), "from the process");
    assert_string_equal(get("G"), "last");
}

static void a_bad_line_never_shows_its_value(void **state)
{
    (void)state;
    assert_false(
        env_parse(env, ".env", SLICE("sk-secret-value\nA B=sk-secret\nX='sk-secret"), &problems));
    assert_int_equal(problems.errors, 3);
    assert_null(strstr(complaints(), "secret"));
}

static void names_and_values_are_bounded(void **state)
{
    char *big = mem_zalloc(ENV_VALUE_MAX + 2);
    char *vars[] = {(char[]){"GOOD=x=y"}, (char[]){"nothing"}, (char[]){"1X=2"}, NULL};

    (void)state;
    memset(big, 'a', ENV_VALUE_MAX + 1);
    assert_false(env_set(env, SLICE("X"), slice_str(big)));
    assert_false(env_set(env, SLICE("a-b"), SLICE("x")));
    assert_false(env_set(env, SLICE(""), SLICE("x")));
    assert_false(env_set(env, SLICE("N"), SLICE("a\0b")));
    env_import(env, vars);
    assert_string_equal(get("GOOD"), "x=y");
    assert_null(get("1X"));
    mem_free(big);
}

static struct node *doc(const char *text)
{
    struct node *n = yaml_parse(&arena, "f.yaml", slice_str(text), &problems);

    assert_non_null(n);
    return n;
}

static const struct node *at(const struct node *n, const char *path)
{
    struct slice rest = slice_str(path), head;

    while (rest.p != NULL && n != NULL) {
        rest = slice_cut(rest, '/', &head);
        n = node_get(n, head);
    }
    return n;
}

static void overrides_are_put_in(void **state)
{
    struct node *root = doc("server: {port: 1, shutdown_timeout: 5s}\nproviders:\n  openai:\n");

    (void)state;
    set("SLUICE__SERVER__PORT", "9000");
    set("SLUICE__SERVER__SHUTDOWN_TIMEOUT", "9s");
    set("SLUICE__PROVIDERS__OPENAI__BASE_URL", "http://127.0.0.1:9001/v1/");
    set("SLUICE__PROVIDERS__MY_VLLM__MODELS", "[a, b]");
    set("SLUICEX", "no");
    assert_true(env_overlay(env, root, &arena, yaml_parse_value, &problems));
    assert_string_equal(at(root, "server/port")->text.p, "9000");
    assert_string_equal(at(root, "server/shutdown_timeout")->text.p, "9s");
    assert_null(at(root, "server/shutdown-timeout"));
    assert_string_equal(at(root, "providers/openai/base-url")->text.p, "http://127.0.0.1:9001/v1/");
    assert_int_equal(node_count(at(root, "providers/my-vllm/models")), 2);
    assert_string_equal(at(root, "server/port")->file, "environment SLUICE__SERVER__PORT");
    assert_int_equal(at(root, "server/port")->line, 0);
    assert_int_equal(node_count(root), 2);
}

static void impossible_overrides_are_reported(void **state)
{
    struct node *root = doc("server: {port: 1}\n");

    (void)state;
    set("SLUICE__SERVER__PORT__X", "1");
    set("SLUICE__", "1");
    set("SLUICE__A____B", "1");
    set("SLUICE__BAD", "[");
    assert_false(env_overlay(env, root, &arena, yaml_parse_value, &problems));
    assert_int_equal(problems.errors, 4);
    assert_non_null(strstr(complaints(),
                           "environment SLUICE__SERVER__PORT__X: \"port\" is a scalar "
                           "in the file (line 1), not a map"));
}

static char *fake_read(void *ctx, const char *path, size_t max, size_t *ret_n, struct err *err)
{
    (void)ctx;
    assert_int_equal(max, ENV_VALUE_MAX);
    if (strcmp(path, "/run/key") == 0) {
        *ret_n = 9;
        return mem_strdup("sk-file\r\n");
    }
    err_set(err, ERR_NOT_FOUND, "cannot open %s", path);
    return NULL;
}

static void variables_and_files_are_expanded(void **state)
{
    struct node *root = doc("a: ${X}\nb: \"<${X}-${NONE:-d}-${EMPTY:-e}>\"\nc: file:/run/key\n"
                            "d: $${X}\ne: [\"${EMPTY}\", plain, $5, 'file:x']\nf: file:/${P}\n");

    (void)state;
    set("X", "8080");
    set("EMPTY", "");
    set("P", "run/key");
    assert_true(env_expand(env, root, &arena, fake_read, NULL, &problems));
    assert_string_equal(at(root, "a")->text.p, "8080");
    assert_true(at(root, "a")->expanded);
    assert_false(at(root, "a")->quoted);
    assert_string_equal(at(root, "b")->text.p, "<8080-d-e>");
    assert_string_equal(at(root, "c")->text.p, "sk-file");
    assert_true(at(root, "c")->expanded);
    assert_string_equal(at(root, "d")->text.p, "${X}");
    assert_string_equal(at(root, "e")->first->text.p, "");
    assert_string_equal(at(root, "e")->last->text.p, "file:x");
    assert_string_equal(at(root, "f")->text.p, "sk-file");
}

static void what_cannot_be_expanded_is_reported(void **state)
{
    struct node *root = doc("a: ${NOPE}\nb: ${}\nc: ${X\nd: file:/nope\ne: ok\n");

    (void)state;
    assert_false(env_expand(env, root, &arena, fake_read, NULL, &problems));
    assert_string_equal(complaints(), "f.yaml:1:4: a: the environment variable NOPE is not set\n"
                                      "f.yaml:2:4: b: expected ${NAME} or ${NAME:-default}\n"
                                      "f.yaml:3:4: c: \"${\" without \"}\"\n"
                                      "f.yaml:4:4: d: cannot open /nope\n");
}

static void expansion_cannot_grow_without_bound(void **state)
{
    struct node *root = doc("a: ${X}${X}${X}\n");
    char *big = mem_zalloc(ENV_VALUE_MAX + 1);

    (void)state;
    memset(big, 'a', ENV_VALUE_MAX);
    set("X", big);
    assert_false(env_expand(env, root, &arena, fake_read, NULL, &problems));
    assert_non_null(strstr(complaints(), "too long"));
    mem_free(big);
}

// Each value is small enough; a short text asks for it very often.
static void a_document_cannot_grow_without_bound(void **state)
{
    char *big = mem_zalloc(ENV_VALUE_MAX + 1);
    struct node *root;
    struct buf text;

    (void)state;
    memset(big, 'a', ENV_VALUE_MAX - 1);
    set("X", big);
    buf_init(&text, 1 << 20);
    for (unsigned i = 0; i < 2 * ENV_EXPANDED_MAX / ENV_VALUE_MAX; i++) {
        buf_printf(&text, "k%u: ${X}\n", i);
    }
    root = doc(buf_cstr(&text));
    assert_non_null(root);
    assert_false(env_expand(env, root, &arena, fake_read, NULL, &problems));
    assert_int_equal(problems.errors, 1);
    assert_non_null(strstr(complaints(), "too large"));
    buf_done(&text);
    mem_free(big);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_dotenv_file_is_read),
        T(a_bad_line_never_shows_its_value),
        T(names_and_values_are_bounded),
        T(overrides_are_put_in),
        T(impossible_overrides_are_reported),
        T(variables_and_files_are_expanded),
        T(what_cannot_be_expanded_is_reported),
        T(expansion_cannot_grow_without_bound),
        T(a_document_cannot_grow_without_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
