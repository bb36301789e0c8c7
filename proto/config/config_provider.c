// SPDX-License-Identifier: Apache-2.0
// Providers: what the catalogue says, overlaid by the document. A provider becomes a resource when
// it is the document's, when the document names it, or when the catalogue does not mark it
// `only-when-named`.
//
//   base-url  https://h[:p][/path]          path empty or "/": the catalogue's `path` is put in
//   raw-url   default: base-url less `path` (https://h:1/v1/ -> https://h:1/)
#include <ctype.h>
#include <string.h>

#include "common/base/check.h"
#include "proto/config/config_compile.h"

#define PROBE_INTERVAL_US 15000000u

#define NAME_MAX_BYTES 64u

// First segments of the data plane's own paths.
static const char *const reserved[] = {
    "auth",        "v1",      "v1beta",     "ai",         "router",       "api",
    "admin",       "health",  "healthz",    "readyz",     "livez",        "ready",
    "live",        "metrics", "debug",      "chat",       "completions",  "models",
    "model",       "key",     "keys",       "embeddings", "responses",    "messages",
    "moderations", "rerank",  "images",     "audio",      "files",        "batches",
    "fine_tuning", "threads", "assistants", "realtime",   "openapi.json", "validate-router-config",
};

// --- which there are -----------------------------------------------------------------------------

static struct config_provider *find(struct config_compile *k, struct slice name)
{
    const struct conf_entry *cat;

    for (size_t i = 0; i < k->n_providers; i++) {
        if (slice_eq_str(name, k->providers[i].name)) {
            return &k->providers[i];
        }
    }
    cat = catalog_provider(k->catalog, name); // by alias
    if (cat == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < k->n_providers; i++) {
        if (strcmp(k->providers[i].name, cat->name) == 0) {
            return &k->providers[i];
        }
    }
    return NULL;
}

struct config_provider *config_provider_named(struct config_compile *k, struct slice name)
{
    struct config_provider *p = find(k, name);

    if (p != NULL) {
        p->named = true;
    }
    return p;
}

bool config_provider_outside(const struct config_compile *k, struct slice name)
{
    return name.n > 0 && k->options->has_provider != NULL &&
           k->options->has_provider(k->options->has_ctx, name);
}

struct config_provider *config_provider_want(struct config_compile *k, const struct node *n,
                                             struct slice name)
{
    struct config_provider *p = config_provider_named(k, name);
    struct slice known[128];
    size_t count = 0;

    if (p == NULL && config_provider_outside(k, name)) {
        p = arena_zalloc(k->ctx->arena, sizeof(*p)); // only for its name
        p->name = arena_strndup(k->ctx->arena, name.p, name.n);
    }
    if (p != NULL) {
        return p;
    }
    for (size_t i = 0; i < k->n_providers && count < ARRAY_LEN(known); i++) {
        known[count++] = slice_str(k->providers[i].name);
    }
    if (n != NULL && n->expanded) {
        conf_complain(k->ctx, PROBLEM_ERROR, n, false, "no provider has this name");
    } else {
        conf_complain(k->ctx, PROBLEM_ERROR, n, false,
                      "no provider is called \"%.*s\"%s: add it under providers",
                      (int)(name.n < 60 ? name.n : 60), name.p,
                      conf_did_you_mean(k->ctx, name, known, count));
    }
    return NULL;
}

bool config_provider_present(const struct config_compile *k, const struct config_provider *p)
{
    bool demo = k->options->demo && strcmp(p->name, "mock") == 0;

    return p->named || demo || p->cat == NULL ||
           !(p->cat->only_when_named || (p->cat->only_with_key && !p->has_key));
}

static bool usable_name(struct config_compile *k, const struct conf_entry *e)
{
    if (!config_compile_name(k, e->node, e->name, NAME_MAX_BYTES)) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++) {
        if (strcmp(e->name, reserved[i]) == 0) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->node, true,
                          "a provider cannot be called so: \"/%s\" is a path of the gateway",
                          reserved[i]);
            return false;
        }
    }
    return true;
}

