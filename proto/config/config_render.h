// SPDX-License-Identifier: Apache-2.0
// The other way: a resource as the section of the configuration file that would make it, as JSON.
// What GET /config and the `config` member of a resource show, and what PUT takes back. Secrets are
// never shown: values of headers and query parameters are CONFIG_RENDER_HIDDEN. Pure.
#ifndef SLUICE_PROTO_CONFIG_CONFIG_RENDER_H
#define SLUICE_PROTO_CONFIG_CONFIG_RENDER_H

#include "common/base/cdefs.h"
#include "common/io/json.h"
#include "proto/resource.h"

#define CONFIG_RENDER_HIDDEN "(hidden)"

// Name of the section that holds resources of this kind by id ("routers"); NULL: none does.
const char *config_render_section(enum resource_kind kind);
// One value: an object. Kinds without a section, and keys: null.
void config_render(struct json_out *o, const struct resource *r);
// The sections that the settings stand for ("auth", "global", ...), as members.
void config_render_settings(struct json_out *o, const struct resource_settings *s);

// For config_render.c: `quirks` of a provider and `traits` of a model, as members; nothing where
// there are none.
void config_render_quirks(struct json_out *o, const struct resource_quirks *q);
void config_render_traits(struct json_out *o, const struct resource_traits *t);

#endif
