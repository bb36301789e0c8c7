// SPDX-License-Identifier: Apache-2.0
#include "cli/install.h"

#include <stdio.h>
#include <sys/stat.h>

#include "cli/cmd.h"
#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"
#include "proto/keys.h"

#define TOKEN_CHARS 40u

static bool exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0;
}

static bool write_master_key(const char *path, struct err *e)
{
    uint8_t key[CRYPTO_KEY_BYTES];
    char text[CRYPTO_BASE64_BYTES(CRYPTO_KEY_BYTES) + 1];
    bool ok;

    crypto_random(key, sizeof(key));
    crypto_base64(text, key, sizeof(key));
    ok = proc_write_file(path, slice_str(text), 0600, e);
    mem_wipe(key, sizeof(key));
    mem_wipe(text, sizeof(text));
    return ok;
}

static bool write_token(const char *path, struct err *e)
{
    char token[TOKEN_CHARS + 1];
    bool ok;

    crypto_random_id(token, TOKEN_CHARS);
    ok = proc_write_file(path, slice_str(token), 0600, e);
    mem_wipe(token, sizeof(token));
    return ok;
}

// The first epoch of the installation: a control plane that finds it may begin with an empty Redis.
static bool write_epoch(const char *path, struct err *e)
{
    uint8_t epoch[16];
    char text[2 * sizeof(epoch) + 1];

    crypto_random(epoch, sizeof(epoch));
    text_hex(epoch, sizeof(epoch), text);
    return proc_write_file(path, slice_str(text), 0600, e);
}

bool install_secrets(const char *dir, bool *ret_new, struct err *e)
{
    struct arena a;
    const char *master, *token, *epoch;
    bool ok, fresh;

    arena_init(&a, 4096, 0);
    master = arena_printf(&a, "%s/master-key", dir);
    token = arena_printf(&a, "%s/admin-token", dir);
    epoch = arena_printf(&a, "%s/epoch", dir);
    fresh = !exists(master);
    ok = proc_mkdirs(dir, e) && keys_create(dir, e) &&
         (!fresh || ((exists(epoch) || write_epoch(epoch, e)) && write_master_key(master, e))) &&
         (exists(token) || write_token(token, e));
    arena_done(&a);
    if (ok) {
        *ret_new = fresh;
    }
    return ok;
}

int cmd_init(int argc, char **argv)
{
    struct err e = {0};
    bool fresh = false;

    if (argc != 1 || argv[0][0] == '-') {
        bool help = argc == 1 && argv[0][0] == '-' && (argv[0][1] == 'h' || argv[0][1] == '-');

        (void)fputs(
            "usage: sluice init DIR\n"
            "Makes DIR/{cluster-secret,signing-key,control-public-key,master-key,admin-token,epoch};\n"
            "what exists stays. Give sluice-control all of them, proxies cluster-secret and\n"
            "control-public-key. With `epoch` a control plane takes an empty Redis as new, once.\n",
            help ? stdout : stderr);
        return help ? 0 : 2;
    }
    if (!install_secrets(argv[0], &fresh, &e)) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return 1;
    }
    (void)printf("%s %s\n",
                 fresh ? "made the secrets of a new installation in" : "nothing was missing in",
                 argv[0]);
    return 0;
}
