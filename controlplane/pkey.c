// SPDX-License-Identifier: Apache-2.0
// Bodies of provider keys. A value goes into a header of the provider's, so it is visible ASCII; it
// is not quoted in any message.
#include "controlplane/pkey.h"

#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/secret.h"
#include "common/base/text.h"

#define NAME_MAX   128
#define VALUE_MAX  4096
#define WEIGHT_MAX 1000000
#define NEAR_MAX   64

struct near {
    struct slice names[NEAR_MAX];
    size_t n;
};

static bool collect_name(void *ctx, struct resource *r)
{
    struct near *near = ctx;

    near->names[near->n++] = slice_str(r->id);
    return near->n < NEAR_MAX;
}

static void read_provider(struct resource *res, const struct json_at *body,
                          const struct state *state, struct json_report *r)
{
    struct json_at at = json_member(body, "provider");
    struct near near = {.n = 0};
    struct slice s, best;

    if (!json_require(&at, r) || !json_want_text(&at, 1, RESOURCE_ID_MAX, &s, r)) {
        return;
    }
    if (state_find(state, RESOURCE_PROVIDER, s) != NULL) {
        res->u.provider_key->provider = arena_strndup(&res->arena, s.p, s.n);
        res->parent = res->u.provider_key->provider;
        return;
    }
    state_each(state, RESOURCE_PROVIDER, SLICE_NULL, collect_name, &near);
    best = text_nearest(s, near.names, near.n);
    if (best.p != NULL) {
        json_note(r, &at, "is not a known provider; did you mean \"" SLICE_FMT "\"?",
                  SLICE_ARG(best));
    } else {
        // The catalogue's may be missing just because nobody has named them.
        json_note(r, &at,
                  "is not a known provider: PUT /admin/v1/providers/" SLICE_FMT
                  " {} adds one of the catalogue",
                  SLICE_ARG(slice_head(s, 64)));
    }
}

static void read_value(struct resource *res, const struct json_at *body, struct json_report *r)
{
    struct json_at at = json_member(body, "value");
    char hint[8];
    struct slice s;

    if (!json_require(&at, r) || !json_want_raw_text(&at, 1, VALUE_MAX, &s, r)) {
        return;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] <= 0x20 || s.p[i] >= 0x7f) {
            json_note(r, &at, "must be visible ASCII without spaces");
            return;
        }
    }
    secret_free(&res->u.provider_key->value);
    res->u.provider_key->value = secret_new(s);
    secret_hint(res->u.provider_key->value, hint);
    res->u.provider_key->hint = arena_strdup(&res->arena, hint);
}

static void read_plain(struct resource *res, const struct json_at *body, struct json_report *r)
{
    struct json_at name = json_member(body, "name"), weight = json_member(body, "weight");
    struct json_at state = json_member(body, "state");
    struct resource_provider_key *k = res->u.provider_key;
    int64_t n;
    struct slice s;

    if (json_want_text(&name, 1, NAME_MAX, &s, r)) {
        k->name = arena_strndup(&res->arena, s.p, s.n);
    }
    if (json_want_int(&weight, 1, WEIGHT_MAX, &n, r)) {
        k->weight = (uint32_t)n;
    }
    if (json_want_text(&state, 1, 20, &s, r)) {
        if (slice_eq_str(s, "active")) {
            k->state = RESOURCE_ACTIVE;
        } else if (slice_eq_str(s, "disabled")) {
            k->state = RESOURCE_DISABLED;
        } else {
            json_note(r, &state, "must be \"active\" or \"disabled\"");
        }
    }
}

static struct resource *copy_of(const struct resource *base)
{
    struct resource *copy;
    struct buf b;

    buf_init(&b, SIZE_MAX / 2);
    resource_encode(base, &b);
    copy = resource_decode(buf_slice(&b), NULL);
    mem_wipe(b.p, b.cap);
    buf_done(&b);
    CHECK(copy != NULL); // it came through the same decoder
    copy->version = base->version + 1;
    return copy;
}

static struct resource *blank(struct slice id)
{
    struct resource *res = resource_new(RESOURCE_PROVIDER_KEY, id, 1);

    res->u.provider_key->name = "main";
    res->u.provider_key->weight = 1;
    res->u.provider_key->origin = "api";
    return res;
}

struct resource *pkey_from_body(const struct json_at *body, enum pkey_body which,
                                const struct resource *base, struct slice id,
                                const struct state *state, struct json_report *r)
{
    static const char *const create[] = {"provider", "name", "value", "weight", "state"};
    static const char *const patch[] = {"name", "weight", "state"};
    static const char *const rotate[] = {"value"};
    struct resource *res;

    if (!json_want_map(body, 64, r)) {
        return NULL;
    }
    res = base == NULL ? blank(id) : copy_of(base);
    switch (which) {
    case PKEY_CREATE:
        json_known(body, create, ARRAY_LEN(create), r);
        read_provider(res, body, state, r);
        read_value(res, body, r);
        read_plain(res, body, r);
        break;
    case PKEY_PATCH:
        json_known(body, patch, ARRAY_LEN(patch), r);
        read_plain(res, body, r);
        break;
    case PKEY_ROTATE:
        json_known(body, rotate, ARRAY_LEN(rotate), r);
        read_value(res, body, r);
        break;
    }
    if (r->n > 0) {
        resource_unref(&res);
    }
    return res;
}

void pkey_render(struct json_out *o, const struct resource *r, const struct follow_owner *owner)
{
    const struct resource_provider_key *k = r->u.provider_key;

    json_out_field_str(o, "id", r->id);
    json_out_field_str(o, "provider", k->provider);
    json_out_field_str(o, "name", k->name);
    json_out_field_str(o, "hint", k->hint);
    json_out_field_u64(o, "weight", k->weight);
    json_out_field_str(o, "state", k->state == RESOURCE_DISABLED ? "disabled" : "active");
    json_out_field_str(o, "origin", owner == NULL ? "api" : record_origin_name(owner->origin));
    if (owner != NULL && owner->where[0] != '\0') {
        json_out_field_str(o, "where", owner->where);
    }
    json_out_field_u64(o, "version", r->version);
}
