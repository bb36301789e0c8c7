// SPDX-License-Identifier: Apache-2.0
#include "controlplane/meters.h"

#include <stdio.h>

#include "common/base/mem.h"
#include "common/base/metric.h"

enum meter {
    METER_API,
    METER_COMMITS,
    METER_LEASES,
    METER_USAGE_REPORTS,
    METER_USAGE_RECORDS,
    METER_USAGE_LOST,
    METER_CLOCK_JUMPS,
    METER_PROBES,
    METER_SEQ,
    METER_PROXIES,
    METER_BAD_RECORDS,
    METER_REDIS_UP,
    METER_CURRENT,
    METER_LAG,
    METER_MESSAGES,
    METER_REFUSED,
    METER_OLD_KEY,
    METER_RESOURCES,
};

static const struct metric_def defs[] = {
    [METER_API] = {"sluice_control_api_requests_total", METRIC_COUNTER, "route,status", NULL,
                   "Answers of the admin API.", 0},
    [METER_COMMITS] = {"sluice_control_commits_total", METRIC_COUNTER, "outcome", NULL,
                       "Changes sent to Redis, by what became of them.", 0},
    [METER_LEASES] = {"sluice_control_leases_total", METRIC_COUNTER, "result", NULL,
                      "Questions about limits answered.", 0},
    [METER_USAGE_REPORTS] = {"sluice_control_usage_reports_total", METRIC_COUNTER, "result", NULL,
                             "Usage reports of proxies.", 0},
    [METER_USAGE_RECORDS] = {"sluice_control_usage_records_total", METRIC_COUNTER, "", NULL,
                             "Requests counted from usage reports.", 0},
    [METER_USAGE_LOST] = {"sluice_control_usage_reports_lost_total", METRIC_COUNTER, "", NULL,
                          "Usage reports that their proxy no longer has.", 0},
    [METER_CLOCK_JUMPS] = {"sluice_control_redis_clock_jumps_total", METRIC_COUNTER, "", NULL,
                           "Lease calls for which Redis's clock was not believed.", 0},
    [METER_PROBES] = {"sluice_control_probes_total", METRIC_COUNTER, "result", NULL,
                      "Probes of providers made here.", 0},
    [METER_SEQ] = {"sluice_control_seq", METRIC_GAUGE, "", NULL, "Sequence of the state.", 0},
    [METER_PROXIES] = {"sluice_control_proxies_live", METRIC_GAUGE, "", NULL,
                       "Proxies heard within 3 s.", 0},
    [METER_BAD_RECORDS] = {"sluice_control_bad_records", METRIC_GAUGE, "", NULL,
                           "Records in Redis that could not be used.", 0},
    [METER_REDIS_UP] = {"sluice_control_redis_up", METRIC_GAUGE, "", NULL,
                        "1: the connection to Redis is up.", 0},
    [METER_CURRENT] = {"sluice_control_store_current", METRIC_GAUGE, "", NULL,
                       "1: the state follows Redis.", 0},
    [METER_LAG] = {"sluice_control_loop_lag_seconds", METRIC_GAUGE, "", NULL,
                   "Longest turn of the event loop since the last scrape.", 1e-6},
    [METER_MESSAGES] = {"sluice_control_messages", METRIC_GAUGE, "kind", NULL,
                        "Messages to and from proxies since the start.", 0},
    [METER_REFUSED] = {"sluice_control_messages_refused_total", METRIC_COUNTER, "reason", NULL,
                       "Messages at the proxies' sockets that were not believed.", 0},
    [METER_OLD_KEY] = {"sluice_control_records_old_key", METRIC_GAUGE, "", NULL,
                       "Records sealed with a master key that is not the first of the file.", 0},
    [METER_RESOURCES] = {"sluice_control_resources", METRIC_GAUGE, "kind", NULL,
                         "Resources in the state.", 0},
};

struct meters {
    struct metric_registry *registry;
    struct metric_slot *slot;
};

