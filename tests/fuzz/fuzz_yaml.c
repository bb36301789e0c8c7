// SPDX-License-Identifier: Apache-2.0
// Any bytes as YAML: no crash, and what comes out keeps the promises of yaml.h.
#include <stddef.h>
#include <stdint.h>

#include "common/base/check.h"
#include "common/base/text.h"
#include "common/io/yaml.h"

static size_t walk(const struct node *n, unsigned depth)
{
    size_t count = 1;

    CHECK(depth <= YAML_DEPTH_MAX + 1);
    CHECK(n->kind != NODE_SCALAR || (n->text.p[n->text.n] == '\0' && n->first == NULL));
    CHECK(n->kind != NODE_SCALAR || text_utf8_valid(n->text));
    for (const struct node *it = n->first; it != NULL; it = it->next) {
        CHECK((it->next == NULL) == (it == n->last));
        CHECK(n->kind != NODE_MAP || node_get(n, it->key) == it); // no duplicates
        count += walk(it, depth + 1);
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct problem_list problems;
    struct arena a;
    const struct node *root;

    arena_init(&a, 4096, 0);
    problem_list_init(&problems);
    root = yaml_parse(&a, "fuzz", (struct slice){(const char *)data, size}, &problems);
    CHECK((root == NULL) == (problems.errors > 0));
    if (root != NULL) {
        CHECK(walk(root, 0) <= YAML_NODES_MAX + 1);
    }
    problem_list_done(&problems);
    arena_done(&a);
    return 0;
}
