// SPDX-License-Identifier: Apache-2.0
// The head is built line by line. Of a routed request's headers only a short list is passed on, and
// what the provider's quirks and dialect take beside; the provider's own headers follow.
#include "dataplane/attempt_head.h"

#include <string.h>

#include "common/base/text.h"
#include "dataplane/attempt_body.h"
#include "dataplane/req_priv.h"

#ifndef SLUICE_VERSION
#define SLUICE_VERSION "0.1.0"
#endif

// Values come from config, the client or a sealed key: a control byte must not end the line early.
void attempt_head_put(struct buf *b, struct slice name, struct slice value)
{
    buf_append(b, name);
    buf_append_str(b, ": ");
    for (size_t i = 0; i < value.n; i++) {
        if ((unsigned char)value.p[i] < ' ' && value.p[i] != '\t') {
            value.n = i;
        }
    }
    buf_append(b, value);
    buf_append_str(b, "\r\n");
}

void attempt_head_put_length(struct buf *b, size_t n)
{
    char digits[20];

    attempt_head_put(b, SLICE("content-length"), text_format_u64(n, digits));
}

struct slice attempt_head_authority(struct slice origin)
{
    return slice_from(origin, slice_find(origin, SLICE("://")) + 3);
}

void attempt_head_put_auth(struct buf *b, const struct resource_provider *p,
                           const struct resource *key)
{
    struct slice value;

    if (key == NULL || key->u.provider_key->value == NULL) {
        return;
    }
    value = secret_reveal(key->u.provider_key->value);
    buf_append_str(b, p->auth_header);
    buf_append_str(b, ": ");
    if (p->auth_scheme != NULL && p->auth_scheme[0] != '\0') {
        buf_append_str(b, p->auth_scheme);
        buf_append_char(b, ' ');
    }
    for (size_t i = 0; i < value.n && (unsigned char)value.p[i] >= ' '; i++) {
        buf_append_char(b, value.p[i]);
    }
    buf_append_str(b, "\r\n");
}

// more: the path has a query already.
static void put_query(struct buf *b, const struct resource_provider *p, bool more)
{
    for (size_t i = 0; i < p->n_query; i++) {
        buf_append_char(b, i == 0 && !more ? '?' : '&');
        buf_append_str(b, p->query[i].name);
        buf_append_char(b, '=');
        buf_append_str(b, p->query[i].value);
    }
}

// Of a routed request's headers only these mean anything to a provider; the last ones only to one
// that speaks the client's dialect.
static const char *const passed_on[] = {"traceparent",    "tracestate",  "idempotency-key",
                                        "anthropic-beta", "openai-beta", "anthropic-version"};
#define PASSED_TRACE     2u // of them for tracing
#define PASSED_ANY       3u // of them whatever the dialect
#define PASSED_ANTHROPIC 4u // of them to Anthropic, from whomever

struct passing {
    struct buf *b;
    size_t from, to; // of passed_on
    unsigned passed; // bits of those that went
    bool anthropic;  // that dialect on both sides: its further headers (selectors of workspace and
                     // profile) go too
};

static bool is_own_of_anthropic(struct slice name)
{
    return slice_starts_nocase(name, SLICE("anthropic-")) &&
           !slice_starts_nocase(name, SLICE("anthropic-dangerous-"));
}

// Lists of beta names may be split over several headers; of the others the first one counts.
static void pass_on(void *ctx, struct slice name, struct slice value)
{
    struct passing *p = ctx;

    for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
        struct slice known = slice_str(passed_on[i]);

        if (name.n == known.n && slice_eq_nocase(name, known)) {
            bool again = (p->passed & 1u << i) != 0 && !slice_ends(known, SLICE("-beta"));

            if (value.n > 0 && i >= p->from && i < p->to && !again) {
                attempt_head_put(p->b, known, value);
                p->passed |= 1u << i;
            }
            return;
        }
    }
    if (p->anthropic && value.n > 0 && is_own_of_anthropic(name)) {
        attempt_head_put(p->b, name, value);
    }
}

// Bits of those that went.
static unsigned put_passed_on(struct buf *b, const struct req *r, bool trace, bool equal)
{
    bool to_anthropic = r->at.dialect == &dialect_anthropic;
    struct passing p = {.b = b,
                        .from = trace ? 0 : PASSED_TRACE,
                        .to = equal          ? ARRAY_LEN(passed_on)
                              : to_anthropic ? PASSED_ANTHROPIC
                                             : PASSED_ANY,
                        .anthropic = equal && r->dialect == &dialect_anthropic};

    httpd_each_header(r->q, pass_on, &p);
    return p.passed;
}

