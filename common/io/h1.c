// SPDX-License-Identifier: Apache-2.0
// Incremental HTTP/1.1 response parser. It never looks at a body byte: bodies are measured by
// Content-Length, by chunk sizes, or by the end of the connection.
//
// The head is gathered until its empty line, then parsed in one go (heads are small, mostly whole
// in the first read). How the end is found: memchr for '\n', and line_bytes counts what the
// unfinished line has so far, so every byte is looked at once however the input is cut.
//
//             +--- 1xx: forget it, at most H1_INTERIM_MAX ---+
//             v                                              |
//   H1_HEAD --+--(empty line)--> parse --+-- no body --> H1_DONE
//                                        +-- H1_BODY: fixed | until close | chunked
//
//   chunked (low 4 bits of chunk_state; the bits above count framing bytes, which are bounded):
//
//   FIRST -> SIZE -> PAD -> EXT -> LF ---> DATA -> DATA_END -> DATA_LF -> FIRST
//                                  |
//                                  +(0)--> TR_START <-> TR_LINE, TR_LF
//                                             +--> END_LF -> H1_DONE
//
// A CR must be followed by LF wherever it stands; a bare LF ends a line too.
#include "common/io/h1.h"

#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"

enum chunk_step {
    CHUNK_FIRST,    // first digit of a size
    CHUNK_SIZE,     // further digits
    CHUNK_PAD,      // blanks behind the size
    CHUNK_EXT,      // extension, skipped
    CHUNK_LF,       // LF that ends the size line
    CHUNK_DATA,     // body_left bytes of data
    CHUNK_DATA_END, // CR LF or LF behind the data
    CHUNK_DATA_LF,
    CHUNK_TR_START, // first byte of a trailer line
    CHUNK_TR_LINE,
    CHUNK_TR_LF,
    CHUNK_END_LF, // LF of the empty line that ends the message
};

#define CHUNK_STEP_MASK 0xfu
#define CHUNK_COUNT     0x10u // one framing byte in chunk_state

#define FIRST_HEADERS 16u

static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static bool has_control(struct slice s)
{
    unsigned bad = 0;

    // No early exit: the compiler can vectorise it.
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];

        bad |= (unsigned)(c < 0x20) & (unsigned)(c != '\t');
        bad |= (unsigned)(c == 0x7f);
    }
    return bad != 0;
}

void h1_init(struct h1 *h, bool head_request)
{
    *h = (struct h1){.state = H1_HEAD, .head_request = head_request, .content_length = -1};
    buf_init(&h->head, H1_HEAD_MAX);
}

void h1_drop_head(struct h1 *h)
{
    buf_done(&h->head);
    mem_free(h->headers);
    h->headers = NULL;
    h->n_headers = 0;
    h->names = 0;
    h->header_cap = 0;
}

void h1_done(struct h1 *h)
{
    h1_drop_head(h);
}

static bool fail(struct h1 *h, struct err *e, enum err_code code, const char *what)
{
    h->state = H1_FAILED;
    return err_set(e, code, "%s", what);
}

// --- head ----------------------------------------------------------------------------------------

static bool parse_status_line(struct h1 *h, struct slice line, bool *ret_http11, struct err *e)
{
    // "HTTP/1.x NNN" and then nothing or " reason".
    if (line.n < 12 || memcmp(line.p, "HTTP/1.", 7) != 0 || line.p[7] < '0' || line.p[7] > '9' ||
        line.p[8] != ' ') {
        return fail(h, e, ERR_INVALID, "not an HTTP/1 status line");
    }
    unsigned status = 0;

    for (size_t i = 9; i < 12; i++) {
        if (line.p[i] < '0' || line.p[i] > '9') {
            return fail(h, e, ERR_INVALID, "status code is not a number");
        }
        status = status * 10 + (unsigned)(line.p[i] - '0');
    }
    if (status < 100 || (line.n > 12 && line.p[12] != ' ')) {
        return fail(h, e, ERR_INVALID, "status code is not three digits");
    }
    if (has_control(line)) {
        return fail(h, e, ERR_INVALID, "control byte in the status line");
    }
    h->status = status;
    *ret_http11 = line.p[7] != '0';
    return true;
}