// The document's entry e joins the catalogue's provider of that name or alias, or is a new one.
static void join(struct config_compile *k, const struct conf_entry *e)
{
    struct config_provider *p;

    if (!usable_name(k, e)) {
        return;
    }
    p = find(k, slice_str(e->name));
    if (p == NULL) {
        p = &k->providers[k->n_providers++];
        p->name = e->name;
    } else if (p->file != NULL) {
        conf_complain(k->ctx, PROBLEM_ERROR, e->node, true,
                      "\"%s\" in line %u is the same provider", p->file->name,
                      p->file->node->key_line);
        return;
    }
    p->file = e;
    p->doc = e->value;
    p->named = true;
}

void config_provider_collect(struct config_compile *k)
{
    size_t n = k->catalog->providers.n, mark = conf_enter(k->ctx, "providers", SIZE_MAX);

    k->providers =
        arena_zalloc(k->ctx->arena, (n + k->doc->providers.n + 1) * sizeof(*k->providers));
    for (size_t i = 0; i < n; i++) {
        k->providers[k->n_providers++] = (struct config_provider){
            .name = k->catalog->providers.items[i].name,
            .cat = k->catalog->providers.items[i].value,
        };
        k->providers[i].has_key = config_provider_key_is_set(k, &k->providers[i]);
    }
    for (size_t i = 0; i < k->doc->providers.n; i++) {
        const struct conf_entry *e = &k->doc->providers.items[i];
        size_t one = conf_enter(k->ctx, e->name, SIZE_MAX);

        join(k, e);
        conf_leave(k->ctx, one);
    }
    conf_leave(k->ctx, mark);
}

// --- URLs ----------------------------------------------------------------------------------------

// What the document says, else the catalogue, else `def`.
static struct conf_text pick(const struct config_provider *p, size_t offset, const char *def)
{
    const struct conf_text *doc =
        p->doc == NULL ? NULL : (const struct conf_text *)((const char *)p->doc + offset);
    const struct conf_text *cat =
        p->cat == NULL ? NULL : (const struct conf_text *)((const char *)p->cat + offset);

    if (doc != NULL && doc->s != NULL) {
        return *doc;
    }
    return cat != NULL && cat->s != NULL ? *cat : (struct conf_text){def, NULL};
}
#define PICK(p, member, def) pick((p), offsetof(struct schema_provider, member), (def))

// The same for what another dialect of the provider has of its own: `offset` in struct
// schema_provider, `other` in struct schema_dialect.
static struct conf_text pick_api(const struct config_provider *p, size_t offset, size_t other,
                                 const char *def)
{
    struct conf_text t = pick(p, offset, NULL);

    if (p->api.other != NULL &&
        (p->doc == NULL || t.s == NULL ||
         ((const struct conf_text *)(const void *)((const char *)p->doc + offset))->s == NULL)) {
        t = *(const struct conf_text *)(const void *)((const char *)p->api.other + other);
    }
    return t.s != NULL ? t : (struct conf_text){def, NULL};
}
#define PICK_API(p, member, def)                                                                   \
    pick_api((p), offsetof(struct schema_provider, member),                                        \
             offsetof(struct schema_dialect, member), (def))

// The document's list or map if it gives one, else the catalogue's, else an empty one.
static const struct conf_entries *pick_entries(const struct config_provider *p, size_t offset)
{
    static const struct conf_entries none;
    const struct conf_entries *doc =
        p->doc == NULL ? NULL : (const struct conf_entries *)((const char *)p->doc + offset);
    const struct conf_entries *cat =
        p->cat == NULL ? NULL : (const struct conf_entries *)((const char *)p->cat + offset);

    if (doc != NULL && doc->node != NULL) {
        return doc;
    }
    return cat != NULL ? cat : &none;
}
#define PICK_ENTRIES(p, member) pick_entries((p), offsetof(struct schema_provider, member))

