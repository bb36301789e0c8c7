// SPDX-License-Identifier: Apache-2.0
// Each library's header belongs to its one adapter, so the few version functions are declared here
// by hand; they have not changed in any release.
#include "common/io/libs.h"

extern const char *MHD_get_version(void);
extern char *curl_version(void);
extern const char *sodium_version_string(void);
extern const char *yaml_get_version_string(void);

void libs_versions(struct buf *out)
{
    buf_printf(out, "libmicrohttpd %s, %s, libsodium %s, libyaml %s\n", MHD_get_version(),
               curl_version(), sodium_version_string(), yaml_get_version_string());
}
