// SPDX-License-Identifier: Apache-2.0
// Rotation of what `sluice init` made, on the files of one directory. A file holds one key a line;
// the first is used, all are accepted. Three steps, each carried to every machine and followed by a
// SIGHUP before the next:
//
//   add    a new key behind the others      everybody accepts it, nobody uses it yet
//   use    the newest key to the front      it is used, the old one is still accepted
//   drop   every key but the first          the old one is worth nothing any more
//
// Lines that are no keys (comments, the cluster's name) stay where they are. Files are replaced at
// once or not at all, and a step may be interrupted anywhere and run again:
//
//   use    puts a comment (MARK) above the key that it has replaced, and above those that are older
//          than the new one and were never used. The newest is the last one without it; when that
//          is the first already, nothing is left to be done.
//   signing-key has its public halves in a second file. `use` writes that one first: as long as it
//          names another first key than signing-key does, `use` was interrupted, and run again it
//          goes on with that key. `add` and `drop` refuse to work on such files.
//   drop   keeps the public half of the seed that it keeps, wherever that stands.
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

#define MARK "# in use before the first:" // or never
#define NONE SIZE_MAX

// Lines of a file; keys among them are counted, not looked at.
struct lines {
    struct buf text; // wiped when done
    struct slice line[LINES_MAX];
    bool is_key[LINES_MAX];
    size_t n, keys;
};

// What becomes of a file's keys.
struct edit {
    size_t first;      // line of the key that comes first; NONE: they stay as they are
    bool only;         // and no other is kept
    bool mark;         // those behind it are marked as older
    const char *fresh; // a key that is not in the file: comes last, or first with put_first
    bool put_first;
};

static bool is_key_line(struct slice line)
{
    line = slice_trim(slice_head(line, slice_find_char(line, '\r')));
    return line.n > 0 && line.p[0] != '#' && !slice_starts(line, SLICE("cluster="));
}

static void wipe(struct buf *b)
{
    if (b->p != NULL) {
        mem_wipe(b->p, b->cap);
    }
    buf_done(b);
}

static void lines_free(struct lines **l)
{
    wipe(&(*l)->text);
    mem_free(*l);
    *l = NULL;
}

