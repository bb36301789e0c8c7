// SPDX-License-Identifier: Apache-2.0
// Arithmetic of one lease; the drawing is in lease.h.
#include "dataplane/lease.h"

#include "common/base/mono.h"

#define ASK_AGAIN_US    (200 * MONO_MS)   // an unanswered question may be repeated
#define WINDOW_EMPTY_US (2 * MONO_SEC)    // a window gets back what other proxies did not spend
#define BUCKET_MAX_US   (3600 * MONO_SEC) // longer limits are windows
#define TIME_MAX_US     (400 * 86400 * MONO_SEC) // times from outside are cut here
#define AGAIN_US        (10 * MONO_SEC) // what got no answer for so long is not told any more
#define WORTH_KEEPING   2 // units spent in the length of a lease, from which some are kept ready
#define WINDOW_SPAN_US  (500 * MONO_MS) // what is kept ready of a window: docs/internals/leases.md

static uint64_t at_most(uint64_t v, uint64_t max)
{
    return v < max ? v : max;
}

static bool is_window(const struct lease *l)
{
    return l->window_us == 0 || l->window_us > BUCKET_MAX_US;
}

// Of two amounts the batch that both count as.
static uint64_t oldest(uint64_t units, uint64_t batch, uint64_t others, uint64_t their_batch)
{
    return units == 0 || (others > 0 && their_batch < batch) ? their_batch : batch;
}

// Units of a lease that is over. Nobody asks which of all that is owed came from which grant: all
// of it counts as of the oldest one.
static void owe_back(struct lease *l, uint64_t units, uint64_t batch)
{
    if (units > 0) {
        l->owed_batch = l->owed == 0 || batch < l->owed_batch ? batch : l->owed_batch;
        l->owed += units;
    }
}

void lease_end(struct lease *l)
{
    if (l->units > 0) {
        owe_back(l, (uint64_t)l->units, l->batch);
        l->rest += (uint64_t)l->units;
        l->units = 0;
    }
    l->until_us = 0;
}

void lease_expire(struct lease *l, uint64_t now_us)
{
    if (l->until_us != 0 && now_us >= l->until_us) {
        lease_end(l);
    }
}

uint64_t lease_period(const struct lease *l)
{
    return l->calendar != RESOURCE_ROLLING ? (uint64_t)l->calendar : l->window_us;
}

// Another limit stands in its place: what was granted under the one before is nothing in this, nor
// will be what is still to be answered. Debt stays, if it is counted alike.
static void begin_anew(struct lease *l, bool kind)
{
    l->units = kind || l->units > 0 ? 0 : l->units;
    l->owed = l->owed_batch = l->again = 0;
    l->window = l->taken = l->told_debt = l->since = 0;
    l->first_no = l->no;
    l->ignored = l->open;
    l->tell = false;
    l->piece = 0;
}

void lease_configure(struct lease *l, const struct resource_limit *limit)
{
    bool known = l->unit != 0;
    bool kind = known && l->unit != limit->unit;
    bool period = known && (l->calendar != limit->calendar || l->window_us != limit->per_us);

    if (kind || period || (known && l->amount != limit->amount && l->amount != 0)) {
        lease_end(l);
        l->no++;
        l->full = l->spent = l->rest = 0;
        l->empty_until_us = l->reset_at_us = l->asked_at_us = 0;
        l->scarce = false;
        l->local_us = 0;
    }
    if (kind || period) {
        begin_anew(l, kind);
    }
    l->unit = limit->unit;
    l->amount = limit->amount;
    l->window_us = limit->per_us;
    l->calendar = limit->calendar;
    l->share_on_loss = limit->on_control_loss == 0;
    l->open_on_loss =
        limit->on_control_loss == 1 || (limit->on_control_loss == 0 && limit->unit != RESOURCE_USD);
}

bool lease_take(struct lease *l, uint64_t units)
{
    if (l->units < (int64_t)units) {
        return false;
    }
    l->units -= (int64_t)units;
    l->spent += units;
    l->piece = units > l->piece ? units : l->piece - (l->piece - units) / 8;
    l->stuck = 0;
    return true;
}

