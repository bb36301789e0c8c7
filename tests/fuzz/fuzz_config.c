// SPDX-License-Identifier: Apache-2.0
// The whole way from bytes to resources, without files. What is accepted must survive its own
// encoding: the proxies' decoder is the stricter one. The first line of the input, up to a NUL, may
// be a .env file.
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/base/check.h"
#include "common/io/document.h"
#include "proto/config/config.h"

static void check_resource(const struct resource *r)
{
    struct resource *back;
    struct err e;
    struct buf b;

    buf_init(&b, (size_t)64 << 20);
    resource_encode(r, &b);
    back = resource_decode(buf_slice(&b), &e);
    CHECK(back != NULL);
    CHECK(strcmp(back->id, r->id) == 0);
    resource_unref(&back);
    buf_done(&b);
}

// A few of the catalogue's models, so that a run is the document's and not theirs.
static const struct catalog *small_catalog(void)
{
    static struct catalog small;

    small = *catalog_builtin();
    small.models.n = 8;
    small.families.n = 4;
    return &small;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice text = {(const char *)data, size}, vars = SLICE_NULL;
    const uint8_t *nul = size == 0 ? NULL : memchr(data, '\0', size);
    struct config_options o = {.read = document_no_files, .demo = true, .catalog = small_catalog()};
    struct problem_list ignored;
    struct config *c;
    struct env *env = env_new();

    if (nul != NULL) {
        vars = (struct slice){text.p, (size_t)(nul - data)};
        text = slice_from(text, vars.n + 1);
    }
    problem_list_init(&ignored);
    (void)env_parse(env, ".env", vars, &ignored);
    problem_list_done(&ignored);
    o.env = env;
    c = config_parse("fuzz", text, &o);
    CHECK(config_ok(c) == (c->n_resources > 0));
    for (size_t i = 0; i < c->n_resources; i++) {
        check_resource(c->resources[i]);
    }
    config_free(&c);
    env_free(&env);
    return 0;
}
