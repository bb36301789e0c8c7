// SPDX-License-Identifier: Apache-2.0
// The key ring: parse the files, derive what is needed from each key once, keep it in locked
// memory.
//
//   secret --derive("sluicemg", purpose)--> one sealing key for each purpose
//          --hash--> key id
//   seed ---expand--> signing key, public key --hash--> signer id
#include "proto/keys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/slice.h"
#include "common/base/text.h"
#include "common/io/crypto.h"

#define FILE_BYTES_MAX (16 * 1024)
#define PATH_BYTES_MAX 4096

struct secret_entry {
    uint32_t id;
    uint8_t sealing[KEYS_PURPOSES][CRYPTO_KEY_BYTES];
};
struct public_entry {
    uint32_t id;
    uint8_t key[CRYPTO_PUBLIC_BYTES];
};

// Lives in locked memory.
struct keys {
    atomic_uint refs;
    uint8_t cluster[KEYS_CLUSTER_BYTES];
    struct secret_entry secrets[KEYS_MAX]; // the first seals
    size_t n_secrets;
    struct public_entry publics[KEYS_MAX + 1]; // a control plane trusts itself
    size_t n_publics;
    bool signs;
    uint32_t signer;
    uint8_t sign[CRYPTO_SIGN_BYTES];
};

// An id says nothing about the key: 32 bits of a hash with a label.
static uint32_t id_of(const char *label, const uint8_t *key, size_t n)
{
    const struct slice parts[] = {slice_str(label), SLICE_MAKE((const char *)key, n)};
    uint8_t out[16];
    uint32_t id;

    crypto_keyed_hash(out, sizeof(out), NULL, parts, 2);
    id = (uint32_t)out[0] | (uint32_t)out[1] << 8 | (uint32_t)out[2] << 16 | (uint32_t)out[3] << 24;
    return id == 0 ? 1 : id; // 0 is "none" on the wire
}

static void name_cluster(struct keys *k, struct slice name)
{
    const struct slice parts[] = {SLICE("sluice cluster "), name};
    uint8_t out[16];

    crypto_keyed_hash(out, sizeof(out), NULL, parts, 2);
    memcpy(k->cluster, out, KEYS_CLUSTER_BYTES);
}

// ---- reading ---------------------------------------------------------------------------------

static bool read_fd(int fd, struct buf *out)
{
    for (;;) {
        ssize_t n;
        size_t room;
        char *at;

        if (!buf_try_reserve(out, 1)) {
            errno = EFBIG;
            return false;
        }
        at = buf_tail(out, &room);
        n = read(fd, at, room);
        if (n <= 0) {
            return n == 0;
        }
        buf_commit(out, (size_t)n);
    }
}

static bool read_file(const char *path, bool is_secret, struct buf *out, struct err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    bool ok;

    if (fd < 0) {
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path,
                       strerror(errno));
    }
    ok = fstat(fd, &st) == 0 && read_fd(fd, out);
    if (!ok) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    } else if (is_secret && S_ISREG(st.st_mode) && (st.st_mode & 007) != 0) {
        // Group access is left alone: orchestrators mount secrets with a group.
        ok = err_set(e, ERR_DENIED, "%s: everybody may read it (mode %03o); use 0600", path,
                     (unsigned)(st.st_mode & 0777));
    }
    (void)close(fd);
    return ok;
}

bool keys_parse(struct slice line, uint8_t out[32])
{
    line = slice_trim(slice_head(line, slice_find_char(line, '\r')));
    return (line.n == 64 && text_unhex(line, out, 32)) || crypto_unbase64(line, out, 32);
}

static bool add_secret(struct keys *k, const uint8_t key[32])
{
    struct secret_entry *s = &k->secrets[k->n_secrets];

    if (k->n_secrets == KEYS_MAX) {
        return false;
    }
    s->id = id_of("sluice secret id ", key, 32);
    for (unsigned p = 1; p <= KEYS_PURPOSES; p++) {
        crypto_derive(s->sealing[p - 1], key, "sluicemg", p);
    }
    k->n_secrets++;
    return true;
}

static uint32_t public_id(const uint8_t key[CRYPTO_PUBLIC_BYTES])
{
    return id_of("sluice signer id ", key, CRYPTO_PUBLIC_BYTES);
}

static bool add_public(struct keys *k, const uint8_t key[32])
{
    struct public_entry *p = &k->publics[k->n_publics];

    if (keys_public(k, public_id(key)) != NULL) {
        return true; // its own, in both files
    }
    if (k->n_publics == KEYS_MAX) {
        return false;
    }
    p->id = public_id(key);
    memcpy(p->key, key, 32);
    k->n_publics++;
    return true;
}

