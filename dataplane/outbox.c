// SPDX-License-Identifier: Apache-2.0
// The outbox.
//
//   outbox_add --> collecting --close--> reports: 5 6 7 | 8 9      (numbered, oldest first)
//   (any thread)                         acknowledged ^  ^ sent next
//
// Acknowledged reports stay for 10 s and are the first to go when memory is short. When even those
// not acknowledged do not fit, new records are lost: what was promised first is kept.
#include "dataplane/outbox.h"

#include <pthread.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/list.h"
#include "common/base/mem.h"
#include "common/base/text.h"

#define RECORDS_MAX 1024u // of one report

// One record, its strings behind it in the same allocation.
struct record {
    struct list_node node;
    struct message_usage_record r;
    size_t bytes; // of this allocation: also a bound for its encoded size
    char text[];
};

struct report {
    struct list_node node;
    uint64_t number;
    struct list records; // struct record
    size_t bytes;
    uint64_t acked_us; // 0: not yet
};

struct outbox {
    pthread_mutex_t lock;   // everything below
    struct list collecting; // struct record
    size_t collecting_bytes;
    struct list reports; // struct report, by number
    size_t bytes, max;   // all records held
    uint64_t next_number, last_acked;
    struct outbox_stats stats;
};

struct outbox *outbox_new(size_t max_bytes)
{
    struct outbox *o = mem_zalloc(sizeof(*o));

    CHECK(pthread_mutex_init(&o->lock, NULL) == 0);
    list_init(&o->collecting);
    list_init(&o->reports);
    o->max = max_bytes;
    o->next_number = 1;
    return o;
}

static void records_free(struct list *l)
{
    struct list_node *n;

    while ((n = list_pop_front(l)) != NULL) {
        mem_free(container_of(n, struct record, node));
    }
}

static void report_free(struct outbox *o, struct report *r)
{
    list_remove(&o->reports, &r->node);
    o->bytes -= r->bytes;
    records_free(&r->records);
    mem_free(r);
}

void outbox_free(struct outbox **op)
{
    struct outbox *o = *op;

    *op = NULL;
    if (o == NULL) {
        return;
    }
    records_free(&o->collecting);
    while (o->reports.count > 0) {
        report_free(o, container_of(list_first(&o->reports), struct report, node));
    }
    (void)pthread_mutex_destroy(&o->lock);
    mem_free(o);
}

// ---- adding ----------------------------------------------------------------------------------

// The strings of a record, for copying them all alike.
static void strings_of(struct message_usage_record *r, const char **ret[8])
{
    ret[0] = &r->request_id;
    ret[1] = &r->key;
    ret[2] = &r->router;
    ret[3] = &r->provider;
    ret[4] = &r->model;
    ret[5] = &r->team;
    ret[6] = &r->user;
    ret[7] = &r->tags;
}

// Some strings come from clients. What is not UTF-8 would make the whole report unreadable.
static void make_printable(char *s, size_t n)
{
    if (text_utf8_valid(SLICE_MAKE(s, n))) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        s[i] = (uint8_t)s[i] < 0x80 ? s[i] : '?';
    }
}

static struct record *record_new(const struct message_usage_record *from)
{
    struct message_usage_record copy = *from;
    size_t lengths[8], sum = 0;
    const char **strings[8];
    struct record *r;
    char *at;

    strings_of(&copy, strings);
    for (size_t i = 0; i < 8; i++) {
        *strings[i] = *strings[i] == NULL ? "" : *strings[i];
        lengths[i] = strnlen(*strings[i], MESSAGE_STRING_MAX);
        sum += lengths[i] + 1;
    }
    r = mem_try_alloc(sizeof(*r) + sum);
    if (r == NULL) {
        return NULL;
    }
    *r = (struct record){.r = copy, .bytes = sizeof(*r) + sum};
    strings_of(&r->r, strings);
    at = r->text;
    for (size_t i = 0; i < 8; i++) {
        memcpy(at, *strings[i], lengths[i]);
        at[lengths[i]] = '\0';
        make_printable(at, lengths[i]);
        *strings[i] = at;
        at += lengths[i] + 1;
    }
    return r;
}

