// SPDX-License-Identifier: Apache-2.0
// Names of everything we keep in Redis: one hash tag, so that all of it is in one slot.
#ifndef SLUICE_CONTROLPLANE_NAMES_H
#define SLUICE_CONTROLPLANE_NAMES_H

#define NAMES_EPOCH         "{sluice}:epoch"         // 16 bytes, written once
#define NAMES_SUPERSEDED    "{sluice}:superseded"    // epochs it replaces, 16 bytes each
#define NAMES_SEQ           "{sluice}:seq"           // counts changes
#define NAMES_RESOURCES     "{sluice}:resources"     // hash: "kind:id" -> record
#define NAMES_STREAM        "{sluice}:changes"       // capped stream, entry id = "<seq>-0"
#define NAMES_AUDIT         "{sluice}:audit"         // capped stream
#define NAMES_REVISIONS     "{sluice}:revisions"     // hash: file hash -> "seq time"; "latest"
#define NAMES_REVISION_LOG  "{sluice}:revision-log"  // list, newest first: "seq JSON"
#define NAMES_REVISION_SETS "{sluice}:revision-sets" // hash: seq -> sealed resources (revision.h)
#define NAMES_TOKENS        "{sluice}:tokens"        // hash: id -> admin token (token.h)
#define NAMES_IDEMPOTENCY   "{sluice}:idem:"         // + digest: what a repeated request is told
#define NAMES_CLOCK         "{sluice}:clock"         // hash: the clock of the lease script
#define NAMES_PROBER        "{sluice}:prober"        // who probes providers; runs out by itself
#define NAMES_LIMIT         "{sluice}:l:"            // + limit id: a bucket or window
#define NAMES_USAGE_LAST    "{sluice}:usage:last:"   // + stream: number of the last report applied
#define NAMES_USAGE         "{sluice}:usage:"        // + "h:2026112520:key" or "d:20261125:key"
#define NAMES_RECENT        "{sluice}:requests"      // capped stream of recent requests

#endif
