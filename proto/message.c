// SPDX-License-Identifier: Apache-2.0
// The messages between the planes: one conv table each. To add a message: .proto, struct, enum
// value, table, a row in `kinds`, a golden file.
#include "proto/message.h"

#include <string.h>

#include "common/base/check.h"
#include "proto/conv.h"
#include "proto/wire.h"
#include "sluice.pb-c.h"

#define ANY UINT32_MAX

static const struct conv_field item_fields[] = {
    CONV_I(message_item, Pb__Item, kind, 0, ANY),
    CONV_S(message_item, Pb__Item, id),
    CONV_U(message_item, Pb__Item, version),
    CONV_D(message_item, Pb__Item, resource),
};
static const struct conv_table item_table = CONV_TABLE(message_item, pb__item, item_fields);

static const struct conv_field ref_fields[] = {
    CONV_I(message_ref, Pb__Ref, kind, 0, ANY),
    CONV_S(message_ref, Pb__Ref, id),
};
static const struct conv_table ref_table = CONV_TABLE(message_ref, pb__ref, ref_fields);

static const struct conv_field delta_fields[] = {
    CONV_U(message_delta, Pb__Delta, prev_seq),
    CONV_U(message_delta, Pb__Delta, seq),
    CONV_MS(message_delta, Pb__Delta, upserts, message_item, &item_table),
    CONV_MS(message_delta, Pb__Delta, deletes, message_ref, &ref_table),
    CONV_B(message_delta, Pb__Delta, announced),
};
static const struct conv_table delta_table = CONV_TABLE(message_delta, pb__delta, delta_fields);

static const struct conv_field heartbeat_fields[] = {
    CONV_U(message_heartbeat, Pb__Heartbeat, seq),
    CONV_U(message_heartbeat, Pb__Heartbeat, digest),
    CONV_U(message_heartbeat, Pb__Heartbeat, wall_us),
    CONV_U(message_heartbeat, Pb__Heartbeat, live),
};
static const struct conv_table heartbeat_table =
    CONV_TABLE(message_heartbeat, pb__heartbeat, heartbeat_fields);

static const struct conv_field sync_request_fields[] = {
    CONV_S(message_sync_request, Pb__SyncRequest, proxy),
    CONV_U(message_sync_request, Pb__SyncRequest, snapshot),
    CONV_I(message_sync_request, Pb__SyncRequest, chunk, 0, ANY),
    CONV_U(message_sync_request, Pb__SyncRequest, have_digest),
    CONV_B(message_sync_request, Pb__SyncRequest, hello),
};
static const struct conv_table sync_request_table =
    CONV_TABLE(message_sync_request, pb__sync_request, sync_request_fields);

static const struct conv_field sync_chunk_fields[] = {
    CONV_U(message_sync_chunk, Pb__SyncChunk, snapshot),
    CONV_I(message_sync_chunk, Pb__SyncChunk, chunk, 0, ANY),
    CONV_B(message_sync_chunk, Pb__SyncChunk, last),
    CONV_B(message_sync_chunk, Pb__SyncChunk, current),
    CONV_U(message_sync_chunk, Pb__SyncChunk, seq),
    CONV_U(message_sync_chunk, Pb__SyncChunk, digest),
    CONV_U(message_sync_chunk, Pb__SyncChunk, total),
    CONV_D(message_sync_chunk, Pb__SyncChunk, supersedes),
    CONV_MS(message_sync_chunk, Pb__SyncChunk, items, message_item, &item_table),
};
static const struct conv_table sync_chunk_table =
    CONV_TABLE(message_sync_chunk, pb__sync_chunk, sync_chunk_fields);

static const struct conv_field refusal_fields[] = {
    CONV_I(message_refusal, Pb__Refusal, reason, 0, ANY),
    CONV_S(message_refusal, Pb__Refusal, message),
};
static const struct conv_table refusal_table =
    CONV_TABLE(message_refusal, pb__refusal, refusal_fields);

