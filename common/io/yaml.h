// SPDX-License-Identifier: Apache-2.0
// YAML text to a node tree (the only user of libyaml). The subset that configuration needs: one
// document of maps, lists and scalars, anchors and aliases; no tags but !!str, no merge keys, no
// keys that are not scalars. Every bound below is enforced before memory is spent.
#ifndef SLUICE_IO_YAML_H
#define SLUICE_IO_YAML_H

#include "common/base/arena.h"
#include "common/base/cdefs.h"
#include "common/base/node.h"
#include "common/base/problem.h"
#include "common/base/slice.h"

#define YAML_BYTES_MAX ((size_t)4 << 20) // of the text; once more for what aliases repeat of it
#define YAML_DEPTH_MAX 64u
#define YAML_NODES_MAX 500000u // copies made by aliases count too
#define YAML_KEY_MAX   1024u   // bytes of a map key

// The tree of `text`, in arena `a` (an empty document is an empty map); `file` names it in
// problems and nodes and must live as long as the arena. NULL after adding at least one error to
// `problems`. Duplicate keys are errors, all of them are reported.
MUST_CHECK struct node *yaml_parse(struct arena *a, const char *file, struct slice text,
                                   struct problem_list *problems);

// The same for a text that may be any value, also a plain one ("8080", "[a, b]"); an empty text is
// null. Fits env_yaml_fn.
MUST_CHECK struct node *yaml_parse_value(struct arena *a, const char *file, struct slice text,
                                         struct problem_list *problems);

#endif
