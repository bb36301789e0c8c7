// SPDX-License-Identifier: Apache-2.0
// Retry rules as one table.
#include "dataplane/retry.h"

#include "common/base/mono.h"

#define BUDGET_START 10.0
#define BUDGET_MAX   100.0
#define BUDGET_SHARE 0.2
#define BACKOFF_BASE (25 * MONO_MS)
#define BACKOFF_CAP  MONO_SEC

// Ranks: the order in which the errors of failed attempts are reported when every target failed.
enum { RANK_BAD_REQUEST, RANK_RATE, RANK_SERVER, RANK_TIMEOUT, RANK_DENIED, RANK_NETWORK };

static struct retry_verdict by_status(unsigned status)
{
    switch (status) {
    case 400:
    case 409:
    case 413:
    case 422:
        return (struct retry_verdict){false, false, TARGET_NEUTRAL, RANK_BAD_REQUEST};
    case 401: // our provider key: of no use for a while, and it refuses so quickly
        return (struct retry_verdict){true, false, TARGET_RATE_LIMITED, RANK_DENIED};
    case 403:
    case 404:
    case 410: // the model is no more
    case 412: // likewise (Fireworks)
        return (struct retry_verdict){true, false, TARGET_NEUTRAL, RANK_DENIED};
    case 402: // credit exhausted: likewise
        return (struct retry_verdict){true, false, TARGET_RATE_LIMITED, RANK_RATE};
    case 429:
        return (struct retry_verdict){true, true, TARGET_RATE_LIMITED, RANK_RATE};
    case 408:
    case 504:
    case 524: // Cloudflare
        return (struct retry_verdict){true, false, TARGET_FAILURE, RANK_TIMEOUT};
    case 425: // Fireworks: too early
    case 498: // Groq: no capacity now
        return (struct retry_verdict){true, true, TARGET_FAILURE, RANK_SERVER};
    default:
        break;
    }
    if (status >= 500) {
        return (struct retry_verdict){true, true, TARGET_FAILURE, RANK_SERVER};
    }
    if (status >= 200 && status < 300) {
        return (struct retry_verdict){false, false, TARGET_SUCCESS, RANK_NETWORK};
    }
    return (struct retry_verdict){false, false, TARGET_NEUTRAL, RANK_BAD_REQUEST};
}

struct retry_verdict retry_classify(enum retry_failure f, unsigned status)
{
    switch (f) {
    case RETRY_STATUS:
        return by_status(status);
    case RETRY_CONNECT:
    case RETRY_BROKEN:
        return (struct retry_verdict){true, true, TARGET_FAILURE, RANK_NETWORK};
    case RETRY_TIMEOUT:
        return (struct retry_verdict){true, false, TARGET_FAILURE, RANK_TIMEOUT};
    case RETRY_STREAM:
        // An error event stands for a status; without one it is a broken answer.
        if (status != 0) {
            struct retry_verdict v = by_status(status);

            return v.outcome == TARGET_SUCCESS ? retry_classify(RETRY_BROKEN, 0) : v;
        }
        return (struct retry_verdict){true, true, TARGET_FAILURE, RANK_SERVER};
    }
    return (struct retry_verdict){false, false, TARGET_NEUTRAL, RANK_NETWORK};
}

void retry_budget_init(struct retry_budget *b)
{
    b->tokens = BUDGET_START;
}

void retry_budget_request(struct retry_budget *b)
{
    b->tokens = b->tokens + BUDGET_SHARE > BUDGET_MAX ? BUDGET_MAX : b->tokens + BUDGET_SHARE;
}

bool retry_budget_take(struct retry_budget *b)
{
    if (b->tokens < 1.0) {
        return false;
    }
    b->tokens -= 1.0;
    return true;
}

uint64_t retry_backoff_us(unsigned n, struct rng *rng)
{
    uint64_t ceiling = n >= 6 ? BACKOFF_CAP : BACKOFF_BASE << n;

    return rng_below(rng, (ceiling > BACKOFF_CAP ? BACKOFF_CAP : ceiling) + 1);
}
