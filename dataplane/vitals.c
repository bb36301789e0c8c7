// SPDX-License-Identifier: Apache-2.0
// A proxy's health as last told, and its name.
#include "dataplane/vitals.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "common/base/buf.h"
#include "common/base/check.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/crypto.h"
#include "common/io/proc.h"

#define TARGETS_MAX   2048u
#define TARGETS_BYTES (256u * 1024) // a report must stay below MESSAGE_BYTES_MAX
#define PROXY_ID_MAX  64u

struct vitals {
    pthread_mutex_t lock; // everything below
    struct arena arena;   // the targets and their strings
    struct message_target_health *targets;
    size_t n_targets;
    uint64_t in_flight;
};

struct vitals *vitals_new(void)
{
    struct vitals *v = mem_zalloc(sizeof(*v));

    CHECK(pthread_mutex_init(&v->lock, NULL) == 0);
    arena_init(&v->arena, 1024, 0);
    return v;
}

void vitals_free(struct vitals **vp)
{
    struct vitals *v = *vp;

    *vp = NULL;
    if (v != NULL) {
        arena_done(&v->arena);
        (void)pthread_mutex_destroy(&v->lock);
        mem_free(v);
    }
}

static struct message_target_health *copy(struct arena *a, const struct message_target_health *from,
                                          size_t n)
{
    struct message_target_health *list = arena_alloc(a, n * sizeof(*list) + 1);

    for (size_t i = 0; i < n; i++) {
        list[i] = from[i];
        list[i].provider = arena_strdup(a, from[i].provider);
        list[i].model = arena_strdup(a, from[i].model);
        list[i].key_id = arena_strdup(a, from[i].key_id);
        list[i].endpoint = arena_strdup(a, from[i].endpoint);
        list[i].reason = arena_strdup(a, from[i].reason);
    }
    return list;
}

// How many of them fit into a report; what is unfit for a message ends the list.
static size_t count_fit(const struct message_target_health *t, size_t n)
{
    size_t bytes = 0;

    for (size_t i = 0; i < n && i < TARGETS_MAX; i++) {
        const char *const strings[] = {t[i].provider, t[i].model, t[i].key_id, t[i].endpoint,
                                       t[i].reason};

        bytes += 96; // numbers, tags, lengths
        for (size_t k = 0; k < ARRAY_LEN(strings); k++) {
            struct slice s = slice_str(strings[k]);

            bytes += s.n;
            if (bytes > TARGETS_BYTES || s.n > MESSAGE_STRING_MAX || !text_utf8_valid(s)) {
                return i;
            }
        }
    }
    return n < TARGETS_MAX ? n : TARGETS_MAX;
}

void vitals_set(struct vitals *v, uint64_t in_flight, const struct message_target_health *targets,
                size_t n)
{
    CHECK(pthread_mutex_lock(&v->lock) == 0);
    arena_reset(&v->arena);
    v->n_targets = count_fit(targets, n);
    v->targets = copy(&v->arena, targets, v->n_targets);
    v->in_flight = in_flight;
    CHECK(pthread_mutex_unlock(&v->lock) == 0);
}

void vitals_fill(struct vitals *v, bool with_targets, struct arena *arena,
                 struct message_report *ret)
{
    CHECK(pthread_mutex_lock(&v->lock) == 0);
    ret->in_flight = v->in_flight;
    ret->has_targets = with_targets;
    if (with_targets) {
        ret->targets = copy(arena, v->targets, v->n_targets);
        ret->n_targets = v->n_targets;
    }
    CHECK(pthread_mutex_unlock(&v->lock) == 0);
}

static bool is_fit_id(struct slice s)
{
    static const char fit[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-";

    if (s.n == 0 || s.n > PROXY_ID_MAX) {
        return false;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (memchr(fit, s.p[i], sizeof(fit) - 1) == NULL) {
            return false;
        }
    }
    return true;
}

char *vitals_proxy_id(const char *given, const char *dir, struct err *e)
{
    char path[4096], fresh[16] = "p-", *id = NULL;
    struct buf b;
    int n;

    if (given != NULL) {
        if (!is_fit_id(slice_str(given))) {
            err_set(e, ERR_INVALID, "proxy id: 1 to %u of A-Z a-z 0-9 . _ -", PROXY_ID_MAX);
            return NULL;
        }
        return mem_strdup(given);
    }
    crypto_random_id(fresh + 2, 12);
    if (dir == NULL) {
        return mem_strdup(fresh);
    }
    n = snprintf(path, sizeof(path), "%s/proxy-id", dir);
    if (n < 0 || (size_t)n >= sizeof(path)) {
        err_set(e, ERR_INVALID, "%s: path too long", dir);
        return NULL;
    }
    buf_init(&b, 1024);
    if (proc_read_file(path, 256, &b, NULL) && is_fit_id(slice_trim(buf_slice(&b)))) {
        struct slice s = slice_trim(buf_slice(&b));

        id = mem_strndup(s.p, s.n);
    } else if (proc_write_file(path, slice_str(fresh), 0600, e)) {
        id = mem_strdup(fresh);
    }
    buf_done(&b);
    return id;
}
