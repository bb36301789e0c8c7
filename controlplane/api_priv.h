// SPDX-License-Identifier: Apache-2.0
// What the files of the admin API share; api.h is for everybody else.
//
//   api.c            server, routing, authentication, life of a call
//   api_reply.c      answers and errors, query parameters, lists
//   api_write.c      a change: commit, idempotency, ?wait=, the answer
//   api_file.c       a whole configuration: parse, difference, one change
//   api_keys.c  api_owners.c  api_provider_keys.c  api_resources.c  api_catalog.c  api_config.c
//   api_tokens.c api_events.c  api_read.c  api_requests.c  api_recovery.c  api_usage.c handlers
//
// A call lives from on_head until the exchange is over and nothing is pending for it:
//
//   on_head --> (error: replied) ----------------------------------> on_done --> freed
//      `--> on_ready --> handler --> replied -----------------------> on_done --> freed
//                           `--> pending (Redis, fleet, upstream) --> replied --> on_done --> freed
//                                   `--> client gone: on_done, q = NULL; freed when it comes back
#ifndef SLUICE_CONTROLPLANE_API_PRIV_H
#define SLUICE_CONTROLPLANE_API_PRIV_H

#include "common/base/arena.h"
#include "common/io/httpd.h"
#include "common/io/json.h"
#include "controlplane/api.h"
#include "controlplane/revision.h"
#include "controlplane/token.h"
#include "controlplane/vkey.h"
#include "proto/config/config.h"

#define API_ANSWER_MAX  (64u << 20)
#define API_WAIT_MAX    (60 * MONO_SEC)
#define API_TOKEN_ACTOR "token:" // and the token's id: who that is in the audit log

struct api {
    struct loop *loop;
    struct httpd *http;
    struct store *store;
    struct fleet *fleet;
    struct upstream *upstream;
    struct meters *meters;
    struct reader *reader;
    struct tokens *tokens;     // owned
    struct api_events *events; // owned
    struct list slow;          // struct api_call.waiting_turn: a turn of the loop for each
    struct loop_timer slow_timer;
    struct api_config_source from; // of PUT /config
    void (*fill_gauges)(void *arg, struct meters_gauges *g);
    void *fill_arg;
    uint8_t token_hash[32]; // keyed, so that comparing takes the same time for any token
    uint8_t hash_key[32];
};

struct api_call;

// What a route needs: nothing, or a token with this scope (or one that includes it).
enum api_access { API_OPEN, API_READ, API_KEYS, API_ADMIN };

enum api_body {
    API_NO_BODY,
    API_JSON, // a JSON object (may be left out: then json_present is false)
    API_TEXT, // a configuration file: YAML or JSON, up to API_FILE_MAX
};

struct api_route {
    const char *method;
    const char *path; // "{id}": one segment; "{id...}": the rest
    void (*fn)(struct api_call *c);
    enum api_access access;
    enum api_body body;
};

// A configuration to be applied as a whole, or compared. Owned by the call.
struct api_file {
    struct config *config;    // parsed; or NULL
    struct revision revision; // ... or brought back
    struct resource **both;   // owned array: what is to be applied (the references are the others')
    const char **where;
    size_t n;
    bool keep_env;
    const char *source; // for the list of revisions
    bool exact;         // If-Match: the sequence must be at_seq
    uint64_t at_seq;    // by If-Match
    unsigned tries;     // conflicts so far
    size_t creates, updates, deletes;
    struct loop_timer again;
    struct api_call *again_arg;
};

// A change under way. Handlers fill action, res (or kind for a delete), status, render and again.
struct api_write {
    const char *action;        // "key.create": for the audit log
    enum record_origin origin; // of what is put; 0: the API
    const char *where;         // of what is put; NULL: ""
    struct resource *also; // owned; put in the same change (its version - 1 is expected), or NULL
    struct token *token;   // a token instead of a resource; in the arena
    struct slice token_value; // what is stored; empty: it is deleted
    struct api_file *file;    // a configuration instead of a resource; owned
    struct resource *res;     // owned; what is put, or what was deleted
    bool is_delete;
    enum resource_kind kind;
    char id[RESOURCE_ID_MAX + 1]; // of the resource
    unsigned status;              // of a success
    uint64_t expected;            // version it must have now
    // Of a provider that nothing names ("": none). If something that may name it was written since
    // the state that was looked at, look_again is called a moment later (it replies, or commits).
    const char *unnamed;
    void (*look_again)(struct api_call *c);
    unsigned looks;
    struct loop_timer next_look;
    uint64_t seq;
    uint64_t wait_us;         // 0: no ?wait=
    struct slice idempotency; // key; SLICE_NULL: none. In the call's arena
    char salt[VKEY_SALT_HEX + 1];
    char secret[VKEY_TEXT_MAX]; // a new virtual key, shown once; wiped
    // Writes the members of the answer's object.
    void (*render)(struct api_call *c, struct json_out *o);
    // A repeat under an idempotency key: res, id and salt are back; put the secret back. May be
    // NULL.
    void (*again)(struct api_call *c);
};