static void add_header(struct h1 *h, struct slice name, struct slice value)
{
    if (h->n_headers == h->header_cap) {
        uint32_t cap = h->header_cap == 0 ? FIRST_HEADERS : h->header_cap * 2;

        h->headers = mem_realloc_array(h->headers, cap, sizeof(h->headers[0]));
        h->header_cap = cap;
    }
    h->headers[h->n_headers++] = (struct h1_header){name, value};
    h->names |= slice_nocase_bit(name);
}

static bool parse_header(struct h1 *h, struct slice line, struct err *e)
{
    if (line.p[0] == ' ' || line.p[0] == '\t') {
        return fail(h, e, ERR_INVALID, "folded header line");
    }
    size_t n = 0;

    while (n < line.n && text_token_char[(unsigned char)line.p[n]]) {
        n++;
    }
    if (n == 0 || n == line.n || line.p[n] != ':') {
        return fail(h, e, ERR_INVALID, "malformed header name");
    }
    struct slice value = slice_trim(slice_from(line, n + 1));

    if (has_control(value)) {
        return fail(h, e, ERR_INVALID, "control byte in a header value");
    }
    if (h->n_headers == H1_HEADERS_MAX) {
        return fail(h, e, ERR_TOO_LARGE, "too many headers");
    }
    add_header(h, slice_head(line, n), value);
    return true;
}

// One Content-Length field: a number, or the same number several times ("5, 5").
static bool take_content_length(struct h1 *h, struct slice value, struct err *e)
{
    struct slice rest = value;

    while (rest.p != NULL) {
        struct slice one;
        uint64_t n = 0;

        rest = slice_cut(rest, ',', &one);
        if (!slice_to_u64(slice_trim(one), &n) || n > INT64_MAX) {
            return fail(h, e, ERR_INVALID, "malformed Content-Length");
        }
        if (h->content_length >= 0 && h->content_length != (int64_t)n) {
            return fail(h, e, ERR_INVALID, "differing Content-Lengths");
        }
        h->content_length = (int64_t)n;
    }
    return true;
}

static void take_connection(struct slice value, bool *close, bool *keep)
{
    struct slice rest = value;

    while (rest.p != NULL) {
        struct slice one;

        rest = slice_cut(rest, ',', &one);
        one = slice_trim(one);
        *close = *close || slice_eq_nocase(one, SLICE("close"));
        *keep = *keep || slice_eq_nocase(one, SLICE("keep-alive"));
    }
}

// From the headers to how the body is measured (RFC 9112 section 6.3) and what becomes of the
// connection.
static bool decide_framing(struct h1 *h, bool http11, struct err *e)
{
    bool close = false, keep = false;

    h->content_length = -1;
    for (size_t i = 0; i < h->n_headers; i++) {
        struct slice name = h->headers[i].name, value = h->headers[i].value;

        if (slice_eq_nocase(name, SLICE("content-length"))) {
            if (!take_content_length(h, value, e)) {
                return false;
            }
        } else if (slice_eq_nocase(name, SLICE("transfer-encoding"))) {
            if (h->chunked || !slice_eq_nocase(value, SLICE("chunked"))) {
                return fail(h, e, ERR_INVALID, "Transfer-Encoding other than chunked");
            }
            h->chunked = true;
        } else if (slice_eq_nocase(name, SLICE("connection"))) {
            take_connection(value, &close, &keep);
        }
    }
    if (h->chunked && h->content_length >= 0) {
        return fail(h, e, ERR_INVALID, "Content-Length with Transfer-Encoding");
    }
    // A chunked answer of an HTTP/1.0 server has been through something odd: not used again.
    h->keep_alive = !close && (http11 || (keep && !h->chunked));
    if (h->head_request || h->status == 204 || h->status == 304) {
        h->chunked = false;
        h->state = H1_DONE;
        return true;
    }
    h->state = H1_BODY;
    if (h->chunked) {
        h->chunk_state = CHUNK_FIRST;
    } else if (h->content_length >= 0) {
        h->body_left = (uint64_t)h->content_length;
        h->state = h->body_left == 0 ? H1_DONE : H1_BODY;
    } else {
        h->until_close = true;
        h->keep_alive = false;
    }
    return true;
}

