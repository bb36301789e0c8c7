// SPDX-License-Identifier: Apache-2.0
// The copy is a map that is filled anew by each HGETALL; a token that was written here meanwhile is
// put in by hand, so that whoever made it can use it at once.
#include "controlplane/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/base/text.h"
#include "controlplane/names.h"

#define EVERY_US  (1 * MONO_SEC)
#define REDIS_US  (800 * MONO_MS)
#define VALUE_MAX 4096u
#define SCOPE_N   3u

static const struct {
    const char *name;
    unsigned bit;
} scopes[SCOPE_N] = {{"read", TOKEN_READ}, {"keys", TOKEN_KEYS}, {"admin", TOKEN_ADMIN}};

struct tokens {
    struct loop *loop;
    struct store *store;
    struct loop_timer timer;
    struct map all;    // id -> struct token, owned
    unsigned writes;   // of ours; an answer that was on its way meanwhile is not believed
    unsigned asked_at; // `writes` when it was asked
    bool asking;
};

static void clear(struct map *m)
{
    map_foreach (e, m) {
        mem_free(e->value);
    }
    map_done(m);
    map_init(m);
}

static void put(struct map *m, const struct token *one)
{
    struct token *copy = mem_zalloc(sizeof(*copy));

    *copy = *one;
    mem_free(map_put(m, slice_str(copy->id), copy));
}

// --- Redis --------------------------------------------------------------------------------------

static void on_all(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct tokens *t = arg;
    struct token one;

    t->asking = false;
    if (e != NULL || t->asked_at != t->writes) {
        return; // the next time
    }
    clear(&t->all);
    for (size_t i = 0; i + 1 < redis_count(r) && map_count(&t->all) < TOKENS_MAX; i += 2) {
        if (tokens_decode(redis_text(redis_item(r, i)), redis_text(redis_item(r, i + 1)), &one)) {
            put(&t->all, &one);
        } else {
            LOG(ERROR, "token.bad_record");
        }
    }
}

static void on_timer(struct loop_timer *timer)
{
    struct tokens *t = container_of(timer, struct tokens, timer);

    loop_timer_set(t->loop, timer, loop_now_us(t->loop) + EVERY_US);
    if (!t->asking && redis_is_up(store_redis(t->store))) {
        t->asking = true;
        t->asked_at = t->writes;
        redis_command(store_redis(t->store),
                      (const struct slice[]){SLICE("HGETALL"), SLICE(NAMES_TOKENS)}, 2, REDIS_US,
                      on_all, t);
    }
}

struct tokens *tokens_new(struct loop *l, struct store *s)
{
    struct tokens *t = mem_zalloc(sizeof(*t));

    t->loop = l;
    t->store = s;
    map_init(&t->all);
    t->timer.fn = on_timer;
    loop_timer_set(l, &t->timer, loop_now_us(l));
    return t;
}

void tokens_free(struct tokens **tp)
{
    struct tokens *t = *tp;

    if (t == NULL) {
        return;
    }
    *tp = NULL;
    loop_timer_cancel(t->loop, &t->timer);
    CHECK(!t->asking);
    clear(&t->all);
    map_done(&t->all);
    mem_free(t);
}

void tokens_put(struct tokens *t, const struct token *one)
{
    t->writes++;
    put(&t->all, one);
}

void tokens_drop(struct tokens *t, struct slice id)
{
    t->writes++;
    mem_free(map_del(&t->all, id));
}

const struct token *tokens_find(const struct tokens *t, struct slice id)
{
    return map_get(&t->all, id);
}

size_t tokens_count(const struct tokens *t)
{
    return map_count(&t->all);
}

static int by_age(const void *a, const void *b)
{
    const struct token *const *x = a, *const *y = b;

    if ((*x)->created_wall_us != (*y)->created_wall_us) {
        return (*x)->created_wall_us < (*y)->created_wall_us ? -1 : 1;
    }
    return strcmp((*x)->id, (*y)->id);
}

void tokens_each(const struct tokens *t, void (*fn)(void *ctx, const struct token *one), void *ctx)
{
    const struct token **list = mem_zalloc_array(map_count(&t->all) + 1, sizeof(struct token *));
    size_t n = 0;

    map_foreach (e, &t->all) {
        list[n++] = e->value;
    }
    qsort(list, n, sizeof(struct token *), by_age); // the map's order changes with each HGETALL
    for (size_t i = 0; i < n; i++) {
        fn(ctx, list[i]);
    }
    mem_free(list);
}

// --- secrets ------------------------------------------------------------------------------------

// What keys the hashes: the installation's, which outlives master keys.
static const uint8_t *hash_key(struct store *s)
{
    const struct resource *r = state_find(store_state(s), RESOURCE_SETTINGS, SLICE("global"));

    return r == NULL ? NULL : r->u.settings->key_hash_key;
}