struct meters *meters_new(void)
{
    struct meters *m = mem_zalloc(sizeof(*m));

    m->registry = metric_registry_new(defs, ARRAY_LEN(defs), 400);
    m->slot = metric_slot_new(m->registry);
    return m;
}

void meters_free(struct meters **mp)
{
    if (*mp != NULL) {
        metric_registry_free(&(*mp)->registry);
        mem_free(*mp);
        *mp = NULL;
    }
}

static void add(struct meters *m, enum meter which, const char *label, uint64_t n)
{
    const struct slice value = slice_str(label);

    metric_add(metric_series(m->slot, which, &value), (int64_t)n);
}

static void set(struct meters *m, enum meter which, const char *label, uint64_t v)
{
    const struct slice value = slice_str(label);

    metric_set(metric_series(m->slot, which, &value), (int64_t)v);
}

void meters_api(struct meters *m, const char *route, unsigned status)
{
    char text[16];
    struct slice labels[2] = {slice_str(route), SLICE_NULL};

    (void)snprintf(text, sizeof(text), "%u", status); // fits
    labels[1] = slice_str(text);
    metric_add(metric_series(m->slot, METER_API, labels), 1);
}

void meters_commit(struct meters *m, enum store_outcome outcome)
{
    static const char *const names[] = {
        [STORE_DONE] = "done",
        [STORE_AGAIN] = "again",
        [STORE_REUSED] = "reused",
        [STORE_CONFLICT] = "conflict",
        [STORE_KNOWN] = "known",
        [STORE_REGRESSED] = "regressed",
        [STORE_UNAVAILABLE] = "unavailable",
        [STORE_UNKNOWN] = "unknown",
    };

    add(m, METER_COMMITS, names[outcome], 1);
}

void meters_lease(struct meters *m, size_t granted, size_t empty, size_t refused)
{
    add(m, METER_LEASES, "granted", granted);
    add(m, METER_LEASES, "empty", empty);
    add(m, METER_LEASES, "refused", refused);
}

void meters_usage(struct meters *m, const char *result, size_t records, uint64_t lost)
{
    add(m, METER_USAGE_REPORTS, result, 1);
    add(m, METER_USAGE_RECORDS, "", records);
    add(m, METER_USAGE_LOST, "", lost);
}

void meters_probe(struct meters *m, bool good)
{
    add(m, METER_PROBES, good ? "good" : "bad", 1);
}

void meters_clock_jump(struct meters *m)
{
    add(m, METER_CLOCK_JUMPS, "", 1);
}

void meters_render(struct meters *m, const struct meters_gauges *g, struct buf *out)
{
    set(m, METER_SEQ, "", g->seq);
    set(m, METER_PROXIES, "", g->proxies_live);
    set(m, METER_BAD_RECORDS, "", g->bad_records);
    set(m, METER_REDIS_UP, "", g->redis_up);
    set(m, METER_CURRENT, "", g->store_current);
    set(m, METER_LAG, "", g->loop_lag_us);
    set(m, METER_MESSAGES, "deltas", g->deltas);
    set(m, METER_MESSAGES, "snapshots", g->snapshots);
    set(m, METER_MESSAGES, "heartbeats", g->heartbeats);
    set(m, METER_MESSAGES, "refusals", g->refusals);
    set(m, METER_MESSAGES, "bad", g->bad_messages);
    set(m, METER_MESSAGES, "unknown", g->unknown_messages);
    set(m, METER_OLD_KEY, "", g->old_key_records);
    for (unsigned v = 1; v < ENVELOPE_VERDICTS; v++) {
        set(m, METER_REFUSED, envelope_verdict_name((enum envelope_verdict)v), g->refused[v]);
    }
    for (int k = 1; k <= RESOURCE_KIND_MAX; k++) {
        set(m, METER_RESOURCES, resource_kind_name((enum resource_kind)k), g->resources[k]);
    }
    metric_render(m->registry, out);
}