static bool is_host_char(char c)
{
    return isalnum((unsigned char)c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' ||
           c == ']';
}

// scheme://host[:port]; what is behind goes to *ret_path.
static const char *split_url(struct slice url, struct slice *ret_origin, struct slice *ret_path)
{
    size_t scheme = slice_starts(url, SLICE("https://"))  ? 8
                    : slice_starts(url, SLICE("http://")) ? 7
                                                          : 0;
    struct slice rest = slice_from(url, scheme);
    size_t host = 0;

    if (scheme == 0) {
        return "expected a URL that starts with http:// or https://";
    }
    while (host < rest.n && is_host_char(rest.p[host])) {
        host++;
    }
    if (host == 0 || (host < rest.n && rest.p[host] != '/')) {
        return "expected http(s)://host[:port]/path, without user, query or fragment";
    }
    *ret_origin = slice_head(url, scheme + host);
    *ret_path = slice_from(rest, host);
    for (size_t i = 0; i < ret_path->n; i++) {
        unsigned char c = (unsigned char)ret_path->p[i];

        if (c <= 0x20 || c >= 0x7f || c == '?' || c == '#' || c == '\\') {
            return "expected http(s)://host[:port]/path, without user, query or fragment";
        }
    }
    return NULL;
}

static void url_complaint(struct config_compile *k, const char *key, const struct conf_text *t,
                          const char *what)
{
    size_t mark = conf_enter(k->ctx, key, SIZE_MAX);

    conf_complain(k->ctx, PROBLEM_ERROR, t->node, false, "%s", what);
    conf_leave(k->ctx, mark);
}

// "/v1" -> "v1/", "/" -> "".
static const char *tidy_path(struct arena *a, const char *s)
{
    struct slice p = slice_str(s);

    while (p.n > 0 && p.p[0] == '/') {
        p = slice_from(p, 1);
    }
    while (p.n > 0 && p.p[p.n - 1] == '/') {
        p.n--;
    }
    return p.n == 0 ? "" : arena_printf(a, SLICE_FMT "/", SLICE_ARG(p));
}

static const char *with_slash(struct arena *a, struct slice s)
{
    bool has = s.n > 0 && s.p[s.n - 1] == '/';

    return arena_printf(a, SLICE_FMT "%s", SLICE_ARG(s), has ? "" : "/");
}

// "{NAME}" in an address of the catalogue is a variable of the environment (an account, a host).
static bool fill_in(struct config_compile *k, const struct config_provider *p,
                    struct conf_text *base)
{
    struct slice before, rest = slice_cut(slice_str(base->s), '{', &before), name;
    struct slice value;

    if (rest.p == NULL || (p->doc != NULL && p->doc->base_url.s == base->s)) {
        return true;
    }
    rest = slice_cut(rest, '}', &name);
    value = slice_trim(env_get(k->options->env, name));
    if (slice_starts(value, SLICE("https://"))) { // DATABRICKS_HOST is written both ways
        value = slice_from(value, 8);
    }
    while (value.n > 0 && value.p[value.n - 1] == '/') {
        value.n--;
    }
    if (value.n == 0) {
        problem_add(k->ctx->problems, PROBLEM_WARNING,
                    p->file == NULL ? (struct problem_place){0}
                                    : problem_place_of_key(p->file->node),
                    k->ctx->path,
                    "is left out: its address needs the variable " SLICE_FMT
                    " (%s), or a base-url of your own",
                    SLICE_ARG(name), base->s);
        return false;
    }
    base->s = arena_printf(k->ctx->arena, SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(before),
                           SLICE_ARG(value), SLICE_ARG(rest));
    return true;
}

static void put_urls(struct config_compile *k, const struct config_provider *p, struct resource *r)
{
    struct conf_text base = PICK_API(p, base_url, NULL), raw = PICK(p, raw_url, NULL);
    const char *path = tidy_path(&r->arena, PICK_API(p, path, p->api.row->path).s), *wrong;
    struct slice origin, rest, url;

    if (base.s == NULL) {
        conf_complain(k->ctx, PROBLEM_ERROR, p->file == NULL ? NULL : p->file->node, true,
                      "\"base-url\" is missing: the catalogue does not know this provider");
        return;
    }
    if (!fill_in(k, p, &base)) {
        return;
    }
    wrong = split_url(slice_str(base.s), &origin, &rest);
    if (wrong != NULL) {
        url_complaint(k, "base-url", &base, wrong);
        return;
    }
    if (rest.n <= 1) {
        r->u.provider->base_url = arena_printf(&r->arena, SLICE_FMT "/%s", SLICE_ARG(origin), path);
    } else {
        r->u.provider->base_url = with_slash(&r->arena, slice_str(base.s));
    }
    url = slice_str(r->u.provider->base_url);
    CHECK(url.p != NULL);
    if (raw.s != NULL) {
        wrong = split_url(slice_str(raw.s), &origin, &rest);
        if (wrong != NULL) {
            url_complaint(k, "raw-url", &raw, wrong);
            return;
        }
        url = slice_str(raw.s);
    } else if (slice_ends(url, slice_str(path)) && url.n - strlen(path) > origin.n &&
               url.p[url.n - strlen(path) - 1] == '/') {
        url.n -= strlen(path);
    }
    r->u.provider->raw_url = with_slash(&r->arena, url);
}

// --- headers, auth, paths
// ----------------------------------------------------------------------------

static bool is_token(const char *s)
{
    if (*s == '\0' || strlen(s) > 128) {
        return false;
    }
    for (; *s != '\0'; s++) {
        if (!isalnum((unsigned char)*s) && strchr("!#$%&'*+-.^_`|~", *s) == NULL) {
            return false;
        }
    }
    return true;
}

static bool is_visible(const char *s)
{
    for (; *s != '\0'; s++) {
        if ((unsigned char)*s < 0x20 || *s == 0x7f) {
            return false;
        }
    }
    return true;
}

static bool is_framing_header(const char *s)
{
    static const char *const names[] = {"host", "content-length", "transfer-encoding", "connection",
                                        "te",   "upgrade",        "trailer",           "expect"};

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (slice_eq_nocase(slice_str(s), slice_str(names[i]))) {
            return true;
        }
    }
    return false;
}

