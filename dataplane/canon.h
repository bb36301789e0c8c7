// SPDX-License-Identifier: Apache-2.0
// The canonical model: what a request, an answer and a stream event mean, in no dialect's words.
// A client dialect reads requests into it and writes answers and events from it, a provider dialect
// writes requests from it and reads answers and events into it; so n + m translators serve n x m
// pairs and none knows another (docs/internals/dialects.md).
//
//   client body --tape--> canon_request --------------> provider body
//   client answer <------ canon_answer  <--tape-- provider answer
//   client events <------ canon_event*  <--tape-- provider event
//
// Texts are jtext (JSON-escaped, without quotes), `raw` values are JSON bytes; both borrow the
// source or the arena. SLICE_NULL: not given. Lists are linked, in order, in the arena. Everything
// of a request lives as long as the client's request (its body and arena); of an answer as long as
// the provider's body; of an event during the call that tells it.
#ifndef SLUICE_DATAPLANE_CANON_H
#define SLUICE_DATAPLANE_CANON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/rng.h"
#include "common/base/slice.h"
#include "dataplane/canon_index.h"
#include "dataplane/dialect.h"
#include "dataplane/jtext.h"
#include "dataplane/jwrite.h"
#include "proto/resource.h"

// --- parts of messages -------------------------------------------------------------------------

enum canon_part_kind {
    CANON_TEXT,        // text
    CANON_REFUSAL,     // text: the model declined (in history and answers)
    CANON_REASONING,   // text; signature when the provider signed it
    CANON_REDACTED,    // data: encrypted reasoning (Anthropic's redacted_thinking)
    CANON_IMAGE,       // media
    CANON_AUDIO,       // media; format in media_type as "audio/wav"
    CANON_FILE,        // media: PDF or text document, any other file
    CANON_TOOL_CALL,   // id, name, args
    CANON_TOOL_RESULT, // id, parts, is_error; text as well, where the content was one plain string
    CANON_OTHER, // what the client sent and no translator knows: name is its type, raw the part
};

// Where media comes from; what `data` then is.
enum canon_source {
    CANON_BASE64,  // base64; media_type is given
    CANON_URL,     // the URL
    CANON_FILE_ID, // an id at a provider
    CANON_PLAIN,   // the text itself (Anthropic's text documents)
};

struct canon_part {
    struct canon_part *next;
    enum canon_part_kind kind;
    struct slice text;
    // media
    enum canon_source source;
    struct slice media_type, data;
    struct slice name;   // file name or title; name of the tool; type of CANON_OTHER
    struct slice detail; // OpenAI's image detail
    // tools
    struct slice id;
    struct slice args; // raw: a JSON object, valid. Of a custom tool: SLICE_NULL, its input is text
    bool custom;       // a call of a tool of type custom
    struct canon_part *parts; // of a tool result
    bool is_error;
    // carried for the one provider that wants it back
    struct slice signature;        // Anthropic, of REASONING
    struct slice google_signature; // Gemini's thoughtSignature, of TEXT, TOOL_CALL
    struct slice cache_control;    // raw, Anthropic's breakpoint
    struct slice raw;
};

// In place of a google_signature, from generation 3 of Gemini on, of calls that it did not make.
#define CANON_GOOGLE_UNSIGNED "skip_thought_signature_validator"

enum canon_role {
    CANON_SYSTEM, // system and developer
    CANON_USER,   // also what carries tool results
    CANON_ASSISTANT
};

struct canon_message {
    struct canon_message *next;
    enum canon_role role;
    struct canon_part *parts;
    struct slice name; // of the participant
};

// --- requests ----------------------------------------------------------------------------------

// A parameter that is passed on as it is: its JSON, and what the client calls it (static), for
// x-sluice-dropped-params and errors.
struct canon_param {
    struct slice raw; // SLICE_NULL: not given (or null)
    const char *name;
};

enum canon_tool_kind {
    CANON_FUNCTION, // name, description, parameters
    CANON_CUSTOM,   // OpenAI's free-form tools
    CANON_TYPED,    // a provider's own tool: type (Anthropic's web_search_20250305, ...)
};

struct canon_tool {
    struct canon_tool *next;
    enum canon_tool_kind kind;
    struct slice name, type;
    struct slice description;
    struct slice parameters; // raw JSON schema
    int strict;              // -1 not given, 0, 1
    struct slice cache_control, raw;
    bool google; // of CANON_TYPED: Google's, {"googleSearch": {}}; raw is what it takes
};

