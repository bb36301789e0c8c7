// SPDX-License-Identifier: Apache-2.0
// Rotation of what `sluice init` made, on the files of one directory. A file holds one key a line;
// the first is used, all are accepted. Three steps, each carried to every machine and followed by a
// SIGHUP before the next:
//
//   add    a new key behind the others      everybody accepts it, nobody uses it yet
//   use    the last key to the front        it is used, the old one is still accepted
//   drop   every key but the first          the old one is worth nothing any more
//
// Lines that are no keys (comments, the cluster's name) stay where they are. Files are replaced at
// once or not at all.
#include <stdio.h>
#include <string.h>

#include "cli/cmd.h"
#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"
#include "proto/keys.h"

#define FILE_BYTES_MAX 16384u
#define LINES_MAX      256u

static const char usage[] =
    "usage: sluice rotate cluster-secret|signing-key|master-key add|use|drop|list DIR\n"
    "Changes the files of DIR (as made by `sluice init`; with `sluice up`: the data directory). To replace a key\n"
    "without an interruption, in this order, on all machines and with a SIGHUP to every program after each step:\n"
    "  add    makes a new key, which is accepted from then on\n"
    "  use    the newest key is used from then on, the others are still accepted\n"
    "  drop   only the one in use is left (master-key: not before sluice_control_records_old_key is 0)\n"
    "  list   ids of the keys there are, as programs log them (keys.loaded)\n"
    "cluster-secret is needed by control planes and proxies; of the signing key, proxies have control-public-key;\n"
    "the master key is the control planes' alone. docs/operations.md says more.\n";

enum step { STEP_ADD, STEP_USE, STEP_DROP };

// Lines of a file; keys among them are counted, not looked at.
struct lines {
    struct buf text; // wiped when done
    struct slice line[LINES_MAX];
    bool is_key[LINES_MAX];
    size_t n, keys;
};

static bool is_key_line(struct slice line)
{
    line = slice_trim(slice_head(line, slice_find_char(line, '\r')));
    return line.n > 0 && line.p[0] != '#' && !slice_starts(line, SLICE("cluster="));
}

static bool read_lines(const char *path, struct lines *l, struct err *e)
{
    struct slice rest, line;

    buf_init(&l->text, FILE_BYTES_MAX);
    if (!proc_read_file(path, FILE_BYTES_MAX, &l->text, e)) {
        return false;
    }
    rest = buf_slice(&l->text);
    while (rest.p != NULL && (rest.n > 0 || l->n == 0)) {
        rest = slice_cut(rest, '\n', &line);
        if (l->n == LINES_MAX) {
            return err_set(e, ERR_TOO_LARGE, "%s: more than %u lines", path, LINES_MAX);
        }
        l->is_key[l->n] = is_key_line(line);
        l->keys += l->is_key[l->n];
        l->line[l->n++] = line;
    }
    return l->keys > 0 || err_set(e, ERR_INVALID, "%s: no key in it", path);
}

static void wipe(struct buf *b)
{
    if (b->p != NULL) {
        mem_wipe(b->p, b->cap);
    }
    buf_done(b);
}

static size_t nth_key(const struct lines *l, size_t nth)
{
    size_t i = 0;

    for (;; i++) {
        if (l->is_key[i] && nth-- == 0) {
            return i;
        }
    }
}

// fresh: the key to add.
static void put_lines(const struct lines *l, enum step step, const char *fresh, struct buf *out)
{
    size_t first = nth_key(l, 0), last = nth_key(l, l->keys - 1);

    for (size_t i = 0; i < l->n; i++) {
        if (step == STEP_USE && i == first && last != first) {
            buf_append(out, l->line[last]);
            buf_append_char(out, '\n');
        }
        if (l->is_key[i] && ((step == STEP_USE && i == last && last != first) ||
                             (step == STEP_DROP && i != first))) {
            continue;
        }
        buf_append(out, l->line[i]);
        buf_append_char(out, '\n');
    }
    if (step == STEP_ADD) {
        buf_append_str(out, fresh);
        buf_append_char(out, '\n');
    }
}

// *ret_keys: how many there are now.
static bool change_file(const char *dir, const char *name, enum step step, const char *fresh,
                        size_t *ret_keys, struct err *e)
{
    struct lines *l = mem_zalloc(sizeof(*l));
    struct buf out;
    char path[4096];
    bool ok;

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    buf_init(&out, 2 * FILE_BYTES_MAX);
    ok = buf_try_reserve(&out, 2 * FILE_BYTES_MAX) && read_lines(path, l, e);
    if (ok && step == STEP_ADD && l->keys >= 8) {
        ok = err_set(e, ERR_CONFLICT, "%s: has %zu keys already; drop the old ones", path, l->keys);
    }
    if (ok) {
        put_lines(l, step, fresh, &out);
        ok = proc_write_file(path, buf_slice(&out), 0600, e);
    }
    *ret_keys = step == STEP_ADD ? l->keys + 1 : step == STEP_DROP ? 1 : l->keys;
    wipe(&out);
    wipe(&l->text);
    mem_free(l);
    return ok;
}

