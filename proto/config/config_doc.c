// SPDX-License-Identifier: Apache-2.0
// What the tables cannot say (file, environment, syntax of values) stands here as text; the rest of
// the page comes from them.
#include "proto/config/config_doc.h"

#include "common/base/conf_doc.h"
#include "proto/config/schema.h"

static const char introduction[] =
    "# Configuration\n"
    "\n"
    "<!-- Made from the tables in the code by `sluice config docs`. Do not edit. -->\n"
    "\n"
    "One YAML file configures everything; every key has a default, so that an empty file is a valid\n"
    "one. `sluice up -c FILE`, `sluice-control -c FILE` and `sluice-proxy -c FILE` read it;\n"
    "`--check-config FILE` only checks it and names every problem with file, line, column and what\n"
    "was expected. An unknown key is an error.\n"
    "\n"
    "A minimal file:\n"
    "\n"
    "```yaml\n"
    "routers:\n"
    "  production:\n"
    "    load-balance:\n"
    "      chat:\n"
    "        strategy: latency\n"
    "        providers: [openai, anthropic, gemini]\n"
    "```\n"
    "\n"
    "**Provider keys** come from the environment or a `.env` file: `OPENAI_API_KEY`,\n"
    "`ANTHROPIC_API_KEY`, `GEMINI_API_KEY` (or `GOOGLE_API_KEY`), `<PROVIDER>_API_KEY`. A provider\n"
    "without a key stays in the configuration and is left out of routing; a line at start names the\n"
    "variable it wants.\n"
    "\n"
    "**Values.** Durations: `250ms`, `10s`, `5m`, `1h`, `1d`, also `1m30s`. Sizes: `64KiB`, `32MiB`,\n"
    "`1GiB`. In any value, `${NAME}` is the environment variable NAME (an error if it is not set),\n"
    "`${NAME:-default}` has a default, `$${` is a plain `${`; a value that is `file:/path` as a whole\n"
    "is the content of that file, without its last line break. Between `{` and `}` YAML wants quotes\n"
    "around such a value: `{key: \"${NAME}\"}`.\n"
    "\n"
    "**Environment.** Any key can be set by a variable `SLUICE__<SECTION>__<KEY>`: segments are\n"
    "lower-cased, `_` becomes `-`, the value is read as YAML. It goes before the file. For example\n"
    "`SLUICE__SERVER__PORT=9000`, `SLUICE__PROVIDERS__OPENAI__BASE_URL=http://127.0.0.1:9001/v1/`,\n"
    "`SLUICE__ROUTERS__PRODUCTION__LOAD_BALANCE__CHAT__PROVIDERS='[openai, gemini]'`. Names that hold\n"
    "`_` or `.` cannot be set this way.\n"
    "\n"
    "**Reload.** SIGHUP reads the file again; a broken one is refused and the old one stays. The column\n"
    "\"applied by\" says whether that is enough or a restart is needed.\n"
    "\n"
    "**YAML** anchors and aliases work; merge keys (`<<`), tags and several documents in one file do\n"
    "not. A file has at most 4 MiB, 64 levels and 100,000 values; a key may be given once.\n"
    "\n"
    "**Coming from Helicone's AI Gateway**: its files load unmodified, older spellings included. What\n"
    "has no effect here is accepted with a warning that says so.\n";

void config_doc_render(struct buf *out)
{
    buf_append_str(out, introduction);
    conf_doc_render(&schema_table, out);
}