static bool add_seed(struct keys *k, const uint8_t seed[32])
{
    uint8_t public_key[CRYPTO_PUBLIC_BYTES], sign[CRYPTO_SIGN_BYTES];
    bool ok;

    crypto_sign_keys(seed, public_key, sign);
    ok = add_public(k, public_key);
    if (ok && !k->signs) {
        k->signs = true;
        k->signer = public_id(public_key);
        memcpy(k->sign, sign, sizeof(sign));
    }
    mem_wipe(sign, sizeof(sign));
    return ok;
}

static bool parse_lines(struct keys *k, const char *path, struct slice text,
                        bool (*add)(struct keys *, const uint8_t[32]), struct err *e)
{
    unsigned number = 0;
    size_t found = 0;
    uint8_t key[32];

    while (text.p != NULL) {
        struct slice line;
        bool parsed, added;

        text = slice_cut(text, '\n', &line);
        number++;
        if (line.n > 0 && line.p[line.n - 1] == '\r') {
            line.n--;
        }
        line = slice_trim(line);
        if (line.n == 0 || line.p[0] == '#') {
            continue;
        }
        if (add == add_secret && slice_starts(line, SLICE("cluster="))) {
            name_cluster(k, slice_trim(slice_from(line, 8)));
            continue;
        }
        parsed = keys_parse(line, key);
        added = parsed && add(k, key);
        mem_wipe(key, sizeof(key));
        if (!parsed) {
            return err_set(e, ERR_INVALID, "%s:%u: expected 32 bytes in base64 or hex", path,
                           number);
        }
        if (!added) {
            return err_set(e, ERR_TOO_LARGE, "%s:%u: more than %u keys", path, number, KEYS_MAX);
        }
        found++;
    }
    return found > 0 || err_set(e, ERR_INVALID, "%s: no key in it", path);
}

static bool load_file(struct keys *k, const char *path,
                      bool (*add)(struct keys *, const uint8_t[32]), struct err *e)
{
    struct buf b;
    bool ok;

    if (path == NULL) {
        return true;
    }
    buf_init(&b, FILE_BYTES_MAX);
    // Reserved whole, so that growing leaves no copy of a secret behind.
    CHECK(buf_try_reserve(&b, FILE_BYTES_MAX));
    ok = read_file(path, add != add_public, &b, e) && parse_lines(k, path, buf_slice(&b), add, e);
    mem_wipe(b.p, b.cap);
    buf_done(&b);
    return ok;
}

struct keys *keys_load(const struct keys_files *f, struct err *e)
{
    struct keys *k = crypto_locked_new(sizeof(*k));

    CHECK(f->cluster_secret != NULL);
    atomic_init(&k->refs, 1);
    name_cluster(k, SLICE("default"));
    if (!load_file(k, f->cluster_secret, add_secret, e) ||
        !load_file(k, f->signing_key, add_seed, e) ||
        !load_file(k, f->public_keys, add_public, e)) {
        keys_unref(&k);
    }
    return k;
}

struct keys *keys_reload(const struct keys_files *f, const struct keys *now, struct err *e)
{
    struct keys *k = keys_load(f, e);

    if (k != NULL && memcmp(k->cluster, now->cluster, KEYS_CLUSTER_BYTES) != 0) {
        err_set(e, ERR_CONFLICT, "%s: names another cluster, which takes a restart",
                f->cluster_secret);
        keys_unref(&k);
    }
    return k;
}

struct keys *keys_ref(struct keys *k)
{
    // Relaxed: whoever hands the pointer over orders it.
    CHECK(atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed) > 0);
    return k;
}

void keys_unref(struct keys **k)
{
    struct keys *old = *k;
    void *p = old;

    *k = NULL;
    if (old != NULL && atomic_fetch_sub_explicit(&old->refs, 1, memory_order_acq_rel) == 1) {
        crypto_locked_free(&p);
    }
}

// ---- making ----------------------------------------------------------------------------------

