// SPDX-License-Identifier: Apache-2.0
// The admin API over HTTP, with a real Redis behind it: the loop runs in a thread of its own, the
// test asks from outside.
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/fetch.h"
#include "common/io/json.h"
#include "controlplane/api.h"
#include "tests/unit/fake_mono.h"
#include "tests/unit/redis_server.h"

#define TOKEN "test-token-0123456789"

static const uint8_t master[CRYPTO_KEY_BYTES] = "0123456789abcdef0123456789abcde";

static const struct record_keys *master_keys(void)
{
    static struct record_keys k;

    k.n = 0;
    assert_true(record_keys_add(&k, master));
    return &k;
}

struct fixture {
    struct redis_server server;
    struct loop *loop;
    struct state *state;
    struct store *store;
    struct fleet *fleet;
    struct upstream *upstream;
    struct meters *meters;
    struct reader *reader;
    struct api *api;
    pthread_t thread, read_by; // by the latter the last text was read
    atomic_bool stop;          // the thread
    _Atomic uint64_t speed_us; // of its time: how much passes in 20 ms
    bool applied;
    // last answer
    unsigned status;
    struct json_value *doc;
    struct buf text;
};

static void on_status(void *arg, enum follow_status s, const char *message)
{
    (void)arg;
    (void)s;
    (void)message;
}

static void on_applied(void *arg, const struct store_result *r)
{
    assert_int_equal(r->outcome, STORE_DONE);
    ((struct fixture *)arg)->applied = true;
}

static void apply_file(struct fixture *f)
{
    struct resource *wanted[] = {
        resource_new(RESOURCE_SETTINGS, SLICE("global"), 1),
        resource_new(RESOURCE_PROVIDER, SLICE("openai"), 1),
        resource_new(RESOURCE_ROUTER, SLICE("production"), 1),
        resource_new(RESOURCE_PROVIDER_KEY, SLICE("openai.env"), 1),
        resource_new(RESOURCE_KEY, SLICE("filekey"), 1),
    };
    const char *where[] = {NULL, NULL, "gw.yaml:2", "OPENAI_API_KEY", "gw.yaml:30"};
    size_t changes;

    *wanted[1]->u.provider = (struct resource_provider){.dialect = "openai",
                                                        .base_url = "http://127.0.0.1:1/v1/",
                                                        .raw_url = "http://127.0.0.1:1/",
                                                        .auth_header = "authorization",
                                                        .auth_scheme = "Bearer",
                                                        .needs_key = true};
    *wanted[2]->u.router = (struct resource_router){.origin = "file", .where = "gw.yaml:2"};
    *wanted[3]->u.provider_key =
        (struct resource_provider_key){.provider = "openai",
                                       .name = "env",
                                       .value = secret_new(SLICE("sk-from-the-environment")),
                                       .weight = 1,
                                       .origin = "env",
                                       .hint = "...ment"};
    *wanted[4]->u.key = (struct resource_key){.name = "from the file", .origin = "file"};
    store_file_apply(f->store,
                     &(const struct store_file){.wanted = wanted,
                                                .n = ARRAY_LEN(wanted),
                                                .where = where,
                                                .now_wall_us = mono_wall_us()},
                     on_applied, f, &changes);
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        resource_unref(&wanted[i]);
    }
    FAKE_MONO_UNTIL(f->loop, f->applied);
}

static void *run_loop(void *arg)
{
    struct fixture *f = arg;

    while (!atomic_load(&f->stop)) {
        fake_mono_turn(f->loop, atomic_load(&f->speed_us));
    }
    return NULL;
}

static void take_loop(struct fixture *f)
{
    atomic_store(&f->stop, true);
    loop_wake(f->loop);
    assert_int_equal(pthread_join(f->thread, NULL), 0);
}

static void give_loop(struct fixture *f)
{
    atomic_store(&f->stop, false);
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f), 0);
}

static struct env *read_env(void *arg)
{
    ((struct fixture *)arg)->read_by = pthread_self();
    return NULL;
}

static int setup(void **state)
{
    static struct fixture f;
    struct secret *token = secret_new(SLICE(TOKEN));
    struct err e;

    f = (struct fixture){.speed_us = MONO_MS}; // a Redis that does not come to run is not given up
    f.loop = loop_new(NULL);
    assert_true(redis_server_start(&f.server, NULL, NULL));
    f.state = state_new();
    f.store = store_new(&(const struct store_config){.loop = f.loop,
                                                     .redis_url = f.server.url,
                                                     .state = f.state,
                                                     .keys = master_keys(),
                                                     .init = true,
                                                     .on_status = on_status,
                                                     .arg = &f},
                        &e);
    f.fleet = fleet_new(f.loop);
    f.upstream = upstream_new(f.loop, &(const struct upstream_config){.dial = {.proxy = ""}}, &e);
    f.meters = meters_new();
    f.reader = reader_new(f.loop, &e);
    assert_non_null(f.reader);
    f.api = api_new(&(const struct api_config){.loop = f.loop,
                                               .address = "127.0.0.1",
                                               .token = token,
                                               .store = f.store,
                                               .fleet = f.fleet,
                                               .upstream = f.upstream,
                                               .meters = f.meters,
                                               .reader = f.reader,
                                               .from = {.read_env = read_env, .arg = &f}},
                    &e);
    assert_non_null(f.api);
    FAKE_MONO_UNTIL(f.loop, state_ready(f.state));
    apply_file(&f);
    secret_free(&token);
    buf_init(&f.text, 1u << 24);
    give_loop(&f);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    take_loop(f);
    json_free(&f->doc);
    buf_done(&f->text);
    reader_free(&f->reader);
    store_free(&f->store);
    api_free(&f->api);
    upstream_free(&f->upstream);
    fleet_free(&f->fleet);
    meters_free(&f->meters);
    state_free(&f->state);
    loop_free(&f->loop);
    redis_server_stop(&f->server);
    return 0;
}

