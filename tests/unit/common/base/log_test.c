// SPDX-License-Identifier: Apache-2.0
// Lines as they arrive at the descriptor: both formats, escapes, cuts, levels, access buffer.
#include "common/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include "common/base/text.h"

static int out_fds[2];  // a pipe that stands for stderr or the access descriptor
static char got[65536]; // what came out of it, NUL behind

static int setup(void **state)
{
    (void)state;
    return pipe2(out_fds, O_NONBLOCK | O_CLOEXEC);
}

static int teardown(void **state)
{
    (void)state;
    return close(out_fds[0]) | close(out_fds[1]);
}

static size_t read_all(void)
{
    size_t n = 0;
    ssize_t r;

    while (n < sizeof(got) - 1 && (r = read(out_fds[0], got + n, sizeof(got) - 1 - n)) > 0) {
        n += (size_t)r;
    }
    got[n] = '\0';
    return n;
}

// Logs with stderr going into the pipe.
static size_t log_captured(enum log_level level, const char *event, const struct log_field *f,
                           size_t n)
{
    int saved = dup(STDERR_FILENO);

    assert_true(saved >= 0);
    assert_true(dup2(out_fds[1], STDERR_FILENO) >= 0);
    log_write(level, event, f, n);
    assert_true(dup2(saved, STDERR_FILENO) >= 0);
    assert_int_equal(close(saved), 0);
    return read_all();
}

// The text behind the time stamp, which is checked for its shape.
static const char *after_time(const char *prefix)
{
    static const char shape[] = "0000-00-00T00:00:00.000000Z";
    size_t at = strlen(prefix);

    assert_memory_equal(got, prefix, at);
    for (size_t i = 0; shape[i] != '\0'; i++) {
        char c = got[at + i];

        assert_true(shape[i] == '0' ? c >= '0' && c <= '9' : c == shape[i]);
    }
    return got + at + strlen(shape);
}

static void test_formats(void **state)
{
    const struct log_field fields[] = {
        LOG_STR("s", "word"),  LOG_STR("q", "two \"words\"\n\x01\xff"),
        LOG_STR("none", NULL), LOG_STR("empty", ""),
        LOG_INT("i", -5),      LOG_UINT("u", UINT64_MAX),
        LOG_BOOL("b", true),   LOG_SLICE("utf", SLICE("\xc3\xa9")),
        LOG_STR("eq", "a=b"),
    };

    (void)state;
    log_setup("prog", LOG_INFO, true);
    (void)log_captured(LOG_WARN, "some.event", fields, ARRAY_LEN(fields));
    assert_string_equal(after_time("{\"ts\":\""),
                        "\",\"level\":\"warn\",\"program\":\"prog\",\"event\":\"some.event\","
                        "\"s\":\"word\",\"q\":\"two \\\"words\\\"\\n\\u0001\xef\xbf\xbd\","
                        "\"none\":null,\"empty\":\"\",\"i\":-5,\"u\":18446744073709551615,"
                        "\"b\":true,\"utf\":\"\xc3\xa9\",\"eq\":\"a=b\"}\n");
    log_setup("prog", LOG_INFO, false);
    (void)log_captured(LOG_ERROR, "some.event", fields, ARRAY_LEN(fields));
    assert_string_equal(
        after_time(""),
        " ERROR prog some.event s=word q=\"two \\\"words\\\"\\n\\u0001\xef\xbf\xbd\" "
        "none=- empty=\"\" i=-5 u=18446744073709551615 b=true "
        "utf=\"\xc3\xa9\" eq=\"a=b\"\n");
}

static void test_levels(void **state)
{
    (void)state;
    for (int level = LOG_DEBUG; level <= LOG_ERROR; level++) {
        log_setup("p", (enum log_level)level, true);
        for (int l = LOG_DEBUG; l <= LOG_ERROR; l++) {
            assert_int_equal(log_enabled((enum log_level)l), l >= level);
            assert_int_equal(log_captured((enum log_level)l, "e", NULL, 0) > 0, l >= level);
        }
    }
    log_set_level(LOG_WARN);
    assert_false(log_enabled(LOG_INFO));
    // The macro, with and without fields; its arguments are not evaluated below the level.
    int evaluated = 0;

    LOG(INFO, "not.seen", LOG_INT("n", ++evaluated));
    LOG(INFO, "not.seen");
    assert_int_equal(evaluated, 0);
}

