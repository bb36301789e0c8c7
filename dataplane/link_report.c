// SPDX-License-Identifier: Apache-2.0
// What a proxy tells control planes: what it has in force and how it is (to all of them, once a
// second and after each change; a lost one is not repeated), and usage (to the preferred one, until
// acknowledged: the answer sends the next one, the next second sends again what had no answer).
#include "common/base/log.h"
#include "common/base/mono.h"
#include "dataplane/link_priv.h"

#define USAGE_US   (2 * MONO_SEC)
#define ERRORS_MAX 256u // refused resources named in a report

// ---- state and health --------------------------------------------------------------------------

void link_report_send(struct link *l, struct peer *p, bool with_targets)
{
    struct message m = {MESSAGE_REPORT,
                        {.report = {
                             .proxy = l->proxy,
                             .version = l->version,
                             .ops = l->ops,
                             .started_wall_us = l->started_wall_us,
                             .workers = l->n_workers,
                         }}};
    struct peer_have as_of;

    link_state_have(l, &as_of);
    m.u.report.digest = as_of.digest;
    arena_reset(&l->arena);
    m.u.report.errors = sync_errors(l->sync, &l->arena, ERRORS_MAX, &m.u.report.n_errors);
    vitals_fill(l->vitals, with_targets, &l->arena, &m.u.report);
    (void)!peer_push(p, &m, &as_of); // lost: the next one is a second away
}

static void on_each_report(void *ctx, struct peer *p)
{
    link_report_send(ctx, p, true);
}

static void on_each_ack(void *ctx, struct peer *p)
{
    link_report_send(ctx, p, false);
}

void link_report_acknowledge(struct link *l)
{
    if (l->ack_due) {
        l->ack_due = false;
        roster_each(l->roster, on_each_ack, l);
    }
}

// ---- usage -------------------------------------------------------------------------------------

static void on_usage_answer(void *arg, const struct envelope *env, const struct message *m)
{
    struct link *l = arg;

    (void)env;
    l->usage_under_way = false;
    if (l->ending) {
        return;
    }
    if (m == NULL) { // the tick sends it again
        roster_prefer_other(l->roster);
    } else if (m->type == MESSAGE_USAGE_ACK) {
        outbox_acked(l->outbox, m->u.usage_ack.last, loop_now_us(l->loop));
        link_report_usage(l, false);
    } else if (m->type == MESSAGE_REFUSAL && m->u.refusal.reason == MESSAGE_UNREADABLE) {
        LOG(ERROR, "link.usage_unreadable", LOG_UINT("report", l->usage_sent));
        outbox_drop(l->outbox, l->usage_sent); // or nothing would ever follow it
    }
}

// One report is under way at a time: they are applied in order.
void link_report_usage(struct link *l, bool ask)
{
    struct message m = {MESSAGE_USAGE_REPORT, {.usage_report = {.number = 0}}};
    struct peer *p = roster_preferred(l->roster);

    if (l->usage_under_way || p == NULL) {
        return;
    }
    arena_reset(&l->arena);
    if (!outbox_next(l->outbox, &l->arena, &m.u.usage_report) &&
        !(ask && outbox_is_keeping(l->outbox))) {
        return;
    }
    m.u.usage_report.proxy = l->proxy;
    m.u.usage_report.stream = journal_stream(l->journal);
    l->usage_sent = m.u.usage_report.number;
    l->usage_under_way = peer_call(p, &m, USAGE_US, on_usage_answer, l);
}

static void say_lost_usage(struct link *l)
{
    struct journal_stats s;

    journal_stats(l->journal, &s);
    if (s.lost > l->usage_said_lost) {
        LOG(ERROR, "link.usage_lost", LOG_UINT("records", s.lost - l->usage_said_lost),
            LOG_UINT("journal_bytes", s.size));
        l->usage_said_lost = s.lost;
    }
}

void link_report_second(struct link *l)
{
    roster_each(l->roster, on_each_report, l);
    outbox_close(l->outbox);
    link_report_usage(l, true);
    say_lost_usage(l);
}