static const struct conv_field resource_error_fields[] = {
    CONV_I(message_resource_error, Pb__ResourceError, kind, 0, ANY),
    CONV_S(message_resource_error, Pb__ResourceError, id),
    CONV_U(message_resource_error, Pb__ResourceError, version),
    CONV_S(message_resource_error, Pb__ResourceError, message),
};
static const struct conv_table resource_error_table =
    CONV_TABLE(message_resource_error, pb__resource_error, resource_error_fields);

static const struct conv_field target_health_fields[] = {
    CONV_S(message_target_health, Pb__TargetHealth, provider),
    CONV_S(message_target_health, Pb__TargetHealth, model),
    CONV_S(message_target_health, Pb__TargetHealth, key_id),
    CONV_S(message_target_health, Pb__TargetHealth, endpoint),
    CONV_I(message_target_health, Pb__TargetHealth, state, 0, ANY),
    CONV_U(message_target_health, Pb__TargetHealth, ewma_us),
    CONV_U(message_target_health, Pb__TargetHealth, in_flight),
    CONV_U(message_target_health, Pb__TargetHealth, requests),
    CONV_U(message_target_health, Pb__TargetHealth, failures),
    CONV_U(message_target_health, Pb__TargetHealth, until_us),
    CONV_S(message_target_health, Pb__TargetHealth, reason),
};
static const struct conv_table target_health_table =
    CONV_TABLE(message_target_health, pb__target_health, target_health_fields);

static const struct conv_field report_fields[] = {
    CONV_S(message_report, Pb__Report, proxy),
    CONV_S(message_report, Pb__Report, version),
    CONV_S(message_report, Pb__Report, ops),
    CONV_U(message_report, Pb__Report, digest),
    CONV_U(message_report, Pb__Report, in_flight),
    CONV_U(message_report, Pb__Report, started_wall_us),
    CONV_MS(message_report, Pb__Report, errors, message_resource_error, &resource_error_table),
    CONV_B(message_report, Pb__Report, has_targets),
    CONV_MS(message_report, Pb__Report, targets, message_target_health, &target_health_table),
    CONV_I(message_report, Pb__Report, workers, 0, ANY),
};
static const struct conv_table report_table = CONV_TABLE(message_report, pb__report, report_fields);

static const struct conv_field usage_record_fields[] = {
    CONV_S(message_usage_record, Pb__UsageRecord, request_id),
    CONV_S(message_usage_record, Pb__UsageRecord, key),
    CONV_S(message_usage_record, Pb__UsageRecord, router),
    CONV_S(message_usage_record, Pb__UsageRecord, provider),
    CONV_S(message_usage_record, Pb__UsageRecord, model),
    CONV_I(message_usage_record, Pb__UsageRecord, status, 0, ANY),
    CONV_U(message_usage_record, Pb__UsageRecord, input),
    CONV_U(message_usage_record, Pb__UsageRecord, cached),
    CONV_U(message_usage_record, Pb__UsageRecord, output),
    CONV_U(message_usage_record, Pb__UsageRecord, reasoning),
    CONV_U(message_usage_record, Pb__UsageRecord, cost),
    CONV_I(message_usage_record, Pb__UsageRecord, cache, 0, ANY),
    CONV_U(message_usage_record, Pb__UsageRecord, latency_us),
    CONV_U(message_usage_record, Pb__UsageRecord, ttft_us),
    CONV_I(message_usage_record, Pb__UsageRecord, attempts, 0, ANY),
    CONV_B(message_usage_record, Pb__UsageRecord, interrupted),
    CONV_U(message_usage_record, Pb__UsageRecord, wall_us),
    CONV_S(message_usage_record, Pb__UsageRecord, team),
    CONV_S(message_usage_record, Pb__UsageRecord, user),
    CONV_S(message_usage_record, Pb__UsageRecord, tags),
    CONV_B(message_usage_record, Pb__UsageRecord, stream),
    CONV_B(message_usage_record, Pb__UsageRecord, estimated),
    CONV_S(message_usage_record, Pb__UsageRecord, outcome),
};
static const struct conv_table usage_record_table =
    CONV_TABLE(message_usage_record, pb__usage_record, usage_record_fields);