struct api_call {
    struct api *api;
    struct httpd_req *q; // NULL: the exchange is over
    const struct api_route *route;
    const char *actor;               // who: "admin-token", "token:<id>"
    char param[RESOURCE_ID_MAX + 1]; // the path's {id}
    struct slice query;              // undecoded, behind the '?'
    bool replied;
    unsigned pending; // things that will call back
    struct json_value *doc;
    struct json_report report;
    struct arena arena; // of the call
    struct api_write w;
    struct fleet_wait *waiting;     // NULL: none
    struct upstream_call *upstream; // NULL: none
    struct loop_timer *deadline;    // of upstream; in the arena
    struct list_node subscribed;    // among the streams of events
    struct list_node waiting_turn;  // in api.slow
    bool is_stream;
};

// --- api.c --------------------------------------------------------------------------------------

// Something will call back; api_release when it has. A call may be freed by api_release.
void api_hold(struct api_call *c);
void api_release(struct api_call *c);
extern const struct api_route api_routes[];
extern const size_t api_n_routes;

// --- api_reply.c --------------------------------------------------------------------------------

// Sends the buffer as JSON. *body is taken. version != 0: an ETag.
void api_send(struct api_call *c, unsigned status, struct buf *body, uint64_t version);
void api_send_text(struct api_call *c, const char *type, struct buf *body);
// {"error":{"code","message"}}; the message must not hold secrets.
void api_error(struct api_call *c, unsigned status, const char *code, const char *fmt, ...)
    PRINTF_LIKE(4, 5);
void api_not_allowed(struct api_call *c, const char *allow);
// 422 with c->report.
void api_invalid(struct api_call *c);
void api_not_found(struct api_call *c, const char *what);
// 409: names file and line, or the environment.
void api_owned(struct api_call *c, const struct follow_owner *o);
// The value of a query parameter, decoded into the call's arena; SLICE_NULL if absent.
struct slice api_query(struct api_call *c, const char *name);
// Notes what is wrong with a query parameter in the call's report.
void api_note_query(struct api_call *c, const char *name, const char *problem);
// An RFC 3339 parameter in microseconds since the epoch; `otherwise` when it is absent or wrong
// (then noted).
uint64_t api_query_time(struct api_call *c, const char *name, uint64_t otherwise);
// limit and cursor of a list; false: replied with an error.
MUST_CHECK bool api_page(struct api_call *c, size_t *ret_limit, struct slice *ret_cursor);
// Percent-decodes into out (max bytes with NUL). False: bad escape, NUL, too long.
MUST_CHECK bool api_unescape(struct slice s, bool plus, char *out, size_t max);
// A page of the state's resources of a kind, each rendered as an object.
void api_list(struct api_call *c, enum resource_kind kind,
              void (*render)(struct api_call *c, struct json_out *o, const struct resource *r));
// One resource by c->param, or 404.
void api_get(struct api_call *c, enum resource_kind kind, const char *what,
             void (*render)(struct api_call *c, struct json_out *o, const struct resource *r));
// Who may not be changed by the API; NULL: it may.
const struct follow_owner *api_owner(struct api_call *c, const struct resource *r);

// --- api_write.c --------------------------------------------------------------------------------

// Reads ?wait=, If-Match and Idempotency-Key into c->w. old: NULL for a create. False: replied.
MUST_CHECK bool api_write_begin(struct api_call *c, const struct resource *old);
// The resource to change by c->param, unless the file owns it; api_write_begin was done. NULL:
// replied.
MUST_CHECK struct resource *api_write_target(struct api_call *c, enum resource_kind kind,
                                             const char *what);
// Commits c->w; the rest happens by itself.
void api_write_commit(struct api_call *c);
// Nothing to change: answers as if it had been, at the sequence of now.
void api_write_unchanged(struct api_call *c, struct resource *as_it_is);
// The whole of a DELETE.
void api_write_delete(struct api_call *c, enum resource_kind kind, const char *what,
                      const char *action);

// Its beginning, for those who delete differently; and what is left of it when the resource is gone
// already, perhaps by the first of two requests with one Idempotency-Key.
void api_write_delete_begin(struct api_call *c, enum resource_kind kind, const char *action);
void api_write_delete_again(struct api_call *c);
// A salt for what api_write.salt is for.
void api_write_new_salt(struct api_call *c);
// If-Match says another version than `version` (or there is nothing, 0): 412. False: replied.
MUST_CHECK bool api_write_matches(struct api_call *c, uint64_t version);
// The same of what is to be made by a PUT; with an Idempotency-Key, whose first request may have
// found something, it is the script that says so.
MUST_CHECK bool api_write_may_be_there(struct api_call *c);
// Is the version among the entity tags of an If-Match?
bool api_write_names(struct slice if_match, uint64_t version);
// {"at","actor","peer","action"...: the beginning of an audit entry, for more members and '}'.
void api_write_audit_head(struct api_call *c, struct json_out *o, const char *action);
// The client is gone: what was to be looked at again is not. True: something was, and what was held
// for it (api_hold) is the caller's to let go.
MUST_CHECK bool api_write_forget(struct api_call *c);
// The script's answer to c->w; for api_file.c.
void api_write_on_commit(void *arg, const struct store_result *r);
// The parts of a change that do not depend on what is changed; b holds the audit entry.
void api_write_common(struct api_call *c, struct buf *b, struct store_change *ret);

