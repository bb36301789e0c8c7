// SPDX-License-Identifier: Apache-2.0
// A change through the admin API:
//
//   handler: body checked, c->w filled
//     --> api_write_commit --script--> DONE, AGAIN --?wait=--> fleet_wait --> 200/201 or 202
//                              |                  `----------------------> 200/201
//                              `--> 412, 404, 422, 503
//
// A client that leaves does not stop a change; its answer is dropped.
#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"

#define IDEMPOTENCY_MAX 255
#define NO_VERSION      (UINT64_MAX - 1) // one that nothing has
#define LOOKS           12u
#define LOOK_US         (20 * MONO_MS)

// --- what comes with the request ----------------------------------------------------------------

static bool read_wait(struct api_call *c)
{
    const struct json_at root = {0};
    const struct json_at at = {.up = &root, .name = "wait"};
    struct slice wait = api_query(c, "wait");

    if (wait.p != NULL &&
        (!text_parse_duration_us(wait, &c->w.wait_us) || c->w.wait_us > API_WAIT_MAX)) {
        json_note(&c->report, &at, "must be a duration up to 60s (\"5s\")");
        api_invalid(c);
        return false;
    }
    return true;
}

static bool read_idempotency(struct api_call *c)
{
    const struct json_at root = {0};
    const struct json_at at = {.up = &root, .name = "Idempotency-Key"};
    struct slice key = slice_trim(httpd_header(c->q, "idempotency-key"));
    bool ok = key.n >= 1 && key.n <= IDEMPOTENCY_MAX;

    if (key.p == NULL) {
        return true;
    }
    for (size_t i = 0; i < key.n; i++) {
        ok = ok && key.p[i] >= 0x20 && key.p[i] < 0x7f;
    }
    if (!ok) {
        json_note(&c->report, &at, "must have 1 to %d visible ASCII characters", IDEMPOTENCY_MAX);
        api_invalid(c);
        return false;
    }
    // Of this caller: nobody is told what another one made.
    c->w.idempotency =
        slice_str(arena_printf(&c->arena, "%s " SLICE_FMT, c->actor, SLICE_ARG(key)));
    return true;
}

// Of "3" or 3: `version` in the body has no quotes, and who takes it from there means the same.
static bool tag_version(struct slice tag, uint64_t *ret)
{
    if (tag.n > 2 && tag.p[0] == '"' && tag.p[tag.n - 1] == '"') {
        tag = SLICE_MAKE(tag.p + 1, tag.n - 2);
    }
    return slice_to_u64(tag, ret);
}

// "3" among the entity tags? W/ is taken as strong: versions are exact.
static bool etag_matches(struct slice list, uint64_t version, uint64_t *ret_named)
{
    while (list.p != NULL) {
        struct slice tag;
        uint64_t v;

        list = slice_cut(list, ',', &tag);
        tag = slice_trim(tag);
        if (slice_eq_str(tag, "*")) {
            *ret_named = version;
            return true;
        }
        if (slice_starts(tag, SLICE("W/"))) {
            tag = slice_from(tag, 2);
        }
        if (tag_version(tag, &v)) {
            *ret_named = v;
            if (v == version) {
                return true;
            }
        }
    }
    return false;
}

bool api_write_names(struct slice if_match, uint64_t version)
{
    uint64_t named;

    return etag_matches(if_match, version, &named);
}

static void stale(struct api_call *c, uint64_t version)
{
    if (version == 0) {
        api_error(c, 412, "version_conflict", "there is none of this name (any more)");
        return;
    }
    api_error(c, 412, "version_conflict", "it has version %llu by now: read it again",
              (unsigned long long)version);
}

bool api_write_begin(struct api_call *c, const struct resource *old)
{
    struct slice match = httpd_header(c->q, "if-match");
    uint64_t named = NO_VERSION;

    if (!read_wait(c) || !read_idempotency(c)) {
        return false;
    }
    c->w.expected = old == NULL ? 0 : old->version;
    if (old == NULL || match.p == NULL || etag_matches(match, old->version, &named)) {
        return true;
    }
    if (c->w.idempotency.p == NULL) {
        stale(c, old->version);
        return false;
    }
    // Perhaps the repeat of what made it stale: the script knows. (To it 0 is none, the largest
    // any.)
    c->w.expected = named == 0 || named == STORE_ANY_VERSION ? NO_VERSION : named;
    return true;
}

bool api_write_matches(struct api_call *c, uint64_t version)
{
    struct slice match = httpd_header(c->q, "if-match");
    uint64_t named;

    if (match.p == NULL || (version != 0 && etag_matches(match, version, &named))) {
        return true;
    }
    stale(c, version);
    return false;
}

