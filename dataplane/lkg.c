// SPDX-License-Identifier: Apache-2.0
// The last-known-good file.
//
//   "SLUICE-LKG-1\n" | key id u32 | file id 16         (integers little-endian)
//   block 0:  length u32 | last u8 | nonce 24 | sealed: epoch 16, seq, digest, count, wall time
//   (u64) block n:  length u32 | last u8 | nonce 24 | sealed: FileBlock (items)
//
// Each block is sealed on its own with (file id, number, last) as associated data, so blocks cannot
// be cut off, swapped, or come from another file. Written to a temporary file, flushed, then
// renamed over the old one, whose previous generations are kept as ".1" and ".2".
#include "dataplane/lkg.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"
#include "proto/message.h"
#include "proto/seal.h"

#define TRIM_KEYS 10000u // a state of so many keys is worth it
// A second after a change, and later where a write is long (100,000 keys: 0.1 s): it shall not take
// more than a tenth of a core from the requests.
#define EVERY_US      MONO_SEC
#define SHARE         10u
#define LATEST_US     (5 * MONO_SEC)
#define NAME          "last-known-good"
#define MAGIC         "SLUICE-LKG-1\n"
#define MAGIC_BYTES   (sizeof(MAGIC) - 1)
#define ID_BYTES      16
#define HEAD_BYTES    (MAGIC_BYTES + 4 + ID_BYTES)
#define BLOCK_HEAD    (4 + 1 + CRYPTO_NONCE_BYTES)
#define SUMMARY_BYTES (16 + 4 * 8)
#define ITEMS_MAX     2048u
#define PATH_MAX_     4096
#define SEALED_MAX    (MESSAGE_BYTES_MAX + CRYPTO_TAG_BYTES)
#define COUNT_MAX     (4u * 1024 * 1024)

// Newest first.
static const char *const generations[] = {"", ".1", ".2"};

struct lkg {
    const char *dir;
    pthread_t thread;
    pthread_mutex_t lock; // everything below
    pthread_cond_t wake;
    struct keys *keys;     // one reference
    struct snapshot *next; // one reference; NULL: nothing to write
    uint64_t due_us;       // when `next` is written
    uint64_t took_us;      // to write the last one
    bool stop;             // write what there is and end
    bool complained;       // helper thread only
};

static void put_int(char *at, uint64_t v, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        at[i] = (char)(v >> (8 * i));
    }
}

static uint64_t get_int(const char *at, unsigned n)
{
    uint64_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        v |= (uint64_t)(uint8_t)at[i] << (8 * i);
    }
    return v;
}

static bool make_path(char out[PATH_MAX_], const char *dir, const char *suffix)
{
    int n = snprintf(out, PATH_MAX_, "%s/" NAME "%s", dir, suffix);

    return n > 0 && n < PATH_MAX_;
}

// What binds a block to its place.
struct place {
    char bytes[MAGIC_BYTES + 4 + ID_BYTES + 4 + 1];
};

static struct slice place_of(struct place *p, const char head[HEAD_BYTES], uint32_t number,
                             bool last)
{
    memcpy(p->bytes, head, HEAD_BYTES);
    put_int(p->bytes + HEAD_BYTES, number, 4);
    p->bytes[HEAD_BYTES + 4] = (char)last;
    return SLICE_MAKE(p->bytes, sizeof(p->bytes));
}

// ---- writing ---------------------------------------------------------------------------------

struct writer {
    const struct keys *keys;
    int fd;
    char head[HEAD_BYTES];
    uint32_t number; // of the next block
    bool failed;     // errno says why
    struct buf encoded, sealed, plain;
    struct message_item items[ITEMS_MAX]; // .resource.p are offsets until the block is closed
    size_t n_items, item_bytes;
};

static void write_all(struct writer *w, struct slice s)
{
    while (!w->failed && s.n > 0) {
        ssize_t n = write(w->fd, s.p, s.n);

        if (n < 0 && errno != EINTR) {
            w->failed = true;
        } else if (n > 0) {
            s = slice_from(s, (size_t)n);
        }
    }
}

static void wipe(struct buf *b)
{
    if (b->p != NULL) {
        mem_wipe(b->p, b->off + b->n);
    }
    buf_clear(b);
}