// Writes a new file; one that is there is left alone (*ret_exists). False: not written.
static bool write_new(const char *path, struct slice text, bool *ret_exists, struct err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool ok;

    *ret_exists = fd < 0 && errno == EEXIST;
    if (fd < 0) {
        return *ret_exists || err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    ok = write(fd, text.p, text.n) == (ssize_t)text.n && fsync(fd) == 0;
    if (!ok) {
        err_set(e, ERR_IO, "%s: %s", path, strerror(errno));
        (void)unlink(path);
    }
    (void)close(fd);
    return ok;
}

static bool path_in(char out[PATH_BYTES_MAX], const char *dir, const char *name, struct err *e)
{
    struct buf b;
    bool ok;

    buf_init(&b, PATH_BYTES_MAX - 1);
    ok = buf_try_printf(&b, "%s/%s", dir, name);
    if (ok) {
        memcpy(out, b.p, b.n);
        out[b.n] = '\0';
    } else {
        err_set(e, ERR_TOO_LARGE, "%s: path too long", dir);
    }
    buf_done(&b);
    return ok;
}

static bool create_secret(const char *dir, struct err *e)
{
    char path[PATH_BYTES_MAX], key64[CRYPTO_BASE64_BYTES(32)], cluster[17];
    uint8_t key[32];
    struct buf b;
    bool exists, ok;

    if (!path_in(path, dir, "cluster-secret", e)) {
        return false;
    }
    crypto_random(key, sizeof(key));
    crypto_base64(key64, key, sizeof(key));
    crypto_random_id(cluster, 16);
    buf_init(&b, 1024);
    CHECK(buf_try_reserve(&b, 1000));
    buf_printf(&b, "# Shared by the control planes and proxies of one cluster.\ncluster=%s\n%s\n",
               cluster, key64);
    ok = write_new(path, buf_slice(&b), &exists, e);
    mem_wipe(b.p, b.cap);
    mem_wipe(key, sizeof(key));
    mem_wipe(key64, sizeof(key64));
    buf_done(&b);
    return ok;
}

static bool create_signing(const char *dir, struct err *e)
{
    char path[PATH_BYTES_MAX], line[CRYPTO_BASE64_BYTES(32) + 1];
    uint8_t seed[CRYPTO_SEED_BYTES], public_key[CRYPTO_PUBLIC_BYTES], sign[CRYPTO_SIGN_BYTES];
    bool exists = false, ok;

    if (!path_in(path, dir, "signing-key", e)) {
        return false;
    }
    crypto_random(seed, sizeof(seed));
    crypto_sign_keys(seed, public_key, sign);
    crypto_base64(line, seed, sizeof(seed));
    line[sizeof(line) - 2] = '\n';
    ok = write_new(path, SLICE_MAKE(line, sizeof(line) - 1), &exists, e);
    if (ok && !exists) {
        crypto_base64(line, public_key, sizeof(public_key));
        line[sizeof(line) - 2] = '\n';
        ok = path_in(path, dir, "control-public-key", e) &&
             write_new(path, SLICE_MAKE(line, sizeof(line) - 1), &exists, e);
    }
    mem_wipe(seed, sizeof(seed));
    mem_wipe(sign, sizeof(sign));
    mem_wipe(line, sizeof(line));
    return ok;
}

bool keys_create(const char *dir, struct err *e)
{
    if (mkdir(dir, 0700) != 0 && errno != EEXIST) {
        return err_set(e, ERR_IO, "%s: %s", dir, strerror(errno));
    }
    return create_secret(dir, e) && create_signing(dir, e);
}

// ---- questions -------------------------------------------------------------------------------

void keys_describe(const struct keys *k, struct buf *out)
{
    buf_clear(out);
    buf_append_str(out, "secrets");
    for (size_t i = 0; i < k->n_secrets; i++) {
        buf_printf(out, " %08x", (unsigned)k->secrets[i].id);
    }
    if (k->signs) {
        buf_printf(out, "; signs %08x", (unsigned)k->signer);
    }
    buf_append_str(out, "; trusts");
    for (size_t i = 0; i < k->n_publics; i++) {
        buf_printf(out, " %08x", (unsigned)k->publics[i].id);
    }
}

const uint8_t *keys_cluster(const struct keys *k)
{
    return k->cluster;
}

uint32_t keys_current(const struct keys *k)
{
    return k->secrets[0].id;
}

const uint8_t *keys_sealing(const struct keys *k, uint32_t key_id, enum keys_purpose p)
{
    CHECK(p >= 1 && p <= KEYS_PURPOSES);
    for (size_t i = 0; i < k->n_secrets; i++) {
        if (k->secrets[i].id == key_id) {
            return k->secrets[i].sealing[p - 1];
        }
    }
    return NULL;
}

const uint8_t *keys_signing(const struct keys *k, uint32_t *ret_signer)
{
    if (!k->signs) {
        return NULL;
    }
    if (ret_signer != NULL) {
        *ret_signer = k->signer;
    }
    return k->sign;
}

const uint8_t *keys_public(const struct keys *k, uint32_t signer)
{
    for (size_t i = 0; i < k->n_publics; i++) {
        if (k->publics[i].id == signer) {
            return k->publics[i].key;
        }
    }
    return NULL;
}