static void check_headers(struct config_compile *k, const struct conf_entries *e)
{
    size_t top = conf_enter(k->ctx, "headers", SIZE_MAX);

    for (size_t i = 0; i < e->n; i++) {
        const char *value = ((const struct conf_text *)e->items[i].value)->s;
        size_t mark = conf_enter(k->ctx, e->items[i].name, SIZE_MAX);

        if (!is_token(e->items[i].name)) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->items[i].node, true, "not a header name");
        } else if (is_framing_header(e->items[i].name)) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->items[i].node, true,
                          "this header is the gateway's own");
        } else if (value != NULL && !is_visible(value)) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->items[i].node, false,
                          "a header value cannot hold control characters");
        }
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
}

static bool has_header(const struct conf_entries *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++) {
        if (slice_eq_nocase(slice_str(e->items[i].name), slice_str(name))) {
            return true;
        }
    }
    return false;
}

static void put_headers(struct config_compile *k, const struct config_provider *p,
                        struct resource *r)
{
    const struct conf_entries *e = PICK_ENTRIES(p, headers);
    struct conf_text version = PICK(p, version, p->api.row->version);
    struct conf_text header = PICK(p, version_header, p->api.row->version_header);
    struct resource_pair *all;
    size_t n;

    check_headers(k, e);
    all = arena_zalloc(&r->arena, (e->n + 1) * sizeof(*all));
    if (e->n > 0) {
        memcpy(all, config_compile_pairs(r, e, &n), e->n * sizeof(*all));
    }
    n = e->n;
    // Who gives the header itself knows better.
    if (version.s != NULL && header.s != NULL && is_token(header.s) && is_visible(version.s) &&
        !has_header(e, header.s)) {
        all[n].name = config_compile_str(r, &header);
        all[n++].value = config_compile_str(r, &version);
    }
    r->u.provider->headers = all;
    r->u.provider->n_headers = n;
    e = PICK_ENTRIES(p, query);
    r->u.provider->query = config_compile_pairs(r, e, &r->u.provider->n_query);
}

