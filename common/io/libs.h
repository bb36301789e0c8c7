// SPDX-License-Identifier: Apache-2.0
// Versions of the libraries in use, for --version.
#ifndef SLUICE_IO_LIBS_H
#define SLUICE_IO_LIBS_H

#include "common/base/buf.h"

// Appends one line: "libmicrohttpd 0.9.75, libcurl/7.88.1 OpenSSL/3.0.17 ..., libsodium 1.0.18,
// libyaml 0.2.5".
void libs_versions(struct buf *out);

#endif
