// SPDX-License-Identifier: Apache-2.0
// One small file for each thing that is remembered. state-mark is "<epoch in hexadecimal> <seq>\n";
// it is asked to be written each second, so that what was written last is kept and compared.
#include "controlplane/datadir.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"

#define PATH_CHARS  1024u
#define FILE_MAX    4096u
#define TOKEN_CHARS 40u
#define TOKEN_MIN   8u

static void path_in(const struct datadir *d, const char *name, char out[PATH_CHARS])
{
    (void)snprintf(out, PATH_CHARS, "%s/%s", d->path, name);
}

// --- the administrator's token ------------------------------------------------------------------

static struct secret *make_token(const char *path, struct err *e)
{
    char made[TOKEN_CHARS + 1];
    struct secret *token = NULL;

    crypto_random_id(made, TOKEN_CHARS);
    if (proc_write_file(path, slice_str(made), 0600, e)) {
        token = secret_new(slice_str(made));
    }
    mem_wipe(made, sizeof(made));
    return token;
}

struct secret *datadir_admin_token(const struct datadir *d, const char *file, struct err *e)
{
    char standard[PATH_CHARS];
    const char *path = file;
    struct secret *token = NULL;
    struct buf text;

    if (path == NULL) {
        path_in(d, "admin-token", standard);
        path = standard;
    }
    buf_init(&text, FILE_MAX);
    if (proc_read_file(path, FILE_MAX, &text, e)) {
        struct slice s = buf_slice(&text);

        s = slice_head(s, slice_find_char(s, '\n'));
        s = slice_trim(slice_head(s, slice_find_char(s, '\r')));
        if (s.n >= TOKEN_MIN) {
            token = secret_new(s);
        } else {
            err_set(e, ERR_INVALID, "%s: an admin token has at least 8 characters", path);
        }
        mem_wipe(text.p, text.cap);
    } else if (e->code == ERR_NOT_FOUND) {
        token = make_token(path, e);
    }
    buf_done(&text);
    return token;
}

// --- the offer ----------------------------------------------------------------------------------

bool datadir_offered_before(const struct datadir *d, const char *digest)
{
    struct slice want = slice_str(digest);
    char path[PATH_CHARS];
    struct buf text;
    bool same;

    path_in(d, "applied-config", path);
    buf_init(&text, FILE_MAX);
    same = proc_read_file(path, FILE_MAX, &text, NULL) &&
           slice_eq(slice_head(buf_slice(&text), want.n), want);
    buf_done(&text);
    return same;
}

void datadir_remember_offer(const struct datadir *d, const char *digest)
{
    char path[PATH_CHARS];
    struct err e;

    path_in(d, "applied-config", path);
    if (!proc_write_file(path, slice_str(digest), 0600, &e)) {
        LOG(WARN, "config.remember", LOG_ERR(&e));
    }
}

// --- the mark -----------------------------------------------------------------------------------

void datadir_write_mark(struct datadir *d, const uint8_t epoch[STATE_EPOCH_BYTES], uint64_t seq)
{
    char path[PATH_CHARS], text[DATADIR_MARK_CHARS + 1], hex[2 * STATE_EPOCH_BYTES + 1];
    struct err e;

    text_hex(epoch, STATE_EPOCH_BYTES, hex);
    (void)snprintf(text, sizeof(text), "%s %llu\n", hex, (unsigned long long)seq); // fits
    if (strcmp(text, d->mark) == 0) {
        return;
    }
    path_in(d, "state-mark", path);
    if (proc_write_file(path, slice_str(text), 0600, &e)) {
        memcpy(d->mark, text, sizeof(text));
    } else {
        LOG(WARN, "control.remember", LOG_ERR(&e));
    }
}

bool datadir_read_mark(const struct datadir *d, uint8_t epoch[STATE_EPOCH_BYTES], uint64_t *ret_seq)
{
    char path[PATH_CHARS];
    struct slice hex, rest;
    struct buf text;
    bool ok;

    path_in(d, "state-mark", path);
    buf_init(&text, FILE_MAX);
    ok = proc_read_file(path, FILE_MAX, &text, NULL);
    rest = slice_cut(buf_slice(&text), ' ', &hex);
    ok = ok && rest.n > 0 && text_unhex(hex, epoch, STATE_EPOCH_BYTES) &&
         slice_to_u64(slice_head(rest, slice_find_char(rest, '\n')), ret_seq);
    buf_done(&text);
    return ok;
}

// --- initialised --------------------------------------------------------------------------------

bool datadir_is_initialised(const struct datadir *d)
{
    char path[PATH_CHARS];

    path_in(d, "initialised", path);
    return access(path, F_OK) == 0;
}

void datadir_remember_initialised(const struct datadir *d)
{
    char path[PATH_CHARS];
    struct err e;

    path_in(d, "initialised", path);
    if (access(path, F_OK) != 0 && !proc_write_file(path, SLICE(""), 0600, &e)) {
        LOG(ERROR, "control.remember", LOG_ERR(&e));
    }
}