// The head is complete in h->head. A 1xx leaves the state at H1_HEAD, ready for the next one.
static bool parse_head(struct h1 *h, struct err *e)
{
    struct slice rest = buf_slice(&h->head);
    bool http11 = false;

    for (bool first = true;; first = false) {
        struct slice line;

        rest = slice_cut(rest, '\n', &line);
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        if (!first && line.n == 0) {
            break;
        }
        if (first ? !parse_status_line(h, line, &http11, e) : !parse_header(h, line, e)) {
            return false;
        }
    }
    if (h->status == 101) {
        return fail(h, e, ERR_INVALID, "unasked protocol switch");
    }
    if (h->status >= 200) {
        return decide_framing(h, http11, e);
    }
    if (++h->interim > H1_INTERIM_MAX) {
        return fail(h, e, ERR_TOO_LARGE, "too many interim responses");
    }
    buf_clear(&h->head);
    h->n_headers = 0;
    h->names = 0;
    h->status = 0;
    h->line_bytes = 0;
    return true;
}

// Index behind the head's last byte, or SIZE_MAX if the empty line is not in `in`.
static size_t find_head_end(struct h1 *h, struct slice in)
{
    size_t at = 0;

    while (at < in.n) {
        const char *lf = memchr(in.p + at, '\n', in.n - at);

        if (lf == NULL) {
            h->line_bytes += (uint32_t)(in.n - at);
            return SIZE_MAX;
        }
        size_t next = (size_t)(lf - in.p) + 1;
        size_t line = h->line_bytes + (next - 1 - at);
        // The byte before the LF is the last one fed earlier when the LF comes first here.
        bool cr = line == 1 &&
                  (next >= 2 ? in.p[next - 2] : h->head.p[h->head.off + h->head.n - 1]) == '\r';

        h->line_bytes = 0;
        if (line == 0 || cr) {
            return next;
        }
        at = next;
    }
    return SIZE_MAX;
}

// Wrong from the first byte on is said at once, not when 32 KiB are in.
static bool check_start(struct h1 *h, struct slice in, struct err *e)
{
    static const char start[] = "HTTP/1.";

    for (size_t i = h->head.n; i < sizeof(start) - 1 && i - h->head.n < in.n; i++) {
        if (in.p[i - h->head.n] != start[i]) {
            return fail(h, e, ERR_INVALID, "not an HTTP/1 status line");
        }
    }
    return true;
}

static size_t feed_head(struct h1 *h, struct slice in, struct err *e)
{
    size_t used = 0;

    while (h->state == H1_HEAD && used < in.n) {
        struct slice part = slice_from(in, used);

        if (!check_start(h, part, e)) {
            break;
        }
        size_t end = find_head_end(h, part);
        size_t n = end == SIZE_MAX ? part.n : end;

        if (!buf_try_append(&h->head, slice_head(part, n))) {
            (void)fail(h, e, ERR_TOO_LARGE, "response head too large");
            break;
        }
        used += n;
        if (end != SIZE_MAX && !parse_head(h, e)) {
            break;
        }
    }
    return used;
}

// --- chunked body --------------------------------------------------------------------------------