static void put_auth(struct config_compile *k, const struct config_provider *p, struct resource *r)
{
    struct conf_text header =
        PICK_API(p, auth.header,
                 p->api.row->auth_header != NULL ? p->api.row->auth_header : "authorization");
    bool bearer = slice_eq_nocase(slice_str(header.s), SLICE("authorization"));
    struct conf_text scheme = PICK_API(p, auth.scheme, bearer ? "Bearer" : "");
    char *lower = arena_strdup(&r->arena, header.s);

    if (!is_token(header.s) || is_framing_header(header.s)) {
        url_complaint(k, "auth.header", &header, "expected the name of a header");
    }
    if (scheme.s[0] != '\0' && !is_token(scheme.s)) {
        url_complaint(k, "auth.scheme", &scheme, "expected one word such as Bearer");
    }
    for (char *c = lower; *c != '\0'; c++) {
        *c = (char)tolower((unsigned char)*c);
    }
    r->u.provider->auth_header = lower;
    r->u.provider->auth_scheme = config_compile_str(r, &scheme);
}

// --- paths, limit headers ------------------------------------------------------------------------

static void put_paths(struct config_compile *k, const struct config_provider *p, struct resource *r)
{
    static const char *const endpoints[] = {"chat",     "completions", "embeddings",  "responses",
                                            "messages", "rerank",      "count_tokens"};
    const struct conf_entries *e = PICK_ENTRIES(p, paths);
    struct slice known[ARRAY_LEN(endpoints)];
    size_t top = conf_enter(k->ctx, "paths", SIZE_MAX);

    for (size_t i = 0; i < ARRAY_LEN(endpoints); i++) {
        known[i] = slice_str(endpoints[i]);
    }
    for (size_t i = 0; i < e->n; i++) {
        const char *value = ((const struct conf_text *)e->items[i].value)->s;
        size_t j = 0, mark = conf_enter(k->ctx, e->items[i].name, SIZE_MAX);

        while (j < ARRAY_LEN(known) && !slice_eq_str(known[j], e->items[i].name)) {
            j++;
        }
        if (j == ARRAY_LEN(known)) {
            conf_complain(
                k->ctx, PROBLEM_ERROR, e->items[i].node, true, "no such endpoint%s",
                conf_did_you_mean(k->ctx, slice_str(e->items[i].name), known, ARRAY_LEN(known)));
        } else if (value != NULL &&
                   (value[0] == '/' || !is_visible(value) || strchr(value, ' ') != NULL)) {
            conf_complain(k->ctx, PROBLEM_ERROR, e->items[i].node, false,
                          "expected a path below base-url, such as %s", "chat/completions");
        }
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
    r->u.provider->paths = config_compile_pairs(r, e, &r->u.provider->n_paths);
}

// OpenAI's names and where the schema has the vendor's.
static void put_limit_headers(const struct config_provider *p, struct resource *r)
{
#define NAME(member) offsetof(struct schema_limit_headers, member)
    static const struct {
        const char *name;
        size_t offset;
    } rows[] = {{"x-ratelimit-limit-requests", NAME(requests.limit)},
                {"x-ratelimit-remaining-requests", NAME(requests.remaining)},
                {"x-ratelimit-reset-requests", NAME(requests.reset)},
                {"x-ratelimit-limit-tokens", NAME(tokens.limit)},
                {"x-ratelimit-remaining-tokens", NAME(tokens.remaining)},
                {"x-ratelimit-reset-tokens", NAME(tokens.reset)}};
#undef NAME
    struct resource_pair *out = arena_zalloc(&r->arena, ARRAY_LEN(rows) * sizeof(*out));
    size_t n = 0;

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct conf_text t =
            pick(p, offsetof(struct schema_provider, limit_headers) + rows[i].offset, NULL);
        char *lower;

        if (t.s == NULL || !is_token(t.s)) {
            continue;
        }
        lower = arena_strdup(&r->arena, t.s);
        for (char *c = lower; *c != '\0'; c++) {
            *c = (char)tolower((unsigned char)*c);
        }
        if (strcmp(lower, rows[i].name) != 0) { // each answer would be asked for nothing
            out[n++] = (struct resource_pair){rows[i].name, lower};
        }
    }
    r->u.provider->limit_headers = out;
    r->u.provider->n_limit_headers = n;
}

