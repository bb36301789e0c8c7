// SPDX-License-Identifier: Apache-2.0
// What an attempt sends. Equal dialects: the client's bytes with a few splices. Different
// ones: a body that the provider's dialect writes from the canonical request, which is read from
// the client's body once and kept for further attempts.
#include <string.h>

#include "dataplane/attempt.h"
#include "dataplane/attempt_body.h"
#include "dataplane/dialect_quirks.h"
#include "dataplane/facts.h"
#include "dataplane/req_priv.h"

static const char *const endpoint_names[] = {
    [DIALECT_CHAT] = "chat",
    [DIALECT_COMPLETIONS] = "completions",
    [DIALECT_EMBEDDINGS] = "embeddings",
    [DIALECT_RESPONSES] = "responses",
    [DIALECT_MESSAGES] = "messages",
    [DIALECT_COUNT_TOKENS] = "count_tokens",
};

struct slice attempt_own_path(const struct resource_provider *p, enum dialect_endpoint ep)
{
    const char *name = ep < ARRAY_LEN(endpoint_names) ? endpoint_names[ep] : NULL;

    for (size_t i = 0; name != NULL && i < p->n_paths; i++) {
        if (strcmp(p->paths[i].name, name) == 0) {
            return slice_str(p->paths[i].value);
        }
    }
    return SLICE_NULL;
}

static bool is_missing(const struct resource_provider *p, enum dialect_endpoint ep)
{
    struct slice own = attempt_own_path(p, ep);

    return own.p != NULL && own.n == 0;
}

// A completion of old, and somebody who can only answer a chat in its place?
static bool may_chat(const struct req *r, const struct resource_provider *p)
{
    return r->route.endpoint == DIALECT_COMPLETIONS && !is_missing(p, DIALECT_CHAT) &&
           r->dialect == &dialect_openai && dialect_find(slice_str(p->dialect)) == &dialect_openai;
}

bool attempt_by_chat(const struct req *r, const struct route_candidate *c)
{
    const struct resource *p = c->provider->res;
    const struct resource_traits *t;

    if (!may_chat(r, p->u.provider)) {
        return false;
    }
    t = facts_traits(r->snap, slice_str(p->id), c->model);
    return is_missing(p->u.provider, DIALECT_COMPLETIONS) ||
           (facts_is_openai(p) && (t->flags & RESOURCE_NO_COMPLETIONS) != 0);
}

const struct dialect *attempt_dialect(const struct req *r, const struct resource_provider *p)
{
    const struct dialect *d = dialect_find(slice_str(p->dialect));

    if (d == NULL || (is_missing(p, r->route.endpoint) && !may_chat(r, p))) {
        return NULL;
    }
    if (d == r->dialect) {
        return d->edit_request != NULL && d->serves(r->route.endpoint) ? d : NULL;
    }
    if (r->route.endpoint == DIALECT_OTHER || r->route.endpoint == DIALECT_RESPONSES ||
        r->dialect->read_request == NULL || d->write_request == NULL ||
        (!d->serves(r->route.endpoint) && attempt_own_path(p, r->route.endpoint).n == 0)) {
        return NULL;
    }
    return d;
}

bool attempt_streams(const struct req *r)
{
    return r->stream || (r->at.outcome != NULL && r->at.outcome->streams);
}

// Signed reasoning is bound to the model that made it.
static bool is_other_model(const struct req *r, const struct route_candidate *c)
{
    return r->attempts > 0 && r->tries[0].candidate != NULL &&
           !slice_eq(r->tries[0].candidate->model, c->model);
}

struct xlate *attempt_xlate(struct req *r)
{
    if (r->xlate == NULL) {
        r->xlate = arena_alloc(&r->arena, sizeof(*r->xlate));
        xlate_init(r->xlate, r->dialect, &r->arena, &r->w->rng);
    }
    return r->xlate;
}

static bool translate(struct req *r, const struct route_candidate *c, const char **ret_code,
                      const char **ret_param, struct err *e)
{
    struct xlate_refusal why;
    struct canon_target target;

    facts_of_target(&r->w->facts, r->snap, c->provider->res, c->model, r->router, &r->arena,
                    &target);
    target.strip_signatures = is_other_model(r, c);
    r->at.xlate = attempt_xlate(r);
    if (!xlate_request(r->at.xlate, r->at.dialect, &target, &r->rq, httpd_body(r->q), &r->at.body,
                       &why, e)) {
        *ret_code = why.code;
        *ret_param = why.param;
        return false;
    }
    r->at.outcome = &r->at.xlate->outcome;
    if (r->rq.usage_in_body) {
        r->at.xlate->context.cost = req_cost_text;
        r->at.xlate->context.cost_ctx = r;
    }
    return true;
}

static size_t edit(struct req *r, const struct route_candidate *c, struct dialect_splice *out,
                   size_t max)
{
    const struct resource_provider *p = c->provider->res->u.provider;

    r->rq.keep = p->quirks.takes;
    r->rq.n_keep = p->quirks.n_takes;
    return r->dialect->edit_request(&r->rq, httpd_body(r->q), c->model, !p->no_stream_options,
                                    &r->arena, out, max);
}