static void owe(struct lease *l, uint64_t units)
{
    l->units -= (int64_t)at_most(units, LEASE_UNITS_MAX);
    if (l->units < -(int64_t)LEASE_UNITS_MAX) {
        l->units = -(int64_t)LEASE_UNITS_MAX;
    }
}

void lease_put_back(struct lease *l, uint32_t no, uint64_t batch, enum resource_unit unit,
                    int64_t units)
{
    if (l->unit != unit) {
        return; // configured to count something else meanwhile
    }
    if (units < 0) {
        owe(l, (uint64_t)-units);
        return;
    }
    if (units > 0) {
        l->empty_until_us = 0;
        l->spent -= at_most((uint64_t)units, l->spent);
    }
    if (no == l->no && l->until_us != 0) {
        l->units += units;
    } else if ((int32_t)(no - l->first_no) >= 0) { // else: of an earlier window or limit
        owe_back(l, (uint64_t)units, batch);
    }
}

// One question at a time, however long it takes: what is taken could not be told while a grant is
// on its way, nor which answers got lost.
static bool must_wait(const struct lease *l)
{
    return l->open > 0;
}

bool lease_is_asked_for(const struct lease *l, uint64_t now_us)
{
    return must_wait(l) || (l->asked_at_us != 0 && now_us < l->asked_at_us + ASK_AGAIN_US);
}

// Half of the limit or more is left: what is kept ready here is nobody's loss.
static bool is_plenty(const struct lease *l)
{
    return l->heard_us != 0 && l->rest >= l->amount / 2;
}

// The time that the pace is measured over.
static uint64_t span(const struct lease *l)
{
    return is_window(l) ? WINDOW_SPAN_US : l->length_us;
}

// Units spent in a span, an average over about that time.
static double pace(const struct lease *l, uint64_t now_us)
{
    uint64_t elapsed_us = now_us > l->paced_us ? now_us - l->paced_us : 0;

    return l->length_us == 0
               ? 0
               : (l->pace + (double)l->spent) / (1 + (double)elapsed_us / (double)span(l));
}

// So much is spent here that it pays to have some before it is asked for.
static bool is_worth_keeping(const struct lease *l, uint64_t now_us)
{
    return pace(l, now_us) * (double)l->length_us >= (double)WORTH_KEEPING * (double)span(l);
}

bool lease_wants_renewal(const struct lease *l, uint64_t now_us)
{
    bool half = l->units * 2 < (int64_t)l->full;
    bool ending = l->until_us != 0 && l->until_us < now_us + l->length_us / 4;

    return (half || ending) && now_us >= l->empty_until_us &&
           (is_plenty(l) || is_worth_keeping(l, now_us));
}

// Of a window. What is here when this process dies, and nobody is started in its place, is missing
// until the window ends: no more than is spent in half a second, or at once.
static uint64_t keep_of_window(const struct lease *l, uint64_t most, uint64_t now_us)
{
    uint64_t here = l->units > 0 ? (uint64_t)l->units : 0, keep;

    if (!is_plenty(l) && !is_worth_keeping(l, now_us)) {
        return 0;
    }
    keep = (uint64_t)pace(l, now_us) + 1;
    keep = at_most(keep > l->piece ? keep : l->piece, most);
    if (is_plenty(l)) {
        keep = at_most(keep, 2 * l->spent); // who has just begun may be about to stop
    }
    return keep > here ? keep - here : 0;
}

// What to ask for beyond the need of the moment; at most 1 % of the limit. While there is plenty:
// twice what was spent since the last question, so that a lease that lasts to its half keeps its
// size and one that ran dry doubles. When units are short, with many proxies, most of what each
// keeps ready would be missing elsewhere: no more than it spends in the length of a lease, and
// nothing where that is next to nothing.
static uint64_t keep_ready(const struct lease *l, uint64_t now_us)
{
    uint64_t most = l->amount < 100 ? 1 : l->amount / 100;

    if (is_window(l)) {
        return keep_of_window(l, most, now_us);
    }
    if (is_plenty(l)) {
        return at_most(2 * l->spent, most);
    }
    return is_worth_keeping(l, now_us) ? at_most((uint64_t)pace(l, now_us), most) : 0;
}

