// SPDX-License-Identifier: Apache-2.0
// The body is looked through for the first place of a list where vendors put a message; the status
// then gives type and code by a table, and a few words of the message or codes of vendors turn them
// into something more exact.
#include "dataplane/dialect_error.h"

#include <string.h>

#include "common/base/text.h"
#include "dataplane/jtext.h"

#define PLAIN_MAX 500u // bytes of a text that is taken as the message

// --- by status ---------------------------------------------------------------------------------

struct condition {
    unsigned status; // of the provider
    unsigned out;    // to the client
    const char *type, *code;
    bool fixed; // the provider's code does not count
};

static const struct condition conditions[] = {
    {400, 400, "invalid_request_error", NULL, false},
    {401, 401, "authentication_error", "invalid_api_key", true},
    {402, 429, "insufficient_quota", "insufficient_quota", true},
    {403, 403, "permission_error", "permission_denied", true},
    {404, 404, "invalid_request_error", NULL, false},
    {408, 504, "timeout_error", "upstream_timeout", true},
    {409, 409, "invalid_request_error", "conflict", true},
    {413, 413, "invalid_request_error", "request_too_large", true},
    {429, 429, "rate_limit_error", "rate_limit_exceeded", true},
    {498, 503, "server_error", "overloaded", true}, // Groq's flex tier
    {503, 503, "server_error", "overloaded", true},
    {504, 504, "timeout_error", "upstream_timeout", true},
    {524, 504, "timeout_error", "upstream_timeout", true}, // Together, Cloudflare
    {529, 503, "server_error", "overloaded", true},
};

static struct condition condition_of(unsigned status)
{
    for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
        if (conditions[i].status == status) {
            return conditions[i];
        }
    }
    if (status >= 400 && status < 500) {
        return (struct condition){status, status, "invalid_request_error", NULL, false};
    }
    // What is no status of HTTP (520 of a CDN) is not passed on as one.
    return (struct condition){status, status >= 500 && status <= 511 ? status : 502, "server_error",
                              NULL, false};
}

static bool is_word(struct slice code)
{
    bool digits = true;

    if (code.n == 0 || code.n > 64) {
        return false;
    }
    for (size_t i = 0; i < code.n; i++) {
        char c = code.p[i];
        bool digit = c >= '0' && c <= '9';

        if (!digit && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && c != '_' && c != '.' &&
            c != '-') {
            return false;
        }
        digits = digits && digit;
    }
    return !digits;
}

// Is the word (lower case) somewhere in the text, whatever the case there?
static bool mentions(struct slice text, const char *word)
{
    size_t n = strlen(word);

    for (size_t i = 0; i + n <= text.n; i++) {
        if (slice_eq_nocase((struct slice){text.p + i, n}, (struct slice){word, n})) {
            return true;
        }
    }
    return false;
}

void dialect_error_classify(unsigned status, struct slice code, struct arena *a,
                            struct dialect_error *ret)
{
    struct condition k = condition_of(status);

    ret->status = k.out;
    ret->type = k.type;
    ret->code = k.code;
    if (!k.fixed && is_word(code)) {
        ret->code = arena_strndup(a, code.p, code.n);
    } else if (status == 404 && mentions(ret->message, "model")) {
        ret->code = "model_not_found";
    }
}

// --- by what it says ---------------------------------------------------------------------------

void dialect_error_context_length(struct dialect_error *ret)
{
    ret->status = 400;
    ret->type = "invalid_request_error";
    ret->code = "context_length_exceeded";
}

void dialect_error_quota(struct dialect_error *ret)
{
    ret->status = 429;
    ret->type = ret->code = "insufficient_quota";
}

void dialect_error_policy(struct dialect_error *ret)
{
    ret->status = 400;
    ret->type = "invalid_request_error";
    ret->code = "content_policy_violation";
}

static bool mentions_any(struct slice text, const char *const *words, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (mentions(text, words[i])) {
            return true;
        }
    }
    return false;
}

void dialect_error_upgrade(struct dialect_error *ret, bool quota)
{
    static const char *const lengths[] = {"context length", "maximum context", "too long",
                                          "too many tokens"};
    static const char *const credits[] = {
        "insufficient balance",        "insufficient quota", "insufficient credit",
        "exceeded your current quota", "arrearage",          "credit balance is too low"};
    unsigned s = ret->status;

    if (quota && (s == 400 || s == 403 || s == 429) &&
        mentions_any(ret->message, credits, ARRAY_LEN(credits))) {
        dialect_error_quota(ret);
    } else if (s >= 400 && s < 500 && s != 401 && s != 403 && s != 429 &&
               mentions_any(ret->message, lengths, ARRAY_LEN(lengths))) {
        dialect_error_context_length(ret);
    }
}

