// SPDX-License-Identifier: Apache-2.0
// One script, lua/adopt.lua. Which epochs are superseded: where we have been (our state, or the
// mark in the data directory), what Redis holds now, and what the person names. The replica that
// adopts and all others find the new epoch at their next look, see that theirs is superseded, and
// load.
#include "controlplane/recovery.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/text.h"
#include "common/io/crypto.h"
#include "controlplane/names.h"
#include "controlplane/scripts.h"

#define SCRIPT_US 800000u
#define LIST_MAX  3u

struct adoption {
    struct store *store;
    recovery_fn fn;
    void *arg;
    struct recovery_result result;
    char list[LIST_MAX * STATE_EPOCH_BYTES];
    size_t n;
};

static void supersede(struct adoption *a, const uint8_t *epoch)
{
    if (epoch != NULL) {
        memcpy(a->list + a->n, epoch, STATE_EPOCH_BYTES);
        a->n += STATE_EPOCH_BYTES;
    }
}

static void end(struct adoption *a, enum recovery_outcome outcome, const char *message)
{
    a->result.outcome = outcome;
    a->result.message = message;
    a->result.superseded = SLICE_MAKE(a->list, a->n);
    a->fn(a->arg, &a->result);
    mem_free(a);
}

static void on_script(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct adoption *a = arg;
    char epoch[2 * STATE_EPOCH_BYTES + 1];

    if (e != NULL) {
        // What the server says itself, it says before it has written anything.
        end(a,
            e->code == ERR_INVALID || strncmp(e->message, "Redis: ", 7) == 0 ? RECOVERY_UNAVAILABLE
                                                                             : RECOVERY_UNKNOWN,
            e->message);
        return;
    }
    follow_suspect(store_follow(a->store));
    if (!slice_eq_str(redis_text(redis_item(r, 0)), "ok")) {
        end(a, RECOVERY_CHANGED, "Redis has changed since it was last looked at");
        return;
    }
    a->result.seq = (uint64_t)redis_int(redis_item(r, 1));
    text_hex(a->result.epoch, STATE_EPOCH_BYTES, epoch);
    LOG(WARN, "recovery.adopted", LOG_STR("epoch", epoch), LOG_UINT("seq", a->result.seq));
    end(a, RECOVERY_DONE, "");
}

// Through the connection's own way of answering, so that fn is not called from inside the call.
static void on_refused(void *arg, const struct redis_reply *r, const struct err *e)
{
    struct adoption *a = arg;

    (void)r;
    (void)e;
    end(a, a->result.outcome,
        a->result.outcome == RECOVERY_NOT_NEEDED
            ? "nothing has regressed: there is nothing to adopt"
            : "Redis is not reachable");
}

static void refuse(struct adoption *a, enum recovery_outcome why)
{
    a->result.outcome = why;
    redis_command(store_redis(a->store), &SLICE("PING"), 1, SCRIPT_US, on_refused, a);
}

void recovery_adopt(struct store *s, const uint8_t *named, struct slice audit, recovery_fn fn,
                    void *arg)
{
    struct adoption *a = mem_zalloc(sizeof(*a));
    const struct follow *f = store_follow(s);
    const uint8_t *seen = follow_redis_epoch(f);
    enum follow_status status = follow_status(f);
    struct slice argv[9] = {SLICE(NAMES_EPOCH), SLICE(NAMES_SUPERSEDED), SLICE(NAMES_SEQ),
                            SLICE(NAMES_AUDIT), SLICE(NAMES_CLOCK)};

    a->store = s;
    a->fn = fn;
    a->arg = arg;
    if (status != FOLLOW_REGRESSED && status != FOLLOW_EMPTY) {
        refuse(a, status == FOLLOW_CURRENT || status == FOLLOW_LOADING ? RECOVERY_NOT_NEEDED
                                                                       : RECOVERY_UNAVAILABLE);
        return;
    }
    if (!redis_is_up(store_redis(s))) { // the follower's connection may be up before this one
        refuse(a, RECOVERY_UNAVAILABLE);
        return;
    }
    crypto_random(a->result.epoch, STATE_EPOCH_BYTES);
    supersede(a, follow_known_epoch(f));
    supersede(a, seen);
    supersede(a, named);
    argv[5] = seen == NULL ? SLICE("") : SLICE_MAKE((const char *)seen, STATE_EPOCH_BYTES);
    argv[6] = SLICE_MAKE((const char *)a->result.epoch, STATE_EPOCH_BYTES);
    argv[7] = SLICE_MAKE(a->list, a->n);
    argv[8] = audit;
    redis_eval(store_redis(s), SCRIPTS_ADOPT, 5, argv, ARRAY_LEN(argv), SCRIPT_US, on_script, a);
}