// --- asking -------------------------------------------------------------------------------------

struct extra {
    const char *headers[4];
    size_t n;
    bool no_token;
};

static unsigned call_with(struct fixture *f, const char *method, const char *path,
                          struct slice body, const struct extra *x)
{
    const char *headers[8] = {NULL};
    struct fetch_request rq = {.method = method, .headers = headers, .body = body};
    struct fetch_response r;
    char url[4096];
    struct err e;

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", api_port(f->api), path);
    rq.url = url;
    if (x == NULL || !x->no_token) {
        headers[rq.n_headers++] = "authorization: Bearer " TOKEN;
    }
    if (x != NULL && x->n > 0) {
        for (size_t i = 0; i < x->n; i++) {
            headers[rq.n_headers++] = x->headers[i];
        }
    } else if (body.p != NULL) {
        headers[rq.n_headers++] = "content-type: application/json";
    }
    json_free(&f->doc);
    buf_clear(&f->text);
    if (!fetch_run(&rq, &r, &e)) {
        fail_msg("%s %s: %s", method, path, e.message);
    }
    f->status = r.status;
    buf_append(&f->text, buf_slice(&r.body));
    f->doc = json_parse(buf_slice(&r.body), 1u << 24, 64, NULL);
    fetch_done(&r);
    return f->status;
}

static unsigned call(struct fixture *f, const char *method, const char *path, const char *body)
{
    return call_with(f, method, path, slice_str(body), NULL);
}

// The text at "a.b" or "data[0].id" of the last answer; "" if it is not there.
static const char *text_at(struct fixture *f, const char *path, char out[512])
{
    struct json_at chain[8];
    struct json_report ignored = {0};
    struct slice rest = slice_str(path), s = SLICE("");
    size_t n = 0;
    char names[8][64];

    chain[0] = json_root(f->doc);
    while (rest.p != NULL) {
        struct slice name, index;
        uint64_t i;

        rest = slice_cut(rest, '.', &name);
        index = slice_cut(name, '[', &name);
        (void)snprintf(names[n], sizeof(names[n]), SLICE_FMT, SLICE_ARG(name));
        chain[n + 1] = json_member(&chain[n], names[n]);
        n++;
        if (index.p != NULL && slice_to_u64(slice_head(index, index.n - 1), &i)) {
            chain[n + 1] = json_element(&chain[n], i);
            n++;
        }
    }
    (void)json_want_raw_text(&chain[n], 0, 500, &s, &ignored);
    (void)snprintf(out, 512, SLICE_FMT, SLICE_ARG(s));
    return out;
}

static bool has(struct fixture *f, const char *part)
{
    return strstr(buf_cstr(&f->text), part) != NULL;
}

#define EXPECT(f, want, method, path, body)                                                        \
    do {                                                                                           \
        if (call((f), (method), (path), (body)) != (want)) {                                       \
            fail_msg("%s %s: %u %s", (method), (path), (f)->status, buf_cstr(&(f)->text));         \
        }                                                                                          \
    } while (0)

#define EXPECT_HAS(f, part)                                                                        \
    do {                                                                                           \
        if (!has((f), (part))) {                                                                   \
            fail_msg("no %s in %s", (part), buf_cstr(&(f)->text));                                 \
        }                                                                                          \
    } while (0)

// --- tests --------------------------------------------------------------------------------------

