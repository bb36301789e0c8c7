// SPDX-License-Identifier: Apache-2.0
// The master keys, from where the operator keeps them: a file with one key of 32 bytes a line
// (base64 or hex; blank lines and lines starting with '#' are skipped), or $SLUICE_MASTER_KEY, in
// which they stand separated by commas. The first seals, all open.
#ifndef SLUICE_CONTROLPLANE_MASTER_H
#define SLUICE_CONTROLPLANE_MASTER_H

#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "controlplane/record.h"

// file NULL: the variable, else data_dir/master-key. In locked memory; NULL with *e naming file and
// line (never what stands there).
MUST_CHECK struct record_keys *master_read(const char *file, const char *data_dir, struct err *e);
// Wipes. *k becomes NULL; NULL allowed.
void master_free(struct record_keys **k);

#endif
