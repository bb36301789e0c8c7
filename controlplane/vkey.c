// SPDX-License-Identifier: Apache-2.0
// Bodies of virtual keys: every member is checked before anything is made; a PATCH changes only
// what it names, null clears where that makes sense.
#include "controlplane/vkey.h"

#include <stdio.h>

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "controlplane/quota.h"

#define NAME_MAX     128
#define PATTERN_MAX  256
#define PATTERNS_MAX 256
#define METADATA_MAX 32

static const char *const key_fields[] = {"name",       "team",   "owner",    "models", "routers",
                                         "expires_at", "limits", "metadata", "state"};

// What the body is being turned into.
struct job {
    struct resource *res; // half-built
    struct resource_key *key;
    struct json_report *r;
    bool create;
    uint64_t now_wall_us;
};

static const char *dup(struct job *j, struct slice s)
{
    return arena_strndup(&j->res->arena, s.p, s.n);
}

// Optional text: absent keeps, null clears.
static void read_optional(struct job *j, const struct json_at *body, const char *name,
                          const char **field)
{
    struct json_at at = json_member(body, name);
    struct slice s;

    if (json_present_null(&at)) {
        *field = NULL;
    } else if (json_want_text(&at, 1, NAME_MAX, &s, j->r)) {
        *field = dup(j, s);
    }
}

static void read_patterns(struct job *j, const struct json_at *body, const char *name,
                          const char *const **ret, size_t *ret_n)
{
    struct json_at at = json_member(body, name);
    const char **list;
    size_t n;

    if (!json_want_list(&at, PATTERNS_MAX, j->r)) {
        return;
    }
    n = json_size(&at);
    list = arena_zalloc(&j->res->arena, (n + 1) * sizeof(*list));
    for (size_t i = 0; i < n; i++) {
        struct json_at item = json_element(&at, i);
        struct slice s;

        if (json_want_text(&item, 1, PATTERN_MAX, &s, j->r)) {
            list[i] = dup(j, s);
        }
    }
    *ret = list;
    *ret_n = n;
}

static void read_expiry(struct job *j, const struct json_at *body)
{
    struct json_at at = json_member(body, "expires_at");
    struct slice s;
    uint64_t us;

    if (json_present_null(&at)) {
        j->key->expires_wall_us = 0;
    } else if (json_want_text(&at, 1, 40, &s, j->r)) {
        if (!text_parse_rfc3339(s, &us) || us == 0) {
            json_note(j->r, &at, "must be a time like 2027-01-31T12:00:00Z");
        } else {
            j->key->expires_wall_us = us;
        }
    }
}

static void read_state(struct job *j, const struct json_at *body)
{
    struct json_at at = json_member(body, "state");
    struct slice s;

    if (!json_want_text(&at, 1, 20, &s, j->r)) {
        return;
    }
    if (slice_eq_str(s, "active")) {
        j->key->state = RESOURCE_ACTIVE;
    } else if (slice_eq_str(s, "disabled")) {
        j->key->state = RESOURCE_DISABLED;
    } else {
        json_note(j->r, &at, "must be \"active\" or \"disabled\"");
    }
}

// --- metadata -----------------------------------------------------------------------------------

struct pairs {
    struct job *j;
    struct resource_pair *list;
    size_t n;
};

static bool read_pair(void *ctx, const struct json_at *at)
{
    struct pairs *p = ctx;
    struct slice name = slice_str(at->name), value;

    if (name.n == 0 || name.n > 64) {
        json_note(p->j->r, at, "names must have 1 to 64 bytes");
    } else if (json_want_text(at, 0, 512, &value, p->j->r)) {
        p->list[p->n++] = (struct resource_pair){dup(p->j, name), dup(p->j, value)};
    }
    return true;
}

static void read_metadata(struct job *j, const struct json_at *body)
{
    struct json_at at = json_member(body, "metadata");
    struct pairs p = {.j = j};

    if (json_present_null(&at)) {
        j->key->n_metadata = 0;
    } else if (json_want_map(&at, METADATA_MAX, j->r)) {
        p.list = arena_zalloc(&j->res->arena, (METADATA_MAX + 1) * sizeof(*p.list));
        json_each(&at, read_pair, &p);
        j->key->metadata = p.list;
        j->key->n_metadata = p.n;
    }
}

// --- the whole body ------------------------------------------------------------------------------

struct resource *vkey_copy(const struct resource *base)
{
    struct resource *copy;
    struct buf b;

    buf_init(&b, SIZE_MAX / 2);
    resource_encode(base, &b);
    copy = resource_decode(buf_slice(&b), NULL);
    buf_done(&b);
    CHECK(copy != NULL); // it came through the same decoder
    copy->version = base->version + 1;
    return copy;
}

static void defaults(struct job *j)
{
    static const char *const everything[] = {"*"};

    j->key->origin = "api";
    j->key->created_wall_us = j->now_wall_us;
    j->key->models = everything;
    j->key->n_models = 1;
    j->key->routers = everything;
    j->key->n_routers = 1;
}