static void a_key_from_birth_to_death(void **state)
{
    struct fixture *f = *state;
    char id[512], key[512], again[512], path[700], out[512];

    EXPECT(f, 201, "POST", "/admin/v1/keys",
           "{\"name\":\"ci\",\"team\":null,\"owner\":\"me\",\"models\":[\"*\"],\"expires_at\":null,"
           "\"limits\":[{\"unit\":\"requests\",\"amount\":1000,\"per\":\"1m\"},"
           "{\"unit\":\"usd\",\"amount\":2.5,\"per\":\"month\",\"time_zone\":\"UTC\"}],"
           "\"metadata\":{\"env\":\"prod\"}}");
    text_at(f, "id", id);
    text_at(f, "key", key);
    assert_true(strlen(id) >= 16);
    assert_int_equal(strncmp(key, "sk-sluice-", 10), 0);
    assert_int_equal(strncmp(key + 10, id, strlen(id)), 0);
    assert_true(strlen(key) - 11 - strlen(id) >= 32);
    EXPECT_HAS(f, "\"seq\":2");
    EXPECT_HAS(f, "\"amount\":2.5");
    EXPECT_HAS(f, "\"version\":1");
    assert_string_equal(text_at(f, "limits[0].per", out), "1m");

    (void)snprintf(path, sizeof(path), "/admin/v1/keys/%s", id);
    EXPECT(f, 200, "GET", path, NULL);
    assert_string_equal(text_at(f, "key", out), ""); // only once
    assert_string_equal(text_at(f, "state", out), "active");

    EXPECT(f, 200, "PATCH", path,
           "{\"name\":\"other\",\"owner\":null,\"expires_at\":"
           "\"2020-01-01T00:00:00Z\"}");
    assert_string_equal(text_at(f, "state", out), "expired");
    assert_string_equal(text_at(f, "name", out), "other");
    EXPECT_HAS(f, "\"owner\":null");
    EXPECT_HAS(f, "\"env\":\"prod\""); // untouched
    EXPECT(f, 200, "PATCH", path, "{\"expires_at\":null}");

    (void)snprintf(path, sizeof(path), "/admin/v1/keys/%s/disable", id);
    EXPECT(f, 200, "POST", path, NULL);
    assert_string_equal(text_at(f, "state", out), "disabled");
    EXPECT(f, 200, "POST", path, "{}"); // no change, no version
    EXPECT_HAS(f, "\"version\":4");
    (void)snprintf(path, sizeof(path), "/admin/v1/keys/%s/enable", id);
    EXPECT(f, 200, "POST", path, NULL);
    assert_string_equal(text_at(f, "state", out), "active");
    (void)snprintf(path, sizeof(path), "/admin/v1/keys/%s/rotate", id);
    EXPECT(f, 200, "POST", path, "{\"grace\":\"10m\"}");
    text_at(f, "key", again);
    assert_string_not_equal(key, again);
    EXPECT_HAS(f, "previous_secret_until");
    EXPECT(f, 422, "POST", path, "{\"grace\":\"soon\"}");
    EXPECT(f, 422, "POST", path, "{\"graze\":\"1m\"}");

    (void)snprintf(path, sizeof(path), "/admin/v1/keys/%s", id);
    EXPECT(f, 200, "DELETE", path, NULL);
    EXPECT_HAS(f, "\"deleted\":true");
    EXPECT(f, 404, "GET", path, NULL);
    EXPECT(f, 404, "DELETE", path, NULL);
}

static void owners_have_limits(void **state)
{
    static const struct {
        const char *path, *body, *part;
        unsigned status;
    } steps[] = {
        {"POST /teams",
         "{\"name\":\"blue\",\"limits\":[{\"unit\":\"tokens\",\"amount\":9,\"per\":\"1h\"}]}",
         "\"id\":\"blue\",\"name\":\"blue\",\"origin\":\"api\",\"version\":1,\"limits\":[{\"unit\":"
         "\"tokens\",\"amount\":9,\"per\":\"1h\"}]",
         201},
        {"POST /teams", "{\"name\":\"blue\"}", "already_exists", 409},
        {"POST /users", "{\"name\":\"blue\"}", "\"limits\":[]", 201}, // another kind, the same id
        {"POST /teams", "{\"name\":\" \"}", "is needed", 422},
        {"POST /teams", "{\"name\":\"Team Red\"}", "\"id\":\"Team-Red\"", 201},
        {"POST /teams", "{\"name\":\"Team Red\",\"id\":\"a:b\"}", "\"field\":\"id\"", 422},
        {"POST /teams", "{\"name\":\"Team Red\",\"id\":7}", "\"field\":\"id\"", 422},
        {"POST /teams", "{\"id\":\"red\"}", "\"field\":\"name\"", 422},
        {"POST /teams", "{\"name\":\"x\",\"limits\":{}}", "\"field\":\"limits\"", 422},
        {"POST /teams", "{\"name\":\"x\",\"color\":1}", "\"field\":\"color\"", 422},
        {"POST /teams", NULL, "", 422},
        {"POST /users", "{\"name\":\"Ann Smith\",\"id\":\"ann@example.com\"}", "\"version\":1",
         201},
        {"GET /users/ann@example.com", NULL, "Ann Smith", 200},
        {"GET /users/ann%40example.com", NULL, "Ann Smith", 200},
        {"PATCH /users/ann@example.com",
         "{\"limits\":[{\"unit\":\"usd\",\"amount\":0.5,\"per\":\"month\","
         "\"time_zone\":\"Europe/Berlin\"}]}",
         "\"version\":2", 200},
        {"PATCH /users/ann@example.com", "{\"id\":\"bob\"}", "cannot be changed", 422},
        {"PATCH /users/ann@example.com", "{\"limits\":[{\"unit\":\"usd\"}]}", "limits[0].per", 422},
        {"GET /users/ann@example.com", NULL, "Europe/Berlin", 200},
        {"PATCH /users/bob", "{}", "not_found", 404},
        {"GET /teams", NULL, "\"id\":\"blue\"", 200},
        {"DELETE /teams/blue", NULL, "\"deleted\":true", 200},
        {"DELETE /teams/blue", NULL, "not_found", 404},
        {"GET /users", NULL, "\"id\":\"ann@example.com\"", 200},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
        struct slice method, rest = slice_cut(slice_str(steps[i].path), ' ', &method);
        char verb[16], path[200];

        (void)snprintf(verb, sizeof(verb), SLICE_FMT, SLICE_ARG(method));
        (void)snprintf(path, sizeof(path), "/admin/v1" SLICE_FMT, SLICE_ARG(rest));
        EXPECT(f, steps[i].status, verb, path, steps[i].body);
        EXPECT_HAS(f, steps[i].part);
    }
}

