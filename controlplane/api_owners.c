// SPDX-License-Identifier: Apache-2.0
// /teams and /users: owners of keys, whose limits stack over those of the keys.
#include "controlplane/api_priv.h"
#include "controlplane/owner.h"

static void render(struct api_call *c, struct json_out *o, const struct resource *r)
{
    owner_render(o, r, api_owner(c, r));
}

static void render_written(struct api_call *c, struct json_out *o)
{
    owner_render(o, c->w.res, NULL);
}

static void create(struct api_call *c, enum resource_kind kind, const char *action)
{
    struct json_at body = json_root(c->doc);

    if (!json_require(&body, &c->report)) {
        api_invalid(c);
        return;
    }
    if (!api_write_begin(c, NULL)) {
        return;
    }
    c->w.res = owner_from_body(kind, &body, NULL, &c->report);
    if (c->w.res == NULL) {
        api_invalid(c);
        return;
    }
    c->w.action = action;
    c->w.status = 201;
    c->w.render = render_written;
    api_write_commit(c);
}

static void patch(struct api_call *c, enum resource_kind kind, const char *what, const char *action)
{
    struct json_at body = json_root(c->doc);
    struct resource *old = api_write_target(c, kind, what);

    if (old == NULL) {
        return;
    }
    if (!json_require(&body, &c->report)) {
        api_invalid(c);
        return;
    }
    c->w.res = owner_from_body(kind, &body, old, &c->report);
    if (c->w.res == NULL) {
        api_invalid(c);
        return;
    }
    c->w.action = action;
    c->w.status = 200;
    c->w.render = render_written;
    api_write_commit(c);
}

void api_teams_list(struct api_call *c)
{
    api_list(c, RESOURCE_TEAM, render);
}

void api_teams_create(struct api_call *c)
{
    create(c, RESOURCE_TEAM, "team.create");
}

void api_teams_get(struct api_call *c)
{
    api_get(c, RESOURCE_TEAM, "team", render);
}

void api_teams_patch(struct api_call *c)
{
    patch(c, RESOURCE_TEAM, "team", "team.update");
}

void api_teams_delete(struct api_call *c)
{
    api_write_delete(c, RESOURCE_TEAM, "team", "team.delete");
}

void api_users_list(struct api_call *c)
{
    api_list(c, RESOURCE_USER, render);
}

void api_users_create(struct api_call *c)
{
    create(c, RESOURCE_USER, "user.create");
}

void api_users_get(struct api_call *c)
{
    api_get(c, RESOURCE_USER, "user", render);
}

void api_users_patch(struct api_call *c)
{
    patch(c, RESOURCE_USER, "user", "user.update");
}

void api_users_delete(struct api_call *c)
{
    api_write_delete(c, RESOURCE_USER, "user", "user.delete");
}
