// SPDX-License-Identifier: Apache-2.0
// The keys that bind the planes together, read from files.
//
//   cluster-secret      both planes   32 random bytes: seals every message and the proxies' files
//   signing-key         control       Ed25519 seed: signs what the control plane sends
//   control-public-key  proxies       public keys whose signatures are accepted
//
// Each file holds one key a line, base64 or hex; blank lines and lines starting with '#' are
// skipped. The first key is the one used for sealing or signing, all are accepted when opening or
// verifying: to rotate, append the new key everywhere, then move it to the front everywhere, then
// remove the old one (`sluice rotate`), with a SIGHUP after each. Every key has an id made from its
// content; it travels with the message. A line "cluster=<name>" in the cluster-secret file names
// the cluster, so that two clusters which share a secret by mistake still do not mix.
#ifndef SLUICE_PROTO_KEYS_H
#define SLUICE_PROTO_KEYS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/err.h"
#include "common/base/slice.h"

#define KEYS_CLUSTER_BYTES 8u
#define KEYS_MAX           16u // of one file

// Independent sealing keys, so that a message can never be taken for one of another kind.
enum keys_purpose {
    KEYS_BROADCAST = 1, // control plane, PUB
    KEYS_ANSWER = 2,    // control plane, REP
    KEYS_UPWARD = 3,    // proxies, REQ and PUSH
    KEYS_FILE = 4,      // a proxy's last-known-good file
};
#define KEYS_PURPOSES 4u

struct keys_files {
    const char *cluster_secret; // required
    const char *signing_key;    // NULL on proxies
    const char *public_keys;    // NULL on control planes
};

struct keys; // immutable after loading, ref-counted (atomic), in locked memory; any thread

// One reference; NULL with *e naming file and line. A file that others may read is refused (except
// public keys).
MUST_CHECK struct keys *keys_load(const struct keys_files *f, struct err *e);
// The files once more, while `now` is in use: what keys_load says, and ERR_CONFLICT where they name
// another cluster, which takes a restart.
MUST_CHECK struct keys *keys_reload(const struct keys_files *f, const struct keys *now,
                                    struct err *e);
struct keys *keys_ref(struct keys *k);
// Wipes at the last reference. *k becomes NULL; NULL allowed.
void keys_unref(struct keys **k);
// Writes new cluster-secret, signing-key and control-public-key into the directory (made if need
// be), mode 0600. Files that exist are left alone; signing-key and control-public-key go together.
MUST_CHECK bool keys_create(const char *dir, struct err *e);

// One key of 32 bytes from a line of such a file; false: it is none.
MUST_CHECK bool keys_parse(struct slice line, uint8_t out[32]);

// "secrets 1a2b3c4d 5e6f7081; signs 9d8c7b6a; trusts 9d8c7b6a": ids in the order of the files, for
// logs and people. Replaces what is in out.
void keys_describe(const struct keys *k, struct buf *out);

const uint8_t *keys_cluster(const struct keys *k); // KEYS_CLUSTER_BYTES
uint32_t keys_current(const struct keys *k);       // id of the cluster secret in use
// CRYPTO_KEY_BYTES, or NULL when the secret is unknown.
const uint8_t *keys_sealing(const struct keys *k, uint32_t key_id, enum keys_purpose p);
// Expanded signing key in use and its id; NULL when there is none.
const uint8_t *keys_signing(const struct keys *k, uint32_t *ret_signer);
// CRYPTO_PUBLIC_BYTES, or NULL when that signer is not trusted.
const uint8_t *keys_public(const struct keys *k, uint32_t signer);

#endif