// Codes and types of vendors that say more than their status; MiniMax's and Zhipu's are numbers.
enum meaning { MEANS_NOTHING, MEANS_QUOTA, MEANS_LENGTH, MEANS_POLICY };

static enum meaning meaning_of(struct slice word)
{
    static const struct {
        const char *word;
        enum meaning meaning;
    } words[] = {
        {"insufficient_quota", MEANS_QUOTA},
        {"exceeded_current_quota_error", MEANS_QUOTA}, // Moonshot
        {"Arrearage", MEANS_QUOTA},                    // DashScope
        {"1113", MEANS_QUOTA},                         // Zhipu
        {"1008", MEANS_QUOTA},                         // MiniMax
        {"context_length_exceeded", MEANS_LENGTH},
        {"1261", MEANS_LENGTH}, // Zhipu
        {"content_policy_violation", MEANS_POLICY},
        {"data_inspection_failed", MEANS_POLICY}, // DashScope
        {"1301", MEANS_POLICY},                   // Zhipu
        {"1026", MEANS_POLICY},                   // MiniMax: input
        {"1027", MEANS_POLICY},                   // and output
    };

    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        if (slice_eq_str(word, words[i].word)) {
            return words[i].meaning;
        }
    }
    return MEANS_NOTHING;
}

static void apply(struct dialect_error *ret, enum meaning m)
{
    if (m == MEANS_QUOTA) {
        dialect_error_quota(ret);
    } else if (m == MEANS_LENGTH) {
        dialect_error_context_length(ret);
    } else if (m == MEANS_POLICY) {
        dialect_error_policy(ret);
    }
}

// --- the body ----------------------------------------------------------------------------------

// What a body says, as found.
struct found {
    const struct tape *t;
    struct arena *a;
    struct slice message; // characters; .p NULL: none
    struct slice code;    // text, or a number as it is written
    bool code_is_number;  // which is no code for a client
    struct slice type, param, reason;
    unsigned status; // an HTTP status in the body; 0: none
};

static struct slice chars(const struct found *f, uint32_t i)
{
    struct slice text = tape_text(f->t, i), out;

    if (text.p == NULL) {
        return SLICE_NULL;
    }
    out = jtext_decode(text, f->a);
    return out.p == text.p ? arena_dup(f->a, out) : out; // the error outlives the body
}

// A text that is not empty.
static bool take_message(struct found *f, uint32_t i)
{
    struct slice text = chars(f, i);

    if (text.n == 0) {
        return false;
    }
    f->message = text;
    return true;
}

static void take_status(struct found *f, uint32_t i)
{
    uint64_t n = 0;

    if (f->status == 0 && tape_u64(f->t, i, &n) && n >= 400 && n < 600) {
        f->status = (unsigned)n;
    }
}

// code, type and param beside a message.
static void take_rest(struct found *f, uint32_t object)
{
    uint32_t code = tape_given(f->t, object, "code");

    f->code_is_number = tape_is(f->t, code, SCAN_NUMBER);
    f->code = f->code_is_number ? tape_raw(f->t, code) : chars(f, code);
    f->type = chars(f, tape_get(f->t, object, "type"));
    f->param = chars(f, tape_get(f->t, object, "param"));
    f->reason = chars(f, tape_get(f->t, object, "reason")); // Novita: MODEL_NOT_FOUND
    take_status(f, code);
    take_status(f, tape_get(f->t, object, "status"));
    take_status(f, tape_get(f->t, object, "statusCode"));
}

static void append_loc(struct buf *b, const struct found *f, uint32_t loc)
{
    bool first = true;

    TAPE_ITEMS(f->t, loc, i)
    {
        buf_append_str(b, first ? "" : ".");
        buf_append(b, tape_is(f->t, i, SCAN_STRING) ? chars(f, i) : tape_raw(f->t, i));
        first = false;
    }
    buf_append_str(b, first ? "" : ": ");
}

