// SPDX-License-Identifier: Apache-2.0
// Answers, errors, query parameters and lists of the admin API.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"

#define LIMIT_DEFAULT 100
#define LIMIT_MAX     1000

static void send_with(struct api_call *c, unsigned status, struct buf *body,
                      const struct httpd_header *extra)
{
    struct httpd_header h[4] = {{SLICE("content-type"), SLICE("application/json")},
                                {SLICE("cache-control"), SLICE("no-store")}};
    size_t n = 2;

    if (extra != NULL) {
        h[n++] = *extra;
    }
    if (c->q != NULL && !c->replied) {
        meters_api(c->api->meters, c->route == NULL ? "" : c->route->path, status);
        httpd_reply(c->q, status, h, n, body);
    }
    c->replied = true;
    buf_done(body);
}

void api_send(struct api_call *c, unsigned status, struct buf *body, uint64_t version)
{
    char etag[32];
    struct httpd_header h = {SLICE("etag"), SLICE_NULL};

    (void)snprintf(etag, sizeof(etag), "\"%llu\"", (unsigned long long)version); // fits
    h.value = slice_str(etag);
    send_with(c, status, body, version != 0 ? &h : NULL);
}

void api_send_text(struct api_call *c, const char *type, struct buf *body)
{
    const struct httpd_header h[] = {{SLICE("content-type"), slice_str(type)},
                                     {SLICE("cache-control"), SLICE("no-store")}};

    if (c->q != NULL && !c->replied) {
        httpd_reply(c->q, 200, h, ARRAY_LEN(h), body);
    }
    c->replied = true;
    buf_done(body);
}

static void put_problems(struct json_out *o, const struct json_report *r)
{
    size_t n = r->n < JSON_PROBLEMS_MAX ? r->n : JSON_PROBLEMS_MAX;

    json_out_key(o, "fields");
    json_out_open(o, '[');
    for (size_t i = 0; i < n; i++) {
        json_out_open(o, '{');
        json_out_field_str(o, "field", r->items[i].field);
        json_out_field_str(o, "problem", r->items[i].problem);
        json_out_close(o, '}');
    }
    json_out_close(o, ']');
}

static void send_error(struct api_call *c, unsigned status, const char *code, const char *message,
                       const struct httpd_header *extra)
{
    struct json_out o;
    struct buf body;

    buf_init(&body, 1u << 20);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_key(&o, "error");
    json_out_open(&o, '{');
    json_out_field_str(&o, "code", code);
    json_out_field_str(&o, "message", message);
    if (c->report.n > 0) {
        put_problems(&o, &c->report);
    }
    json_out_close(&o, '}');
    json_out_close(&o, '}');
    send_with(c, status, &body, extra);
}

void api_error(struct api_call *c, unsigned status, const char *code, const char *fmt, ...)
{
    static const struct httpd_header bearer = {SLICE("www-authenticate"), SLICE("Bearer")};
    static const struct httpd_header retry = {SLICE("retry-after"), SLICE("1")};
    char message[500];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, ap); // cut is fine
    va_end(ap);
    send_error(c, status, code, message, status == 401 ? &bearer : status == 503 ? &retry : NULL);
}

void api_not_allowed(struct api_call *c, const char *allow)
{
    const struct httpd_header h = {SLICE("allow"), slice_str(allow)};

    send_error(c, 405, "method_not_allowed", "that method is not served here", &h);
}

void api_invalid(struct api_call *c)
{
    char message[120];

    (void)snprintf(message, sizeof(message), "%zu %s wrong", c->report.n,
                   c->report.n == 1 ? "field is" : "fields are"); // fits
    send_error(c, 422, "invalid_fields", message, NULL);
}

void api_not_found(struct api_call *c, const char *what)
{
    api_error(c, 404, "not_found", "there is no such %s", what);
}

void api_owned(struct api_call *c, const struct follow_owner *o)
{
    if (o->origin == RECORD_ENV) {
        api_error(c, 409, "owned_by_file",
                  "it comes from the environment (%s) and is changed there",
                  o->where[0] == '\0' ? "a variable of the control plane" : o->where);
    } else {
        api_error(c, 409, "owned_by_file",
                  "it comes from the configuration file (%s) and is "
                  "changed there",
                  o->where[0] == '\0' ? "line unknown" : o->where);
    }
}

// --- query --------------------------------------------------------------------------------------

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool api_unescape(struct slice s, bool plus, char *out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];

        if (c == '%') {
            int hi = i + 2 < s.n ? hex_digit(s.p[i + 1]) : -1;
            int lo = i + 2 < s.n ? hex_digit(s.p[i + 2]) : -1;

            if (hi < 0 || lo < 0) {
                return false;
            }
            c = (char)(hi * 16 + lo);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0' || n + 1 >= max) {
            return false;
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return text_utf8_valid(SLICE_MAKE(out, n));
}