static bool cut_lines(const char *path, struct lines *l, struct err *e)
{
    struct slice rest = buf_slice(&l->text), line;

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

static void path_of(char path[4096], const char *dir, const char *name)
{
    (void)snprintf(path, 4096, "%s/%s", dir, name);
}

// NULL with *e: not readable, or no key in it.
static struct lines *read_lines(const char *dir, const char *name, struct err *e)
{
    struct lines *l = mem_zalloc(sizeof(*l));
    char path[4096];

    path_of(path, dir, name);
    buf_init(&l->text, FILE_BYTES_MAX);
    if (!proc_read_file(path, FILE_BYTES_MAX, &l->text, e) || !cut_lines(path, l, e)) {
        lines_free(&l);
    }
    return l;
}

static size_t first_key(const struct lines *l)
{
    size_t i = 0;

    while (!l->is_key[i]) { // there is one
        i++;
    }
    return i;
}

static bool is_marked(const struct lines *l, size_t i)
{
    return i > 0 && slice_eq_str(slice_trim(l->line[i - 1]), MARK);
}

// The last one that was not in use before.
static size_t newest_key(const struct lines *l)
{
    size_t found = first_key(l);

    for (size_t i = 0; i < l->n; i++) {
        found = l->is_key[i] && !is_marked(l, i) ? i : found;
    }
    return found;
}

static void put_line(struct buf *out, struct slice line)
{
    buf_append(out, line);
    buf_append_char(out, '\n');
}

static void put_lines(const struct lines *l, const struct edit *ed, struct buf *out)
{
    size_t first = first_key(l), moved = ed->first == first ? NONE : ed->first;

    for (size_t i = 0; i < l->n; i++) {
        size_t key = i + 1 < l->n && is_marked(l, i + 1) ? i + 1 : i; // the mark goes with its key
        bool gone = key == moved || (ed->only && (ed->put_first || key != ed->first));

        if (i == first && ed->put_first) {
            put_line(out, slice_str(ed->fresh));
        } else if (i == first && moved != NONE) {
            put_line(out, l->line[moved]);
        }
        if (ed->mark && moved != NONE && l->is_key[i] && !gone &&
            (i == first || !is_marked(l, i))) {
            put_line(out, SLICE(MARK));
        }
        if (i != key && key == first && (moved != NONE || ed->put_first)) {
            continue; // would mark what is put before it
        }
        if (!l->is_key[key] || !gone) {
            put_line(out, l->line[i]);
        }
    }
    if (ed->fresh != NULL && !ed->put_first) {
        put_line(out, slice_str(ed->fresh));
    }
}

static bool write_lines(const char *dir, const char *name, const struct lines *l,
                        const struct edit *ed, struct err *e)
{
    struct buf out;
    char path[4096];
    bool ok;

    path_of(path, dir, name);
    buf_init(&out, 2 * FILE_BYTES_MAX);
    ok = buf_try_reserve(&out, 2 * FILE_BYTES_MAX); // whole: growing leaves no copy of a secret
    if (ok) {
        put_lines(l, ed, &out);
        ok = proc_write_file(path, buf_slice(&out), 0600, e);
    } else {
        (void)err_set(e, ERR_INTERNAL, "%s: no memory", path);
    }
    wipe(&out);
    return ok;
}

static struct edit edit_of(const struct lines *l, enum step step, const char *fresh)
{
    return (struct edit){
        .first = step == STEP_ADD   ? NONE
                 : step == STEP_USE ? newest_key(l)
                                    : first_key(l),
        .only = step == STEP_DROP,
        .mark = step == STEP_USE,
        .fresh = step == STEP_ADD ? fresh : NULL,
    };
}

static bool has_room(const struct lines *l, const char *name, struct err *e)
{
    return l->keys < 8 ||
           err_set(e, ERR_CONFLICT, "%s: has %zu keys already; drop the old ones", name, l->keys);
}

// *ret_keys: how many there are after it.
static bool rotate_plain(const char *dir, const char *name, enum step step, size_t *ret_keys,
                         struct err *e)
{
    char text[CRYPTO_BASE64_BYTES(CRYPTO_KEY_BYTES)];
    struct lines *l = read_lines(dir, name, e);
    uint8_t key[CRYPTO_KEY_BYTES];
    bool ok;

    if (l == NULL) {
        return false;
    }
    crypto_random(key, sizeof(key));
    crypto_base64(text, key, sizeof(key));
    struct edit ed = edit_of(l, step, text);

    ok = (step != STEP_ADD || has_room(l, name, e)) && write_lines(dir, name, l, &ed, e);
    *ret_keys = step == STEP_ADD ? l->keys + 1 : step == STEP_DROP ? 1 : l->keys;
    mem_wipe(key, sizeof(key));
    mem_wipe(text, sizeof(text));
    lines_free(&l);
    return ok;
}

// --- a seed and its public half -----------------------------------------------------------------

static bool public_of(struct slice line, uint8_t ret[CRYPTO_PUBLIC_BYTES])
{
    uint8_t seed[CRYPTO_SEED_BYTES], sign[CRYPTO_SIGN_BYTES];
    bool ok = keys_parse(line, seed);

    if (ok) {
        crypto_sign_keys(seed, ret, sign);
    }
    mem_wipe(seed, sizeof(seed));
    mem_wipe(sign, sizeof(sign));
    return ok;
}

// The line of `publics` with that key; NONE: none has it.
static size_t find_public(const struct lines *publics, const uint8_t key[CRYPTO_PUBLIC_BYTES])
{
    uint8_t one[CRYPTO_PUBLIC_BYTES];

    for (size_t i = 0; i < publics->n; i++) {
        if (publics->is_key[i] && keys_parse(publics->line[i], one) &&
            memcmp(one, key, sizeof(one)) == 0) {
            return i;
        }
    }
    return NONE;
}

// The seed that `use` was about to put first when it was interrupted; NONE: it was not.
static size_t find_interrupted(const struct lines *seeds, const struct lines *publics)
{
    size_t first = first_key(publics);
    uint8_t key[CRYPTO_PUBLIC_BYTES];

    for (size_t i = 0; i < seeds->n; i++) {
        if (seeds->is_key[i] && public_of(seeds->line[i], key) &&
            find_public(publics, key) == first) {
            return i == first_key(seeds) ? NONE : i;
        }
    }
    return NONE;
}

// Both files, in an order in which no seed is without its public half in between: one too many
// harms nobody.
static bool write_both(const char *dir, const struct lines *seeds, const struct edit *of_seeds,
                       const struct lines *publics, const struct edit *of_publics, enum step step,
                       struct err *e)
{
    static const char seed_file[] = "signing-key", public_file[] = "control-public-key";

    if (step == STEP_DROP) {
        return write_lines(dir, seed_file, seeds, of_seeds, e) &&
               write_lines(dir, public_file, publics, of_publics, e);
    }
    return write_lines(dir, public_file, publics, of_publics, e) &&
           write_lines(dir, seed_file, seeds, of_seeds, e);
}

// A new pair.
static bool add_pair(const char *dir, const struct lines *seeds, const struct lines *publics,
                     struct err *e)
{
    char seed64[CRYPTO_BASE64_BYTES(CRYPTO_SEED_BYTES)];
    char public64[CRYPTO_BASE64_BYTES(CRYPTO_PUBLIC_BYTES)];
    uint8_t seed[CRYPTO_SEED_BYTES], public_key[CRYPTO_PUBLIC_BYTES], sign[CRYPTO_SIGN_BYTES];
    bool ok;

    crypto_random(seed, sizeof(seed));
    crypto_sign_keys(seed, public_key, sign);
    crypto_base64(seed64, seed, sizeof(seed));
    crypto_base64(public64, public_key, sizeof(public_key));
    struct edit of_seeds = edit_of(seeds, STEP_ADD, seed64);
    struct edit of_publics = edit_of(publics, STEP_ADD, public64);

    ok = has_room(seeds, "signing-key", e) && has_room(publics, "control-public-key", e) &&
         write_both(dir, seeds, &of_seeds, publics, &of_publics, STEP_ADD, e);
    mem_wipe(seed, sizeof(seed));
    mem_wipe(sign, sizeof(sign));
    mem_wipe(seed64, sizeof(seed64));
    return ok;
}

// Puts one seed first, and its public half.
static bool choose_pair(const char *dir, const struct lines *seeds, size_t chosen,
                        const struct lines *publics, enum step step, struct err *e)
{
    char public64[CRYPTO_BASE64_BYTES(CRYPTO_PUBLIC_BYTES)];
    struct edit of_seeds = edit_of(seeds, step, NULL), of_publics = {.only = step == STEP_DROP};
    uint8_t key[CRYPTO_PUBLIC_BYTES];

    if (!public_of(seeds->line[chosen], key)) {
        return err_set(e, ERR_INVALID, "signing-key: expected 32 bytes in base64 or hex");
    }
    of_seeds.first = chosen;
    of_publics.first = find_public(publics, key);
    if (of_publics.first == NONE) { // lost: proxies need it
        crypto_base64(public64, key, sizeof(key));
        of_publics.fresh = public64;
        of_publics.put_first = true;
    }
    return write_both(dir, seeds, &of_seeds, publics, &of_publics, step, e);
}

static bool rotate_signing(const char *dir, enum step step, size_t *ret_keys, struct err *e)
{
    struct lines *seeds = read_lines(dir, "signing-key", e);
    struct lines *publics = seeds == NULL ? NULL : read_lines(dir, "control-public-key", e);
    size_t interrupted = publics == NULL ? NONE : find_interrupted(seeds, publics);
    bool ok;

    if (publics == NULL) {
        ok = false;
    } else if (interrupted != NONE && step != STEP_USE) {
        ok = err_set(e, ERR_CONFLICT,
                     "%s: signing-key and control-public-key begin with different keys: "
                     "`use` was interrupted, run it again",
                     dir);
    } else if (step == STEP_ADD) {
        ok = add_pair(dir, seeds, publics, e);
    } else {
        ok = choose_pair(dir, seeds,
                         step == STEP_DROP     ? first_key(seeds)
                         : interrupted != NONE ? interrupted
                                               : newest_key(seeds),
                         publics, step, e);
    }
    if (ok) {
        *ret_keys = step == STEP_ADD ? seeds->keys + 1 : step == STEP_DROP ? 1 : seeds->keys;
    }
    if (publics != NULL) {
        lines_free(&publics);
    }
    if (seeds != NULL) {
        lines_free(&seeds);
    }
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