static void a_provider_key_never_shows_its_value(void **state)
{
    struct fixture *f = *state;
    char id[512], path[700];

    EXPECT(
        f, 201, "POST", "/admin/v1/provider-keys",
        "{\"provider\":\"openai\",\"name\":\"main\",\"value\":\"sk-planted-abcd\",\"weight\":3}");
    text_at(f, "id", id);
    assert_false(has(f, "planted"));
    EXPECT_HAS(f, "\"hint\":\"...abcd\"");
    (void)snprintf(path, sizeof(path), "/admin/v1/provider-keys/%s", id);
    EXPECT(f, 200, "PATCH", path, "{\"state\":\"disabled\",\"weight\":1}");
    EXPECT_HAS(f, "\"state\":\"disabled\"");
    EXPECT(f, 422, "PATCH", path, "{\"value\":\"sk-planted\"}");
    assert_false(has(f, "planted"));
    (void)snprintf(path, sizeof(path), "/admin/v1/provider-keys/%s/rotate", id);
    EXPECT(f, 200, "POST", path, "{\"value\":\"sk-planted-wxyz\"}");
    EXPECT_HAS(f, "\"hint\":\"...wxyz\"");
    EXPECT(f, 422, "POST", path, "{}");
    EXPECT(f, 422, "POST", path, NULL);
    // Nobody listens on port 1.
    (void)snprintf(path, sizeof(path), "/admin/v1/provider-keys/%s/test", id);
    EXPECT(f, 200, "POST", path, NULL);
    EXPECT_HAS(f, "\"ok\":false");
    EXPECT(f, 200, "GET", "/admin/v1/provider-keys", NULL);
    assert_false(has(f, "planted"));
    (void)snprintf(path, sizeof(path), "/admin/v1/provider-keys/%s", id);
    EXPECT(f, 200, "DELETE", path, NULL);
    EXPECT(f, 404, "POST", "/admin/v1/provider-keys/nope/test", NULL);
}

static void what_the_file_owns_stays(void **state)
{
    struct fixture *f = *state;
    struct extra x = {{"idempotency-key: one"}, 1, false};

    EXPECT(f, 409, "DELETE", "/admin/v1/keys/filekey", NULL);
    EXPECT_HAS(f, "gw.yaml:30");
    EXPECT(f, 409, "PATCH", "/admin/v1/keys/filekey", "{\"name\":\"x\"}");
    EXPECT(f, 409, "POST", "/admin/v1/keys/filekey/rotate", NULL);
    EXPECT(f, 409, "POST", "/admin/v1/provider-keys/openai.env/rotate", "{\"value\":\"x\"}");
    EXPECT_HAS(f, "OPENAI_API_KEY");
    EXPECT(f, 200, "GET", "/admin/v1/keys/filekey", NULL);
    EXPECT_HAS(f, "\"origin\":\"file\",\"where\":\"gw.yaml:30\"");
    // What the catalogue owns, too, when it might be the repeat of what has brought it back.
    EXPECT(f, 409, "DELETE", "/admin/v1/providers/openai", NULL);
    assert_int_equal(call_with(f, "DELETE", "/admin/v1/providers/openai", SLICE_NULL, &x), 409);
    EXPECT_HAS(f, "owned_by_file");
}