// Equal dialects, another model than the first one asked: the body without signed reasoning, as a
// copy, since there may be more pieces than one write takes. Without any it goes as it is.
static void strip(struct req *r, const struct route_candidate *c)
{
    struct dialect_splice edits[DIALECT_SPLICES_MAX], *all;
    size_t n = edit(r, c, edits, ARRAY_LEN(edits)), bytes, count, n_all;
    struct slice *pieces;

    n_all = r->dialect->strip_request(httpd_body(r->q), edits, n, &r->arena, &all);
    if (n_all == n) {
        return;
    }
    pieces = arena_alloc(&r->arena, (2 * n_all + 1) * sizeof(*pieces));
    count = dialect_spliced(httpd_body(r->q), all, n_all, pieces, 2 * n_all + 1, &bytes);
    for (size_t i = 0; i < count; i++) {
        buf_append(&r->at.body, pieces[i]);
    }
}

// Equal dialects, but a vendor or model that wants some of OpenAI's members otherwise.
static bool apply_quirks(struct req *r, const struct route_candidate *c, const char **ret_code,
                         const char **ret_param, struct err *e)
{
    struct slice pieces[UPSTREAM_BODY_PIECES];
    struct canon_outcome *o;
    struct canon_target target;
    struct buf spliced;
    size_t n, bytes = 0;
    bool ok;

    facts_of_target(&r->w->facts, r->snap, c->provider->res, c->model, r->router, &r->arena,
                    &target);
    if (!dialect_quirks_may_touch(&r->rq.top, httpd_body(r->q), &target)) {
        return true;
    }
    o = arena_zalloc(&r->arena, sizeof(*o));
    o->arena = &r->arena;
    n = attempt_pieces(r, c, pieces, &bytes);
    buf_init(&spliced, bytes + 1);
    for (size_t i = 0; i < n; i++) {
        buf_append(&spliced, pieces[i]);
    }
    // Only writes to at.body when it edits.
    ok = dialect_quirks_edit(buf_slice(&spliced), r->route.endpoint, NULL, &target, o,
                             &r->at.body) != DIALECT_QUIRKS_REFUSED;
    buf_done(&spliced);
    r->at.outcome = o;
    if (!ok) {
        *ret_code = o->code;
        *ret_param = o->param;
        return err_set(e, ERR_INVALID, "%s", o->message);
    }
    return true;
}

// Equal dialects, but thoughts are to be told apart from the text, or all of it put into OpenAI's
// own form, or a stream is put together: the answer goes through the canonical model.
static void read_answer_too(struct req *r, const struct route_candidate *c)
{
    const struct resource_quirks *q = &c->provider->res->u.provider->quirks;
    bool streams = r->at.outcome != NULL && r->at.outcome->streams;
    struct xlate *x;

    if (((q->flags & (RESOURCE_SPLIT_THINK | RESOURCE_NORMALIZE)) == 0 && !streams) ||
        r->route.endpoint != DIALECT_CHAT) {
        return;
    }
    x = attempt_xlate(r);
    xlate_equal(x, &r->rq, arena_dup(&r->arena, c->model));
    x->context.quirks = q->flags;
    if (r->rq.usage_in_body) {
        x->context.cost = req_cost_text;
        x->context.cost_ctx = r;
    }
    r->at.xlate = x;
}

// OpenAI serves some models through its Responses API alone; others that serve them, under the same
// names, do not.
static bool is_responses_only(struct req *r, const struct route_candidate *c)
{
    struct canon_target target;

    if (r->at.dialect != &dialect_openai ||
        (r->route.endpoint != DIALECT_CHAT && r->route.endpoint != DIALECT_MESSAGES)) {
        return false;
    }
    facts_of_target(&r->w->facts, r->snap, c->provider->res, c->model, r->router, &r->arena,
                    &target);
    return target.openai && (target.traits->flags & RESOURCE_RESPONSES_ONLY) != 0;
}

bool attempt_prepare(struct req *r, const struct route_candidate *c, const char **ret_code,
                     const char **ret_param, struct err *e)
{
    r->at.dialect = attempt_dialect(r, c->provider->res->u.provider);
    r->at.xlate = NULL;
    r->at.outcome = NULL;
    buf_done(&r->at.body);
    buf_init_soft(&r->at.body, XLATE_BODY_MAX);
    if (is_responses_only(r, c)) {
        *ret_code = "unsupported_parameter";
        *ret_param = "model";
        return err_set(e, ERR_INVALID,
                       "the model " SLICE_FMT " is served through /v1/responses only",
                       SLICE_ARG(slice_head(c->model, 96)));
    }
    if (r->at.dialect != r->dialect || attempt_by_chat(r, c)) {
        return translate(r, c, ret_code, ret_param, e);
    }
    if (r->dialect->strip_request != NULL && is_other_model(r, c)) {
        strip(r, c);
    }
    if (r->at.dialect == &dialect_openai) {
        if (!apply_quirks(r, c, ret_code, ret_param, e)) {
            return false;
        }
        read_answer_too(r, c);
    }
    if (r->at.body.over) { // a part of it must not go out as the whole
        *ret_code = "invalid_value";
        *ret_param = NULL;
        return err_set(e, ERR_TOO_LARGE, "the request is too large in the words of the provider");
    }
    return true;
}

size_t attempt_pieces(struct req *r, const struct route_candidate *c, struct slice *pieces,
                      size_t *ret_bytes)
{
    struct dialect_splice splices[UPSTREAM_BODY_PIECES / 2];
    size_t n;

    if (r->at.body.n > 0) {
        pieces[0] = buf_slice(&r->at.body);
        *ret_bytes = pieces[0].n;
        return 1;
    }
    n = edit(r, c, splices, ARRAY_LEN(splices) - 1);
    return dialect_spliced(httpd_body(r->q), splices, n, pieces, UPSTREAM_BODY_PIECES, ret_bytes);
}
