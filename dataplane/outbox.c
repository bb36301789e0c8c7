// SPDX-License-Identifier: Apache-2.0
// The outbox: which part of the journal is which report.
//
//   outbox_add --> journal: ...collecting... --close--> reports: 5 6 7 | 8 9   (oldest first)
//   (any thread)                                   acknowledged     ^  ^ sent next
//
// A report is a number and two positions; its records are read from the journal when it is sent.
// Acknowledged reports stay until a control plane says so again 10 s later, and are the first to go
// when the journal is nearly full. When even those not acknowledged do not fit, new records are
// lost: what was promised first is kept.
#include "dataplane/outbox.h"

#include "common/base/list.h"
#include "common/base/mem.h"

#define RECORDS_MAX 1024u // of one report

struct report {
    struct list_node node;
    struct journal_report r;
    uint64_t acked_us; // 0: not yet
};

struct outbox {
    struct journal *journal;
    struct list reports; // struct report, by number
    uint64_t last_acked;
    uint64_t sealed, acked, dropped; // records; sealed: by us or found
};

static void add_report(void *ctx, const struct journal_report *r)
{
    struct outbox *o = ctx;
    struct report *n = mem_zalloc(sizeof(*n));

    n->r = *r;
    list_push_back(&o->reports, &n->node);
    o->sealed += r->n_records;
}

struct outbox *outbox_new(struct journal *j)
{
    struct outbox *o = mem_zalloc(sizeof(*o));

    o->journal = j;
    list_init(&o->reports);
    journal_each_report(j, add_report, o);
    return o;
}

static struct report *oldest(const struct outbox *o)
{
    return o->reports.count == 0 ? NULL
                                 : container_of(list_first(&o->reports), struct report, node);
}

static void report_free(struct outbox *o, struct report *r)
{
    list_remove(&o->reports, &r->node);
    mem_free(r);
}

void outbox_free(struct outbox **op)
{
    struct outbox *o = *op;

    *op = NULL;
    if (o == NULL) {
        return;
    }
    while (o->reports.count > 0) {
        report_free(o, oldest(o));
    }
    mem_free(o);
}

bool outbox_add(struct outbox *o, uint32_t slot, const struct message_usage_record *r,
                bool *ret_due)
{
    return journal_end(o->journal, slot, r, ret_due);
}

// ---- reports ---------------------------------------------------------------------------------

// The oldest report is not needed any more.
static void let_go(struct outbox *o)
{
    struct report *r = oldest(o);

    journal_release(o->journal, r->r.to);
    report_free(o, r);
}

static void make_room(struct outbox *o)
{
    struct journal_stats s;

    journal_stats(o->journal, &s);
    while (s.used > s.size / 4 * 3 && o->reports.count > 0 && oldest(o)->acked_us != 0) {
        let_go(o);
        journal_stats(o->journal, &s);
    }
}

void outbox_close(struct outbox *o)
{
    struct journal_report r;

    make_room(o);
    while (journal_seal(o->journal, OUTBOX_REPORT_BYTES, RECORDS_MAX, &r)) {
        add_report(o, &r);
    }
}

bool outbox_next(struct outbox *o, struct arena *arena, struct message_usage_report *ret)
{
    list_foreach (n, &o->reports) {
        const struct report *r = container_of(n, struct report, node);
        struct message_usage_record *list;

        if (r->r.number > o->last_acked) {
            ret->n_records = journal_read(o->journal, &r->r, arena, &list);
            ret->records = list;
            ret->number = r->r.number;
            ret->oldest = oldest(o)->r.number;
            return true;
        }
    }
    return false;
}

void outbox_acked(struct outbox *o, uint64_t last, uint64_t now_us)
{
    o->last_acked = last;
    list_foreach (n, &o->reports) {
        struct report *r = container_of(n, struct report, node);

        if (r->r.number > last && r->acked_us != 0) { // gone back: owed again
            r->acked_us = 0;
            o->acked -= r->r.n_records;
        } else if (r->r.number <= last && r->acked_us == 0) {
            r->acked_us = now_us;
            o->acked += r->r.n_records;
        }
    }
    while (o->reports.count > 0 && oldest(o)->acked_us != 0 &&
           oldest(o)->acked_us + OUTBOX_KEEP_US <= now_us) {
        let_go(o);
    }
    make_room(o);
}

void outbox_drop(struct outbox *o, uint64_t number)
{
    list_foreach_safe (n, &o->reports) {
        struct report *r = container_of(n, struct report, node);

        if (r->r.number == number && r->acked_us == 0) {
            o->dropped += r->r.n_records;
            if (r == oldest(o)) {
                let_go(o);
            } else {
                report_free(o, r); // its bytes go with the report before it
            }
        }
    }
}

bool outbox_is_empty(struct outbox *o)
{
    struct outbox_stats s;

    outbox_stats(o, &s);
    return s.pending == 0;
}

bool outbox_is_keeping(const struct outbox *o)
{
    return o->reports.count > 0;
}

void outbox_stats(struct outbox *o, struct outbox_stats *ret)
{
    struct journal_stats s;
    uint64_t done = o->acked + o->dropped;

    journal_stats(o->journal, &s);
    *ret = (struct outbox_stats){
        .pending = s.records > done ? s.records - done : 0,
        .lost = s.lost + o->dropped,
        .acked = o->acked,
    };
}