// Settles what the question says, and numbers it.
static void count_taken(struct lease *l, struct limit_ask *q, uint64_t now_us)
{
    l->asked_no = l->asked_no < now_us ? now_us : l->asked_no + 1;
    q->no = l->asked_no;
    l->since = l->since == 0 ? q->no : l->since;
    q->since = l->since;
    l->tell = false;
    if (is_window(l)) {
        l->taken = l->taken + q->debt - at_most(q->returned, l->taken + q->debt);
        l->told_debt = q->debt;
        q->taken = l->taken;
    }
}

// The script remembers for a minute what it has heard (`since` is a time, too: count_taken). Not
// while a question is open: what that gave back is no news if its answer gets lost.
static void forget_unanswered(struct lease *l, uint64_t now_us)
{
    if (!is_window(l) && l->since != 0 && now_us > l->since + AGAIN_US) {
        l->since = l->again = 0;
    }
}

bool lease_question(struct lease *l, uint64_t need, uint64_t now_us, struct limit_ask *ret)
{
    uint64_t want = need == 0 || lease_is_asked_for(l, now_us) ? 0 : need + keep_ready(l, now_us);
    uint64_t debt = l->units < 0 ? (uint64_t)-l->units : 0;

    if (must_wait(l)) {
        return false;
    }
    forget_unanswered(l, now_us);
    if (want == 0 && l->owed == 0 && debt == 0 && !l->tell) {
        return false;
    }
    *ret = (struct limit_ask){.want = at_most(want, l->amount),
                              .returned = l->owed,
                              .debt = debt,
                              .window = l->window,
                              .batch = oldest(l->owed, l->owed_batch, l->again, l->again_batch),
                              .again = l->again,
                              .unit = l->unit,
                              .period = lease_period(l)};
    l->owed = l->owed_batch = 0;
    l->units += (int64_t)debt;
    count_taken(l, ret, now_us);
    l->open++;
    if (want > 0) {
        l->asked_at_us = l->sent_us = now_us;
        l->wanted = ret->want;
        l->pace = pace(l, now_us);
        l->paced_us = now_us;
        l->spent = 0;
    }
    return true;
}

// A question has come to its end. False: it was about another limit, which stood here then.
static bool close_question(struct lease *l)
{
    l->open -= l->open > 0;
    if (l->ignored > 0) {
        l->ignored--;
        return false;
    }
    return true;
}

// What was owed is owed again.
static void owe_again(struct lease *l, const struct limit_ask *q)
{
    if (is_window(l)) {
        l->taken -= at_most(q->debt, l->taken);
        l->told_debt = 0;
    }
    owe(l, q->debt);
}

void lease_not_asked(struct lease *l, const struct limit_ask *q)
{
    if (q->want > 0) {
        l->asked_at_us = 0;
    }
    if (!close_question(l)) {
        owe(l, q->unit == (uint64_t)l->unit ? q->debt : 0);
        return;
    }
    owe_back(l, q->returned, q->batch);
    owe_again(l, q);
    if (is_window(l)) {
        l->taken += q->returned;
    }
    l->tell = l->window != 0 || q->since != q->no; // it may have been for that
    l->since = q->since == q->no ? 0 : l->since;
}

static void end_unanswered(struct lease *l, const struct limit_ask *q)
{
    if (close_question(l)) {
        owe_again(l, q);
        if (!is_window(l)) {
            l->again_batch = oldest(l->again, l->again_batch, q->returned, q->batch);
            l->again += q->returned;
        }
        l->tell = true;
    } else if (q->unit == (uint64_t)l->unit) {
        owe(l, q->debt);
    }
}

void lease_left_out(struct lease *l, const struct limit_ask *q)
{
    end_unanswered(l, q);
    l->left_out++;
}