static void bad_input_gets_its_error(void **state)
{
    static const struct {
        const char *method, *path, *body;
        unsigned status;
        const char *part;
    } cases[] = {
        {"POST", "/admin/v1/keys", "", 422, "is required"},
        {"POST", "/admin/v1/keys", "{", 400, "invalid_json"},
        {"POST", "/admin/v1/keys", "[]", 422, "expected an object, got an array"},
        {"POST", "/admin/v1/keys", "null", 422, "is required"},
        {"POST", "/admin/v1/keys", "{}", 422, "\"field\":\"name\""},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"name\":\"b\"}", 400, "occurs twice"},
        {"POST", "/admin/v1/keys", "{\"name\":\"\xff\"}", 400, "UTF-8"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\\u0000\"}", 400, "U+0000"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\\u202e\"}", 422, "bidirectional"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\\n\"}", 422, "control"},
        {"POST", "/admin/v1/keys", "{\"name\":7}", 422, "expected a string"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"modles\":[]}", 422, "did you mean"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"models\":[1]}", 422, "models[0]"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"expires_at\":\"soon\"}", 422, "expires_at"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"expires_at\":\"2001-02-30T00:00:00Z\"}", 422,
         "must be a time"},
        {"POST", "/admin/v1/keys",
         "{\"name\":\"a\",\"limits\":[{\"unit\":\"requests\",\"amount\":1,\"per\":\"100d\"}]}", 422,
         "\"field\":\"limits[0].per\""},
        {"POST", "/admin/v1/keys",
         "{\"name\":\"a\",\"limits\":[{\"unit\":\"requests\",\"amount\":1.5,\"per\":\"1m\"}]}", 422,
         "whole number"},
        {"POST", "/admin/v1/keys",
         "{\"name\":\"a\",\"limits\":[{\"unit\":\"usd\",\"amount\":-1,\"per\":\"1m\"}]}", 422,
         "limits[0].amount"},
        {"POST", "/admin/v1/keys",
         "{\"name\":\"a\",\"limits\":[{\"unit\":\"usd\",\"amount\":1,\"per\":\"day\","
         "\"time_zone\":\"../../etc/passwd\"}]}",
         422, "time_zone"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"metadata\":{\"k\":1}}", 422, "metadata.k"},
        {"POST", "/admin/v1/keys", "{\"name\":\"a\",\"state\":\"expired\"}", 422, "state"},
        {"POST", "/admin/v1/keys?wait=1y", "{\"name\":\"a\"}", 422, "wait"},
        {"POST", "/admin/v1/keys?wait=%", "{\"name\":\"a\"}", 422, "wait"},
        {"POST", "/admin/v1/provider-keys", "{\"provider\":\"openia\",\"value\":\"x\"}", 422,
         "did you mean \\\"openai\\\""},
        {"POST", "/admin/v1/provider-keys", "{\"provider\":\"openai\"}", 422, "value"},
        {"POST", "/admin/v1/provider-keys", "{\"provider\":\"openai\",\"value\":\"a b\"}", 422,
         "visible ASCII"},
        {"POST", "/admin/v1/provider-keys",
         "{\"provider\":\"openai\",\"value\":\"a\",\"weight\":0}", 422, "weight"},
        {"PATCH", "/admin/v1/keys/none", "{}", 404, "not_found"},
        {"GET", "/admin/v1/keys/%00", NULL, 404, "unknown_route"},
        {"GET", "/admin/v1/keys/%zz", NULL, 404, "unknown_route"},
        {"GET", "/admin/v1/keys/a/b", NULL, 404, "unknown_route"},
        {"GET", "/admin/v1/keys/", NULL, 404, "unknown_route"},
        {"GET", "/", NULL, 404, "unknown_route"},
        {"GET", "/admin/v1/keys?limit=1001", NULL, 422, "limit"},
        {"GET", "/admin/v1/keys?limit=x", NULL, 422, "limit"},
        {"GET", "/admin/v1/keys?cursor=%ff", NULL, 422, "cursor"},
        {"GET", "/admin/v1/audit?cursor=abc", NULL, 422, "cursor"},
        {"GET", "/admin/v1/usage?group_by=colour", NULL, 422, "group_by"},
        {"GET", "/admin/v1/usage?bucket=year", NULL, 422, "bucket"},
        {"GET", "/admin/v1/usage?from=2020-01-01T00:00:00Z", NULL, 422, "800 buckets"},
        {"GET", "/admin/v1/usage?from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", NULL, 422,
         "before"},
        {"DELETE", "/admin/v1/keys", NULL, 405, "method_not_allowed"},
        {"POST", "/admin/v1/routers", "{}", 405, "method_not_allowed"},
        {"POST", "/healthz", "{}", 405, "method_not_allowed"},
    };
    struct fixture *f = *state;
    char deep[400] = "{\"name\":", *big = mem_alloc(API_BODY_MAX + 100);

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        EXPECT(f, cases[i].status, cases[i].method, cases[i].path, cases[i].body);
        if (!has(f, cases[i].part)) {
            fail_msg("%s %s: no %s in %s", cases[i].path, cases[i].body, cases[i].part,
                     buf_cstr(&f->text));
        }
    }
    memset(deep + 8, '[', 100);
    EXPECT(f, 400, "POST", "/admin/v1/keys", deep);
    memset(big, ' ', API_BODY_MAX + 100);
    assert_int_equal(
        call_with(f, "POST", "/admin/v1/keys", SLICE_MAKE(big, API_BODY_MAX + 100), NULL), 413);
    EXPECT_HAS(f, "request_too_large");
    mem_free(big);
    // Nothing of all this has changed anything.
    EXPECT(f, 200, "GET", "/readyz", NULL);
    EXPECT_HAS(f, "\"seq\":1");
}

static void tokens_types_and_encodings(void **state)
{
    struct fixture *f = *state;
    const struct extra none = {.no_token = true};
    const struct extra wrong = {{"authorization: Bearer test-token-0123456780"}, 1, true};
    const struct extra basic = {{"authorization: Basic dGVzdA=="}, 1, true};
    const struct extra form = {{"content-type: application/x-www-form-urlencoded"}, 1, false};
    const struct extra zip = {
        {"content-type: application/json", "content-encoding: gzip"}, 2, false};
    const struct extra merge = {
        {"content-type: application/merge-patch+json; charset=utf-8"}, 1, false};

    assert_int_equal(call_with(f, "GET", "/admin/v1/keys", SLICE_NULL, &none), 401);
    assert_int_equal(call_with(f, "GET", "/admin/v1/keys", SLICE_NULL, &wrong), 401);
    assert_int_equal(call_with(f, "GET", "/admin/v1/keys", SLICE_NULL, &basic), 401);
    // Who has no token does not learn which paths there are.
    assert_int_equal(call_with(f, "GET", "/admin/v1/nothing", SLICE_NULL, &none), 401);
    assert_int_equal(call_with(f, "PUT", "/admin/v1/keys", SLICE("{}"), &none), 401);
    assert_int_equal(call_with(f, "GET", "/healthz", SLICE_NULL, &none), 200);
    assert_int_equal(call_with(f, "GET", "/openapi.json", SLICE_NULL, &none), 200);
    assert_int_equal(call_with(f, "GET", "/metrics", SLICE_NULL, &none), 200);
    EXPECT_HAS(f, "sluice_control_seq 1");
    assert_int_equal(call_with(f, "POST", "/admin/v1/keys", SLICE("{}"), &form), 415);
    assert_int_equal(call_with(f, "POST", "/admin/v1/keys", SLICE("{}"), &zip), 415);
    assert_int_equal(call_with(f, "POST", "/admin/v1/keys", SLICE("{\"name\":\"x\"}"), &merge),
                     201);
}