// --- probes --------------------------------------------------------------------------------------

// After config_dialect_put and the keys: only now is it known whether it needs one.
static void put_probe(const struct config_provider *p, struct resource *r)
{
    static const enum resource_probe probes[] = {
        [SCHEMA_PROBE_OFF] = RESOURCE_PROBE_OFF,
        [SCHEMA_PROBE_MODELS] = RESOURCE_PROBE_MODELS,
        [SCHEMA_PROBE_TCP] = RESOURCE_PROBE_TCP,
    };
    const struct schema_probing *health = p->doc == NULL ? NULL : &p->doc->health;
    bool chosen = health != NULL && health->node != NULL && health->probe != SCHEMA_PROBE_DEFAULT;
    bool own = p->named && p->file != NULL && !r->u.provider->needs_key;

    r->u.provider->probe = chosen ? probes[health->probe]
                           : own  ? RESOURCE_PROBE_MODELS
                                  : RESOURCE_PROBE_OFF;
    if (r->u.provider->probe != RESOURCE_PROBE_OFF) {
        bool timed = health != NULL && health->node != NULL && health->interval_us != 0;

        r->u.provider->probe_interval_us = timed ? health->interval_us : PROBE_INTERVAL_US;
    }
}

// --- resources -----------------------------------------------------------------------------------

static void emit_one(struct config_compile *k, struct config_provider *p)
{
    struct resource *r = resource_new(RESOURCE_PROVIDER, slice_str(p->name), 1);
    static const struct conf_texts all;
    const struct conf_texts *models = p->doc != NULL && p->doc->models.node != NULL
                                          ? &p->doc->models
                                      : p->cat != NULL ? &p->cat->models
                                                       : &all;
    int stream = p->doc != NULL && p->doc->stream_options != SCHEMA_UNSET ? p->doc->stream_options
                 : p->cat != NULL                                         ? p->cat->stream_options
                                                                          : SCHEMA_UNSET;

    p->api = config_dialect_of(p);
    put_urls(k, p, r);
    if (r->u.provider->base_url == NULL && k->ctx->problems->errors == 0) {
        resource_unref(&r); // left out, with a warning
        return;
    }
    put_auth(k, p, r);
    put_headers(k, p, r);
    put_paths(k, p, r);
    put_limit_headers(p, r);
    config_quirks_put(k, p, r);
    r->u.provider->models = config_compile_strs(r, models, &r->u.provider->n_models);
    r->u.provider->no_stream_options = stream == SCHEMA_FALSE;
    if (config_dialect_put(k, p, r)) {
        config_provider_key_put(k, p, r);
    } else {
        r->u.provider->needs_key = true; // and gets none: left out of routing
    }
    put_probe(p, r);
    (void)config_compile_add(k, r, p->file == NULL ? NULL : p->file->node);
}

void config_provider_emit(struct config_compile *k)
{
    size_t top = conf_enter(k->ctx, "providers", SIZE_MAX);

    for (size_t i = 0; i < k->n_providers; i++) {
        struct config_provider *p = &k->providers[i];
        size_t mark = conf_enter(k->ctx, p->name, SIZE_MAX);

        if (config_provider_present(k, p)) {
            emit_one(k, p);
        }
        conf_leave(k->ctx, mark);
    }
    conf_leave(k->ctx, top);
}
