// SPDX-License-Identifier: Apache-2.0
// Lines to keys. Everything that held a key on the way is wiped.
#include "controlplane/master.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"

#define FILE_BYTES_MAX 4096u
#define VARIABLE       "SLUICE_MASTER_KEY"

static bool add_line(struct record_keys *k, struct slice line, const char *from, unsigned number,
                     struct err *e)
{
    uint8_t key[CRYPTO_KEY_BYTES];
    bool ok = (line.n == 64 && text_unhex(line, key, sizeof(key))) ||
              crypto_unbase64(line, key, sizeof(key));

    if (!ok) {
        err_set(e, ERR_INVALID, "%s:%u: must hold 32 bytes in base64 or hex", from, number);
    } else if (!record_keys_add(k, key)) {
        ok = err_set(e, ERR_INVALID, "%s:%u: more than %u keys", from, number, RECORD_KEYS_MAX);
    }
    mem_wipe(key, sizeof(key));
    return ok;
}

static bool add_all(struct record_keys *k, struct slice text, char separator, const char *from,
                    struct err *e)
{
    unsigned number = 0;

    while (text.p != NULL) {
        struct slice line;

        text = slice_cut(text, separator, &line);
        number++;
        line = slice_head(line, slice_find_char(line, '\r'));
        line = slice_trim(slice_head(line, slice_find_char(line, '\n')));
        if (line.n > 0 && line.p[0] != '#' && !add_line(k, line, from, number, e)) {
            return false;
        }
    }
    return k->n > 0 || err_set(e, ERR_INVALID, "%s: no key in it", from);
}

static bool is_open_to_all(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 007) != 0;
}

static bool add_file(struct record_keys *k, const char *path, struct err *e)
{
    struct buf text;
    bool ok;

    buf_init(&text, FILE_BYTES_MAX);
    ok = proc_read_file(path, FILE_BYTES_MAX, &text, e);
    if (!ok) {
        e->code = ERR_INVALID;
        err_prefix(e, "master key (sluice init makes one)");
    } else if (is_open_to_all(path)) {
        ok = err_set(e, ERR_INVALID, "%s: everybody may read it; use mode 0600", path);
    } else {
        ok = add_all(k, buf_slice(&text), '\n', path, e);
    }
    if (text.p != NULL) {
        mem_wipe(text.p, text.cap);
    }
    buf_done(&text);
    return ok;
}

struct record_keys *master_read(const char *file, const char *data_dir, struct err *e)
{
    const char *variable = getenv(VARIABLE);
    struct record_keys *k = crypto_locked_new(sizeof(*k));
    char standard[1024];
    bool ok;

    if (file == NULL && variable != NULL) {
        ok = add_all(k, slice_str(variable), ',', VARIABLE, e);
    } else {
        (void)snprintf(standard, sizeof(standard), "%s/master-key", data_dir);
        ok = add_file(k, file == NULL ? standard : file, e);
    }
    if (!ok) {
        master_free(&k);
    }
    return k;
}

void master_free(struct record_keys **k)
{
    void *p = *k;

    *k = NULL;
    crypto_locked_free(&p);
}