static const struct conv_field usage_report_fields[] = {
    CONV_S(message_usage_report, Pb__UsageReport, proxy),
    CONV_S(message_usage_report, Pb__UsageReport, stream),
    CONV_U(message_usage_report, Pb__UsageReport, number),
    CONV_U(message_usage_report, Pb__UsageReport, oldest),
    CONV_MS(message_usage_report, Pb__UsageReport, records, message_usage_record,
            &usage_record_table),
};
static const struct conv_table usage_report_table =
    CONV_TABLE(message_usage_report, pb__usage_report, usage_report_fields);

static const struct conv_field usage_ack_fields[] = {
    CONV_U(message_usage_ack, Pb__UsageAck, last),
};
static const struct conv_table usage_ack_table =
    CONV_TABLE(message_usage_ack, pb__usage_ack, usage_ack_fields);

static const struct conv_field lease_item_fields[] = {
    CONV_S(message_lease_item, Pb__LeaseItem, limit_id),
    CONV_U(message_lease_item, Pb__LeaseItem, want),
    CONV_U(message_lease_item, Pb__LeaseItem, returned),
    CONV_U(message_lease_item, Pb__LeaseItem, debt),
    CONV_U(message_lease_item, Pb__LeaseItem, window),
    CONV_U(message_lease_item, Pb__LeaseItem, batch),
    CONV_U(message_lease_item, Pb__LeaseItem, unit),
    CONV_U(message_lease_item, Pb__LeaseItem, no),
    CONV_U(message_lease_item, Pb__LeaseItem, taken),
    CONV_U(message_lease_item, Pb__LeaseItem, period),
    CONV_U(message_lease_item, Pb__LeaseItem, since),
    CONV_U(message_lease_item, Pb__LeaseItem, again),
};
static const struct conv_table lease_item_table =
    CONV_TABLE(message_lease_item, pb__lease_item, lease_item_fields);

static const struct conv_field lease_request_fields[] = {
    CONV_S(message_lease_request, Pb__LeaseRequest, proxy),
    CONV_MS(message_lease_request, Pb__LeaseRequest, items, message_lease_item, &lease_item_table),
    CONV_S(message_lease_request, Pb__LeaseRequest, holder),
};
static const struct conv_table lease_request_table =
    CONV_TABLE(message_lease_request, pb__lease_request, lease_request_fields);

static const struct conv_field grant_fields[] = {
    CONV_S(message_grant, Pb__Grant, limit_id), CONV_U(message_grant, Pb__Grant, granted),
    CONV_U(message_grant, Pb__Grant, lease_us), CONV_U(message_grant, Pb__Grant, remaining),
    CONV_U(message_grant, Pb__Grant, amount),   CONV_U(message_grant, Pb__Grant, empty_until_us),
    CONV_U(message_grant, Pb__Grant, reset_us), CONV_U(message_grant, Pb__Grant, window),
    CONV_U(message_grant, Pb__Grant, batch),
};
static const struct conv_table grant_table = CONV_TABLE(message_grant, pb__grant, grant_fields);

static const struct conv_field lease_grant_fields[] = {
    CONV_MS(message_lease_grant, Pb__LeaseGrant, grants, message_grant, &grant_table),
};
static const struct conv_table lease_grant_table =
    CONV_TABLE(message_lease_grant, pb__lease_grant, lease_grant_fields);

static const struct conv_field probe_fields[] = {
    CONV_S(message_probe, Pb__Probe, provider),
    CONV_B(message_probe, Pb__Probe, good),
    CONV_U(message_probe, Pb__Probe, latency_us),
    CONV_S(message_probe, Pb__Probe, reason),
};
static const struct conv_table probe_table = CONV_TABLE(message_probe, pb__probe, probe_fields);

static const struct conv_field probes_fields[] = {
    CONV_MS(message_probes, Pb__Probes, probes, message_probe, &probe_table),
};
static const struct conv_table probes_table = CONV_TABLE(message_probes, pb__probes, probes_fields);