bool api_write_may_be_there(struct api_call *c)
{
    if (c->w.idempotency.p == NULL) {
        return api_write_matches(c, 0);
    }
    if (httpd_header(c->q, "if-match").p != NULL) {
        c->w.expected = NO_VERSION; // as above
    }
    return true;
}

void api_write_new_salt(struct api_call *c)
{
    uint8_t salt[VKEY_SALT_HEX / 2];

    crypto_random(salt, sizeof(salt));
    text_hex(salt, sizeof(salt), c->w.salt);
}

struct resource *api_write_target(struct api_call *c, enum resource_kind kind, const char *what)
{
    struct resource *r = state_find(store_state(c->api->store), kind, slice_str(c->param));
    const struct follow_owner *owner;

    if (r == NULL) {
        api_not_found(c, what);
        return NULL;
    }
    owner = api_owner(c, r);
    if (owner != NULL) {
        api_owned(c, owner);
        return NULL;
    }
    return api_write_begin(c, r) ? r : NULL;
}

// --- the answer ---------------------------------------------------------------------------------

static void put_applied(struct json_out *o, const struct fleet_outcome *f)
{
    json_out_key(o, "applied");
    json_out_open(o, '{');
    json_out_field_u64(o, "live", f->live);
    json_out_field_u64(o, "applied", f->applied);
    json_out_field_texts(o, "missing", f->missing, f->n_missing);
    json_out_close(o, '}');
}

static void answer(struct api_call *c, const struct fleet_outcome *f)
{
    struct json_out o;
    struct buf body;

    buf_init(&body, API_ANSWER_MAX);
    o = json_out_to(&body);
    json_out_open(&o, '{');
    c->w.render(c, &o);
    json_out_field_u64(&o, "seq", c->w.seq);
    if (f != NULL) {
        put_applied(&o, f);
    }
    json_out_close(&o, '}');
    api_send(c, f != NULL && f->n_missing > 0 ? 202 : c->w.status, &body,
             c->w.is_delete || c->w.res == NULL ? 0 : c->w.res->version);
    mem_wipe(c->w.secret, sizeof(c->w.secret));
}

static void on_applied(void *arg, const struct fleet_outcome *f)
{
    struct api_call *c = arg;

    c->waiting = NULL;
    answer(c, f);
    api_release(c);
}

static void finish(struct api_call *c)
{
    if (c->w.wait_us > 0 && c->q != NULL) {
        api_hold(c);
        c->waiting = fleet_wait(c->api->fleet, c->w.seq, c->w.wait_us, on_applied, c);
        return;
    }
    answer(c, NULL);
}

// --- commit -------------------------------------------------------------------------------------

// What was written is in force here at once.
static void adopt_token(struct api_call *c)
{
    if (c->w.token == NULL) {
        return;
    }
    if (c->w.is_delete) {
        tokens_drop(c->api->tokens, slice_str(c->w.id));
    } else {
        tokens_put(c->api->tokens, c->w.token);
    }
}

// "<id> <salt>": what a repeat needs.
static bool take_payload(struct api_call *c, struct slice payload)
{
    struct slice id, salt = slice_cut(payload, ' ', &id);

    if (id.n == 0 || id.n > RESOURCE_ID_MAX || salt.n > VKEY_SALT_HEX) {
        return false;
    }
    memcpy(c->w.id, id.p, id.n);
    c->w.id[id.n] = '\0';
    memset(c->w.salt, 0, sizeof(c->w.salt));
    if (salt.n > 0) {
        memcpy(c->w.salt, salt.p, salt.n);
    }
    if (c->w.is_delete) {
        return true;
    }
    if (c->w.token != NULL || c->w.file != NULL) {
        if (c->w.again != NULL) {
            c->w.again(c);
        }
        return true;
    }
    resource_unref(&c->w.res);
    c->w.res = state_find(store_state(c->api->store), c->w.kind, id);
    if (c->w.res == NULL) {
        return false; // deleted since
    }
    (void)resource_ref(c->w.res);
    if (c->w.again != NULL) {
        c->w.again(c);
    }
    return true;
}

// Who owns what was to be deleted; NULL: the API, or there is none.
static const struct follow_owner *owner_now(struct api_call *c)
{
    const struct resource *r = NULL;

    if (c->w.token == NULL && c->w.file == NULL) {
        r = state_find(store_state(c->api->store), c->w.kind, slice_str(c->w.id));
    }
    return r == NULL ? NULL : api_owner(c, r);
}