bool tokens_make(struct store *s, size_t nth, struct token *one, struct slice salt,
                 char out[TOKEN_TEXT_MAX])
{
    static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    const uint8_t *key = hash_key(s);
    struct slice parts[] = {SLICE("admin token "), slice_str(one->id), SLICE(" "), salt};
    uint8_t bytes[64];
    struct slice text;
    size_t n;

    if (key == NULL) {
        return false;
    }
    n = (size_t)snprintf(out, TOKEN_TEXT_MAX, "%s%s-", TOKEN_PREFIX, one->id); // fits
    crypto_keyed_hash(bytes, sizeof(bytes), store_keys(s)->list[nth].secret, parts,
                      ARRAY_LEN(parts));
    for (size_t i = 0; i < TOKEN_SECRET_CHARS; i++) {
        out[n++] = digits[bytes[i] % 62]; // 5.95 bits each: more than 250 in all
    }
    out[n] = '\0';
    mem_wipe(bytes, sizeof(bytes));
    text = slice_str(out);
    crypto_keyed_hash(one->hash, sizeof(one->hash), key, &text, 1);
    return true;
}

const struct token *tokens_check(const struct tokens *t, struct slice text)
{
    const uint8_t *key = hash_key(t->store);
    const struct token *one;
    uint8_t hash[32];
    struct slice id;

    if (key == NULL || !slice_starts(text, SLICE(TOKEN_PREFIX)) || text.n >= TOKEN_TEXT_MAX) {
        return NULL;
    }
    (void)slice_cut(slice_from(text, sizeof(TOKEN_PREFIX) - 1), '-', &id);
    one = map_get(&t->all, id);
    crypto_keyed_hash(hash, sizeof(hash), key, &text, 1);
    if (one == NULL || !crypto_equal(hash, one->hash, sizeof(hash)) ||
        (one->expires_wall_us != 0 && loop_wall_us(t->loop) >= one->expires_wall_us)) {
        return NULL;
    }
    return one;
}

// --- JSON ---------------------------------------------------------------------------------------

void tokens_put_scopes(struct json_out *o, unsigned bits)
{
    json_out_open(o, '[');
    for (size_t i = 0; i < SCOPE_N; i++) {
        if (bits & scopes[i].bit) {
            json_out_text(o, slice_str(scopes[i].name));
        }
    }
    json_out_close(o, ']');
}

unsigned tokens_read_scopes(const struct json_at *list, struct json_report *r)
{
    unsigned bits = 0;

    if (!json_want_list(list, 8, r)) {
        return 0;
    }
    for (size_t i = 0; i < json_size(list); i++) {
        struct json_at at = json_element(list, i);
        struct slice s;
        unsigned bit = 0;

        if (!json_want_text(&at, 1, 20, &s, r)) {
            continue;
        }
        for (size_t k = 0; k < SCOPE_N; k++) {
            bit = slice_eq_str(s, scopes[k].name) ? scopes[k].bit : bit;
        }
        if (bit == 0) {
            json_note(r, &at, "must be \"read\", \"keys\" or \"admin\"");
        }
        bits |= bit;
    }
    if (json_size(list) == 0) {
        json_note(r, list, "must have at least one scope");
    }
    return bits;
}

void tokens_encode(const struct token *one, struct buf *out)
{
    struct json_out o = json_out_to(out);
    char hex[65];

    text_hex(one->hash, sizeof(one->hash), hex);
    json_out_open(&o, '{');
    json_out_field_str(&o, "name", one->name);
    json_out_key(&o, "scopes");
    tokens_put_scopes(&o, one->scopes);
    json_out_field_str(&o, "hash", hex);
    json_out_field_u64(&o, "created", one->created_wall_us);
    json_out_field_u64(&o, "expires", one->expires_wall_us);
    json_out_close(&o, '}');
}

static bool read_u64(const struct json_at *root, const char *name, uint64_t *ret,
                     struct json_report *r)
{
    struct json_at at = json_member(root, name);
    int64_t v = 0;

    if (!json_want_int(&at, 0, INT64_MAX, &v, r)) {
        return false;
    }
    *ret = (uint64_t)v;
    return true;
}

bool tokens_decode(struct slice id, struct slice value, struct token *ret)
{
    struct json_value *doc = json_parse(value, VALUE_MAX, 4, NULL);
    struct json_at root = json_root(doc), name = json_member(&root, "name"),
                   list = json_member(&root, "scopes"), hash = json_member(&root, "hash");
    struct json_report r = {0};
    struct slice name_text, hash_text;
    bool ok = doc != NULL && id.n > 0 && id.n <= TOKEN_ID_CHARS &&
              json_want_raw_text(&name, 0, TOKEN_NAME_MAX, &name_text, &r) &&
              json_want_text(&hash, 64, 64, &hash_text, &r);

    *ret = (struct token){0};
    ok = ok && text_unhex(hash_text, ret->hash, sizeof(ret->hash)) &&
         read_u64(&root, "created", &ret->created_wall_us, &r) &&
         read_u64(&root, "expires", &ret->expires_wall_us, &r);
    if (ok) {
        memcpy(ret->id, id.p, id.n);
        memcpy(ret->name, name_text.p, name_text.n);
        ret->scopes = tokens_read_scopes(&list, &r);
        ok = r.n == 0;
    }
    json_free(&doc);
    return ok;
}