enum canon_choice {
    CANON_CHOICE_NONE_GIVEN,
    CANON_CHOICE_AUTO,
    CANON_CHOICE_NONE,
    CANON_CHOICE_REQUIRED, // any of them
    CANON_CHOICE_NAMED,    // names[0]
    CANON_CHOICE_ALLOWED,  // names[], required or not
};

enum canon_format { CANON_FORMAT_TEXT, CANON_FORMAT_JSON, CANON_FORMAT_SCHEMA };

enum canon_effort {
    CANON_EFFORT_NOT_GIVEN,
    CANON_EFFORT_NONE,
    CANON_EFFORT_MINIMAL,
    CANON_EFFORT_LOW,
    CANON_EFFORT_MEDIUM,
    CANON_EFFORT_HIGH,
    CANON_EFFORT_XHIGH,
    CANON_EFFORT_MAX,
};
extern const char *const canon_effort_names[]; // by the enum; "" for NOT_GIVEN

// Anthropic's `thinking`, also accepted from OpenAI clients as an extension.
enum canon_thinking {
    CANON_THINKING_NOT_GIVEN,
    CANON_THINKING_DISABLED,
    CANON_THINKING_ENABLED, // budget
    CANON_THINKING_ADAPTIVE,
    CANON_THINKING_BETWEEN_TOOLS,
};

// A top-level member that the client's dialect does not know, or that is a hint of no meaning
// to translators.
struct canon_extra {
    struct canon_extra *next;
    struct slice name; // jtext
    struct slice raw;
    bool hint; // named in x-sluice-dropped-params when a provider cannot take it; else
               // it is passed on only under forward-unknown, and silently dropped otherwise
};

struct canon_request {
    const char *error_code; // set by a read_request that fails, where invalid_value says too little
    enum dialect_endpoint endpoint; // CHAT, COMPLETIONS, MESSAGES, COUNT_TOKENS or EMBEDDINGS
    const struct dialect *client;
    struct canon_message *messages; // system ones in place
    struct canon_tool *tools;
    enum canon_choice choice;
    bool choice_required; // of CANON_CHOICE_ALLOWED
    struct slice *names;
    size_t n_names;
    struct canon_param tool_choice; // for its name; raw as sent

    bool max_given;
    uint64_t max_tokens;  // valid when max_given
    const char *max_name; // "max_tokens", "max_completion_tokens": what the client called it
    struct canon_param temperature, top_p, top_k, n, seed, presence_penalty, frequency_penalty,
        logit_bias, logprobs, top_logprobs, parallel_tool_calls, user, safety_identifier,
        service_tier, modalities, audio, verbosity, metadata;
    uint64_t choices; // n as a number, >= 1
    int parallel;     // parallel_tool_calls: -1 not given, 0, 1
    bool functions;   // OpenAI's `functions` of old in place of tools: the answer has function_call
    struct slice *stop;
    size_t n_stop;          // texts
    const char *stop_name;  // "stop", "stop_sequences"
    struct slice user_text; // the end user's id as a text, whichever member it came from

    enum canon_format format;
    const char *format_name; // "response_format", "output_config.format"
    struct slice schema, schema_name, schema_description; // schema raw; names jtext
    int schema_strict;

    enum canon_effort effort;
    const char *effort_name; // "reasoning_effort", "thinking"
    enum canon_thinking thinking;
    struct slice thinking_raw;
    uint64_t thinking_budget; // also of an effort that was given in tokens; 0: not

    struct slice cache_control;   // raw, top level (Anthropic)
    struct slice safety_settings; // raw (Gemini's, from OpenAI clients)
    struct slice extra_body;      // raw (Google's extension: {google: {thinking_config, ...}})
    bool stream;
    bool include_usage; // of an OpenAI client's stream

    struct canon_extra *extras;
    struct canon_index tool_names; // of calls by id: canon_index_tools

    // embeddings
    struct slice input; // raw, as sent: string, strings, or token arrays
    struct canon_param dimensions;
    bool base64; // encoding_format
};

// --- answers -----------------------------------------------------------------------------------

enum canon_finish {
    CANON_FINISH_NONE, // not yet
    CANON_FINISH_STOP,
    CANON_FINISH_LENGTH,
    CANON_FINISH_TOOLS,
    CANON_FINISH_FILTER, // content_filter, refusal
};

// A citation of an address, offsets in characters of the choice's text.
struct canon_citation {
    struct canon_citation *next;
    struct slice url, title; // jtext
    uint64_t begin, end;
};

struct canon_choice_out {
    struct canon_choice_out *next;
    uint32_t index;
    struct canon_part *parts; // in the provider's order
    struct canon_citation *citations;
    enum canon_finish finish;
    struct slice stop_sequence; // jtext: which one ended it, where the provider says so
    struct slice logprobs;      // raw, in OpenAI's form
};