// Somebody was faster.
static void conflict(struct api_call *c, uint64_t version)
{
    bool creates = c->w.expected == 0;
    const struct follow_owner *owner = c->w.is_delete ? owner_now(c) : NULL;

    if (owner != NULL) { // nobody's repeat
        api_owned(c, owner);
    } else if (c->w.file != NULL && creates) {
        api_error(c, 412, "version_conflict",
                  "others keep changing what this is a difference to: try again");
    } else if (creates && !slice_eq_str(slice_str(c->route->method), "PUT")) {
        api_error(c, 409, "already_exists", "there is one with this id already");
    } else if (version == 0 && !slice_eq_str(slice_str(c->route->method), "PUT")) {
        api_not_found(c, "resource any more");
    } else {
        stale(c, version);
    }
}

static void refused(struct api_call *c, const struct store_result *r)
{
    switch (r->outcome) {
    case STORE_CONFLICT:
        if (r->message[0] != '\0') {
            api_error(c, 409, "changed_meanwhile", "%s: look, and try again", r->message);
        } else if (c->w.look_again != NULL) {
            api_error(c, 409, "changed_meanwhile", "others keep changing things: try again");
        } else {
            conflict(c, r->version);
        }
        break;
    case STORE_REUSED:
        api_error(c, 422, "idempotency_key_reused",
                  "that Idempotency-Key was used for another request");
        break;
    case STORE_REGRESSED:
        api_error(c, 503, "state_regressed",
                  "%s; nothing was changed. A person has to decide (docs/operations.md)",
                  r->message);
        break;
    case STORE_UNKNOWN:
        api_error(c, 503, "store_unavailable",
                  "%s; it is not known whether the change was made: repeat it with the same "
                  "Idempotency-Key, or look",
                  r->message);
        break;
    case STORE_UNAVAILABLE:
    case STORE_KNOWN:
    case STORE_DONE:
    case STORE_AGAIN:
        api_error(c, 503, "store_unavailable", "%s; nothing was changed", r->message);
        break;
    }
}

static void on_look(struct loop_timer *t)
{
    struct api_call *c = container_of(t, struct api_call, w.next_look);

    c->w.look_again(c);
    api_release(c);
}

bool api_write_forget(struct api_call *c)
{
    struct loop_timer *file = c->w.file == NULL ? NULL : &c->w.file->again;
    bool waits = c->w.next_look.due_us != 0 || (file != NULL && file->due_us != 0);

    loop_timer_cancel(c->api->loop, &c->w.next_look);
    if (file != NULL) {
        loop_timer_cancel(c->api->loop, file);
    }
    return waits;
}

// Something has changed since the look. False: that is for the caller to hear.
static bool goes_on(struct api_call *c, const struct store_result *r)
{
    if (r->outcome != STORE_CONFLICT || r->message[0] != '\0' || c->q == NULL) {
        return false; // (of a client that left: nothing was changed)
    }
    if (c->w.file != NULL) {
        return api_file_again(c);
    }
    if (c->w.look_again == NULL || ++c->w.looks > LOOKS) {
        return false;
    }
    c->w.next_look.fn = on_look;
    api_hold(c);
    loop_timer_set(c->api->loop, &c->w.next_look, loop_now_us(c->api->loop) + LOOK_US);
    return true;
}

void api_write_on_commit(void *arg, const struct store_result *r)
{
    struct api_call *c = arg;

    meters_commit(c->api->meters, r->outcome);
    if (r->outcome == STORE_DONE || r->outcome == STORE_AGAIN) {
        c->w.seq = r->seq;
        if (r->outcome == STORE_AGAIN && !take_payload(c, r->payload)) {
            api_not_found(c, "resource any more (it was made, and deleted since)");
        } else {
            if (r->outcome == STORE_DONE) {
                adopt_token(c);
            }
            finish(c);
        }
    } else if (r->outcome == STORE_KNOWN) { // a file that is in force already
        c->w.seq = state_seq(store_state(c->api->store));
        finish(c);
    } else if (!goes_on(c, r)) {
        refused(c, r);
    }
    api_release(c);
}

static bool put_name(void *ctx, const struct json_at *at)
{
    json_out_text(ctx, slice_str(at->name));
    return true;
}

void api_write_audit_head(struct api_call *c, struct json_out *o, const char *action)
{
    char now[32];

    json_out_open(o, '{');
    json_out_field_str(o, "at", text_format_rfc3339(loop_wall_us(c->api->loop), now));
    json_out_field_str(o, "actor", c->actor);
    json_out_field(o, "peer", httpd_peer(c->q));
    json_out_field_str(o, "action", action);
}