static void versions_and_repeats(void **state)
{
    struct fixture *f = *state;
    struct extra x = {{"content-type: application/json", "idempotency-key: one"}, 2, false};
    char id[512], key[512], out[512], path[700];
    const struct slice body = SLICE("{\"name\":\"x\"}");

    assert_int_equal(call_with(f, "POST", "/admin/v1/keys", body, &x), 201);
    text_at(f, "id", id);
    text_at(f, "key", key);
    assert_int_equal(call_with(f, "POST", "/admin/v1/keys", body, &x), 201);
    assert_string_equal(text_at(f, "id", out), id);
    assert_string_equal(text_at(f, "key", out), key);
    EXPECT_HAS(f, "\"seq\":2");
    assert_int_equal(call_with(f, "POST", "/admin/v1/keys", SLICE("{\"name\":\"y\"}"), &x), 422);
    EXPECT_HAS(f, "idempotency_key_reused");

    (void)snprintf(path, sizeof(path), "/admin/v1/keys/%s", id);
    x.headers[1] = "if-match: \"7\"";
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 412);
    x.headers[1] = "if-match: \"7\", \"1\"";
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 200);
    EXPECT_HAS(f, "\"version\":2");
    x.headers[1] = "if-match: *";
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 200);
    // The repeat of a change that made its own If-Match stale.
    x.n = 3;
    x.headers[1] = "if-match: \"3\"";
    x.headers[2] = "idempotency-key: two";
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 200);
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 200);
    EXPECT_HAS(f, "\"version\":4");
    // Versions that nothing can have are not "any" and "none".
    x.headers[2] = "idempotency-key: never";
    x.headers[1] = "if-match: \"18446744073709551615\"";
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 412);
    x.headers[1] = "if-match: \"0\"";
    assert_int_equal(call_with(f, "PATCH", path, body, &x), 412);
    x.headers[1] = "if-match: \"4\"";
    x.headers[2] = "idempotency-key: three";
    assert_int_equal(call_with(f, "DELETE", path, SLICE_NULL, &x), 200);
    assert_int_equal(call_with(f, "DELETE", path, SLICE_NULL, &x), 200);
    EXPECT_HAS(f, "\"deleted\":true");
    x.headers[2] = "idempotency-key: four";
    assert_int_equal(call_with(f, "DELETE", path, SLICE_NULL, &x), 404);
    // Nor is something made where If-Match says that there is something, with a key or without.
    x.headers[2] = "idempotency-key: five";
    for (x.n = 2; x.n <= 3; x.n++) {
        assert_int_equal(call_with(f, "PUT", "/admin/v1/providers/mine",
                                   SLICE("{\"base-url\":\"http://127.0.0.1:1/v1/\"}"), &x),
                         412);
        EXPECT_HAS(f, "there is none of this name");
    }
}

static void lists_have_pages(void **state)
{
    struct fixture *f = *state;
    char cursor[512], path[700];
    size_t seen = 0;

    for (int i = 0; i < 5; i++) {
        EXPECT(f, 201, "POST", "/admin/v1/keys", "{\"name\":\"n\"}");
    }
    (void)snprintf(path, sizeof(path), "/admin/v1/keys?limit=2");
    for (;;) {
        struct json_at root, data;

        EXPECT(f, 200, "GET", path, NULL);
        root = json_root(f->doc);
        data = json_member(&root, "data");
        seen += json_size(&data);
        if (text_at(f, "next_cursor", cursor)[0] == '\0') {
            break;
        }
        assert_int_equal(json_size(&data), 2);
        (void)snprintf(path, sizeof(path), "/admin/v1/keys?limit=2&cursor=%s", cursor);
    }
    assert_int_equal(seen, 6); // and the file's
    EXPECT(f, 200, "GET", "/admin/v1/audit?limit=3", NULL);
    EXPECT_HAS(f, "\"action\":\"key.create\"");
    text_at(f, "next_cursor", cursor);
    (void)snprintf(path, sizeof(path), "/admin/v1/audit?cursor=%s", cursor);
    EXPECT(f, 200, "GET", path, NULL);
    EXPECT_HAS(f, "\"action\":\"config.apply\"");
}