static int hex_value(unsigned char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void chunk_goto(struct h1 *h, enum chunk_step s)
{
    h->chunk_state = (h->chunk_state & ~CHUNK_STEP_MASK) | s;
}

// The size line is over.
static void chunk_line_end(struct h1 *h)
{
    h->chunk_state = h->body_left > 0 ? CHUNK_DATA : CHUNK_TR_START;
}

// A byte that may stand behind the digits of the size.
static bool chunk_after_size(struct h1 *h, unsigned char c, struct err *e)
{
    if (c == ' ' || c == '\t') {
        chunk_goto(h, CHUNK_PAD);
    } else if (c == ';') {
        chunk_goto(h, CHUNK_EXT);
    } else if (c == '\r') {
        chunk_goto(h, CHUNK_LF);
    } else if (c == '\n') {
        chunk_line_end(h);
    } else {
        return fail(h, e, ERR_INVALID, "malformed chunk size");
    }
    return true;
}

static bool chunk_digit(struct h1 *h, unsigned char c, bool first, struct err *e)
{
    int v = hex_value(c);

    if (v < 0) {
        return first ? fail(h, e, ERR_INVALID, "malformed chunk size") : chunk_after_size(h, c, e);
    }
    if (first) {
        h->body_left = 0;
    }
    if (h->body_left > (uint64_t)INT64_MAX >> 4) {
        return fail(h, e, ERR_TOO_LARGE, "chunk size too large");
    }
    h->body_left = h->body_left << 4 | (uint64_t)v;
    chunk_goto(h, CHUNK_SIZE);
    return true;
}

// A byte inside an extension or a trailer line: skipped, its CR or LF leads on.
static bool chunk_text(struct h1 *h, unsigned char c, enum chunk_step at_cr, struct err *e)
{
    if (c == '\r') {
        chunk_goto(h, at_cr);
    } else if (is_control(c)) {
        return fail(h, e, ERR_INVALID, "control byte in chunk framing");
    }
    return true;
}

static bool chunk_trailer_start(struct h1 *h, unsigned char c, struct err *e)
{
    if (c == '\r') {
        chunk_goto(h, CHUNK_END_LF);
        return true;
    }
    if (c == '\n') {
        h->state = H1_DONE;
        return true;
    }
    if (!text_token_char[c]) {
        return fail(h, e, ERR_INVALID, "malformed trailer");
    }
    chunk_goto(h, CHUNK_TR_LINE);
    return true;
}

static bool expect_lf(struct h1 *h, unsigned char c, struct err *e)
{
    return c == '\n' || fail(h, e, ERR_INVALID, "CR without LF in chunk framing");
}

// One byte of framing. These are few (a size line has about five), so a switch a byte is no cost.
static bool chunk_byte(struct h1 *h, unsigned char c, struct err *e)
{
    switch ((enum chunk_step)(h->chunk_state & CHUNK_STEP_MASK)) {
    case CHUNK_FIRST:
        return chunk_digit(h, c, true, e);
    case CHUNK_SIZE:
        return chunk_digit(h, c, false, e);
    case CHUNK_PAD:
        return chunk_after_size(h, c, e);
    case CHUNK_EXT:
        if (c == '\n') {
            chunk_line_end(h);
            return true;
        }
        return chunk_text(h, c, CHUNK_LF, e);
    case CHUNK_LF:
        chunk_line_end(h);
        return expect_lf(h, c, e);
    case CHUNK_DATA_END:
        h->chunk_state = c == '\r' ? CHUNK_DATA_LF : CHUNK_FIRST;
        return c == '\r' || c == '\n' || fail(h, e, ERR_INVALID, "chunk longer than its size");
    case CHUNK_DATA_LF:
        h->chunk_state = CHUNK_FIRST;
        return expect_lf(h, c, e);
    case CHUNK_TR_START:
        return chunk_trailer_start(h, c, e);
    case CHUNK_TR_LINE:
        if (c == '\n') {
            chunk_goto(h, CHUNK_TR_START);
            return true;
        }
        return chunk_text(h, c, CHUNK_TR_LF, e);
    case CHUNK_TR_LF:
        chunk_goto(h, CHUNK_TR_START);
        return expect_lf(h, c, e);
    case CHUNK_END_LF:
        if (expect_lf(h, c, e)) {
            h->state = H1_DONE;
            return true;
        }
        return false;
    case CHUNK_DATA:
        break;
    }
    UNREACHABLE();
}

static bool framing_too_long(const struct h1 *h)
{
    uint32_t n = h->chunk_state / CHUNK_COUNT;

    // Both counts start at 0 where their part starts, see chunk_line_end.
    return n >
           ((h->chunk_state & CHUNK_STEP_MASK) >= CHUNK_TR_START ? H1_TRAILER_MAX : H1_LINE_MAX);
}

static size_t feed_chunked(struct h1 *h, struct slice in, struct slice *ret_body, struct err *e)
{
    size_t used = 0;

    while (used < in.n && h->state == H1_BODY) {
        if ((h->chunk_state & CHUNK_STEP_MASK) == CHUNK_DATA) {
            struct slice rest = slice_from(in, used);

            *ret_body = slice_head(rest, h->body_left < rest.n ? (size_t)h->body_left : rest.n);
            h->body_left -= ret_body->n;
            if (h->body_left == 0) {
                h->chunk_state = CHUNK_DATA_END;
            }
            return used + ret_body->n;
        }
        h->chunk_state += CHUNK_COUNT;
        if (!chunk_byte(h, (unsigned char)in.p[used], e)) {
            break;
        }
        used++;
        if (h->state == H1_BODY && framing_too_long(h)) {
            (void)fail(h, e, ERR_TOO_LARGE, "chunk framing too long");
        }
    }
    return used;
}

// --- all -----------------------------------------------------------------------------------------

static size_t feed_plain(struct h1 *h, struct slice in, struct slice *ret_body)
{
    if (h->until_close) {
        *ret_body = in;
        return in.n;
    }
    *ret_body = slice_head(in, h->body_left < in.n ? (size_t)h->body_left : in.n);
    h->body_left -= ret_body->n;
    if (h->body_left == 0) {
        h->state = H1_DONE;
    }
    return ret_body->n;
}

size_t h1_feed(struct h1 *h, struct slice in, struct slice *ret_body, struct err *e)
{
    *ret_body = (struct slice){"", 0};
    switch (h->state) {
    case H1_HEAD:
        return feed_head(h, in, e);
    case H1_BODY:
        return h->chunked ? feed_chunked(h, in, ret_body, e) : feed_plain(h, in, ret_body);
    case H1_DONE:
        return 0;
    case H1_FAILED:
        (void)err_set(e, ERR_INVALID, "response already found to be malformed");
        return 0;
    }
    UNREACHABLE();
}

bool h1_eof(struct h1 *h, struct err *e)
{
    switch (h->state) {
    case H1_HEAD:
        return fail(h, e, ERR_UNAVAILABLE,
                    h->head.n == 0 ? "connection closed before a response"
                                   : "connection closed inside the response head");
    case H1_BODY:
        if (h->until_close) {
            h->state = H1_DONE;
            return true;
        }
        return fail(h, e, ERR_UNAVAILABLE, "connection closed inside the response body");
    case H1_DONE:
        return true;
    case H1_FAILED:
        return err_set(e, ERR_INVALID, "response already found to be malformed");
    }
    UNREACHABLE();
}

struct slice h1_header(const struct h1 *h, const char *name)
{
    struct slice want = slice_str(name);

    if ((h->names & slice_nocase_bit(want)) == 0) {
        return SLICE_NULL; // the usual case, without a walk
    }
    for (size_t i = 0; i < h->n_headers; i++) {
        if (slice_eq_nocase(h->headers[i].name, want)) {
            return h->headers[i].value;
        }
    }
    return SLICE_NULL;
}
