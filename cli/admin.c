// SPDX-License-Identifier: Apache-2.0
// Address and token are looked for in this order: option, environment, the data directory that
// `sluice up` uses. The token is only ever held in the header line, which is wiped.
#include "cli/admin.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "common/io/fetch.h"
#include "common/io/proc.h"

#define ANSWER_MAX  ((size_t)64 << 20)
#define ANSWER_DEEP 32u
#define DATA_DIR    ".sluice"
#define PAGE        "limit=1000"
#define COLUMNS_MAX 12u

static int complain(const char *what, const struct err *e)
{
    (void)fprintf(stderr, "sluice: %s: %s\n", what, e->message);
    return 1;
}

static char *join(const char *a, const char *b, const char *c)
{
    struct buf text;
    char *joined;

    buf_init(&text, 8192);
    buf_printf(&text, "%s%s%s", a, b, c);
    joined = mem_strndup(text.p, text.n);
    mem_wipe(text.p, text.n);
    buf_done(&text);
    return joined;
}

static const char *data_dir(const struct admin *a)
{
    return a->data_dir != NULL ? a->data_dir : DATA_DIR;
}

// The port that sluice-control wrote into its ready file.
static bool read_port(const struct admin *a, int64_t *ret, struct err *e)
{
    char *path = join(data_dir(a), "/run/control.json", "");
    struct json_report report = {0};
    struct buf text;
    bool ok = false;

    buf_init(&text, 65536);
    if (proc_read_file(path, 65536, &text, e)) {
        struct json_value *doc = json_parse(buf_slice(&text), 65536, 8, e);
        struct json_at root = json_root(doc), port = json_member(&root, "admin_port");

        ok = doc != NULL && json_want_int(&port, 1, 65535, ret, &report);
        if (doc != NULL && !ok) {
            (void)err_set(e, ERR_INVALID, "%s: no admin_port", path);
        }
        json_free(&doc);
    }
    buf_done(&text);
    mem_free(path);
    return ok;
}

static int find_url(struct admin *a)
{
    const char *url = a->url != NULL ? a->url : getenv("SLUICE_ADMIN_URL");
    struct err e = {0};
    int64_t port = 0;
    char text[64];

    if (url != NULL) {
        size_t n = strlen(url);

        a->base =
            n > 0 && url[n - 1] == '/' ? join(url, "admin/v1", "") : join(url, "/admin/v1", "");
        return 0;
    }
    if (!read_port(a, &port, &e)) {
        (void)fprintf(
            stderr,
            "sluice: no admin API found: %s\n(set SLUICE_ADMIN_URL or --admin-url, or name the data "
            "directory of a running `sluice up` with --data-dir)\n",
            e.message);
        return 1;
    }
    (void)snprintf(text, sizeof(text), "http://127.0.0.1:%lld", (long long)port);
    a->base = join(text, "/admin/v1", "");
    return 0;
}

static int find_token(struct admin *a)
{
    const char *token = a->token_file == NULL ? getenv("SLUICE_ADMIN_TOKEN") : NULL;
    const char *file = a->token_file != NULL ? a->token_file : getenv("SLUICE_ADMIN_TOKEN_FILE");
    struct err e = {0};
    struct buf text;
    char *path;
    int code = 0;

    if (token != NULL) {
        a->auth = join("authorization: Bearer ", token, "");
        return 0;
    }
    path = file != NULL ? mem_strdup(file) : join(data_dir(a), "/admin-token", "");
    buf_init(&text, 4096);
    if (proc_read_file(path, 4096, &text, &e)) {
        char *line = mem_strndup(text.p, text.n);

        line[strcspn(line, "\r\n")] = '\0';
        a->auth = join("authorization: Bearer ", line, "");
        mem_wipe(line, strlen(line));
        mem_free(line);
        mem_wipe(text.p, text.n);
    } else {
        (void)fprintf(stderr,
                      "sluice: no admin token: %s (set SLUICE_ADMIN_TOKEN or --admin-token-file)\n",
                      e.message);
        code = 1;
    }
    buf_done(&text);
    mem_free(path);
    return code;
}

int admin_open(struct admin *a)
{
    int code = find_url(a);

    return code != 0 ? code : find_token(a);
}

void admin_close(struct admin *a)
{
    mem_free(a->base);
    if (a->auth != NULL) {
        mem_wipe(a->auth, strlen(a->auth));
        mem_free(a->auth);
    }
    a->base = a->auth = NULL;
}

const char *admin_escape(const char *id, char out[400])
{
    size_t n = 0;

    for (; *id != '\0' && n + 4 < 400; id++) {
        if (isalnum((unsigned char)*id) || strchr("-_.~", *id) != NULL) {
            out[n++] = *id;
        } else {
            n += (size_t)snprintf(out + n, 4, "%%%02X", (unsigned)(unsigned char)*id);
        }
    }
    out[n] = '\0';
    return out;
}