struct resource *vkey_from_body(const struct json_at *body, const struct resource *base,
                                struct slice id, uint64_t now_wall_us, struct json_report *r)
{
    struct job j = {.r = r, .create = base == NULL, .now_wall_us = now_wall_us};
    struct json_at name = json_member(body, "name");
    struct slice s;

    if (!json_want_map(body, 64, r)) {
        return NULL;
    }
    j.res = base == NULL ? resource_new(RESOURCE_KEY, id, 1) : vkey_copy(base);
    j.key = j.res->u.key;
    if (base == NULL) {
        defaults(&j);
    }
    json_known(body, key_fields, ARRAY_LEN(key_fields), r);
    if ((!j.create || json_require(&name, r)) && json_want_text(&name, 1, NAME_MAX, &s, r)) {
        j.key->name = dup(&j, s);
    }
    read_optional(&j, body, "team", &j.key->team);
    read_optional(&j, body, "owner", &j.key->owner);
    read_patterns(&j, body, "models", &j.key->models, &j.key->n_models);
    read_patterns(&j, body, "routers", &j.key->routers, &j.key->n_routers);
    read_expiry(&j, body);
    quota_read(body, &j.res->arena, &j.key->limits, &j.key->n_limits, r);
    read_metadata(&j, body);
    read_state(&j, body);
    if (r->n > 0) {
        resource_unref(&j.res);
    }
    return j.res;
}

// --- secrets ------------------------------------------------------------------------------------

void vkey_make_secret(struct slice id, struct slice salt, const uint8_t key[CRYPTO_KEY_BYTES],
                      const uint8_t key_hash_key[32], char out[VKEY_TEXT_MAX], uint8_t ret_hash[32])
{
    const struct slice parts[] = {salt, SLICE(":"), id};
    uint8_t bytes[64];
    char secret[VKEY_SECRET_CHARS + 1];
    struct slice text = {secret, VKEY_SECRET_CHARS};

    crypto_keyed_hash(bytes, sizeof(bytes), key, parts, ARRAY_LEN(parts));
    text_base62(bytes, VKEY_SECRET_CHARS, secret);
    crypto_keyed_hash(ret_hash, 32, key_hash_key, &text, 1);
    (void)snprintf(out, VKEY_TEXT_MAX, "%s" SLICE_FMT "-%s", VKEY_PREFIX, SLICE_ARG(id), secret);
    mem_wipe(bytes, sizeof(bytes));
    mem_wipe(secret, sizeof(secret));
}

// --- rendering ----------------------------------------------------------------------------------

const char *vkey_state(const struct resource_key *k, uint64_t now_wall_us)
{
    if (k->state == RESOURCE_DISABLED) {
        return "disabled";
    }
    return k->expires_wall_us != 0 && now_wall_us >= k->expires_wall_us ? "expired" : "active";
}

static void render_time(struct json_out *o, const char *name, uint64_t wall_us)
{
    char text[32];

    json_out_field_str(o, name, wall_us == 0 ? NULL : text_format_rfc3339(wall_us, text));
}

void vkey_render(struct json_out *o, const struct resource *r, const char *full,
                 const struct follow_owner *owner, uint64_t now_wall_us)
{
    const struct resource_key *k = r->u.key;
    char prefix[VKEY_TEXT_MAX];

    json_out_field_str(o, "id", r->id);
    if (full != NULL) {
        json_out_field_str(o, "key", full);
    }
    (void)snprintf(prefix, sizeof(prefix), "%s%s", VKEY_PREFIX, r->id); // fits
    json_out_field_str(o, "prefix", prefix);
    json_out_field_str(o, "state", vkey_state(k, now_wall_us));
    json_out_field_str(o, "origin", owner == NULL ? "api" : record_origin_name(owner->origin));
    if (owner != NULL && owner->where[0] != '\0') {
        json_out_field_str(o, "where", owner->where);
    }
    json_out_field_u64(o, "version", r->version);
    render_time(o, "created_at", k->created_wall_us);
    json_out_field_str(o, "name", k->name);
    json_out_field_str(o, "team", k->team);
    json_out_field_str(o, "owner", k->owner);
    json_out_field_texts(o, "models", k->models, k->n_models);
    json_out_field_texts(o, "routers", k->routers, k->n_routers);
    render_time(o, "expires_at", k->expires_wall_us);
    if (k->previous_until_wall_us > now_wall_us) {
        render_time(o, "previous_secret_until", k->previous_until_wall_us);
    }
    json_out_key(o, "limits");
    quota_render(o, k->limits, k->n_limits);
    json_out_key(o, "metadata");
    json_out_open(o, '{');
    for (size_t i = 0; i < k->n_metadata; i++) {
        json_out_field_str(o, k->metadata[i].name, k->metadata[i].value);
    }
    json_out_close(o, '}');
}