static bool rotate_plain(const char *dir, const char *name, enum step step, size_t *ret_keys,
                         struct err *e)
{
    char text[CRYPTO_BASE64_BYTES(CRYPTO_KEY_BYTES)];
    uint8_t key[CRYPTO_KEY_BYTES];
    bool ok;

    crypto_random(key, sizeof(key));
    crypto_base64(text, key, sizeof(key));
    ok = change_file(dir, name, step, text, ret_keys, e);
    mem_wipe(key, sizeof(key));
    mem_wipe(text, sizeof(text));
    return ok;
}

// The public half goes first: a public key too many harms nobody, one too few does.
static bool rotate_signing(const char *dir, enum step step, size_t *ret_keys, struct err *e)
{
    char seed64[CRYPTO_BASE64_BYTES(CRYPTO_SEED_BYTES)];
    char public64[CRYPTO_BASE64_BYTES(CRYPTO_PUBLIC_BYTES)];
    uint8_t seed[CRYPTO_SEED_BYTES], public_key[CRYPTO_PUBLIC_BYTES], sign[CRYPTO_SIGN_BYTES];
    bool ok;

    crypto_random(seed, sizeof(seed));
    crypto_sign_keys(seed, public_key, sign);
    crypto_base64(seed64, seed, sizeof(seed));
    crypto_base64(public64, public_key, sizeof(public_key));
    ok = (step == STEP_DROP ||
          change_file(dir, "control-public-key", step, public64, ret_keys, e)) &&
         change_file(dir, "signing-key", step, seed64, ret_keys, e) &&
         (step != STEP_DROP || change_file(dir, "control-public-key", step, public64, ret_keys, e));
    mem_wipe(seed, sizeof(seed));
    mem_wipe(sign, sizeof(sign));
    mem_wipe(seed64, sizeof(seed64));
    return ok;
}

static int list(const char *dir)
{
    char secret[4096], sign[4096], trusted[4096];
    const struct keys_files files = {secret, sign, trusted};
    struct err e = {0};
    struct keys *k;
    struct buf text;

    (void)snprintf(secret, sizeof(secret), "%s/cluster-secret", dir);
    (void)snprintf(sign, sizeof(sign), "%s/signing-key", dir);
    (void)snprintf(trusted, sizeof(trusted), "%s/control-public-key", dir);
    k = keys_load(&files, &e);
    if (k == NULL) {
        (void)fprintf(stderr, "sluice: %s\n", e.message);
        return 1;
    }
    buf_init(&text, 4096);
    keys_describe(k, &text);
    (void)printf(SLICE_FMT "\n", SLICE_ARG(buf_slice(&text)));
    buf_done(&text);
    keys_unref(&k);
    return 0;
}

static void say_next(const char *what, enum step step, size_t keys)
{
    static const char *const next[] = {
        [STEP_ADD] = "now: carry the file to every machine, SIGHUP to every program, then `use`",
        [STEP_USE] = "now: carry the file to every machine, SIGHUP to every program, then `drop`",
        [STEP_DROP] = "now: carry the file to every machine, SIGHUP to every program: done",
    };

    (void)printf("%s: %zu key%s in the file\n%s\n", what, keys, keys == 1 ? "" : "s", next[step]);
}

static int run(const char *what, const char *how, const char *dir)
{
    static const char *const steps[] = {"add", "use", "drop"};
    struct err e = {0};
    size_t keys = 0;
    bool ok;

    if (strcmp(how, "list") == 0) {
        return list(dir);
    }
    for (size_t s = 0; s < ARRAY_LEN(steps); s++) {
        if (strcmp(how, steps[s]) != 0) {
            continue;
        }
        ok = strcmp(what, "signing-key") == 0 ? rotate_signing(dir, (enum step)s, &keys, &e)
                                              : rotate_plain(dir, what, (enum step)s, &keys, &e);
        if (!ok) {
            (void)fprintf(stderr, "sluice: %s\n", e.message);
            return 1;
        }
        say_next(what, (enum step)s, keys);
        return 0;
    }
    (void)fputs(usage, stderr);
    return 2;
}

int cmd_rotate(int argc, char **argv)
{
    bool known =
        argc == 3 && (strcmp(argv[0], "cluster-secret") == 0 ||
                      strcmp(argv[0], "signing-key") == 0 || strcmp(argv[0], "master-key") == 0);

    if (argc == 1 && (strcmp(argv[0], "--help") == 0 || strcmp(argv[0], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return 0;
    }
    if (!known) {
        (void)fputs(usage, stderr);
        return 2;
    }
    return run(argv[0], argv[1], argv[2]);
}
