// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/watch.h"

#include <math.h>

#define ROUNDING 1e-6 // units: doubles, over millions of additions

void watch_advance(struct watch *w, uint64_t now_us)
{
    double rate = (double)w->amount / (double)w->per_us;

    if (!w->window) {
        w->level = fmin((double)w->amount, w->level + (double)(now_us - w->at_us) * rate);
    } else {
        for (uint64_t turn = w->anchor_us + w->per_us; now_us >= turn; turn += w->per_us) {
            w->windows++;
            w->windows_used += (double)w->amount - w->level;
            w->anchor_us = turn;
            w->level = (double)w->amount;
        }
    }
    w->at_us = now_us;
}

void watch_admit(struct watch *w, double units, uint64_t now_us)
{
    watch_advance(w, now_us);
    w->level -= units;
    w->admitted += units;
    if (-w->level > w->worst + ROUNDING) {
        w->worst = -w->level;
    }
    if (now_us >= w->from_us && now_us < w->until_us) {
        w->counted += units;
    }
}

double watch_share(const struct watch *w)
{
    if (w->window) {
        return w->windows == 0 ? NAN : w->windows_used / (w->windows * (double)w->amount);
    }
    return w->counted * (double)w->per_us /
           ((double)w->amount * (double)(w->until_us - w->from_us));
}

bool watch_works(void)
{
    struct watch b = {.amount = 10, .per_us = 1000, .level = 10};
    struct watch w = {.amount = 10, .per_us = 1000, .window = true, .level = 10};

    watch_admit(&b, 10, 0);
    watch_admit(&b, 1, 100); // one has come
    if (b.worst > 0) {
        return false;
    }
    watch_admit(&b, 1, 199); // 0.01 too many
    watch_admit(&w, 10, 999);
    watch_admit(&w, 10, 1000);
    if (b.worst < 0.009 || b.worst > 0.011 || w.worst > 0) {
        return false;
    }
    watch_admit(&w, 1, 1999);
    return w.worst > 0.99 && w.windows == 1;
}
