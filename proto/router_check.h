// SPDX-License-Identifier: Apache-2.0
// Is a text a router's configuration? Asked of a proxy (POST /validate-router-config) and answered
// by the library that reads configurations (sluice_config, proto/config/router_check.c), which the
// proxy's program links for this one question; the planes' sources do not know each other.
#ifndef SLUICE_PROTO_ROUTER_CHECK_H
#define SLUICE_PROTO_ROUTER_CHECK_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/slice.h"

// YAML or JSON of one router (what stands below `routers: NAME:`). False: every problem is appended
// to *ret_why, separated by "; ". Reads neither files nor the environment. Some milliseconds; any
// thread.
bool router_check(struct slice text, struct buf *ret_why);

#endif
