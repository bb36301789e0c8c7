// SPDX-License-Identifier: Apache-2.0
// The units of one limit that this proxy may spend: arithmetic only. limit_store.c keeps one for
// each limit in use; it and limit.c do the locking, waiting and sending. Pure; times are arguments.
//
//   units enough -------take-----> spent; at half of the last grant a new lease is asked for
//   too few, not empty ----------> what is left is given back and all that is needed asked for in
//                                  one question
//   grant of 0 ------------------> empty_until_us: denied without a round trip
//   lease over ------------------> what is left is owed: it goes back with the next question
//
// Units of a bucket never live longer than the lease they came with: a grant that adds to a living
// lease ends with it, and what is put back after its lease is over is owed, not spent again here.
// Units are signed: using more than was taken leaves a debt, which is sent along with the next
// question.
//
// The control plane counts a lease from when it was granted, we cannot: between question and answer
// lies a time that nobody knows. A lease of a window ends so long after the *question*, since it
// must not reach into the next window. One of a bucket may be spent for its length from the answer,
// but never longer than twice its length from the question: so long the control plane keeps it as
// outstanding. Units of a window that is over are worth nothing in the next one: they are dropped.
//
// Of a window the proxy says with each question what it has taken of it in all, spent or not
// (`taken`). That may be said any number of times: an answer that got lost costs nothing, neither
// what was given back nor what was granted in it. Such a sum can be told only while no grant is on
// its way, so there is one question at a time. Of a bucket it says what it has given back since the
// last answer (`again`): the script remembers what of that it has heard, and what it granted
// meanwhile. Nor does it hurt when the very first answer gets lost, and the proxy does not know the
// window yet: each question says which was the first that it had no answer to (`since`), and what
// was granted from there on is not taken.
#ifndef SLUICE_DATAPLANE_LEASE_H
#define SLUICE_DATAPLANE_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/cdefs.h"
#include "dataplane/book.h"
#include "dataplane/limit_store.h"
#include "proto/resource.h"

#define LEASE_UNITS_MAX ((uint64_t)1 << 60) // numbers from outside are cut here

// Zero-initialise, then lease_configure.
struct lease {
    enum resource_unit unit; // 0: new
    uint64_t amount, window_us;
    enum resource_calendar calendar; // then window_us is 0
    bool share_on_loss; // without a control plane: a share of the limit of its own comes first
    bool open_on_loss;  // then everything, or nothing

    int64_t units;       // left; negative = debt
    uint32_t no;         // counts leases, so that who took units knows from which
    uint32_t first_no;   // the first lease of this window, and of this kind of limit
    uint64_t window;     // names this window; 0 = a bucket, or not known
    uint64_t taken;      // of this window: spent or here or owed
    uint64_t asked_no;   // number of the last question
    uint64_t since;      // number of the first one since the last answer; 0: none
    uint64_t told_debt;  // by the question that is open
    uint32_t open;       // questions that have no answer yet
    uint32_t ignored;    // of these, those about what the limit was before
    bool tell;           // an answer got lost: `taken` has to be said again
    uint32_t left_out;   // answers in a row that said nothing of it
    uint64_t until_us;   // 0 = over
    uint64_t length_us;  // of the current one
    uint64_t batch;      // of the first grant of the current one
    uint64_t owed;       // units of leases that are over, to be given back
    uint64_t owed_batch; // of the oldest of them
    uint64_t again;      // of a bucket: given back since `since`, perhaps not heard
    uint64_t again_batch;
    uint64_t full; // units after the last grant: renewal at half
    uint64_t rest; // of the whole limit, as last heard (a lower bound later)
    uint64_t empty_until_us, reset_at_us;
    uint64_t spent;       // since the last question
    uint64_t piece;       // units that are taken at once, about
    double pace;          // units spent in a span (lease.c), as of paced_us
    uint64_t paced_us;    // the last question
    uint64_t unmet;       // what the waiting requests are short of; kept by limit.c
    uint64_t asked_at_us; // 0 = no question open
    uint64_t sent_us;     // the last question that wanted some; 0 = there was none
    uint64_t wanted;      // by it
    uint64_t heard_us;    // last answer
    uint32_t stuck;       // times that it was too little since somebody could take of it
    bool scarce;          // it gave all there was, and less than was wanted
    uint64_t lost_us;     // last time that a question had no answer
    double local;         // units of the own share, as of local_us
    uint64_t local_us;    // 0: there is none, since the control plane answers
};

// Takes the limit's numbers; what was granted under other ones is not spent any more.
void lease_configure(struct lease *l, const struct resource_limit *limit);
// Ends it if its time is over / now.
void lease_expire(struct lease *l, uint64_t now_us);
void lease_end(struct lease *l);
// False, and nothing taken: there are too few.
MUST_CHECK bool lease_take(struct lease *l, uint64_t units);
// The difference between what was taken from lease number `no`, which had that batch, and what was
// used; negative: more was used.
void lease_put_back(struct lease *l, uint32_t no, uint64_t batch, enum resource_unit unit,
                    int64_t units);
bool lease_is_asked_for(const struct lease *l, uint64_t now_us);
// Half is spent, or it is in its last quarter, and more is to be had.
bool lease_wants_renewal(const struct lease *l, uint64_t now_us);
// What to tell the control plane: need > 0 asks for that and what the pace of spending suggests
// (unless a question is open), 0 only gives back. Counts as sent. False: nothing to say. The id is
// left to the caller.
MUST_CHECK bool lease_question(struct lease *l, uint64_t need, uint64_t now_us,
                               struct limit_ask *ret);
// The question was not sent: as before it.
void lease_not_asked(struct lease *l, const struct limit_ask *q);
// It was sent and has no answer: debt is kept. What it gave back may have been heard: to a bucket
// it is told again as such; of a window what is taken is told again. Each question that was sent
// comes to an end by this or by lease_granted.
void lease_lost(struct lease *l, const struct limit_ask *q, uint64_t now_us);
// The same, where an answer came without it: what is asked now must wait a moment.
void lease_left_out(struct lease *l, const struct limit_ask *q);
void lease_granted(struct lease *l, const struct limit_grant *g, uint64_t now_us);
// While no control plane answers: what is left of this proxy's share, one of `live` equal ones, of
// what was left of the limit when it was heard last. Refilled like the limit, in the same part; a
// new window begins with a share of the whole. 0 if the limit has no such rule, or `live` is 0.
// The next grant ends it.
uint64_t lease_local(struct lease *l, uint64_t live, uint64_t now_us);
// Takes so many (there are) / puts back what was not used of them.
void lease_local_take(struct lease *l, uint64_t units);
void lease_local_put_back(struct lease *l, uint64_t units);
// What is spent without having been asked for is made up for later: money, and all that windows
// count. (A bucket refills meanwhile.)
bool lease_local_is_owed(const struct lease *l);
// What a process before this one held (book.h): it goes back with the next question.
void lease_inherit(struct lease *l, const struct book_line *from);
// What the next process would inherit if this one died now: units that are here and not spent.
void lease_bequeath(const struct lease *l, struct book_line *ret);
// How long a lease that is empty is likely to stay so: what to tell a client. A window is asked
// about again much earlier.
uint64_t lease_empty_us(const struct lease *l, uint64_t now_us);
// A guess at how long it takes until so many more units are there.
uint64_t lease_wait_us(const struct lease *l, uint64_t units, uint64_t now_us);
// What a limit is over: microseconds, or a calendar's number (they cannot be confused).
uint64_t lease_period(const struct lease *l);
// Lower bound of what is left of the whole limit.
uint64_t lease_remaining(const struct lease *l, uint64_t now_us);

#endif
