// SPDX-License-Identifier: Apache-2.0
// The credential that counts is the first that starts with sk-sluice-; everything else is a
// stranger's string that we neither check nor pass on.
#include "dataplane/auth.h"

#include "common/io/crypto.h"

#define PREFIX SLICE("sk-sluice-")

bool auth_is_ours(struct slice credential)
{
    return slice_starts(credential, PREFIX);
}

// "sk-sluice-<id>-<secret>" -> id, secret.
static bool split(struct slice credential, struct slice *ret_id, struct slice *ret_secret)
{
    struct slice rest = slice_from(credential, PREFIX.n);
    struct slice secret = slice_cut(rest, '-', ret_id);

    *ret_secret = secret;
    return ret_id->n > 0 && ret_id->n <= RESOURCE_ID_MAX && secret.n > 0 && secret.n <= 256;
}

static bool secret_matches(const struct resource_settings *set, const struct resource_key *key,
                           struct slice secret, uint64_t wall_us)
{
    uint8_t hash[sizeof(key->hash)];

    crypto_keyed_hash(hash, sizeof(hash), set->key_hash_key, &secret, 1);
    return crypto_equal(hash, key->hash, sizeof(hash)) ||
           (wall_us < key->previous_until_wall_us && key->previous_hash.n == sizeof(hash) &&
            crypto_equal(hash, key->previous_hash.p, sizeof(hash)));
}

static enum auth_result check_key(const struct snapshot *s, struct slice credential,
                                  uint64_t wall_us, struct auth_caller *ret)
{
    struct slice id, secret;
    const struct resource *r;

    if (!split(credential, &id, &secret)) {
        return AUTH_UNKNOWN;
    }
    r = snapshot_find(s, RESOURCE_KEY, id);
    if (r == NULL || !secret_matches(snapshot_settings(s), r->u.key, secret, wall_us)) {
        return AUTH_UNKNOWN;
    }
    // Only who knows the secret learns that the key exists and what became of it.
    if (r->u.key->state != RESOURCE_ACTIVE) {
        return AUTH_DISABLED;
    }
    if (r->u.key->expires_wall_us != 0 && wall_us >= r->u.key->expires_wall_us) {
        return AUTH_EXPIRED;
    }
    *ret = (struct auth_caller){r, slice_str(r->id)};
    return AUTH_OK;
}

enum auth_result auth_check(const struct snapshot *s, enum resource_auth_mode mode,
                            const struct slice credentials[4], uint64_t wall_us,
                            struct auth_caller *ret)
{
    *ret = (struct auth_caller){NULL, SLICE("anonymous")};
    if (mode == RESOURCE_AUTH_OFF) {
        return AUTH_OK;
    }
    for (size_t i = 0; i < 4; i++) {
        if (auth_is_ours(credentials[i])) {
            return check_key(s, credentials[i], wall_us, ret);
        }
    }
    if (mode == RESOURCE_AUTH_OPTIONAL) {
        return AUTH_OK;
    }
    for (size_t i = 0; i < 4; i++) {
        if (credentials[i].n > 0) {
            return AUTH_UNKNOWN;
        }
    }
    return AUTH_MISSING;
}
