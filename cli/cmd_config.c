// SPDX-License-Identifier: Apache-2.0
// `sluice config`: checks a file, prints the manual of all settings.
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "common/base/buf.h"
#include "proto/config/config.h"
#include "proto/config/config_doc.h"

#define TEXT_MAX ((size_t)4 << 20)

int cmd_check_config(const char *file)
{
    struct buf text;
    bool ok;

    buf_init(&text, TEXT_MAX);
    ok = config_check(file, NULL, &text);
    struct slice out = buf_slice(&text);
    (void)fwrite(out.p, 1, out.n, ok ? stdout : stderr); // nowhere to report a failure to
    buf_done(&text);
    return ok ? 0 : 1;
}

int cmd_config(int argc, char **argv)
{
    static const char usage[] =
        "usage: sluice config check FILE      every problem, with line and column\n"
        "       sluice config docs            the manual of all settings\n"
        "       sluice config diff|apply FILE | revisions | rollback SEQ | show\n"
        "                                     at a control plane; `sluice config apply --help`\n";
    bool check = argc == 2 && strcmp(argv[0], "check") == 0;
    bool docs = argc == 1 && strcmp(argv[0], "docs") == 0;
    bool help = argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0);
    static const char *const remote[] = {"diff", "apply", "revisions", "rollback", "show"};
    struct buf text;

    for (int i = 0; i < argc; i++) {
        for (size_t k = 0; k < ARRAY_LEN(remote); k++) {
            if (strcmp(argv[i], remote[k]) == 0) {
                return cmd_apply(argc, argv);
            }
        }
    }
    if (!check && !docs) {
        (void)fputs(usage, help ? stdout : stderr);
        return help ? 0 : 2;
    }
    if (check) {
        return cmd_check_config(argv[1]);
    }
    buf_init(&text, TEXT_MAX);
    config_doc_render(&text);
    struct slice out = buf_slice(&text);
    (void)fwrite(out.p, 1, out.n, stdout); // nowhere to report a failure to
    buf_done(&text);
    return 0;
}
