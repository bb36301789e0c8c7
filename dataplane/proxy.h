// SPDX-License-Identifier: Apache-2.0
// The running proxy: puts workers, link, limits, cache, targets and ops port together, and takes
// them through start, reload and drain. Main thread.
#ifndef SLUICE_DATAPLANE_PROXY_H
#define SLUICE_DATAPLANE_PROXY_H

#include <stdbool.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"
#include "dataplane/dp_conf.h"

// What the program brings along.
struct proxy_parts {
    // proto/router_check.h; NULL: /validate-router-config is not served.
    bool (*check_router)(struct slice text, struct buf *ret_why);
};

// Runs until SIGTERM or SIGINT and the drain after it. args are read again at SIGHUP. False with *e
// when it could not start.
MUST_CHECK bool proxy_run(const struct dp_conf_args *args, struct dp_conf *conf,
                          const struct proxy_parts *parts, struct err *e);

#endif
