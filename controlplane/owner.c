// SPDX-License-Identifier: Apache-2.0
// Bodies of teams and users. Both have the same members; what differs is which payload they go to.
//
// An id is part of the name of a limit ("t:<id>:<index>", leases.h), so it holds no ':'; and it is
// one segment of a path.
#include "controlplane/owner.h"

#include "common/base/check.h"
#include "controlplane/quota.h"
#include "controlplane/vkey.h"

#define NAME_MAX 128u

static const char *const fields[] = {"id", "name", "limits"};

static bool fits(char ch)
{
    unsigned char c = (unsigned char)ch;

    return c > 0x20 && c < 0x7f && c != ':' && c != '/' && c != '"' && c != '\\';
}

static bool id_ok(struct slice id)
{
    for (size_t i = 0; i < id.n; i++) {
        if (!fits(id.p[i])) {
            return false;
        }
    }
    return id.n > 0 && id.n <= NAME_MAX;
}

// The name as an id: what does not fit becomes a dash, at the ends nothing. Always the same for a
// name, so that a repeat of the request means the same resource.
static struct slice id_of_name(struct slice name, char out[NAME_MAX])
{
    size_t n = 0;

    for (size_t i = 0; i < name.n && n < NAME_MAX; i++) {
        if (fits(name.p[i])) {
            out[n++] = name.p[i];
        } else if (n > 0 && out[n - 1] != '-') {
            out[n++] = '-';
        }
    }
    while (n > 0 && out[n - 1] == '-') {
        n--;
    }
    return SLICE_MAKE(out, n);
}

// The id of a new one: what the body says, else made of its name.
static bool read_id(const struct json_at *body, char made[NAME_MAX], struct slice *ret,
                    struct json_report *r)
{
    struct json_at id = json_member(body, "id"), name = json_member(body, "name");
    bool given = json_present(&id);
    const struct json_at *from = given ? &id : &name;
    bool named = json_require(&name, r);

    if (!json_want_text(from, 1, NAME_MAX, ret, r) || !named) {
        return false;
    }
    if (!given && !id_ok(*ret)) {
        *ret = id_of_name(*ret, made);
    }
    if (!id_ok(*ret)) {
        json_note(r, &id,
                  given ? "may hold visible ASCII characters but : / \" and \\"
                        : "is needed, since nothing of the name can be in one (visible ASCII "
                          "characters but : / \" and \\)");
        return false;
    }
    return true;
}

static void refuse_id(const struct json_at *body, const struct resource *base,
                      struct json_report *r)
{
    struct json_at id = json_member(body, "id");
    struct slice s;

    if (json_present(&id) &&
        (!json_want_text(&id, 1, NAME_MAX, &s, r) || !slice_eq_str(s, base->id))) {
        json_note(r, &id, "cannot be changed");
    }
}

// Where a kind has its members.
static void members(struct resource *res, const char ***name, const struct resource_limit ***limits,
                    size_t **n)
{
    CHECK(res->kind == RESOURCE_TEAM || res->kind == RESOURCE_USER);
    if (res->kind == RESOURCE_TEAM) {
        *name = &res->u.team->name;
        *limits = &res->u.team->limits;
        *n = &res->u.team->n_limits;
    } else {
        *name = &res->u.user->name;
        *limits = &res->u.user->limits;
        *n = &res->u.user->n_limits;
    }
}

struct resource *owner_from_body(enum resource_kind kind, const struct json_at *body,
                                 const struct resource *base, struct json_report *r)
{
    struct json_at at = json_member(body, "name");
    const struct resource_limit **limits;
    struct slice id, text;
    struct resource *res;
    char made[NAME_MAX];
    const char **name;
    size_t *n;

    if (!json_want_map(body, 64, r)) {
        return NULL;
    }
    json_known(body, fields, ARRAY_LEN(fields), r);
    if (base == NULL && !read_id(body, made, &id, r)) {
        id = SLICE("?"); // noted: nothing comes of it, but the rest is looked at all the same
    }
    if (base != NULL) {
        refuse_id(body, base, r);
    }
    res = base == NULL ? resource_new(kind, id, 1) : vkey_copy(base);
    members(res, &name, &limits, &n);
    if (json_present(&at) && json_want_text(&at, 1, NAME_MAX, &text, r)) {
        *name = arena_strndup(&res->arena, text.p, text.n);
    }
    quota_read(body, &res->arena, limits, n, r);
    if (r->n > 0) {
        resource_unref(&res);
    }
    return res;
}

void owner_render(struct json_out *o, const struct resource *r, const struct follow_owner *file)
{
    bool team = r->kind == RESOURCE_TEAM;

    CHECK(team || r->kind == RESOURCE_USER);
    json_out_field_str(o, "id", r->id);
    json_out_field_str(o, "name", team ? r->u.team->name : r->u.user->name);
    json_out_field_str(o, "origin", file == NULL ? "api" : record_origin_name(file->origin));
    if (file != NULL && file->where[0] != '\0') {
        json_out_field_str(o, "where", file->where);
    }
    json_out_field_u64(o, "version", r->version);
    json_out_key(o, "limits");
    if (team) {
        quota_render(o, r->u.team->limits, r->u.team->n_limits);
    } else {
        quota_render(o, r->u.user->limits, r->u.user->n_limits);
    }
}
