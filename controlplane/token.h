// SPDX-License-Identifier: Apache-2.0
// Tokens of the admin API besides the one of the file: in Redis (NAMES_TOKENS), only a keyed hash
// of each, and a copy here that is read again every second: what one control plane writes holds for
// the others a second later at most, and without Redis the last copy goes on. Loop thread only.
//
//   sluice-admin-<id>-<secret>        id 12, secret 43 base62 characters
#ifndef SLUICE_CONTROLPLANE_TOKEN_H
#define SLUICE_CONTROLPLANE_TOKEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/json.h"
#include "common/io/loop.h"
#include "controlplane/store.h"

#define TOKEN_PREFIX       "sluice-admin-"
#define TOKEN_ID_CHARS     12u
#define TOKEN_SECRET_CHARS 43u
#define TOKEN_TEXT_MAX     (sizeof(TOKEN_PREFIX) + TOKEN_ID_CHARS + 1 + TOKEN_SECRET_CHARS)
#define TOKEN_NAME_MAX     128u
#define TOKENS_MAX         1000u

// Bits. What a token may do; each route needs one of them.
enum token_scope {
    TOKEN_READ = 1, // every GET but those of tokens
    TOKEN_KEYS = 2, // virtual keys, teams, users; and READ
    TOKEN_ADMIN = 4 // everything
};

struct token {
    char id[TOKEN_ID_CHARS + 1];
    char name[TOKEN_NAME_MAX + 1];
    unsigned scopes;
    uint8_t hash[32];
    uint64_t created_wall_us, expires_wall_us; // 0 = never
};

struct tokens;

// Reads from now on.
struct tokens *tokens_new(struct loop *l, struct store *s);
// After the store was freed, which has answered its question. *t becomes NULL; NULL allowed.
void tokens_free(struct tokens **t);
// Whose is it? NULL: nobody's, or expired. Borrowed until the next turn.
const struct token *tokens_check(const struct tokens *t, struct slice text);
const struct token *tokens_find(const struct tokens *t, struct slice id);
size_t tokens_count(const struct tokens *t);
// The oldest first.
void tokens_each(const struct tokens *t, void (*fn)(void *ctx, const struct token *one), void *ctx);
// What was just written by us: in force here at once.
void tokens_put(struct tokens *t, const struct token *one);
void tokens_drop(struct tokens *t, struct slice id);

// The token for an id and a salt under the nth master key, which no proxy has; its hash goes into
// `one`. The caller wipes `out`. False: the settings that hold the key of the hashes are not loaded
// yet.
MUST_CHECK bool tokens_make(struct store *s, size_t nth, struct token *one, struct slice salt,
                            char out[TOKEN_TEXT_MAX]);
// The value in Redis, and back. False: damaged.
void tokens_encode(const struct token *one, struct buf *out);
MUST_CHECK bool tokens_decode(struct slice id, struct slice value, struct token *ret);
// "read keys": the scopes as a JSON list, and back (with problems noted).
void tokens_put_scopes(struct json_out *o, unsigned bits);
unsigned tokens_read_scopes(const struct json_at *list, struct json_report *r);

#endif
