// SPDX-License-Identifier: Apache-2.0
#include "tests/mock/mock_head.h"

#include "common/base/text.h"

bool mock_head_next(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
    const char *eol, *colon;
    size_t n;

    if (rest->n == 0) {
        return false;
    }
    eol = memchr(rest->p, '\n', rest->n);
    n = eol == NULL ? rest->n : (size_t)(eol - rest->p);
    colon = memchr(rest->p, ':', n);
    if (colon == NULL) {
        *ret_name = SLICE_MAKE(rest->p, n);
        *ret_value = SLICE_MAKE(rest->p + n, 0);
    } else {
        const char *v = colon + 1, *end = rest->p + n;

        *ret_name = SLICE_MAKE(rest->p, (size_t)(colon - rest->p));
        while (v < end && (*v == ' ' || *v == '\t')) {
            v++;
        }
        while (end > v && (end[-1] == '\r' || end[-1] == ' ' || end[-1] == '\t')) {
            end--;
        }
        *ret_value = SLICE_MAKE(v, (size_t)(end - v));
    }
    *rest = slice_from(*rest, eol == NULL ? n : n + 1);
    return true;
}

static bool is_secret(struct slice name)
{
    return slice_eq_nocase(name, SLICE("authorization")) ||
           slice_eq_nocase(name, SLICE("x-api-key")) ||
           slice_eq_nocase(name, SLICE("x-goog-api-key")) ||
           slice_eq_nocase(name, SLICE("api-key")) || slice_eq_nocase(name, SLICE("cookie"));
}

static bool set_auth(struct slice name, struct slice value, struct mock_head *h)
{
    if (slice_eq_nocase(name, SLICE("authorization"))) {
        h->auth_scheme = "bearer";
        h->auth =
            slice_starts_nocase(value, SLICE("bearer ")) ? slice_trim(slice_from(value, 7)) : value;
    } else if (slice_eq_nocase(name, SLICE("x-api-key"))) {
        h->auth_scheme = "x-api-key";
        h->auth = value;
    } else if (slice_eq_nocase(name, SLICE("x-goog-api-key"))) {
        h->auth_scheme = "x-goog-api-key";
        h->auth = value;
    } else if (slice_eq_nocase(name, SLICE("api-key"))) {
        h->auth_scheme = "api-key";
        h->auth = value;
    } else {
        return false;
    }
    return true;
}

// Chosen by length first: most lines of a request match nothing.
static bool read_header(struct slice name, struct slice value, struct mock_head *h,
                        bool *has_length)
{
    switch (name.n) {
    case 6: // x-mock expect
        if (slice_eq_nocase(name, SLICE("x-mock"))) {
            h->behaviour = value;
        } else if (slice_eq_nocase(name, SLICE("expect"))) {
            h->expect_continue = true;
        }
        return true;
    case 10:
        if (slice_eq_nocase(name, SLICE("connection"))) {
            h->keep_alive = !slice_eq_nocase(value, SLICE("close"));
        }
        return true;
    case 14:
        if (slice_eq_nocase(name, SLICE("content-length"))) {
            bool first = !*has_length;

            *has_length = true;
            return first && !h->chunked && slice_to_u64(value, &h->content_length);
        }
        (void)set_auth(name, value, h); // x-goog-api-key
        return true;
    case 17:
        if (slice_eq_nocase(name, SLICE("transfer-encoding"))) {
            h->chunked = true;
            return !*has_length && slice_eq_nocase(value, SLICE("chunked"));
        }
        return true;
    case 7:  // api-key
    case 9:  // x-api-key
    case 13: // authorization
        (void)set_auth(name, value, h);
        return true;
    default:
        return true;
    }
}

static bool read_request_line(struct slice line, struct mock_head *h)
{
    struct slice rest = slice_cut(line, ' ', &h->method);
    struct slice version = slice_cut(rest, ' ', &h->target);

    if (version.p == NULL || !slice_starts(version, SLICE("HTTP/1.")) || h->method.n == 0 ||
        h->target.n == 0 || h->target.p[0] != '/') {
        return false;
    }
    h->keep_alive = !slice_eq(version, SLICE("HTTP/1.0"));
    h->query = slice_cut(h->target, '?', &h->path);
    return true;
}

enum mock_head_result mock_head_parse(struct slice in, size_t *scanned, struct mock_head *ret)
{
    size_t from = *scanned > 3 ? *scanned - 3 : 0;
    const char *end, *eol;
    struct slice rest, name, value;
    bool has_length = false;

    end = memmem(in.p + from, in.n - from, "\r\n\r\n", 4);
    if (end == NULL) {
        *scanned = in.n;
        return in.n > MOCK_HEAD_MAX ? MOCK_HEAD_BAD : MOCK_HEAD_MORE;
    }
    *ret = (struct mock_head){.length = (size_t)(end - in.p) + 4};
    eol = memchr(in.p, '\r', ret->length);
    if (!read_request_line(SLICE_MAKE(in.p, (size_t)(eol - in.p)), ret)) {
        return MOCK_HEAD_BAD;
    }
    // The blank line itself stays out.
    ret->headers = SLICE_MAKE(eol + 2, eol == end ? 0 : (size_t)(end + 2 - (eol + 2)));
    rest = ret->headers;
    while (mock_head_next(&rest, &name, &value)) {
        if (name.n == 0 || !read_header(name, value, ret, &has_length)) {
            return MOCK_HEAD_BAD;
        }
    }
    return MOCK_HEAD_OK;
}

static void print_key(struct slice name, struct slice value, struct buf *out)
{
    bool bearer = slice_starts_nocase(value, SLICE("bearer "));

    if (bearer) {
        value = slice_trim(slice_from(value, 7));
    }
    // The keys of tests are made up; four characters tell them apart.
    buf_append_str(out, "\"");
    buf_append_str(out, bearer ? "Bearer " : "");
    buf_append_str(out, "...");
    if (value.n >= 8 && !slice_eq_nocase(name, SLICE("cookie"))) {
        text_json_escape(out, slice_from(value, value.n - 4));
    }
    buf_append_str(out, "\"");
}

void mock_head_json(struct slice headers, struct buf *out)
{
    struct slice rest = headers, name, value;
    bool first = true;

    buf_append_char(out, '{');
    while (mock_head_next(&rest, &name, &value)) {
        char lower[128];
        size_t n = name.n < sizeof(lower) ? name.n : sizeof(lower);

        for (size_t i = 0; i < n; i++) {
            bool upper = name.p[i] >= 'A' && name.p[i] <= 'Z';

            lower[i] = upper ? (char)(name.p[i] + ('a' - 'A')) : name.p[i];
        }
        buf_append_str(out, first ? "" : ",");
        text_json_string(out, SLICE_MAKE(lower, n));
        buf_append_char(out, ':');
        if (is_secret(name)) {
            print_key(name, value, out);
        } else {
            text_json_string(out, value);
        }
        first = false;
    }
    buf_append_char(out, '}');
}