struct canon_answer {
    struct slice id, model;    // jtext; SLICE_NULL: the provider gave none
    struct slice service_tier; // jtext, in OpenAI's words
    struct canon_choice_out *choices;
    struct dialect_usage usage;
    // embeddings: each a JSON array of numbers as the provider wrote it
    struct slice *vectors;
    size_t n_vectors;
    // count_tokens: usage.input
};

// --- events ------------------------------------------------------------------------------------

enum canon_event_kind {
    CANON_EV_START,     // id, model (SLICE_NULL where unknown): once, first
    CANON_EV_TEXT,      // text; logprobs
    CANON_EV_REFUSAL,   // text
    CANON_EV_REASONING, // text
    CANON_EV_SIGNATURE, // text: signature of the reasoning that was told
    CANON_EV_REDACTED,  // text: data
    CANON_EV_TOOL,      // tool (0, 1, ... within the choice), id, name: a call begins. whole: its
                        // arguments follow in the very next event, all of them, in one ARGS
    CANON_EV_ARGS,      // tool, text: more of its arguments, a piece of the JSON text as jtext
    CANON_EV_IMAGE,     // part (media)
    CANON_EV_GOOGLE_SIGNATURE, // text, of the choice's text
    CANON_EV_CITATION,         // citation
    CANON_EV_FINISH,           // finish, stop_sequence; once a choice
    CANON_EV_USAGE,            // usage: cumulative, the last one counts
    CANON_EV_END,              // the provider's stream is complete; once, last
    CANON_EV_ERROR,            // error; nothing follows
};

struct canon_event {
    enum canon_event_kind kind;
    uint32_t choice, tool;
    bool whole; // of CANON_EV_TOOL
    struct slice text, id, name, model;
    struct slice google_signature; // of CANON_EV_TOOL
    struct slice service_tier;     // of START, FINISH
    struct slice logprobs;         // raw
    const struct canon_part *part;
    const struct canon_citation *citation;
    enum canon_finish finish;
    struct slice stop_sequence;
    const struct dialect_usage *usage;
    const struct dialect_error *error;
};

// Called for each event, in order.
struct canon_sink {
    void (*tell)(void *ctx, const struct canon_event *ev);
    void *ctx;
};

// --- the facts of one translation --------------------------------------------------------------

enum canon_thinking_kind { CANON_THINKS_NEVER, CANON_THINKS_MANUAL, CANON_THINKS_ADAPTIVE };
enum canon_thinking_off {
    CANON_OFF_DISABLED,
    CANON_OFF_BETWEEN_TOOLS,
    CANON_OFF_EFFORT_LOW,
    CANON_OFF_OMIT
};

// What the provider and its model can take: facts of the catalogue and the router, never decided in
// a translator (tests/vectors/FORMAT.md `config` has the same).
struct canon_target {
    struct slice model;          // provider's model id, characters
    uint64_t default_max_tokens; // for providers that need one: the model's maximum,
                                 // else 4096
    uint64_t max_output;         // 0: unknown
    bool no_sampling;            // refuses temperature, top_p, top_k
    bool no_structured;          // no native JSON schema
    bool no_forced_tools;        // tool_choice auto and none only
    bool no_xhigh;               // effort xhigh unknown: max instead
    bool keep_mid_system;        // takes system messages in the middle
    enum canon_thinking_kind thinks;
    enum canon_thinking_off thinking_off;
    bool gemini3;       // Gemini 3 and later: thinking levels, signatures checked
    bool gemini_low;    // LOW is its lowest thinking level
    bool gemini_schema; // Gemini 2.0 and older: responseSchema instead of responseJsonSchema
    bool openai;        // OpenAI itself (or Azure): takes safety_identifier, file parts, ...
    // OpenAI's reasoning models by the catalogue's traits: max_completion_tokens instead of
    // max_tokens, no sampling parameters, no stop
    bool reasoning_model;
    bool wants_reasoning; // history must carry reasoning_content (DeepSeek, Kimi, ...)
    bool no_stream_usage; // refuses stream_options
    bool no_files;        // no file parts
    bool forward_unknown, drop_unsupported; // of the router
    const struct resource_quirks *quirks;   // of the provider; NULL: none
    const struct resource_traits *traits;   // of the model; NULL: none
    bool strip_signatures; // this is a fallback to another model than the conversation's
};

#define CANON_DROPS_MAX 32u