static void write_block(struct writer *w, struct slice text, bool last)
{
    uint8_t nonce[CRYPTO_NONCE_BYTES];
    char head[BLOCK_HEAD];
    struct place place;

    buf_clear(&w->sealed);
    seal_close(w->keys, KEYS_FILE, place_of(&place, w->head, w->number++, last), text, nonce,
               &w->sealed);
    put_int(head, w->sealed.n, 4);
    head[4] = (char)last;
    memcpy(head + 5, nonce, sizeof(nonce));
    write_all(w, SLICE_MAKE(head, sizeof(head)));
    write_all(w, buf_slice(&w->sealed));
}

static void close_items(struct writer *w, bool last)
{
    size_t offset = 0;

    for (size_t i = 0; i < w->n_items; i++) {
        w->items[i].resource.p = w->encoded.p + w->encoded.off + offset;
        offset += w->items[i].resource.n;
    }
    wipe(&w->plain);
    message_encode_items(w->items, w->n_items, &w->plain);
    write_block(w, buf_slice(&w->plain), last);
    wipe(&w->plain);
    wipe(&w->encoded);
    w->n_items = w->item_bytes = 0;
}

static bool write_resource(void *ctx, const struct resource *r)
{
    struct writer *w = ctx;
    struct message_item *item;
    size_t before;

    if (w->n_items == ITEMS_MAX || w->item_bytes > MESSAGE_CHUNK) {
        close_items(w, false);
    }
    before = w->encoded.n;
    resource_encode(r, &w->encoded);
    item = &w->items[w->n_items++];
    *item = (struct message_item){
        .kind = r->kind,
        .id = r->id,
        .version = r->version,
        .resource = {NULL, w->encoded.n - before},
    };
    w->item_bytes += message_item_size(item);
    return !w->failed;
}

static void write_summary(struct writer *w, const struct snapshot *s)
{
    char text[SUMMARY_BYTES];
    uint64_t count = 0;

    for (unsigned kind = 1; kind <= RESOURCE_KIND_MAX; kind++) {
        count += snapshot_count(s, kind);
    }
    memcpy(text, snapshot_epoch(s), 16);
    put_int(text + 16, snapshot_seq(s), 8);
    put_int(text + 24, snapshot_digest(s), 8);
    put_int(text + 32, count, 8);
    put_int(text + 40, mono_wall_us(), 8);
    write_block(w, SLICE_MAKE(text, sizeof(text)), false);
}

static void write_snapshot(struct writer *w, const struct snapshot *s)
{
    // Room for a chunk and the resource that overflows it, reserved whole: growing would leave
    // copies of provider keys behind.
    const size_t room = MESSAGE_CHUNK + 2 * (size_t)RESOURCE_BYTES_MAX;

    buf_init(&w->encoded, room);
    buf_init(&w->plain, 2 * room);
    buf_init(&w->sealed, 2 * room + CRYPTO_TAG_BYTES);
    CHECK(buf_try_reserve(&w->encoded, room) && buf_try_reserve(&w->plain, 2 * room));
    memcpy(w->head, MAGIC, MAGIC_BYTES);
    put_int(w->head + MAGIC_BYTES, keys_current(w->keys), 4);
    crypto_random(w->head + MAGIC_BYTES + 4, ID_BYTES);
    write_all(w, SLICE_MAKE(w->head, HEAD_BYTES));
    write_summary(w, s);
    for (unsigned kind = 1; kind <= RESOURCE_KIND_MAX; kind++) {
        snapshot_each(s, kind, write_resource, w);
    }
    close_items(w, true);
    buf_done(&w->encoded);
    buf_done(&w->plain);
    buf_done(&w->sealed);
}

static void sync_dir(const char *dir)
{
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fsync(fd); // at worst the older generation is there after a power cut
        (void)close(fd);
    }
}

// Each generation becomes the one before it; the oldest goes.
static void age(const char *dir)
{
    for (size_t i = ARRAY_LEN(generations) - 1; i > 0; i--) {
        char from[PATH_MAX_], to[PATH_MAX_];

        if (make_path(from, dir, generations[i - 1]) && make_path(to, dir, generations[i])) {
            (void)rename(from, to); // there may be none
        }
    }
}

