// SPDX-License-Identifier: Apache-2.0
// The running proxy: puts workers, link, limits, cache, targets and ops port together, and takes
// them through start, reload and drain. Main thread.
#ifndef SLUICE_DATAPLANE_PROXY_H
#define SLUICE_DATAPLANE_PROXY_H

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "dataplane/dp_conf.h"

// Runs until SIGTERM or SIGINT and the drain after it. args are read again at SIGHUP. False with *e
// when it could not start.
MUST_CHECK bool proxy_run(const struct dp_conf_args *args, struct dp_conf *conf, struct err *e);

#endif