// How a request was written: what its answer's reader must know, what was left out, why it failed.
// Zero-initialise but for the arena.
struct canon_outcome {
    struct arena *arena;
    const char *dropped[CANON_DROPS_MAX];
    size_t n_dropped;
    bool json_tool; // the JSON schema went as the tool `json_output`
    bool streams;   // a stream is asked for though the client wants a plain answer: it is put
                    // together (gather.h)
    // failure
    const char *code, *param; // code static ("unsupported_parameter"); param static or arena
    char message[200];
};

// Facts of the answer to one attempt, for readers and writers.
struct canon_context {
    struct arena *arena; // of the request
    struct rng *rng;     // for ids that are made here
    enum dialect_endpoint endpoint;
    uint64_t created;   // Unix seconds
    struct slice model; // sent upstream, characters
    bool include_usage; // stream: the client asked for the usage chunk (and "usage":null before it)
    bool json_tool;     // from the outcome
    bool gemini3;
    bool base64;     // embeddings
    bool functions;  // the client knows function_call only, one a message
    uint64_t quirks; // flags of the provider's: the snapshot may go first
    // The cost of a usage as a JSON number in USD, for bodies where the client asked for it
    // (usage: {include: true}); NULL: not asked. SLICE_NULL from it: unpriced.
    struct slice (*cost)(void *ctx, const struct dialect_usage *u, char out[40]);
    void *cost_ctx;
};

// --- helpers of translators --------------------------------------------------------------------

// Appends to a list whose tail the caller keeps: returns a zeroed part, linked.
//   struct canon_part *list = NULL, **tail = &list;
struct canon_part *canon_add_part(struct arena *a, struct canon_part ***tail,
                                  enum canon_part_kind kind);
struct canon_message *canon_add_message(struct arena *a, struct canon_message ***tail,
                                        enum canon_role role);

// Names a parameter in x-sluice-dropped-params; once each. name: static or arena.
void canon_drop(struct canon_outcome *o, const char *name);
// canon_drop for each of these that is given.
void canon_drop_params(struct canon_outcome *o, const struct canon_param *const *params, size_t n);
// canon_drop for every extra that is a hint.
void canon_drop_hints(struct canon_outcome *o, const struct canon_request *r);
// A contract parameter the provider cannot take: under drop_unsupported it is dropped and true
// returned; else the outcome gets code unsupported_parameter, param and message, and false.
MUST_CHECK bool canon_refuse(struct canon_outcome *o, const struct canon_target *t,
                             const char *param, const char *fmt, ...) PRINTF_LIKE(4, 5);
// History that cannot be read (tool arguments that are no JSON object, an unknown tool id): code
// invalid_value. Returns false.
bool canon_bad_request(struct canon_outcome *o, const char *param, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
// Under forward_unknown, the extras that are no hints, as members of the open object.
void canon_write_unknown(struct jwrite *w, const struct canon_request *r,
                         const struct canon_target *t);

// "call_" or another prefix and 24 random base62 characters, in the arena.
struct slice canon_make_id(const char *prefix, struct rng *rng, struct arena *a);
// A tool-call id that fits a target's pattern: characters outside [A-Za-z0-9] and
// `extra` become '_', cut to max. Unchanged ids are borrowed. Two ids that collide are told apart
// by the table, which lives for one request.
struct canon_ids {
    struct arena *arena;
    const char *extra; // "_-"
    size_t max;
    struct canon_index fitted, taken; // private
};
struct slice canon_fit_id(struct canon_ids *ids, struct slice id);

// JSON without white space between its tokens; borrowed where it has none.
struct slice canon_compact(struct slice json, struct arena *a);
// All texts of the parts, joined by `between`; SLICE_NULL when there is no text part.
struct slice canon_join_texts(const struct canon_part *parts, const char *between, struct arena *a);
// Fills tool_names from the messages; once they are all there.
void canon_index_tools(struct canon_request *r, struct arena *a);
// Name of the tool call with this id in the messages; SLICE_NULL: there is none. After
// canon_index_tools.
struct slice canon_tool_name(const struct canon_request *r, struct slice id);
bool canon_has_tool_calls(const struct canon_part *parts);
enum canon_effort canon_effort_of(struct slice text); // NOT_GIVEN: unknown
// What a budget of thinking comes to.
enum canon_effort canon_effort_by_budget(uint64_t tokens);

// Tells a whole answer as the events of a stream (a provider that answered a stream request with
// JSON). Ends with FINISH for each choice, USAGE and END.
void canon_tell_answer(const struct canon_answer *answer, struct arena *scratch,
                       struct canon_sink to);

#endif