static bool save(struct lkg *l, const struct keys *keys, const struct snapshot *s, struct err *e)
{
    char tmp[PATH_MAX_], now[PATH_MAX_];
    struct writer *w;
    bool ok;

    if (!make_path(tmp, l->dir, ".tmp") || !make_path(now, l->dir, "")) {
        return err_set(e, ERR_INVALID, "%s: path too long", l->dir);
    }
    w = mem_zalloc(sizeof(*w));
    w->keys = keys;
    w->fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    w->failed = w->fd < 0;
    if (!w->failed) {
        write_snapshot(w, s);
        w->failed = w->failed || fsync(w->fd) != 0;
        (void)close(w->fd);
    }
    ok = !w->failed;
    if (ok) {
        age(l->dir);
        ok = rename(tmp, now) == 0;
    }
    if (!ok) {
        err_set(e, ERR_IO, "%s: %s", tmp, strerror(errno));
    } else {
        sync_dir(l->dir);
    }
    mem_free(w);
    return ok;
}

static void write_one(struct lkg *l, const struct keys *keys, struct snapshot *s)
{
    struct err e = {0};

    if (save(l, keys, s, &e)) {
        l->complained = false;
        LOG(DEBUG, "lkg.saved", LOG_UINT("seq", snapshot_seq(s)));
    } else if (!l->complained) {
        l->complained = true;
        LOG(ERROR, "lkg.not_saved", LOG_ERR(&e));
    }
}

// Until there is something to write and it is due; true: to end. Under the lock, which is given up
// meanwhile.
static bool wait_for_work(struct lkg *l)
{
    while (!l->stop && (l->next == NULL || l->due_us > mono_now_us())) {
        const struct timespec due = {(time_t)(l->due_us / MONO_SEC),
                                     (long)(l->due_us % MONO_SEC * 1000)};

        if (l->next == NULL) {
            CHECK(pthread_cond_wait(&l->wake, &l->lock) == 0);
        } else {
            (void)pthread_cond_timedwait(&l->wake, &l->lock, &due); // or it has timed out
        }
    }
    return l->next == NULL;
}

static void *helper(void *arg)
{
    struct lkg *l = arg;

    proc_name_thread("sluice-file");
    proc_lower_thread();
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    while (!wait_for_work(l)) {
        struct snapshot *s = l->next;
        struct keys *keys = keys_ref(l->keys);
        uint64_t began_us = mono_now_us();

        l->next = NULL;
        CHECK(pthread_mutex_unlock(&l->lock) == 0);
        write_one(l, keys, s);
        if (snapshot_count(s, RESOURCE_KEY) > TRIM_KEYS) {
            mem_trim_later(); // of some 60 bytes a key that the file took, and what the last state
                              // left
        }
        snapshot_unref(&s);
        keys_unref(&keys);
        CHECK(pthread_mutex_lock(&l->lock) == 0);
        l->took_us = mono_now_us() - began_us;
    }
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    return NULL;
}

struct lkg *lkg_new(const char *dir, struct keys *keys, struct err *e)
{
    struct lkg *l = mem_zalloc(sizeof(*l));
    pthread_condattr_t monotonic;
    int rc;

    l->dir = dir;
    l->keys = keys_ref(keys);
    CHECK(pthread_mutex_init(&l->lock, NULL) == 0);
    CHECK(pthread_condattr_init(&monotonic) == 0);
    CHECK(pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&l->wake, &monotonic) == 0);
    CHECK(pthread_condattr_destroy(&monotonic) == 0);
    rc = pthread_create(&l->thread, NULL, helper, l);
    if (rc != 0) {
        err_set(e, ERR_UNAVAILABLE, "thread for the last-known-good file: %s", strerror(rc));
        (void)pthread_cond_destroy(&l->wake);
        (void)pthread_mutex_destroy(&l->lock);
        keys_unref(&l->keys);
        mem_free(l);
        return NULL;
    }
    return l;
}

void lkg_free(struct lkg **lp)
{
    struct lkg *l = *lp;

    *lp = NULL;
    if (l == NULL) {
        return;
    }
    CHECK(pthread_mutex_lock(&l->lock) == 0);
    l->stop = true;
    CHECK(pthread_cond_signal(&l->wake) == 0);
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    CHECK(pthread_join(l->thread, NULL) == 0);
    (void)pthread_cond_destroy(&l->wake);
    (void)pthread_mutex_destroy(&l->lock);
    keys_unref(&l->keys);
    mem_free(l);
}

void lkg_set_keys(struct lkg *l, struct keys *keys)
{
    struct keys *old;

    CHECK(pthread_mutex_lock(&l->lock) == 0);
    old = l->keys;
    l->keys = keys_ref(keys);
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    keys_unref(&old);
}

