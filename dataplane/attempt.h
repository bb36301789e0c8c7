// SPDX-License-Identifier: Apache-2.0
// One try at one target: builds the upstream head and the spliced body, starts the call, records
// what comes back. The callbacks only copy and post; judging is the steps' work.
#ifndef SLUICE_DATAPLANE_ATTEMPT_H
#define SLUICE_DATAPLANE_ATTEMPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/buf.h"
#include "common/base/slice.h"
#include "common/io/httpd.h"
#include "common/io/upstream.h"
#include "dataplane/dialect.h"
#include "dataplane/retry.h"
#include "dataplane/route.h"
#include "dataplane/target.h"
#include "dataplane/xlate.h"

struct req;

#define ATTEMPT_ERROR_MAX   (64u * 1024)        // bytes kept of a provider's error body
#define ATTEMPT_COLLECT_MAX (1024u * 1024)      // a larger plain answer is relayed from there on
#define ATTEMPT_IN_HIGH     (128u * 1024)       // unread bytes past which reading pauses
#define ATTEMPT_IN_MAX      (16u * 1024 * 1024) // ceiling of unread bytes; never reached

// Embedded in the request. All slices are in its arena.
struct attempt {
    struct upstream_call *call;   // NULL: none running
    struct route_candidate *cand; // borrowed: the plan; NULL for raw
    struct target *target;        // lives as long as the table
    bool begun;                   // target_end is owed
    bool started;                 // a call was made (still or not any more running)

    // What is sent, by attempt_prepare.
    const struct dialect *dialect;       // the provider's
    struct xlate *xlate;                 // NULL: equal dialects
    struct buf body;                     // translated or edited; empty: the client's bytes, spliced
    const struct canon_outcome *outcome; // what was left out; NULL: nothing

    // Facts.
    bool head_in, ended, paused;
    enum upstream_result result; // when ended
    char message[120];           // for logs, when ended badly
    struct buf in;               // bytes that came and no step has looked at

    uint64_t started_us, head_us;
    struct upstream_times times;

    // The provider's head, when head_in.
    unsigned status;
    unsigned odd_status; // what an error object inside a 200 stands for; 0: none
    int64_t content_length;
    bool is_json, is_stream, encoded; // is_stream: SSE, or lines where the dialect streams lines
    struct slice content_type, request_id;
    struct slice should_retry;    // x-should-retry, the provider's word to SDKs
    struct httpd_header *headers; // to be relayed
    size_t n_headers;
    struct dialect_limits limits;

    // Why it failed; set by the step that found out, read by JUDGE.
    enum retry_failure failure;
    const char *reason; // static text
};

// Writes what a candidate is to be sent, translated where it speaks another dialect
// (attempt_body.c). False: the request cannot be put into its words; *ret_code, *ret_param and *e
// say why.
MUST_CHECK bool attempt_prepare(struct req *r, const struct route_candidate *c,
                                const char **ret_code, const char **ret_param, struct err *e);
// The request's translator, made at its first use.
struct xlate *attempt_xlate(struct req *r);
// The dialect a candidate is spoken to in for this request; NULL: it cannot serve it.
const struct dialect *attempt_dialect(const struct req *r, const struct resource_provider *p);
// Is the candidate asked for a stream: for the client, or to be put together for it (gather.h)?
bool attempt_streams(const struct req *r);
// Starts at a candidate (attempt_prepare and target_begin have been called). Never fails: trouble
// comes as `ended`.
void attempt_start(struct req *r, struct route_candidate *c);
// The client's request as it is, to r->raw_provider, with the key put in.
void attempt_start_raw(struct req *r, const struct resource *key);
// Back-pressure towards the provider; idempotent.
void attempt_pause(struct req *r);
void attempt_resume(struct req *r);
// Cancels the call if it runs; keeps the facts.
void attempt_stop(struct req *r);
// target_end, once, if it is owed. True when it ejected the target.
bool attempt_settle(struct req *r, enum target_outcome o, uint64_t cooldown_us);
// Tells the target what its limit headers say, when they came.
void attempt_note_quota(struct req *r);
// Ready for the next one: stops, settles as neutral if that is still owed, forgets the facts.
void attempt_reset(struct req *r);

// Pure helpers, for tests.
// "https://h:1/v1/" -> origin "https://h:1", path "/v1/". False: not http(s).
bool attempt_split_url(struct slice url, struct slice *ret_origin, struct slice *ret_path);
// Is the header one that a proxy must not pass on (hop-by-hop, content-length, ...)?
bool attempt_is_hop_header(struct slice name);

#endif