// Makes room by dropping acknowledged reports, oldest first. Lock held.
static bool make_room(struct outbox *o, size_t bytes)
{
    while (o->bytes + bytes > o->max && o->reports.count > 0) {
        struct report *r = container_of(list_first(&o->reports), struct report, node);

        if (r->acked_us == 0) {
            break;
        }
        report_free(o, r);
    }
    return o->bytes + bytes <= o->max;
}

bool outbox_add(struct outbox *o, const struct message_usage_record *from, bool *ret_due)
{
    struct record *r = record_new(from);
    bool ok;

    *ret_due = false;
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    ok = r != NULL && make_room(o, r->bytes);
    if (ok) {
        size_t before = o->collecting_bytes;

        list_push_back(&o->collecting, &r->node);
        o->collecting_bytes += r->bytes;
        o->bytes += r->bytes;
        o->stats.pending++;
        *ret_due = before / OUTBOX_REPORT_BYTES != o->collecting_bytes / OUTBOX_REPORT_BYTES;
    } else {
        o->stats.lost++;
    }
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    if (!ok) {
        mem_free(r);
    }
    return ok;
}

// ---- reports ---------------------------------------------------------------------------------

void outbox_close(struct outbox *o)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    while (o->collecting.count > 0) {
        struct report *r = mem_zalloc(sizeof(*r));

        r->number = o->next_number++;
        list_init(&r->records);
        while (o->collecting.count > 0 && r->records.count < RECORDS_MAX) {
            struct record *one = container_of(list_first(&o->collecting), struct record, node);

            if (r->records.count > 0 && r->bytes + one->bytes > OUTBOX_REPORT_BYTES) {
                break;
            }
            list_remove(&o->collecting, &one->node);
            list_push_back(&r->records, &one->node);
            r->bytes += one->bytes;
        }
        list_push_back(&o->reports, &r->node);
    }
    o->collecting_bytes = 0;
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

static void fill(const struct outbox *o, const struct report *r, struct arena *arena,
                 struct message_usage_report *ret)
{
    struct message_usage_record *list = arena_alloc(arena, r->records.count * sizeof(*list));
    size_t n = 0;

    list_foreach (at, &r->records) {
        list[n++] = container_of(at, struct record, node)->r;
    }
    ret->number = r->number;
    ret->oldest = container_of(list_first(&o->reports), struct report, node)->number;
    ret->records = list;
    ret->n_records = n;
}

bool outbox_next(struct outbox *o, struct arena *arena, struct message_usage_report *ret)
{
    bool found = false;

    CHECK(pthread_mutex_lock(&o->lock) == 0);
    list_foreach (n, &o->reports) {
        const struct report *r = container_of(n, struct report, node);

        if (r->number > o->last_acked) {
            fill(o, r, arena, ret); // its strings stay until it is acknowledged
            found = true;
            break;
        }
    }
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return found;
}

void outbox_acked(struct outbox *o, uint64_t last, uint64_t now_us)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    o->last_acked = last;
    list_foreach_safe (n, &o->reports) {
        struct report *r = container_of(n, struct report, node);

        if (r->number > last) {
            if (r->acked_us != 0) { // gone back: owed again
                r->acked_us = 0;
                o->stats.pending += r->records.count;
                o->stats.acked -= r->records.count;
            }
        } else if (r->acked_us == 0) {
            r->acked_us = now_us;
            o->stats.pending -= r->records.count;
            o->stats.acked += r->records.count;
        } else if (r->acked_us + OUTBOX_KEEP_US <= now_us) {
            report_free(o, r);
        }
    }
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

void outbox_drop(struct outbox *o, uint64_t number)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    list_foreach_safe (n, &o->reports) {
        struct report *r = container_of(n, struct report, node);

        if (r->number == number) {
            o->stats.pending -= r->acked_us == 0 ? r->records.count : 0;
            o->stats.lost += r->records.count;
            report_free(o, r);
        }
    }
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}

bool outbox_is_empty(struct outbox *o)
{
    bool empty;

    CHECK(pthread_mutex_lock(&o->lock) == 0);
    empty = o->stats.pending == 0;
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
    return empty;
}

void outbox_stats(struct outbox *o, struct outbox_stats *ret)
{
    CHECK(pthread_mutex_lock(&o->lock) == 0);
    *ret = o->stats;
    CHECK(pthread_mutex_unlock(&o->lock) == 0);
}