static bool text_of(const struct json_at *a, struct slice *ret)
{
    struct json_report ignored = {0};

    return json_want_raw_text(a, 0, ANSWER_MAX, ret, &ignored);
}

// Text from the server: control bytes must not reach the terminal.
static void print_text(FILE *f, struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        (void)fputc((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f ? '?' : s.p[i], f);
    }
}

static int print_error(unsigned status, const struct json_value *doc)
{
    struct json_at root = json_root(doc), error = json_member(&root, "error");
    struct json_at message = json_member(&error, "message"), fields = json_member(&error, "fields");
    struct slice text = SLICE("no reason given");

    (void)text_of(&message, &text);
    (void)fprintf(stderr, "sluice: HTTP %u: ", status);
    print_text(stderr, text);
    (void)fputc('\n', stderr);
    for (size_t i = 0; i < json_size(&fields); i++) {
        struct json_at item = json_element(&fields, i);
        struct json_at field = json_member(&item, "field"), problem = json_member(&item, "problem");
        struct slice f = SLICE(""), p = SLICE("");

        (void)text_of(&field, &f);
        (void)text_of(&problem, &p);
        (void)fputs("  ", stderr);
        print_text(stderr, f);
        (void)fputs(": ", stderr);
        print_text(stderr, p);
        (void)fputc('\n', stderr);
    }
    return 1;
}

static char *url_of(const struct admin *a, const char *method, const char *path)
{
    bool change = strcmp(method, "GET") != 0;
    char *url = join(a->base, path, "");

    if (change && a->wait != NULL) {
        char *with = join(url, strchr(path, '?') != NULL ? "&wait=" : "?wait=", a->wait);

        mem_free(url);
        url = with;
    }
    return url;
}

static int finish(struct admin *a, const struct fetch_response *r, struct json_value **ret)
{
    struct err e = {0};
    struct json_value *doc = NULL;

    if (r->body.n > 0) {
        doc = json_parse(buf_slice(&r->body), ANSWER_MAX, ANSWER_DEEP, &e);
    }
    if (r->status < 200 || r->status > 299) {
        int code = print_error(r->status, doc);

        json_free(&doc);
        return code;
    }
    if (r->body.n > 0 && doc == NULL) {
        return complain("the admin API's answer is not JSON", &e);
    }
    if (a->json) {
        (void)fwrite(r->body.p + r->body.off, 1, r->body.n, stdout);
        (void)fputc('\n', stdout);
    }
    *ret = doc;
    return 0;
}

int admin_call(struct admin *a, const char *method, const char *path, const struct buf *body,
               struct json_value **ret)
{
    char *type = join("content-type: ", a->type == NULL ? "application/json" : a->type, "");
    const char *headers[] = {a->auth, type};
    char *url = url_of(a, method, path);
    struct fetch_request rq = {.method = method,
                               .url = url,
                               .headers = headers,
                               .n_headers = ARRAY_LEN(headers),
                               .body = body == NULL ? SLICE_NULL : buf_slice(body),
                               .timeout_us = 30 * MONO_SEC,
                               .max_body = ANSWER_MAX};
    struct fetch_response r;
    struct err e = {0};
    int code;

    *ret = NULL;
    if (!fetch_run(&rq, &r, &e)) {
        code = complain(url, &e);
    } else {
        code = finish(a, &r, ret);
        mem_wipe(r.body.p, r.body.p == NULL ? 0 : r.body.cap); // may hold a new key
        fetch_done(&r);
    }
    mem_free(url);
    mem_free(type);
    return code;
}

#define CELL_MAX 64u // ids and names fit; a longer text (a model's name from a client) is cut
#define CUT      "..."

// Milliseconds and money with their 17 digits are for machines.
static void round_number(struct buf *out)
{
    char text[40];
    int n;
    struct slice s = buf_slice(out);

    if (s.n < sizeof(text) && s.p[0] >= '0' && s.p[0] <= '9' &&
        slice_find_char(s, '.') != SIZE_MAX) {
        memcpy(text, s.p, s.n);
        text[s.n] = '\0';
        n = snprintf(text, sizeof(text), "%.6g", strtod(text, NULL));
        buf_clear(out);
        buf_append(out, (struct slice){text, n > 0 ? (size_t)n : 0});
    }
}

static struct slice cut_cell(struct slice text)
{
    size_t n = 0, one;

    if (text.n <= CELL_MAX) {
        return text;
    }
    // Not in the middle of a character.
    while (n < CELL_MAX && (one = text_utf8_len(slice_from(text, n))) != 0 && n + one <= CELL_MAX) {
        n += one;
    }
    return slice_head(text, n);
}

