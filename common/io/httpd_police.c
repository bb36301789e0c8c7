// SPDX-License-Identifier: Apache-2.0
// Framing rules over one request head. Pure.
//
// libmicrohttpd 0.9.75 is lenient, and it works on NUL-terminated strings: a NUL byte in the head
// hides what follows it on that line. What is hidden shows in the layout. After parsing, the head
// lies in one piece, separators overwritten by NULs:
//
//   GET\0/path?query\0HTTP/1.1\0\0Host\0 example\0\0Name\0value\0\0\0\0
//   ^method ^target  ^version     ^name   ^value                       ^head_end
//
// so that each name begins one (LF) or two (CRLF) bytes after the end of the value before it. A
// larger gap means a NUL byte in the line or a folded line; both are refused.
#include "common/base/text.h"
#include "common/io/httpd_priv.h"

bool httpd_police_is_token(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (!text_token_char[(unsigned char)s.p[i]]) {
            return false;
        }
    }
    return s.n > 0;
}

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

// No control bytes but tabs. Eight bytes at a time: a byte below 0x20 borrows, a 0x7f becomes 0.
static bool is_clean(struct slice s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;
    size_t i = 0;

    for (; i + 8 <= s.n; i += 8) {
        uint64_t w, del;

        memcpy(&w, s.p + i, sizeof w);
        del = w ^ (ones * 0x7f);
        if ((((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & highs) {
            for (size_t k = 0; k < 8; k++) {
                if (is_control((unsigned char)s.p[i + k])) {
                    return false;
                }
            }
        }
    }
    for (; i < s.n; i++) {
        if (is_control((unsigned char)s.p[i])) {
            return false;
        }
    }
    return true;
}

static bool follows(const char *begin, const char *end_before)
{
    return begin == end_before + 1 || begin == end_before + 2;
}

void httpd_police_begin(struct httpd_police *p, const char *method, struct slice target,
                        const char *raw_target, const char *version)
{
    struct slice m = slice_str(method);

    *p = (struct httpd_police){.next = version + strlen(version)};
    p->http10 = strcmp(version, "HTTP/1.0") == 0;
    // Exactly one space on either side of the target; a target cut by a NUL does not reach the
    // version.
    p->bad = !httpd_police_is_token(m) || raw_target == NULL || m.p + m.n + 1 != raw_target ||
             raw_target + target.n + 1 != version || target.n == 0 || !is_clean(target) ||
             memchr(target.p, ' ', target.n) != NULL || memchr(target.p, '\t', target.n) != NULL;
}

void httpd_police_header(struct httpd_police *p, struct slice name, struct slice value)
{
    struct slice v = slice_trim(value);

    p->bad =
        p->bad || !follows(name.p, p->next) || !httpd_police_is_token(name) || !is_clean(value);
    p->next = value.p + value.n;
    switch (name.n) { // by length: most headers are told apart without a comparison
    case 4:
        p->n_host += slice_eq_nocase(name, SLICE("host"));
        break;
    case 6:
        if (slice_eq_nocase(name, SLICE("expect"))) {
            p->expects_continue = slice_eq_nocase(v, SLICE("100-continue"));
        }
        break;
    case 14:
        if (slice_eq_nocase(name, SLICE("content-length"))) {
            p->n_length++;
            p->bad = p->bad || !slice_to_u64(v, &p->length);
        }
        break;
    case 17:
        if (slice_eq_nocase(name, SLICE("transfer-encoding"))) {
            p->n_encoding++;
            p->chunked = true;
            // The untrimmed value: libmicrohttpd compares that one.
            p->bad = p->bad || !slice_eq_nocase(value, SLICE("chunked"));
        }
        break;
    default:
        break;
    }
}

bool httpd_police_end(struct httpd_police *p, const char *head_end)
{
    // The last line's end and the empty line.
    bool whole = head_end >= p->next + 2 && head_end <= p->next + 4;

    p->bad = p->bad || !whole;
    p->bad = p->bad || p->n_host > 1 || (p->n_host == 0 && !p->http10);
    p->bad = p->bad || p->n_length > 1 || p->n_encoding > 1;
    p->bad = p->bad || (p->n_length > 0 && p->n_encoding > 0);
    p->bad = p->bad || (p->n_encoding > 0 && p->http10);
    return !p->bad;
}