void lease_lost(struct lease *l, const struct limit_ask *q, uint64_t now_us)
{
    end_unanswered(l, q);
    l->asked_at_us = 0;
    l->lost_us = now_us;
}

// A window has begun since the last answer: what is left of the one before is worth nothing.
static void turn(struct lease *l, uint64_t window)
{
    if (is_window(l) && l->window != 0 && window != l->window) {
        l->units = l->units < 0 ? l->units : 0;
        l->owed = 0;
        l->until_us = 0;
        l->first_no = l->no + 1;
    }
    if (is_window(l) && window != l->window) {
        l->taken = l->told_debt; // the script's sum begins with it, too
    }
    l->told_debt = 0;
    l->window = window;
}

// asked_us: when the question was sent.
static void add(struct lease *l, const struct limit_grant *g, uint64_t asked_us, uint64_t now_us)
{
    bool same = l->units > 0 && (is_window(l) || l->until_us > now_us + l->length_us / 4);
    uint64_t length_us = at_most(g->lease_us, TIME_MAX_US);

    if (!same) {
        lease_end(l);
        l->no++;
        l->batch = g->batch;
        l->length_us = length_us;
        l->until_us = is_window(l) ? asked_us + length_us
                                   : at_most(now_us + length_us, asked_us + 2 * length_us);
    } else if (is_window(l)) {
        l->until_us = asked_us + length_us; // it ends before the window does
    }
    l->units += (int64_t)at_most(g->granted, LEASE_UNITS_MAX);
    l->taken += is_window(l) ? at_most(g->granted, LEASE_UNITS_MAX) : 0;
    if (l->units > (int64_t)LEASE_UNITS_MAX) {
        l->units = (int64_t)LEASE_UNITS_MAX;
    }
    l->full = l->units > 0 ? (uint64_t)l->units : 0;
    l->empty_until_us = 0;
}

void lease_granted(struct lease *l, const struct limit_grant *g, uint64_t now_us)
{
    uint64_t asked_us = l->sent_us == 0 ? now_us : l->sent_us;
    uint64_t reset_us = at_most(g->reset_us, TIME_MAX_US);

    lease_expire(l, now_us);
    if (!close_question(l)) {
        return;
    }
    turn(l, g->window);
    l->since = l->again = l->asked_at_us = 0;
    l->left_out = 0;
    l->local_us = 0;
    l->heard_us = now_us;
    l->scarce = g->granted < l->wanted && g->remaining == 0;
    l->rest = at_most(g->remaining, l->amount);
    l->reset_at_us = now_us + reset_us;
    if (g->granted > 0) {
        add(l, g, asked_us, now_us);
    } else if (g->empty_us > 0) {
        uint64_t known_us = is_window(l) ? WINDOW_EMPTY_US : TIME_MAX_US;
        // The next unit may be there very soon, but so many proxies wait for it: who is told that
        // there is none lets some gather.
        uint64_t pause_us = is_window(l) ? 0 : at_most(g->lease_us, TIME_MAX_US) / 4;

        l->empty_until_us =
            now_us + at_most(g->empty_us > pause_us ? g->empty_us : pause_us, known_us);
    }
}

// --- without a control plane --------------------------------------------------------------------

// Of a window; months have 30 days.
static uint64_t window_length(const struct lease *l)
{
    static const uint64_t days[] = {
        [RESOURCE_ROLLING] = 1, [RESOURCE_DAY] = 1, [RESOURCE_WEEK] = 7, [RESOURCE_MONTH] = 30};

    return l->window_us != 0 ? l->window_us : days[l->calendar] * 86400 * MONO_SEC;
}

static double refilled(const struct lease *l, double share, uint64_t from_us, uint64_t now_us)
{
    return now_us > from_us ? share * (double)(now_us - from_us) / (double)l->window_us : 0;
}

static void local_begin(struct lease *l, double live, uint64_t now_us)
{
    double left = (double)l->amount;

    if (l->heard_us != 0) {
        left = (double)l->rest;
        if (!is_window(l)) {
            left += refilled(l, (double)l->amount, l->heard_us, now_us);
        }
        left = left < (double)l->amount ? left : (double)l->amount;
    } else if (is_window(l)) {
        l->reset_at_us = now_us + window_length(l);
    }
    l->local = left / live;
}