// And those that this provider has a use for.
static bool takes_header(const struct resource_provider *p, const struct httpd_req *q,
                         const char *name)
{
    return httpd_header(q, name).n > 0 &&
           !slice_eq_nocase(slice_str(name), slice_str(p->auth_header));
}

// Was it among those that went, or earlier in the list?
static bool went(const struct resource_quirks *q, size_t taken, unsigned passed)
{
    struct slice name = slice_str(q->takes_headers[taken]);

    for (size_t i = 0; i < ARRAY_LEN(passed_on); i++) {
        if ((passed & 1u << i) != 0 && slice_eq_nocase(name, slice_str(passed_on[i]))) {
            return true;
        }
    }
    for (size_t i = 0; i < taken; i++) {
        if (slice_eq_nocase(name, slice_str(q->takes_headers[i]))) {
            return true;
        }
    }
    return false;
}

static void put_taken(struct buf *b, const struct httpd_req *q, const struct resource_provider *p,
                      unsigned passed)
{
    for (size_t i = 0; i < p->quirks.n_takes_headers; i++) {
        const char *name = p->quirks.takes_headers[i];

        if (takes_header(p, q, name) && !went(&p->quirks, i, passed)) {
            attempt_head_put(b, slice_str(name), httpd_header(q, name));
        }
    }
}

// The client's word goes before the configuration's.
static bool is_taken(const struct httpd_req *q, const struct resource_provider *p,
                     struct slice header)
{
    for (size_t i = 0; i < p->quirks.n_takes_headers; i++) {
        const char *name = p->quirks.takes_headers[i];

        if (slice_eq_nocase(header, slice_str(name)) && takes_header(p, q, name)) {
            return true;
        }
    }
    return false;
}

// The client's own word on a provider's header (anthropic-version) wins where the dialects are
// equal.
static bool is_passed_on(const struct req *r, const char *name)
{
    for (size_t i = PASSED_ANY; i < ARRAY_LEN(passed_on); i++) {
        if (slice_eq_nocase(slice_str(name), slice_str(passed_on[i]))) {
            return httpd_header(r->q, name).n > 0;
        }
    }
    return r->dialect == &dialect_anthropic && is_own_of_anthropic(slice_str(name)) &&
           httpd_header(r->q, name).n > 0;
}

void attempt_head_put_provider(struct req *r, struct buf *b, const struct resource_provider *p,
                               bool equal)
{
    for (size_t i = 0; i < p->n_headers; i++) {
        struct slice name = slice_str(p->headers[i].name);

        if ((!equal || !is_passed_on(r, p->headers[i].name)) && !is_taken(r->q, p, name)) {
            attempt_head_put(b, name, slice_str(p->headers[i].value));
        }
    }
}

static void put_path(struct req *r, struct buf *b, const struct resource_provider *p)
{
    enum dialect_endpoint ep = attempt_by_chat(r, r->at.cand) ? DIALECT_CHAT : r->route.endpoint;
    struct dialect_call call = {.endpoint = ep,
                                .stream = r->stream,
                                .model = r->at.cand->model,
                                .client_path = r->route.path};
    struct slice own = attempt_own_path(p, ep);

    if (own.p != NULL) {
        buf_append(b, own);
    } else {
        r->at.dialect->write_path(&call, b);
    }
}

void attempt_head_write(struct req *r, struct buf *b, const struct resource_provider *p,
                        const struct resource *key, struct slice origin, struct slice base_path,
                        size_t body_bytes)
{
    bool equal = r->at.dialect == r->dialect; // with xlate too: split-think
    size_t at;

    buf_append_str(b, "POST ");
    buf_append(b, base_path);
    at = b->n;
    put_path(r, b, p);
    put_query(b, p, slice_find_char(slice_from(buf_slice(b), at), '?') != SIZE_MAX);
    buf_append_str(b, " HTTP/1.1\r\n");
    attempt_head_put(b, SLICE("host"), attempt_head_authority(origin));
    attempt_head_put_auth(b, p, key);
    buf_append_str(b, !attempt_streams(r)     ? "accept: application/json\r\n"
                      : r->at.dialect->ndjson ? "accept: application/x-ndjson\r\n"
                                              : "accept: text/event-stream\r\n");
    buf_append_str(b, "content-type: application/json\r\n"
                      "accept-encoding: identity\r\n"
                      "user-agent: sluice/" SLUICE_VERSION "\r\n");
    put_taken(b, r->q, p, put_passed_on(b, r, !r->w->shared->conf.drop_trace, equal));
    attempt_head_put_provider(r, b, p, equal);
    attempt_head_put_length(b, body_bytes);
    buf_append_str(b, "\r\n");
}
