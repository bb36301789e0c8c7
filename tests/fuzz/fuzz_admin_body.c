// SPDX-License-Identifier: Apache-2.0
// Any bytes as the body of every admin route that takes one: either a resource that comes back the
// same from its encoding, or problems that say where.
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/io/json.h"
#include "controlplane/pkey.h"
#include "controlplane/vkey.h"

static void must_survive_encoding(struct resource **r)
{
    struct resource *back;
    struct json_out o;
    struct buf b, text;
    struct err e;

    buf_init(&b, 16u << 20);
    buf_init(&text, 64u << 20);
    resource_encode(*r, &b);
    back = resource_decode(buf_slice(&b), &e);
    CHECK(back != NULL);
    CHECK(b.n <= RESOURCE_BYTES_MAX);
    o = json_out_to(&text);
    json_out_open(&o, '{');
    if (back->kind == RESOURCE_KEY) {
        vkey_render(&o, back, NULL, NULL, 1);
    } else {
        pkey_render(&o, back, NULL);
    }
    json_out_close(&o, '}');
    struct json_value *doc = json_parse(buf_slice(&text), 64u << 20, 32, &e);
    CHECK(doc != NULL);
    json_free(&doc);
    resource_unref(&back);
    resource_unref(r);
    buf_done(&b);
    buf_done(&text);
}

static struct resource *base(enum resource_kind kind)
{
    struct resource *r = resource_new(kind, SLICE("base"), 1);

    if (kind == RESOURCE_KEY) {
        r->u.key->name = "n";
        r->u.key->origin = "api";
    } else {
        *r->u.provider_key = (struct resource_provider_key){
            .provider = "openai", .name = "n", .weight = 1, .origin = "api", .hint = "..."};
    }
    return r;
}

static void body_of_keys(const struct json_at *root)
{
    struct resource *old = base(RESOURCE_KEY);

    for (int patch = 0; patch < 2; patch++) {
        struct json_report r = {0};
        struct resource *made =
            vkey_from_body(root, patch == 1 ? old : NULL, SLICE("id"), 1000, &r);

        CHECK((made == NULL) == (r.n > 0));
        if (made != NULL) {
            must_survive_encoding(&made);
        }
    }
    resource_unref(&old);
}

static void body_of_provider_keys(const struct json_at *root, const struct state *s)
{
    struct resource *old = base(RESOURCE_PROVIDER_KEY);

    for (int which = PKEY_CREATE; which <= PKEY_ROTATE; which++) {
        struct json_report r = {0};
        struct resource *made = pkey_from_body(
            root, (enum pkey_body)which, which == PKEY_CREATE ? NULL : old, SLICE("id"), s, &r);

        CHECK((made == NULL) == (r.n > 0));
        if (made != NULL) {
            must_survive_encoding(&made);
        }
    }
    resource_unref(&old);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct state *s;
    struct json_value *doc;
    struct json_at root;

    if (s == NULL) {
        struct resource *provider = resource_new(RESOURCE_PROVIDER, SLICE("openai"), 1);
        const uint8_t epoch[STATE_EPOCH_BYTES] = {0};

        s = state_new();
        state_load(s, epoch, 1, &provider, 1);
        resource_unref(&provider);
    }
    doc = json_parse(SLICE_MAKE((const char *)data, n), 1u << 20, 32, NULL);
    if (doc == NULL) {
        return 0;
    }
    root = json_root(doc);
    body_of_keys(&root);
    body_of_provider_keys(&root, s);
    json_free(&doc);
    return 0;
}