struct file_block {
    const struct message_item *items;
    size_t n_items;
};
static const struct conv_field file_block_fields[] = {
    CONV_MS(file_block, Pb__FileBlock, items, message_item, &item_table),
};
static const struct conv_table file_block_table =
    CONV_TABLE(file_block, pb__file_block, file_block_fields);

static const struct kind_row {
    const char *name;
    const struct conv_table *table;
} kinds[MESSAGE_TYPE_MAX + 1] = {
    [MESSAGE_DELTA] = {"delta", &delta_table},
    [MESSAGE_HEARTBEAT] = {"heartbeat", &heartbeat_table},
    [MESSAGE_SYNC_REQUEST] = {"sync_request", &sync_request_table},
    [MESSAGE_SYNC_CHUNK] = {"sync_chunk", &sync_chunk_table},
    [MESSAGE_REFUSAL] = {"refusal", &refusal_table},
    [MESSAGE_REPORT] = {"report", &report_table},
    [MESSAGE_USAGE_REPORT] = {"usage_report", &usage_report_table},
    [MESSAGE_USAGE_ACK] = {"usage_ack", &usage_ack_table},
    [MESSAGE_LEASE_REQUEST] = {"lease_request", &lease_request_table},
    [MESSAGE_LEASE_GRANT] = {"lease_grant", &lease_grant_table},
    [MESSAGE_PROBES] = {"probes", &probes_table},
};

const char *message_type_name(uint32_t type)
{
    return type >= 1 && type <= MESSAGE_TYPE_MAX ? kinds[type].name : "unknown";
}

static void encode(const struct conv_table *t, const void *ours, struct buf *out)
{
    struct wire_pool pool;

    wire_pool_init(&pool, SIZE_MAX / 4);
    wire_pack(conv_to_pb(t, ours, &pool), out);
    wire_pool_done(&pool);
}

static bool decode(const struct conv_table *t, struct slice body, struct arena *arena, void *ours,
                   struct err *e)
{
    const struct wire_limits limits = {
        .bytes = MESSAGE_BYTES_MAX,
        .items = MESSAGE_ITEMS_MAX,
        .string = MESSAGE_STRING_MAX,
    };
    struct wire_pool pool;
    ProtobufCMessage *m;
    bool ok;

    // As in resource_decode: far above what a sane message expands to.
    wire_pool_init(&pool, 256 * 1024 + 64 * (body.n < MESSAGE_BYTES_MAX ? body.n : 0));
    m = wire_unpack(t->desc, body, &limits, &pool, e);
    ok = m != NULL && conv_from_pb(t, m, arena, ours, e);
    wire_pool_done(&pool);
    return ok;
}

void message_encode(const struct message *m, struct buf *out)
{
    CHECK(m->type >= 1 && m->type <= MESSAGE_TYPE_MAX);
    encode(kinds[m->type].table, &m->u, out);
}

bool message_decode(enum message_type type, struct slice body, struct arena *arena,
                    struct message *ret, struct err *e)
{
    if (type < 1 || type > MESSAGE_TYPE_MAX) {
        return err_set(e, ERR_INVALID, "message type %u is unknown", (unsigned)type);
    }
    *ret = (struct message){.type = type};
    return decode(kinds[type].table, body, arena, &ret->u, e) ||
           err_prefix(e, "%s", kinds[type].name);
}

void message_encode_items(const struct message_item *items, size_t n, struct buf *out)
{
    const struct file_block block = {items, n};

    encode(&file_block_table, &block, out);
}

bool message_decode_items(struct slice body, struct arena *arena, const struct message_item **ret,
                          size_t *ret_n, struct err *e)
{
    struct file_block block;

    if (!decode(&file_block_table, body, arena, &block, e)) {
        return false;
    }
    *ret = block.items;
    *ret_n = block.n_items;
    return true;
}

size_t message_item_size(const struct message_item *item)
{
    // Tags and lengths of the item and its four fields: at most 6 bytes each but for the version's
    // 11.
    return item->resource.n + strlen(item->id) + 6 + 6 + 6 + 11 + 6;
}