// FastAPI's list of complaints: loc.join(".") + ": " + msg, joined with "; ".
static bool take_details(struct found *f, uint32_t list)
{
    struct buf b;

    buf_init(&b, SIZE_MAX);
    TAPE_ITEMS(f->t, list, i)
    {
        struct slice msg = chars(f, tape_is(f->t, i, SCAN_STRING) ? i : tape_get(f->t, i, "msg"));

        if (msg.n > 0) {
            buf_append_str(&b, b.n > 0 ? "; " : "");
            append_loc(&b, f, tape_get(f->t, i, "loc"));
            buf_append(&b, msg);
        }
    }
    if (b.n > 0) {
        f->message = arena_dup(f->a, buf_slice(&b));
    }
    buf_done(&b);
    return f->message.n > 0;
}

static bool take_error(struct found *f, uint32_t top)
{
    uint32_t error = tape_given(f->t, top, "error");

    if (tape_is(f->t, error, SCAN_OBJECT)) {
        take_rest(f, error);
        return take_message(f, tape_get(f->t, error, "message")) ||
               take_details(f, tape_get(f->t, error, "message")) ||
               take_message(f, tape_get(f->t, error, "detail"));
    }
    take_rest(f, top);
    return take_message(f, tape_is(f->t, error, SCAN_ARRAY) ? tape_first(f->t, error) : error);
}

unsigned dialect_error_base_resp(uint64_t status_code)
{
    static const struct {
        uint64_t code;
        unsigned status;
    } statuses[] = {{0, 0},      {1002, 429}, {1004, 401}, {1008, 402},
                    {1026, 400}, {1027, 400}, {1039, 429}, {2013, 400}};

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
        if (statuses[i].code == status_code) {
            return statuses[i].status;
        }
    }
    return 500;
}

static bool take_base_resp(struct found *f, uint32_t top)
{
    uint32_t base = tape_get(f->t, top, "base_resp");
    uint64_t code = 0;

    if (!take_message(f, tape_get(f->t, base, "status_msg"))) {
        return false;
    }
    f->code = tape_raw(f->t, tape_get(f->t, base, "status_code"));
    f->code_is_number = true;
    if (slice_to_u64(f->code, &code) && code != 0) {
        f->status = dialect_error_base_resp(code);
    }
    return true;
}

static bool take_title(struct found *f, uint32_t top)
{
    return take_message(f, tape_get(f->t, tape_get(f->t, top, "fault"), "faultstring")) ||
           take_message(f, tape_get(f->t, top, "title"));
}

// Every shape of error that vendors were seen to send; the first that fits.
static bool take_any(struct found *f, uint32_t top)
{
    uint32_t first;

    if (tape_is(f->t, top, SCAN_STRING)) {
        return take_message(f, top);
    }
    if (take_error(f, top)) {
        return true;
    }
    first = tape_get(f->t, top, "errors");
    first = tape_is(f->t, first, SCAN_ARRAY) ? tape_first(f->t, first) : TAPE_NONE;
    return take_message(f, tape_get(f->t, first, "message")) || take_message(f, first) ||
           take_message(f, tape_get(f->t, top, "message")) ||
           take_details(f, tape_get(f->t, tape_get(f->t, top, "message"), "detail")) ||
           take_details(f, tape_get(f->t, top, "detail")) ||
           take_message(f, tape_get(f->t, top, "detail")) || take_base_resp(f, top) ||
           take_title(f, top);
}

static struct slice trimmed(struct slice s)
{
    while (s.n > 0 && memchr(" \t\r\n", s.p[s.n - 1], 4) != NULL) {
        s.n--;
    }
    while (s.n > 0 && memchr(" \t\r\n", s.p[0], 4) != NULL) {
        s = slice_from(s, 1);
    }
    return s;
}

// A text that a person may have written: no markup, no control characters.
static bool is_plain(struct slice body)
{
    if (body.n == 0 || body.n > PLAIN_MAX || strchr("<{[", body.p[0]) != NULL ||
        !text_utf8_valid(body)) {
        return false;
    }
    for (size_t i = 0; i < body.n; i++) {
        if ((unsigned char)body.p[i] < ' ' && memchr("\t\r\n", body.p[i], 3) == NULL) {
            return false;
        }
    }
    return true;
}