static void reads_of_all_kinds(void **state)
{
    static const char *const paths[] = {
        "/admin/v1/routers",
        "/admin/v1/routers/production",
        "/admin/v1/providers",
        "/admin/v1/providers/openai",
        "/admin/v1/models",
        "/admin/v1/proxies",
        "/admin/v1/health/targets",
        "/admin/v1/usage",
        "/admin/v1/audit",
        "/readyz",
        "/admin/v1/usage?group_by=key&bucket=day",
    };
    struct fixture *f = *state;
    char out[512];

    for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
        EXPECT(f, 200, "GET", paths[i], NULL);
        assert_non_null(f->doc);
    }
    EXPECT(f, 404, "GET", "/admin/v1/models/a/b", NULL);
    EXPECT_HAS(f, "not_found");
    EXPECT(f, 200, "GET", "/admin/v1/providers/openai", NULL);
    assert_string_equal(text_at(f, "state", out), "active");
}

static void openapi_names_every_route(void **state)
{
    struct fixture *f = *state;
    const char *method, *path;

    EXPECT(f, 200, "GET", "/openapi.json", NULL);
    assert_non_null(f->doc);
    for (size_t i = 0; api_route_at(i, &method, &path); i++) {
        struct json_at root = json_root(f->doc), paths = json_member(&root, "paths");
        struct json_at at = json_member(&paths, path), verb;
        char lower[16] = "";

        for (size_t k = 0; method[k] != '\0'; k++) {
            lower[k] = (char)(method[k] | 0x20);
        }
        verb = json_member(&at, lower);
        if (!json_present(&verb)) {
            fail_msg("%s %s is not in openapi.json", method, path);
        }
    }
}

static void without_redis_writes_are_refused_and_reads_go_on(void **state)
{
    struct fixture *f = *state;

    EXPECT(f, 201, "POST", "/admin/v1/keys", "{\"name\":\"n\"}");
    assert_true(redis_server_freeze(&f->server));
    atomic_store(&f->speed_us, 20 * MONO_MS);
    EXPECT(f, 503, "POST", "/admin/v1/keys", "{\"name\":\"n\"}");
    EXPECT_HAS(f, "store_unavailable");
    EXPECT(f, 200, "GET", "/admin/v1/keys", NULL);
    EXPECT(f, 503, "GET", "/admin/v1/audit", NULL);
    assert_true(redis_server_thaw(&f->server));
    redis_server_kill(&f->server);
    EXPECT(f, 503, "POST", "/admin/v1/keys", "{\"name\":\"n\"}");
    EXPECT(f, 200, "GET", "/readyz", NULL);
    // It comes back empty: a person has to decide.
    assert_true(redis_server_start(&f->server, NULL, NULL));
    while (!has(f, "state_regressed")) {
        const struct timespec pause = {.tv_nsec = 50 * 1000 * 1000};

        EXPECT(f, 503, "POST", "/admin/v1/keys", "{\"name\":\"n\"}");
        (void)nanosleep(&pause, NULL);
    }
    EXPECT(f, 200, "GET", "/admin/v1/keys", NULL);
}

// --- events: with the loop in the hands of the test ---------------------------------------------