struct slice api_query(struct api_call *c, const char *name)
{
    struct slice rest = c->query;

    while (rest.p != NULL) {
        struct slice pair, key, value;

        rest = slice_cut(rest, '&', &pair);
        value = slice_cut(pair, '=', &key);
        if (slice_eq_str(key, name) && value.n < 4096) {
            char *out = arena_alloc(&c->arena, value.n + 1);

            if (value.p != NULL && api_unescape(value, true, out, value.n + 1)) {
                return slice_str(out);
            }
            return SLICE("\xff"); // no value of any parameter: the reader of it complains
        }
    }
    return SLICE_NULL;
}

void api_note_query(struct api_call *c, const char *name, const char *problem)
{
    const struct json_at root = {0};
    const struct json_at at = {.up = &root, .name = name};

    json_note(&c->report, &at, "%s", problem);
}

uint64_t api_query_time(struct api_call *c, const char *name, uint64_t otherwise)
{
    struct slice s = api_query(c, name);
    uint64_t us = otherwise;

    if (s.p != NULL && !text_parse_rfc3339(s, &us)) {
        api_note_query(c, name, "must be a time like 2026-11-25T00:00:00Z");
    }
    return us;
}

static struct json_at query_at(const struct json_at *root, const char *name)
{
    return (struct json_at){.up = root, .name = name};
}

bool api_page(struct api_call *c, size_t *ret_limit, struct slice *ret_cursor)
{
    const struct json_at root = {0};
    struct json_at at = query_at(&root, "limit");
    struct slice limit = api_query(c, "limit");
    uint64_t n = LIMIT_DEFAULT;

    if (limit.p != NULL && (!slice_to_u64(limit, &n) || n < 1 || n > LIMIT_MAX)) {
        json_note(&c->report, &at, "must be a number from 1 to %d", LIMIT_MAX);
    }
    *ret_cursor = api_query(c, "cursor");
    if (ret_cursor->p != NULL &&
        (ret_cursor->n == 0 || ret_cursor->n > RESOURCE_ID_MAX || ret_cursor->p[0] == '\xff')) {
        at = query_at(&root, "cursor");
        json_note(&c->report, &at, "is not a cursor that a list gave");
    }
    if (c->report.n > 0) {
        api_invalid(c);
        return false;
    }
    *ret_limit = (size_t)n;
    return true;
}

// --- lists and single resources -----------------------------------------------------------------

const struct follow_owner *api_owner(struct api_call *c, const struct resource *r)
{
    return follow_owner(store_follow(c->api->store), r->kind, slice_str(r->id));
}

struct listing {
    struct api_call *c;
    struct json_out o;
    size_t left;
    const char *last; // id of the last one written; borrowed from the state
    bool more;
    void (*render)(struct api_call *c, struct json_out *o, const struct resource *r);
};

static bool list_one(void *ctx, struct resource *r)
{
    struct listing *l = ctx;

    if (l->left == 0) {
        l->more = true;
        return false;
    }
    l->left--;
    l->last = r->id;
    json_out_open(&l->o, '{');
    l->render(l->c, &l->o, r);
    json_out_close(&l->o, '}');
    return true;
}

void api_list(struct api_call *c, enum resource_kind kind,
              void (*render)(struct api_call *c, struct json_out *o, const struct resource *r))
{
    struct listing l = {.c = c, .render = render};
    struct slice cursor;
    struct buf body;

    if (!api_page(c, &l.left, &cursor)) {
        return;
    }
    buf_init(&body, (size_t)LIMIT_MAX * RESOURCE_BYTES_MAX * 2);
    l.o = json_out_to(&body);
    json_out_open(&l.o, '{');
    json_out_key(&l.o, "data");
    json_out_open(&l.o, '[');
    state_each(store_state(c->api->store), kind, cursor, list_one, &l);
    json_out_close(&l.o, ']');
    json_out_field_str(&l.o, "next_cursor", l.more ? l.last : NULL);
    json_out_close(&l.o, '}');
    api_send(c, 200, &body, 0);
}

void api_get(struct api_call *c, enum resource_kind kind, const char *what,
             void (*render)(struct api_call *c, struct json_out *o, const struct resource *r))
{
    const struct resource *r = state_find(store_state(c->api->store), kind, slice_str(c->param));
    struct json_out o;
    struct buf body;

    if (r == NULL) {
        api_not_found(c, what);
        return;
    }
    buf_init(&body, API_ANSWER_MAX);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    render(c, &o, r);
    json_out_close(&o, '}');
    api_send(c, 200, &body, r->version);
}
