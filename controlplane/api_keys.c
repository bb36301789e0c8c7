// SPDX-License-Identifier: Apache-2.0
// /keys: virtual keys.
#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/api_priv.h"

#define GRACE_MAX_US (30 * 86400 * MONO_SEC)
#define WHAT         "key"

static uint64_t now_us(struct api_call *c)
{
    return loop_wall_us(c->api->loop);
}

static void render_key(struct api_call *c, struct json_out *o, const struct resource *r)
{
    vkey_render(o, r, NULL, api_owner(c, r), now_us(c));
}

static void render_written(struct api_call *c, struct json_out *o)
{
    vkey_render(o, c->w.res, c->w.secret[0] == '\0' ? NULL : c->w.secret, NULL, now_us(c));
}

void api_keys_list(struct api_call *c)
{
    api_list(c, RESOURCE_KEY, render_key);
}

void api_keys_get(struct api_call *c)
{
    api_get(c, RESOURCE_KEY, WHAT, render_key);
}

static const struct resource_settings *settings(struct api_call *c)
{
    const struct resource *r =
        state_find(store_state(c->api->store), RESOURCE_SETTINGS, SLICE("global"));

    return r == NULL ? NULL : r->u.settings;
}

// The secret for id and salt under the nth master key, into the call; its hash into `hash`.
static void make_secret_by(struct api_call *c, size_t nth, const char *id, uint8_t hash[32])
{
    vkey_make_secret(slice_str(id), slice_str(c->w.salt),
                     store_keys(c->api->store)->list[nth].secret, settings(c)->key_hash_key,
                     c->w.secret, hash);
}

static void make_secret(struct api_call *c, const char *id, uint8_t hash[32])
{
    make_secret_by(c, 0, id, hash);
}

// The secret of the first try may have been made under a master key that is not the first any more:
// its hash tells. When it is none of ours (that master key is gone, or the virtual key was rotated
// since), the answer comes without a secret rather than with one that does not work.
static void again_with_secret(struct api_call *c)
{
    const struct resource *r =
        state_find(store_state(c->api->store), RESOURCE_KEY, slice_str(c->w.id));
    uint8_t hash[32];

    for (size_t i = 0; r != NULL && i < store_keys(c->api->store)->n; i++) {
        struct slice before = r->u.key->previous_hash;

        make_secret_by(c, i, c->w.id, hash);
        if (crypto_equal(hash, r->u.key->hash, sizeof(hash)) ||
            (before.n > 0 && crypto_equal(hash, before.p, sizeof(hash)))) {
            return;
        }
    }
    mem_wipe(c->w.secret, sizeof(c->w.secret));
}

// Without settings there is no key to hash with: nothing has been loaded yet.
static bool ready(struct api_call *c)
{
    if (settings(c) == NULL) {
        api_error(c, 503, "store_unavailable", "the state is not loaded yet");
        return false;
    }
    return true;
}

void api_keys_create(struct api_call *c)
{
    struct json_at body = json_root(c->doc);
    char id[VKEY_ID_CHARS + 1];

    if (!json_require(&body, &c->report)) {
        api_invalid(c);
        return;
    }
    if (!ready(c) || !api_write_begin(c, NULL)) {
        return;
    }
    crypto_random_id(id, VKEY_ID_CHARS);
    c->w.res = vkey_from_body(&body, NULL, slice_str(id), now_us(c), &c->report);
    if (c->w.res == NULL) {
        api_invalid(c);
        return;
    }
    api_write_new_salt(c);
    make_secret(c, id, c->w.res->u.key->hash);
    c->w.action = "key.create";
    c->w.status = 201;
    c->w.render = render_written;
    c->w.again = again_with_secret;
    api_write_commit(c);
}

void api_keys_patch(struct api_call *c)
{
    struct json_at body = json_root(c->doc);
    struct resource *old = api_write_target(c, RESOURCE_KEY, WHAT);

    if (old == NULL) {
        return;
    }
    if (!json_require(&body, &c->report)) {
        api_invalid(c);
        return;
    }
    c->w.res = vkey_from_body(&body, old, slice_str(old->id), now_us(c), &c->report);
    if (c->w.res == NULL) {
        api_invalid(c);
        return;
    }
    c->w.action = "key.update";
    c->w.status = 200;
    c->w.render = render_written;
    api_write_commit(c);
}

void api_keys_delete(struct api_call *c)
{
    api_write_delete(c, RESOURCE_KEY, WHAT, "key.delete");
}

// {"grace": "10m"}; nothing: at once. False: replied.
static bool read_grace(struct api_call *c, uint64_t *ret_us)
{
    static const char *const names[] = {"grace"};
    struct json_at body = json_root(c->doc), grace = json_member(&body, "grace");
    struct slice s;

    *ret_us = 0;
    if (json_present(&body) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, names, ARRAY_LEN(names), &c->report);
        if (!json_present_null(&grace) && json_want_text(&grace, 1, 32, &s, &c->report) &&
            (!text_parse_duration_us(s, ret_us) || *ret_us > GRACE_MAX_US)) {
            json_note(&c->report, &grace, "must be a duration up to 30d (\"10m\")");
        }
    }
    if (c->report.n > 0) {
        api_invalid(c);
        return false;
    }
    return true;
}

void api_keys_rotate(struct api_call *c)
{
    struct resource *old = api_write_target(c, RESOURCE_KEY, WHAT);
    struct resource_key *k;
    uint64_t grace_us;

    if (old == NULL || !ready(c) || !read_grace(c, &grace_us)) {
        return;
    }
    c->w.res = vkey_copy(old);
    k = c->w.res->u.key;
    k->previous_hash = SLICE_NULL;
    k->previous_until_wall_us = 0;
    if (grace_us > 0) {
        k->previous_hash = arena_dup(&c->w.res->arena,
                                     SLICE_MAKE((const char *)old->u.key->hash, sizeof(k->hash)));
        k->previous_until_wall_us = now_us(c) + grace_us;
    }
    api_write_new_salt(c);
    make_secret(c, old->id, k->hash);
    c->w.action = "key.rotate";
    c->w.status = 200;
    c->w.render = render_written;
    c->w.again = again_with_secret;
    api_write_commit(c);
}

static void set_state(struct api_call *c, enum resource_state state, const char *action)
{
    struct json_at body = json_root(c->doc);
    struct resource *old = api_write_target(c, RESOURCE_KEY, WHAT);

    if (old == NULL) {
        return;
    }
    if (json_present(&body) && json_want_map(&body, 16, &c->report)) {
        json_known(&body, NULL, 0, &c->report);
    }
    if (c->report.n > 0) {
        api_invalid(c);
        return;
    }
    c->w.action = action;
    c->w.status = 200;
    c->w.render = render_written;
    if (old->u.key->state == state && c->w.idempotency.p == NULL) {
        api_write_unchanged(c, old);
        return;
    }
    c->w.res = vkey_copy(old);
    c->w.res->u.key->state = state;
    api_write_commit(c);
}

void api_keys_disable(struct api_call *c)
{
    set_state(c, RESOURCE_DISABLED, "key.disable");
}

void api_keys_enable(struct api_call *c)
{
    set_state(c, RESOURCE_ACTIVE, "key.enable");
}
