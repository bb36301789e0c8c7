// SPDX-License-Identifier: Apache-2.0
// The control plane's own calls to providers (probes, tests of keys): by the same way out as the
// proxies' (section `egress` of the file), with the same heads. Pure but for reading the settings.
#ifndef SLUICE_CONTROLPLANE_EGRESS_H
#define SLUICE_CONTROLPLANE_EGRESS_H

#include "common/base/boot.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/cidr.h"
#include "common/base/secret.h"
#include "common/io/dial.h"
#include "proto/resource.h"

#define EGRESS_ORIGIN_MAX RESOURCE_STRING_MAX

// What every connection is made with. Must not be moved: dial points into it.
struct egress {
    struct dial_config dial;
    struct cidr allowed[BOOT_NETWORKS_MAX];
    char proxy[CONF_STRING_MAX + 1];
    char ca_file[CONF_STRING_MAX + 1];
};

// Copies; the settings were checked with the file.
void egress_init(struct egress *e, const struct boot_egress *b);

// "https://h:1/v1/" --> "https://h:1", "h:1", "/v1/". False: no URL, or too long.
MUST_CHECK bool egress_split(const char *url, char origin[EGRESS_ORIGIN_MAX],
                             struct slice *ret_host, struct slice *ret_path);
// Appends the request that asks a provider for its models, with the key (NULL: without). The
// caller wipes the buffer.
void egress_ask_models(const struct resource_provider *p, struct slice host, struct slice path,
                       const struct secret *key, struct buf *out);

#endif