// A value is cut at 1 KiB and at a character.
static void test_long_value(void **state)
{
    static char value[3000];

    (void)state;
    log_setup("p", LOG_INFO, true);
    for (size_t lead = 0; lead < 3; lead++) {
        memset(value, 'x', lead);
        for (size_t i = lead; i + 3 < sizeof(value); i += 3) {
            memcpy(value + i, "\xe2\x82\xac", 3);
            value[i + 3] = '\0';
        }
        const struct log_field f = LOG_STR("v", value);

        (void)log_captured(LOG_INFO, "e", &f, 1);
        assert_true(text_utf8_valid(slice_str(got)));
        assert_null(strstr(got, "\xef\xbf\xbd"));
        assert_non_null(strstr(got, "\xe2\x82\xac...\"}\n"));
        assert_in_range(strlen(strstr(got, "\"v\":")), 1020, 1040);
    }
}

// However many and large the fields: one valid line of at most 8 KiB that says it was cut.
static void test_long_line(void **state)
{
    static char value[1500];
    struct log_field fields[40];

    (void)state;
    for (int json = 0; json < 2; json++) {
        log_setup("p", LOG_INFO, json);
        for (size_t len = 1; len < sizeof(value); len += 7) {
            size_t n;

            memset(value, len % 2 == 0 ? '\x01' : 'v', len);
            value[len] = '\0';
            for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
                fields[i] = (struct log_field)LOG_STR("key", value);
            }
            n = log_captured(LOG_INFO, "e", fields, ARRAY_LEN(fields));
            assert_true(n <= 8192);
            assert_int_equal(got[n - 1], '\n');
            assert_ptr_equal(strchr(got, '\n'), got + n - 1);
            if (len > 250) {
                assert_true(slice_ends(slice_str(got), json ? SLICE("\",\"truncated\":true}\n")
                                                            : SLICE(" truncated=true\n")));
            } else if (len < 20) {
                assert_null(strstr(got, "truncated"));
            }
        }
    }
}

static void test_errno_is_kept(void **state)
{
    (void)state;
    log_setup("p", LOG_INFO, true);
    errno = ENOENT;
    (void)log_captured(LOG_INFO, "e", NULL, 0);
    errno = ENOENT;
    log_access_setup(-1, true);
    log_access(NULL, 0);
    log_access_flush();
    assert_int_equal(errno, ENOENT);
}

static void test_access(void **state)
{
    const struct log_field f = LOG_INT("status", 200);

    (void)state;
    log_setup("p", LOG_ERROR, true);
    log_access_setup(out_fds[1], false);
    assert_false(log_access_enabled());
    log_access(&f, 1);
    log_access_flush();
    assert_int_equal(read_all(), 0);
    log_access_setup(out_fds[1], true);
    assert_true(log_access_enabled());
    log_access(&f, 1);
    assert_int_equal(read_all(), 0);
    log_access_flush();
    (void)read_all();
    assert_string_equal(after_time("{\"ts\":\""),
                        "\",\"program\":\"p\",\"event\":\"access\",\"status\":200}\n");
    log_access_flush();
    assert_int_equal(read_all(), 0);
    log_setup("p", LOG_ERROR, false);
    log_access(&f, 1);
    log_access_flush();
    (void)read_all();
    assert_string_equal(
        after_time("{\"ts\":\""),
        "\",\"program\":\"p\",\"event\":\"access\",\"status\":200}\n"); // always JSON
    // A full buffer leaves by itself, at a line's end.
    for (int i = 0; i < 220; i++) {
        log_access(&f, 1);
    }
    size_t n = read_all();

    assert_in_range(n, 16000, 16384);
    assert_int_equal(got[n - 1], '\n');
    log_access_flush();
    (void)read_all();
}

static void *log_many(void *arg)
{
    const struct log_field f = LOG_STR("who", arg);

    for (int i = 0; i < 300; i++) {
        log_access(&f, 1);
    }
    log_access_flush();
    return NULL;
}

static void test_access_threads(void **state)
{
    static char names[2][8] = {"aaaaa", "bbbbb"};
    pthread_t threads[2];
    struct slice rest, line;
    size_t lines = 0;

    (void)state;
    log_setup("p", LOG_ERROR, false);
    log_access_setup(out_fds[1], true);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, log_many, names[i]), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    rest = (struct slice){got, read_all()};
    while (rest.n > 0) {
        rest = slice_cut(rest, '\n', &line);
        assert_true(slice_starts(line, SLICE("{\"ts\":")));
        assert_true(slice_ends(line, SLICE("\"event\":\"access\",\"who\":\"aaaaa\"}")) ||
                    slice_ends(line, SLICE("\"event\":\"access\",\"who\":\"bbbbb\"}")));
        lines++;
    }
    assert_int_equal(lines, 600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_long_value),     cmocka_unit_test(test_long_line),
        cmocka_unit_test(test_errno_is_kept),  cmocka_unit_test(test_access),
        cmocka_unit_test(test_access_threads),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
