// SPDX-License-Identifier: Apache-2.0
// /tokens: tokens of the admin API. The one of the file is not among them: it cannot be lost.
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"

static void put_time(struct json_out *o, const char *name, uint64_t wall_us)
{
    char text[32];

    json_out_field_str(o, name, wall_us == 0 ? NULL : text_format_rfc3339(wall_us, text));
}

static void render(struct json_out *o, const struct token *t)
{
    json_out_field_str(o, "id", t->id);
    json_out_field_str(o, "name", t->name);
    json_out_key(o, "scopes");
    tokens_put_scopes(o, t->scopes);
    put_time(o, "created_at", t->created_wall_us);
    put_time(o, "expires_at", t->expires_wall_us);
}

static void list_one(void *ctx, const struct token *t)
{
    struct json_out *o = ctx;

    json_out_open(o, '{');
    render(o, t);
    json_out_close(o, '}');
}

void api_tokens_list(struct api_call *c)
{
    struct json_out o;
    struct buf body;

    buf_init(&body, API_ANSWER_MAX);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    json_out_key(&o, "data");
    json_out_open(&o, '[');
    tokens_each(c->api->tokens, list_one, &o);
    json_out_close(&o, ']');
    json_out_field_str(&o, "next_cursor", NULL);
    json_out_close(&o, '}');
    api_send(c, 200, &body, 0);
}

static void render_created(struct api_call *c, struct json_out *o)
{
    render(o, c->w.token);
    json_out_field_str(o, "token", c->w.secret);
}

// The same secret again, made of the salt that the repeat was given under the master key of the
// first try, which need not be the first any more: the hash tells. When that key is gone the answer
// comes without a token rather than with one that does not work.
static void again(struct api_call *c)
{
    const struct token *known = tokens_find(c->api->tokens, slice_str(c->w.id));
    struct token *t = c->w.token;

    memcpy(t->id, c->w.id, sizeof(t->id));
    for (size_t i = 0; i < store_keys(c->api->store)->n; i++) {
        if (tokens_make(c->api->store, i, t, slice_str(c->w.salt), c->w.secret) &&
            (known == NULL || crypto_equal(t->hash, known->hash, sizeof(t->hash)))) {
            return;
        }
    }
    c->w.secret[0] = '\0';
}

static bool read_body(struct api_call *c, struct token *t)
{
    static const char *const names[] = {"name", "scopes", "expires_at"};
    struct json_at body = json_root(c->doc), name = json_member(&body, "name");
    struct json_at list = json_member(&body, "scopes"), expires = json_member(&body, "expires_at");
    struct slice s;

    if (json_require(&body, &c->report) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, names, ARRAY_LEN(names), &c->report);
        if (json_require(&name, &c->report) &&
            json_want_text(&name, 1, TOKEN_NAME_MAX, &s, &c->report)) {
            memcpy(t->name, s.p, s.n);
        }
        if (json_require(&list, &c->report)) {
            t->scopes = tokens_read_scopes(&list, &c->report);
        }
        if (!json_present_null(&expires) && json_want_text(&expires, 1, 40, &s, &c->report) &&
            (!text_parse_rfc3339(s, &t->expires_wall_us) ||
             t->expires_wall_us <= t->created_wall_us)) {
            json_note(&c->report, &expires, "must be a time to come, like 2027-01-31T12:00:00Z");
        }
    }
    return c->report.n == 0;
}

void api_tokens_create(struct api_call *c)
{
    struct token *t = arena_zalloc(&c->arena, sizeof(*t));
    struct buf value;

    t->created_wall_us = loop_wall_us(c->api->loop);
    if (!api_write_begin(c, NULL)) {
        return;
    }
    if (!read_body(c, t)) {
        api_invalid(c);
        return;
    }
    if (tokens_count(c->api->tokens) >= TOKENS_MAX) {
        api_error(c, 409, "too_many", "there are %u tokens, which is the most", TOKENS_MAX);
        return;
    }
    crypto_random_id(t->id, TOKEN_ID_CHARS);
    api_write_new_salt(c);
    if (!tokens_make(c->api->store, 0, t, slice_str(c->w.salt), c->w.secret)) {
        api_error(c, 503, "store_unavailable", "the state is not loaded yet");
        return;
    }
    (void)snprintf(c->w.id, sizeof(c->w.id), "%s", t->id); // fits
    buf_init(&value, 4096);
    tokens_encode(t, &value);
    c->w.token_value = arena_dup(&c->arena, buf_slice(&value));
    buf_done(&value);
    c->w.token = t;
    c->w.action = "token.create";
    c->w.status = 201;
    c->w.render = render_created;
    c->w.again = again;
    api_write_commit(c);
}

static void render_deleted(struct api_call *c, struct json_out *o)
{
    json_out_field_str(o, "id", c->w.id);
    json_out_field_bool(o, "deleted", true);
}

void api_tokens_delete(struct api_call *c)
{
    bool repeat = httpd_header(c->q, "idempotency-key").p != NULL;

    if (tokens_find(c->api->tokens, slice_str(c->param)) == NULL && !repeat) {
        api_not_found(c, "token");
        return;
    }
    if (!api_write_begin(c, NULL)) {
        return;
    }
    (void)snprintf(c->w.id, sizeof(c->w.id), "%s", c->param); // the same size
    c->w.token = arena_zalloc(&c->arena, sizeof(*c->w.token));
    c->w.expected = 1;
    c->w.is_delete = true;
    c->w.action = "token.delete";
    c->w.status = 200;
    c->w.render = render_deleted;
    api_write_commit(c);
}