static void give(struct lkg *l, struct snapshot *s, bool now)
{
    struct snapshot *old;
    uint64_t wait_us;

    CHECK(pthread_mutex_lock(&l->lock) == 0);
    old = l->next;
    l->next = snapshot_ref(s);
    wait_us = SHARE * l->took_us;
    wait_us = wait_us < EVERY_US ? EVERY_US : wait_us > LATEST_US ? LATEST_US : wait_us;
    if (now) {
        l->due_us = mono_now_us();
    } else if (old == NULL) {
        l->due_us = mono_now_us() + wait_us;
    }
    CHECK(pthread_cond_signal(&l->wake) == 0);
    CHECK(pthread_mutex_unlock(&l->lock) == 0);
    snapshot_unref(&old);
}

void lkg_save(struct lkg *l, struct snapshot *s)
{
    give(l, s, true);
}

void lkg_save_soon(struct lkg *l, struct snapshot *s)
{
    give(l, s, false);
}

// ---- reading ---------------------------------------------------------------------------------

struct reader {
    const struct keys *keys;
    int fd;
    char head[HEAD_BYTES];
    uint32_t number;
    bool last;
    struct buf sealed, plain;
    struct arena arena;
    uint8_t epoch[16];
    uint64_t seq, digest, count;
    struct resource **list; // owned references
    size_t n, cap;
};

// Exactly n bytes; false: end of file or error.
static bool read_all(struct reader *r, char *at, size_t n)
{
    while (n > 0) {
        ssize_t got = read(r->fd, at, n);

        if (got == 0 || (got < 0 && errno != EINTR)) {
            return false;
        }
        if (got > 0) {
            at += got;
            n -= (size_t)got;
        }
    }
    return true;
}

// Opens the next block into r->plain.
static bool read_block(struct reader *r, struct err *e)
{
    char head[BLOCK_HEAD], *at;
    struct place place;
    uint32_t key_id = (uint32_t)get_int(r->head + MAGIC_BYTES, 4);
    size_t n, room;

    if (!read_all(r, head, sizeof(head))) {
        return err_set(e, ERR_INVALID, "truncated in block %u", r->number);
    }
    n = (size_t)get_int(head, 4);
    r->last = head[4] != 0;
    if (n > SEALED_MAX || (uint8_t)head[4] > 1) {
        return err_set(e, ERR_INVALID, "damaged: head of block %u (%zu bytes)", r->number, n);
    }
    buf_clear(&r->sealed);
    CHECK(buf_try_reserve(&r->sealed, n));
    at = buf_tail(&r->sealed, &room);
    if (!read_all(r, at, n)) {
        return err_set(e, ERR_INVALID, "truncated in block %u", r->number);
    }
    buf_commit(&r->sealed, n);
    wipe(&r->plain);
    if (!seal_open(r->keys, KEYS_FILE, key_id, place_of(&place, r->head, r->number, r->last),
                   (const uint8_t *)head + 5, buf_slice(&r->sealed), &r->plain)) {
        return err_set(e, ERR_DENIED, "damaged: block %u is not authentic", r->number);
    }
    r->number++;
    return true;
}

static bool read_head(struct reader *r, struct err *e)
{
    const char *p;

    if (!read_all(r, r->head, HEAD_BYTES)) {
        return err_set(e, ERR_INVALID, "truncated in its head");
    }
    if (memcmp(r->head, MAGIC, MAGIC_BYTES) != 0) {
        return err_set(e, ERR_INVALID, "not a last-known-good file of this version");
    }
    if (keys_sealing(r->keys, (uint32_t)get_int(r->head + MAGIC_BYTES, 4), KEYS_FILE) == NULL) {
        return err_set(e, ERR_DENIED, "sealed with another cluster secret");
    }
    if (!read_block(r, e)) {
        return false;
    }
    if (r->plain.n != SUMMARY_BYTES) {
        return err_set(e, ERR_INVALID, "damaged: its summary has %zu bytes", r->plain.n);
    }
    p = buf_slice(&r->plain).p;
    memcpy(r->epoch, p, 16);
    r->seq = get_int(p + 16, 8);
    r->digest = get_int(p + 24, 8);
    r->count = get_int(p + 32, 8);
    return r->count <= COUNT_MAX || err_set(e, ERR_TOO_LARGE, "too many resources");
}

