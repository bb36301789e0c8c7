// SPDX-License-Identifier: Apache-2.0
// Sealing and signing with the keys of keys.h. Any thread.
#ifndef SLUICE_PROTO_SEAL_H
#define SLUICE_PROTO_SEAL_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/crypto.h"
#include "proto/keys.h"

// Appends the sealed text (text.n + CRYPTO_TAG_BYTES) and gives the fresh random nonce. The secret
// in use is keys_current(k): callers put its id into the associated data. Dies at out's ceiling.
void seal_close(const struct keys *k, enum keys_purpose p, struct slice associated,
                struct slice text, uint8_t ret_nonce[CRYPTO_NONCE_BYTES], struct buf *out);
// Appends the plain text. False: unknown key id, not authentic, or out too small.
MUST_CHECK bool seal_open(const struct keys *k, enum keys_purpose p, uint32_t key_id,
                          struct slice associated, const uint8_t nonce[CRYPTO_NONCE_BYTES],
                          struct slice sealed, struct buf *out);

// Signs the BLAKE2b digest of the parts (each preceded by its length). The process must have a
// signing key.
void seal_sign(const struct keys *k, const struct slice *parts, size_t n,
               uint8_t ret_signature[CRYPTO_SIGNATURE_BYTES]);
// False: signer not trusted, or not its signature.
MUST_CHECK bool seal_verify(const struct keys *k, uint32_t signer, const struct slice *parts,
                            size_t n, const uint8_t signature[CRYPTO_SIGNATURE_BYTES]);

#endif