uint64_t lease_local(struct lease *l, uint64_t live, uint64_t now_us)
{
    double share, most;

    if (!l->share_on_loss || live == 0 || l->amount == 0) {
        return 0;
    }
    share = (double)l->amount / (double)live;
    most = share < 1 ? 1 : share; // a whole one must fit, however slowly it comes
    if (l->local_us == 0) {
        local_begin(l, (double)live, now_us);
    } else if (!is_window(l)) {
        l->local += refilled(l, share, l->local_us, now_us);
    }
    if (is_window(l) && now_us >= l->reset_at_us) {
        l->local = share;
        l->reset_at_us = now_us + window_length(l);
    }
    l->local = l->local < most ? l->local : most;
    l->local_us = now_us;
    return l->local < 1 ? 0 : (uint64_t)l->local;
}

void lease_local_take(struct lease *l, uint64_t units)
{
    l->local -= (double)units;
}

void lease_local_put_back(struct lease *l, uint64_t units)
{
    if (l->local_us != 0) {
        l->local += (double)units;
    }
}

bool lease_local_is_owed(const struct lease *l)
{
    return l->unit == RESOURCE_USD || is_window(l);
}

// --- over the death of a process ----------------------------------------------------------------

void lease_inherit(struct lease *l, const struct book_line *from)
{
    l->unit = (enum resource_unit)from->unit;
    if (from->period <= RESOURCE_MONTH) {
        l->calendar = (enum resource_calendar)from->period;
    } else {
        l->window_us = from->period;
    }
    l->window = from->window;
    l->taken = from->taken;
    l->asked_no = from->no;
    l->since = from->since;
    // Its last question may have had no answer.
    l->tell = is_window(l) && (from->window != 0 || from->since != 0);
    owe_back(l, at_most(from->units, LEASE_UNITS_MAX), from->batch);
    owe(l, from->debt);
    if (is_window(l) && from->window == 0) { // of none that is known: can only be debt
        owe(l, l->taken);
        l->taken = 0;
    }
}

void lease_bequeath(const struct lease *l, struct book_line *ret)
{
    bool here = l->units > 0;

    *ret = (struct book_line){
        .window = l->window,
        .units = l->owed + (here ? (uint64_t)l->units : 0),
        .debt = l->units < 0 ? (uint64_t)-l->units : 0,
        .batch = l->owed > 0 && (!here || l->owed_batch < l->batch) ? l->owed_batch : l->batch,
        .unit = l->unit,
        .period = lease_period(l),
        .taken = l->taken,
        .no = l->asked_no,
        .since = is_window(l) ? l->since : 0,
    };
}

// --- what to tell -------------------------------------------------------------------------------

uint64_t lease_empty_us(const struct lease *l, uint64_t now_us)
{
    if (is_window(l) && l->reset_at_us > now_us) {
        return l->reset_at_us - now_us;
    }
    return l->empty_until_us > now_us ? l->empty_until_us - now_us : 0;
}

uint64_t lease_wait_us(const struct lease *l, uint64_t units, uint64_t now_us)
{
    uint64_t reset = l->reset_at_us > now_us ? l->reset_at_us - now_us : 0;

    if (l->window_us != 0 && l->window_us <= BUCKET_MAX_US && l->amount != 0) {
        double share = (double)at_most(units, l->amount) / (double)l->amount;

        return (uint64_t)(share * (double)l->window_us) + MONO_MS;
    }
    // A window: other proxies may give something back at any time, but it is not worth insisting.
    return reset == 0 ? MONO_SEC : at_most(reset, MONO_SEC);
}

uint64_t lease_remaining(const struct lease *l, uint64_t now_us)
{
    uint64_t units = l->units > 0 ? (uint64_t)l->units : 0;

    return now_us < l->empty_until_us ? units : at_most(units + l->rest, l->amount);
}