static bool add_items(struct reader *r, struct err *e)
{
    const struct message_item *items;
    size_t n;

    arena_reset(&r->arena);
    if (!message_decode_items(buf_slice(&r->plain), &r->arena, &items, &n, e)) {
        return false;
    }
    if (n > r->count - r->n) {
        return err_set(e, ERR_INVALID, "more resources than it announces");
    }
    for (size_t i = 0; i < n; i++) {
        struct resource *one = resource_decode(items[i].resource, e);
        char *bytes;

        memcpy(&bytes, &items[i].resource.p, sizeof(bytes)); // ours, in the arena
        mem_wipe(bytes, items[i].resource.n);
        if (one == NULL) {
            return err_prefix(e, "\"%s\"", items[i].id);
        }
        if (r->n == r->cap) {
            r->cap = r->cap == 0 ? 1024 : 2 * r->cap;
            r->list = mem_realloc_array(r->list, r->cap, sizeof(struct resource *));
        }
        r->list[r->n++] = one;
    }
    return true;
}

static struct snapshot *read_snapshot(struct reader *r, struct err *e)
{
    struct snapshot *s = NULL;
    bool ok = read_head(r, e);

    while (ok && !r->last) {
        ok = read_block(r, e) && add_items(r, e);
    }
    if (ok && r->n != r->count) {
        ok = err_set(e, ERR_INVALID, "fewer resources than it announces");
    }
    if (ok) {
        s = snapshot_new(r->epoch, r->seq, r->list, r->n);
        if (snapshot_digest(s) != r->digest) {
            err_set(e, ERR_INVALID, "its digest does not match");
            snapshot_unref(&s);
        }
    }
    return s;
}

static void reader_close(struct reader *r)
{
    for (size_t i = 0; i < r->n; i++) {
        resource_unref(&r->list[i]);
    }
    mem_free(r->list);
    wipe(&r->plain);
    buf_done(&r->plain);
    buf_done(&r->sealed);
    arena_done(&r->arena);
    (void)close(r->fd);
}

// False: nothing to close.
static bool reader_open(struct reader *r, const char *dir, const char *suffix,
                        const struct keys *keys, struct err *e)
{
    char path[PATH_MAX_];

    *r = (struct reader){.keys = keys};
    if (!make_path(path, dir, suffix)) {
        return err_set(e, ERR_INVALID, "%s: path too long", dir);
    }
    r->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0) {
        return err_set(e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s", strerror(errno));
    }
    buf_init(&r->sealed, SEALED_MAX);
    buf_init(&r->plain, SEALED_MAX);
    CHECK(buf_try_reserve(&r->plain, SEALED_MAX));
    arena_init(&r->arena, 64 * 1024, 0);
    return true;
}

static struct snapshot *load_one(const char *dir, const char *suffix, const struct keys *keys,
                                 bool *ret_stale, struct err *e)
{
    struct snapshot *s = NULL;
    struct reader r;

    if (reader_open(&r, dir, suffix, keys, e)) {
        s = read_snapshot(&r, e);
        if (ret_stale != NULL) {
            *ret_stale = get_int(r.head + MAGIC_BYTES, 4) != keys_current(keys);
        }
        reader_close(&r);
    }
    if (s == NULL) {
        err_prefix(e, NAME "%s", suffix);
    }
    return s;
}

static void say_older(const char *generation, const char *why)
{
    LOG(WARN, "lkg.older_generation", LOG_STR("file", generation), LOG_STR("reason", why));
}

struct snapshot *lkg_load(const char *dir, const struct keys *keys, bool *ret_stale, struct err *e)
{
    char why[400] = "";
    enum err_code code = ERR_NOT_FOUND;
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(generations); i++) {
        struct err one = {0};
        struct snapshot *s = load_one(dir, generations[i], keys, ret_stale, &one);

        if (s != NULL && n > 0) {
            say_older(generations[i], why);
        }
        if (s != NULL) {
            return s;
        }
        if (one.code != ERR_NOT_FOUND && n < sizeof(why)) {
            int k = snprintf(why + n, sizeof(why) - n, "%s%.120s", n == 0 ? "" : "; ", one.message);

            n += k > 0 ? (size_t)k : 0;
            code = one.code;
        }
    }
    err_set(e, code, "%s", n == 0 ? "there is no last-known-good file" : why);
    return NULL;
}

bool lkg_epoch(const char *dir, const struct keys *keys, uint8_t ret[16])
{
    bool ok = false;

    for (size_t i = 0; !ok && i < ARRAY_LEN(generations); i++) {
        struct reader r;

        if (reader_open(&r, dir, generations[i], keys, NULL)) {
            ok = read_head(&r, NULL);
            memcpy(ret, r.epoch, sizeof(r.epoch));
            reader_close(&r);
        }
    }
    return ok;
}