// --- api_file.c ---------------------------------------------------------------------------------

// Parses a small text that knows no variables and reads no files; providers may be those of the
// state. Never NULL.
struct config *api_file_parse(struct api_call *c, const char *name, struct slice text);
// Reads a text (copied) beside the loop as the file of this control plane would be, without reading
// files; then owns what it made. Nothing happens if the client leaves before that.
void api_file_read(struct api_call *c, const char *name, struct slice text,
                   void (*then)(struct api_call *c, struct config *config));
// Notes the errors of a configuration in the call's report, their paths without `prefix`.
void api_file_note(struct api_call *c, const struct config *config, const char *prefix);
// Header and query values of providers that are "(hidden)", as they are shown, stay what they are
// in force. False: noted in the call's report which ones have none.
MUST_CHECK bool api_file_keep_hidden(struct api_call *c, struct config *config);
// "warnings": [...]
void api_file_put_warnings(struct json_out *o, const struct config *config);
// Takes the config or the revision into c->w.file.
void api_file_take(struct api_call *c, struct config *config, struct revision *revision);
void api_file_free(struct api_file **f);
// Answers with the difference.
void api_file_diff(struct api_call *c);
// Commits c->w.file; the rest happens by itself.
void api_file_commit(struct api_call *c);
// Something else was changed meanwhile: tries again. False: not any more.
MUST_CHECK bool api_file_again(struct api_call *c);

// --- api_events.c -------------------------------------------------------------------------------

struct api_events *api_events_new(struct api *a);
void api_events_free(struct api_events **vp);
// Ends every stream.
void api_events_drain(struct api_events *v);
// Of the call, on_drain and on_done of its exchange.
void api_events_gone(struct api_call *c);

// --- handlers -----------------------------------------------------------------------------------

void api_keys_list(struct api_call *c);
void api_keys_create(struct api_call *c);
void api_keys_get(struct api_call *c);
void api_keys_patch(struct api_call *c);
void api_keys_delete(struct api_call *c);
void api_keys_rotate(struct api_call *c);
void api_keys_disable(struct api_call *c);
void api_keys_enable(struct api_call *c);
void api_provider_keys_list(struct api_call *c);
void api_provider_keys_create(struct api_call *c);
void api_provider_keys_get(struct api_call *c);
void api_provider_keys_patch(struct api_call *c);
void api_provider_keys_delete(struct api_call *c);
void api_provider_keys_rotate(struct api_call *c);
void api_provider_keys_test(struct api_call *c);
void api_teams_list(struct api_call *c);
void api_teams_create(struct api_call *c);
void api_teams_get(struct api_call *c);
void api_teams_patch(struct api_call *c);
void api_teams_delete(struct api_call *c);
void api_users_list(struct api_call *c);
void api_users_create(struct api_call *c);
void api_users_get(struct api_call *c);
void api_users_patch(struct api_call *c);
void api_users_delete(struct api_call *c);
void api_read_router(struct api_call *c, struct json_out *o, const struct resource *r);
void api_read_provider(struct api_call *c, struct json_out *o, const struct resource *r);
void api_read_model(struct api_call *c, struct json_out *o, const struct resource *r);
void api_providers_list(struct api_call *c);
void api_providers_get(struct api_call *c);
void api_providers_put(struct api_call *c);
void api_providers_delete(struct api_call *c);
void api_models_list(struct api_call *c);
void api_models_get(struct api_call *c);
void api_models_put(struct api_call *c);
void api_models_delete(struct api_call *c);
void api_routers_list(struct api_call *c);
void api_routers_get(struct api_call *c);
void api_routers_put(struct api_call *c);
void api_routers_delete(struct api_call *c);
void api_catalog_get(struct api_call *c);
void api_config_get(struct api_call *c);
void api_config_validate(struct api_call *c);
void api_config_put(struct api_call *c);
void api_config_revisions(struct api_call *c);
void api_config_rollback(struct api_call *c);
void api_targets_drain(struct api_call *c);
void api_tokens_list(struct api_call *c);
void api_tokens_create(struct api_call *c);
void api_tokens_delete(struct api_call *c);
void api_events_get(struct api_call *c);
void api_read_proxies(struct api_call *c);
void api_read_targets(struct api_call *c);
void api_read_audit(struct api_call *c);
void api_read_health(struct api_call *c);
void api_read_ready(struct api_call *c);
void api_read_metrics(struct api_call *c);
void api_read_openapi(struct api_call *c);
void api_recovery_post(struct api_call *c);
void api_requests_list(struct api_call *c);
void api_requests_get(struct api_call *c);
void api_usage_get(struct api_call *c);

#endif