// A cell: text as it is, null and absent "-", lists of text joined by commas, the rest as JSON.
static void cell(const struct json_at *at, struct buf *out)
{
    struct slice text;
    struct json_out o = json_out_to(out);

    buf_clear(out);
    if (!json_present(at) || json_present_null(at)) {
        buf_append_str(out, "-");
    } else if (text_of(at, &text)) {
        buf_append(out, text.n == 0 ? SLICE("-") : text);
    } else if (json_size(at) > 0 &&
               text_of(&(struct json_at){json_element(at, 0).value, at, NULL, 0}, &text)) {
        for (size_t i = 0; i < json_size(at); i++) {
            struct json_at item = json_element(at, i);

            if (text_of(&item, &text)) {
                buf_append_str(out, i == 0 ? "" : ",");
                buf_append(out, text);
            }
        }
    } else {
        json_out_value(&o, at->value);
        round_number(out);
    }
}

static size_t row_count(const struct json_at *root, struct json_at *ret_data)
{
    *ret_data = json_member(root, "data");
    return json_present(ret_data) ? json_size(ret_data) : 1;
}

static struct json_at row_at(const struct json_at *root, const struct json_at *data, size_t i)
{
    return json_present(data) ? json_element(data, i) : *root;
}

void admin_table(const struct admin *a, const struct json_value *answer,
                 const struct admin_column *columns, size_t n)
{
    struct json_at root = json_root(answer), data;
    size_t widths[COLUMNS_MAX], rows = row_count(&root, &data);
    struct buf text;

    if (a->json || answer == NULL || n > COLUMNS_MAX) {
        return;
    }
    buf_init(&text, ANSWER_MAX);
    for (size_t c = 0; c < n; c++) {
        widths[c] = strlen(columns[c].title);
        for (size_t i = 0; i < rows; i++) {
            struct json_at row = row_at(&root, &data, i), at = json_member(&row, columns[c].field);

            cell(&at, &text);
            struct slice shown = cut_cell(buf_slice(&text));
            size_t width = shown.n + (shown.n < text.n ? strlen(CUT) : 0);
            widths[c] = width > widths[c] ? width : widths[c];
        }
    }
    for (size_t c = 0; c < n; c++) {
        (void)printf("%-*s%s", c + 1 < n ? (int)widths[c] : 0, columns[c].title,
                     c + 1 < n ? "  " : "\n");
    }
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < n; c++) {
            struct json_at row = row_at(&root, &data, i), at = json_member(&row, columns[c].field);

            cell(&at, &text);
            struct slice shown = cut_cell(buf_slice(&text));
            const char *tail = shown.n < text.n ? CUT : "";
            print_text(stdout, shown);
            (void)printf("%s%*s%s", tail, c + 1 < n ? (int)(widths[c] - shown.n - strlen(tail)) : 0,
                         "", c + 1 < n ? "  " : "\n");
        }
    }
    buf_done(&text);
}

#define TAIL_WIDTH 12

static int width_of(const struct admin_column *c)
{
    return strcmp(c->field, "time") == 0 ? 20 : strcmp(c->field, "status") == 0 ? 6 : TAIL_WIDTH;
}

void admin_titles(const struct admin_column *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        (void)printf("%-*s%s", i + 1 < n ? width_of(&columns[i]) : 0, columns[i].title,
                     i + 1 < n ? "  " : "\n");
    }
}

void admin_row(const struct json_at *row, const struct admin_column *columns, size_t n)
{
    struct buf text;

    buf_init(&text, ANSWER_MAX);
    for (size_t i = 0; i < n; i++) {
        struct json_at at = json_member(row, columns[i].field);

        cell(&at, &text);
        struct slice shown = cut_cell(buf_slice(&text));
        int pad = width_of(&columns[i]) - (int)shown.n;

        print_text(stdout, shown);
        (void)printf("%*s%s", i + 1 < n && pad > 0 ? pad : 0, "", i + 1 < n ? "  " : "\n");
    }
    buf_done(&text);
}

int admin_show(struct admin *a, const char *method, const char *path, const struct buf *body,
               const struct admin_column *columns, size_t n)
{
    struct json_value *answer = NULL;
    int code = admin_call(a, method, path, body, &answer);

    if (code == 0 && n > 0) {
        admin_table(a, answer, columns, n);
    }
    json_free(&answer);
    return code;
}

int admin_list(struct admin *a, const char *path, const struct admin_column *columns, size_t n)
{
    char page[1024];
    const char *separator = strchr(path, '?') != NULL ? "&" : "?";
    int code;

    (void)snprintf(page, sizeof(page), "%s%s" PAGE, path, separator);
    for (;;) {
        struct json_value *doc = NULL;
        struct slice cursor;
        char escaped[400];
        bool more;

        code = admin_call(a, "GET", page, NULL, &doc);
        if (code != 0) {
            return code;
        }
        admin_table(a, doc, columns, n);
        struct json_at root = json_root(doc), next = json_member(&root, "next_cursor");
        more = text_of(&next, &cursor);
        if (more) {
            char *id = mem_strndup(cursor.p, cursor.n);

            (void)snprintf(page, sizeof(page), "%s%s" PAGE "&cursor=%s", path, separator,
                           admin_escape(id, escaped));
            mem_free(id);
        }
        json_free(&doc);
        if (!more) {
            return 0;
        }
    }
}