// Moonshot's type of a refused prompt. Azure has it as the code, which clients know.
static enum meaning meaning_by_type(const struct found *f)
{
    if (slice_eq_str(f->code, "content_filter")) {
        return MEANS_NOTHING;
    }
    return slice_eq_str(f->type, "content_filter") ? MEANS_POLICY : meaning_of(f->type);
}

static void finish(unsigned status, const struct found *f, struct dialect_error *ret)
{
    enum meaning m = meaning_of(f->code);

    if (status < 400) {
        status = f->status != 0 ? f->status : 500;
    }
    ret->message = f->message;
    if (ret->message.n == 0) {
        ret->message = slice_str(
            arena_printf(f->a, "upstream returned status %u with a non-JSON body", status));
    }
    if (f->param.n > 0) {
        ret->param = arena_strndup(f->a, f->param.p, f->param.n);
    }
    dialect_error_classify(status, f->code_is_number ? SLICE_NULL : f->code, f->a, ret);
    if (status == 404 && ret->code == NULL && mentions(f->reason, "model")) {
        ret->code = "model_not_found";
    }
    dialect_error_upgrade(ret, true);
    ret->elsewhere = ret->status == 413 && slice_eq_str(f->type, "tokens"); // Groq: above its TPM
    if (ret->status < 500) {
        apply(ret, m != MEANS_NOTHING ? m : meaning_by_type(f));
    }
}

void dialect_error_of(unsigned status, const struct tape *t, struct arena *a,
                      struct dialect_error *ret)
{
    struct found f = {.t = t, .a = a};
    uint32_t top = tape_is(t, 0, SCAN_ARRAY) ? tape_first(t, 0) : 0;

    *ret = (struct dialect_error){.status = 0};
    (void)take_any(&f, top);
    finish(status, &f, ret);
}

void dialect_error_read(unsigned status, struct slice body, struct arena *a,
                        struct dialect_error *ret)
{
    struct tape t = {.tokens = NULL};

    if (tape_parse(&t, body, NULL)) {
        dialect_error_of(status, &t, a, ret);
    } else {
        struct found f = {.t = &t, .a = a};

        if (is_plain(trimmed(body))) {
            f.message = arena_dup(a, trimmed(body));
        }
        *ret = (struct dialect_error){.status = 0};
        finish(status, &f, ret);
        if (f.message.n == 0 && status >= 500 && !condition_of(status).fixed) {
            ret->status = 502; // a server in between, or one that is broken
        }
    }
    tape_done(&t);
}

static bool null_or_string(const struct tape *t, uint32_t i)
{
    return tape_absent(t, i) || tape_is(t, i, SCAN_STRING);
}

// OpenAI's words are lower case ("invalid_request_error"); BadRequestError is another's.
static bool is_lower_word(struct slice s)
{
    for (size_t i = 0; i < s.n; i++) {
        if ((s.p[i] < 'a' || s.p[i] > 'z') && s.p[i] != '_') {
            return false;
        }
    }
    return s.n > 0;
}

// Does the normaliser read more out of it than it says in OpenAI's words?
static bool says_more(unsigned status, const struct tape *t, uint32_t error)
{
    static const char *const upgraded[] = {"insufficient_quota", "content_policy_violation"};
    struct dialect_error e;
    struct arena a;
    bool more = false;

    arena_init(&a, 4096, 0);
    dialect_error_of(status, t, &a, &e);
    for (size_t i = 0; i < ARRAY_LEN(upgraded) && e.code != NULL; i++) {
        more = more || (strcmp(e.code, upgraded[i]) == 0 &&
                        !tape_eq(t, tape_get(t, error, "code"), upgraded[i]) &&
                        !tape_eq(t, tape_get(t, error, "type"), upgraded[i]));
    }
    arena_done(&a);
    return more;
}

bool dialect_error_is_openai(unsigned status, struct slice body)
{
    struct tape t = {.tokens = NULL};
    uint32_t error;
    bool is;

    if (status < 400 || condition_of(status).out != status || !tape_parse(&t, body, NULL)) {
        tape_done(&t);
        return false;
    }
    error = tape_get(&t, 0, "error");
    is = tape_is(&t, tape_get(&t, error, "message"), SCAN_STRING) &&
         is_lower_word(tape_get_text(&t, error, "type")) &&
         null_or_string(&t, tape_get(&t, error, "param")) &&
         null_or_string(&t, tape_get(&t, error, "code")) && !says_more(status, &t, error);
    tape_done(&t);
    return is;
}
