// SPDX-License-Identifier: Apache-2.0
// The files a new installation needs: cluster secret, signing key pair, master key, admin token.
#ifndef SLUICE_CLI_INSTALL_H
#define SLUICE_CLI_INSTALL_H

#include <stdbool.h>

#include "common/base/cdefs.h"
#include "common/base/err.h"

// Makes what is missing in dir (created 0700), leaves what is there alone. *ret_new: the directory
// held no installation.
MUST_CHECK bool install_secrets(const char *dir, bool *ret_new, struct err *e);

#endif
