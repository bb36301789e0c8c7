// SPDX-License-Identifier: Apache-2.0
// The pure parts of an attempt; the rest is tested with the machine (req_test.c).
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dataplane/attempt.h"

static void splits_urls(void **state)
{
    static const struct {
        const char *url, *origin, *path; // origin NULL: refused
    } cases[] = {
        {"https://api.openai.com/v1/", "https://api.openai.com", "/v1/"},
        {"http://h:9001/", "http://h:9001", "/"},
        {"http://h", "http://h", "/"},
        {"https://h/a/b/", "https://h", "/a/b/"},
        {"http://[::1]:80/v1/", "http://[::1]:80", "/v1/"},
        {"ftp://h/", NULL, NULL},
        {"h/v1/", NULL, NULL},
        {"", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct slice origin, path;
        bool ok = attempt_split_url(slice_str(cases[i].url), &origin, &path);

        assert_int_equal(ok, cases[i].origin != NULL);
        if (ok) {
            assert_true(slice_eq_str(origin, cases[i].origin));
            assert_true(slice_eq_str(path, cases[i].path));
        }
    }
}

static void knows_hop_by_hop_headers(void **state)
{
    (void)state;
    assert_true(attempt_is_hop_header(SLICE("Connection")));
    assert_true(attempt_is_hop_header(SLICE("TRANSFER-ENCODING")));
    assert_true(attempt_is_hop_header(SLICE("content-length")));
    assert_false(attempt_is_hop_header(SLICE("content-type")));
    assert_false(attempt_is_hop_header(SLICE("connections")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splits_urls),
        cmocka_unit_test(knows_hop_by_hop_headers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