static int dial(struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(api_port(f->api)),
                             .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void write_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

// Turns the loop until the text has come. False: the stream ended before that.
static bool turn_until(struct fixture *f, int fd, const char *text)
{
    char part[4096];

    buf_clear(&f->text);
    for (;;) {
        ssize_t n = recv(fd, part, sizeof(part), MSG_DONTWAIT);

        if (n == 0) {
            return false;
        }
        if (n > 0) {
            buf_append(&f->text, SLICE_MAKE(part, (size_t)n));
        }
        if (strstr(buf_cstr(&f->text), text) != NULL) {
            return true;
        }
        fake_mono_turn(f->loop, 20 * MONO_MS);
    }
}

#define EVENTS_HEAD                                                                                \
    "GET /admin/v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " TOKEN "\r\n"

#define DELETE_MINE                                                                                \
    "DELETE /admin/v1/providers/mine HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " TOKEN "\r\n\r\n"

#define MANY_PROXIES 21
#define MANY_TARGETS 500 // of each: more than 10,000 together

static void report_targets(struct fixture *f, uint32_t first_state)
{
    static struct message_target_health targets[MANY_TARGETS];
    static char models[MANY_TARGETS][16];

    for (unsigned p = 0; p < MANY_PROXIES; p++) {
        struct message_report r = {.version = "1", .ops = "", .has_targets = true};
        char name[16];

        (void)snprintf(name, sizeof(name), "proxy%u", p);
        for (unsigned i = 0; i < MANY_TARGETS; i++) {
            (void)snprintf(models[i], sizeof(models[i]), "m%u-%u", p, i);
            targets[i] = (struct message_target_health){
                .provider = "openai",
                .model = models[i],
                .key_id = "k",
                .endpoint = "",
                .state = p == 0 && i == 0 ? first_state : MESSAGE_TARGET_HEALTHY,
                .reason = ""};
        }
        r.proxy = name;
        r.targets = targets;
        r.n_targets = MANY_TARGETS;
        fleet_report(f->fleet, state_epoch(f->state), state_seq(f->state), &r);
    }
}

static void health_events_of_many_targets(void **state)
{
    struct fixture *f = *state;
    bool told = false;
    int fd;

    take_loop(f);
    report_targets(f, MESSAGE_TARGET_HEALTHY);
    fd = dial(f);
    write_text(fd, EVENTS_HEAD "\r\n");
    assert_true(turn_until(f, fd, "from seq"));
    for (int i = 0; i < 3 && !told; i++) { // a report lives for three seconds
        report_targets(f, i == 0 ? MESSAGE_TARGET_HEALTHY : MESSAGE_TARGET_EJECTED);
        for (int turns = 0; turns < 75 && !told; turns++) {
            char part[4096] = "";
            ssize_t n = recv(fd, part, sizeof(part) - 1, MSG_DONTWAIT);

            told = n > 0 && strstr(part, "\"model\":\"m0-0\"") != NULL;
            assert_true(n != 0 && (i > 0 || !told));
            fake_mono_advance(20 * MONO_MS);
            loop_turn(f->loop, 5 * MONO_MS);
        }
    }
    assert_true(told);
    (void)close(fd);
    give_loop(f);
}

// Whoever listens is told, and so is who comes while this control plane ends.
static void streams_of_events_end_with_the_drain(void **state)
{
    struct fixture *f = *state;
    int before, late;

    take_loop(f);
    before = dial(f);
    write_text(before, EVENTS_HEAD "\r\n");
    assert_true(turn_until(f, before, "from seq"));
    late = dial(f);
    write_text(late, EVENTS_HEAD);
    for (int i = 0; i < 10; i++) {
        loop_turn(f->loop, 5 * MONO_MS);
    }
    api_drain(f->api);
    write_text(late, "\r\n");
    assert_true(turn_until(f, before, "event: end"));
    assert_false(turn_until(f, before, "anything"));
    assert_true(turn_until(f, late, "event: end"));
    assert_false(turn_until(f, late, "anything"));
    FAKE_MONO_LATER(f->loop, api_active(f->api) == 0);
    (void)close(before);
    (void)close(late);
    give_loop(f);
}

// A change that is to be tried again a moment later, when its client leaves or this control plane
// ends: teardown finds a timer that is left.
static void nothing_is_tried_again_for_nobody(void **state)
{
    struct sockaddr_un redis = {.sun_family = AF_UNIX};
    struct fixture *f = *state;
    int ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), left, stays;
    char part[512];

    EXPECT(f, 201, "PUT", "/admin/v1/providers/mine", "{\"base-url\":\"http://127.0.0.1:1/v1/\"}");
    memcpy(redis.sun_path, f->server.socket, strlen(f->server.socket) + 1);
    assert_int_equal(connect(ours, (const struct sockaddr *)&redis, sizeof(redis)), 0);
    write_text(ours, "INCR {sluice}:seq\r\n"); // somebody's change that has not come here
    assert_true(recv(ours, part, sizeof(part), 0) > 0);
    take_loop(f);
    left = dial(f);
    stays = dial(f);
    write_text(left, DELETE_MINE);
    write_text(stays, DELETE_MINE);
    FAKE_MONO_UNTIL(f->loop, api_active(f->api) == 2);
    for (int i = 0; i < 10; i++) { // it is tried for 240 ms
        loop_turn(f->loop, 5 * MONO_MS);
        fake_mono_advance(10 * MONO_MS);
    }
    assert_int_equal(api_active(f->api), 2);
    (void)close(left);
    for (int i = 0; i < 4; i++) {
        loop_turn(f->loop, 5 * MONO_MS);
    }
    (void)close(ours);
    give_loop(f); // the other one waits until teardown ends it
}

// A text of thousands of routers would keep the loop, and all that waits for leases, for a while.
static void a_text_is_read_beside_the_loop(void **state)
{
    struct fixture *f = *state;
    const struct extra yaml = {.headers = {"content-type: application/yaml"}, .n = 1};
    struct slice text = SLICE("routers:\n  a: {}\n");

    f->read_by = f->thread;
    assert_int_equal(call_with(f, "POST", "/admin/v1/config/validate", text, &yaml), 200);
    assert_false(pthread_equal(f->read_by, f->thread));
    f->read_by = f->thread;
    assert_int_equal(call_with(f, "PUT", "/admin/v1/config?dry_run=1", text, &yaml), 200);
    assert_false(pthread_equal(f->read_by, f->thread));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_is_tried_again_for_nobody, setup, teardown),
        cmocka_unit_test_setup_teardown(health_events_of_many_targets, setup, teardown),
        cmocka_unit_test_setup_teardown(streams_of_events_end_with_the_drain, setup, teardown),
        cmocka_unit_test_setup_teardown(a_key_from_birth_to_death, setup, teardown),
        cmocka_unit_test_setup_teardown(owners_have_limits, setup, teardown),
        cmocka_unit_test_setup_teardown(a_provider_key_never_shows_its_value, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_file_owns_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_input_gets_its_error, setup, teardown),
        cmocka_unit_test_setup_teardown(tokens_types_and_encodings, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_and_repeats, setup, teardown),
        cmocka_unit_test_setup_teardown(lists_have_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(a_text_is_read_beside_the_loop, setup, teardown),
        cmocka_unit_test_setup_teardown(reads_of_all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(openapi_names_every_route, setup, teardown),
        cmocka_unit_test_setup_teardown(without_redis_writes_are_refused_and_reads_go_on, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