// Who did what to which: names of fields, never their values.
static void put_audit(struct api_call *c, struct buf *b)
{
    struct json_at body = json_root(c->doc);
    struct json_out o = json_out_to(b);

    api_write_audit_head(c, &o, c->w.action);
    json_out_field_str(&o, "kind",
                       c->w.token != NULL  ? "token"
                       : c->w.file != NULL ? "config"
                                           : resource_kind_name(c->w.kind));
    json_out_field_str(&o, "id", c->w.file != NULL ? NULL : c->w.id);
    if (c->w.file != NULL) {
        json_out_field_str(&o, "source", c->w.file->source);
        json_out_field_u64(&o, "creates", c->w.file->creates);
        json_out_field_u64(&o, "updates", c->w.file->updates);
        json_out_field_u64(&o, "deletes", c->w.file->deletes);
    }
    json_out_key(&o, "fields");
    json_out_open(&o, '[');
    json_each(&body, put_name, &o);
    json_out_close(&o, ']');
    json_out_close(&o, '}');
}

// Of method, path and body: what makes two requests the same.
static const char *request_digest(struct api_call *c)
{
    struct slice path;
    uint8_t hash[32];
    char *hex = arena_alloc(&c->arena, 65);

    (void)slice_cut(httpd_target(c->q), '?', &path);
    crypto_keyed_hash(
        hash, sizeof(hash), NULL,
        (const struct slice[]){httpd_method(c->q), SLICE(" "), path, SLICE("\n"), httpd_body(c->q)},
        5);
    text_hex(hash, sizeof(hash), hex);
    return hex;
}

void api_write_common(struct api_call *c, struct buf *b, struct store_change *ret)
{
    put_audit(c, b);
    ret->audit = buf_slice(b);
    if (c->w.idempotency.p != NULL) {
        ret->idempotency = c->w.idempotency;
        ret->digest = slice_str(request_digest(c));
        ret->payload = slice_str(arena_printf(&c->arena, "%s %s", c->w.id, c->w.salt));
    }
}

// The operations of a change that is not a token's. Returns how many.
static size_t write_ops(struct api_call *c, struct store_op ops[2 + STORE_NEEDS_MAX])
{
    size_t n = 1;

    if (c->w.res != NULL) {
        c->w.kind = c->w.res->kind;
        (void)snprintf(c->w.id, sizeof(c->w.id), "%s", c->w.res->id); // fits
    }
    ops[0] = (struct store_op){.res = c->w.res,
                               .kind = c->w.kind,
                               .id = slice_str(c->w.id),
                               .expected = c->w.expected,
                               .origin = c->w.origin == 0 ? RECORD_API : c->w.origin,
                               .where = c->w.where};
    if (c->w.also != NULL) {
        ops[n++] = (struct store_op){
            .res = c->w.also, .expected = c->w.also->version - 1, .origin = RECORD_FILE};
    }
    if (c->w.res != NULL && !c->w.is_delete) {
        n += store_needs(c->api->store, c->w.res, ops + n, STORE_NEEDS_MAX);
    }
    return n;
}

void api_write_commit(struct api_call *c)
{
    struct store_op ops[2 + STORE_NEEDS_MAX];
    struct store_change change = {.ops = ops,
                                  .at_seq = state_seq(store_state(c->api->store)),
                                  .unnamed = slice_str(c->w.unnamed)};
    struct buf audit;

    if (c->w.token != NULL) {
        change.token = slice_str(c->w.id);
        change.token_value = c->w.token_value;
    } else {
        change.n = write_ops(c, ops);
    }
    buf_init(&audit, 65536);
    api_write_common(c, &audit, &change);
    api_hold(c);
    store_commit(c->api->store, &change, api_write_on_commit, c);
    buf_done(&audit);
}

void api_write_unchanged(struct api_call *c, struct resource *as_it_is)
{
    resource_unref(&c->w.res);
    c->w.res = resource_ref(as_it_is);
    c->w.seq = state_seq(store_state(c->api->store));
    finish(c);
}

static void render_deleted(struct api_call *c, struct json_out *o)
{
    json_out_field_str(o, "id", c->w.id);
    json_out_field_bool(o, "deleted", true);
}

void api_write_delete_begin(struct api_call *c, enum resource_kind kind, const char *action)
{
    c->w.action = action;
    c->w.is_delete = true;
    c->w.kind = kind;
    c->w.status = 200;
    c->w.render = render_deleted;
    (void)snprintf(c->w.id, sizeof(c->w.id), "%s", c->param); // the same size
}

void api_write_delete_again(struct api_call *c)
{
    if (api_write_begin(c, NULL)) {
        c->w.expected = NO_VERSION; // nothing can happen but an answer
        api_write_commit(c);
    }
}

void api_write_delete(struct api_call *c, enum resource_kind kind, const char *what,
                      const char *action)
{
    struct resource *r = state_find(store_state(c->api->store), kind, slice_str(c->param));

    api_write_delete_begin(c, kind, action);
    if (r == NULL && httpd_header(c->q, "idempotency-key").p != NULL) {
        api_write_delete_again(c);
    } else if (api_write_target(c, kind, what) != NULL) {
        api_write_commit(c);
    }
}
