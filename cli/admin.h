// SPDX-License-Identifier: Apache-2.0
// The admin REST API as the command line uses it: where it is, one call, what to print. Prints
// errors of its own; functions that return int return an exit code (0 ok, 1 failure, 2 usage).
#ifndef SLUICE_CLI_ADMIN_H
#define SLUICE_CLI_ADMIN_H

#include <stdbool.h>
#include <stddef.h>

#include "common/base/buf.h"
#include "common/base/cdefs.h"
#include "common/base/slice.h"
#include "common/io/json.h"

// Zero-initialise, set what options say, then admin_open.
struct admin {
    const char *url;        // borrowed; NULL: $SLUICE_ADMIN_URL, else DATA_DIR/run/control.json
    const char *token_file; // borrowed; NULL: $SLUICE_ADMIN_TOKEN, $SLUICE_ADMIN_TOKEN_FILE, else
                            // DATA_DIR/admin-token
    const char *data_dir;   // borrowed; NULL: ".sluice"
    const char *wait;       // "5s" or NULL: ?wait= on changes
    bool json;              // -o json: the answer as it came
    const char *type;       // of bodies; NULL: application/json
    char *base;             // owned: "http://127.0.0.1:8081/admin/v1"
    char *auth;             // owned, secret: the whole header line; wiped by admin_close
};

// Finds address and token. Prints why not.
MUST_CHECK int admin_open(struct admin *a);
void admin_close(struct admin *a);

// Calls method path (below /admin/v1; ids in it are escaped by the caller with admin_escape). body
// NULL = none. On a 2xx *ret (owned by the caller, may be NULL for an empty answer) and 0.
// Otherwise the API's error is printed, its fields too, and 1 returned. With -o json a successful
// answer is printed as it is.
MUST_CHECK int admin_call(struct admin *a, const char *method, const char *path,
                          const struct buf *body, struct json_value **ret);
// Percent-encodes an id for a path into a static buffer of the caller.
const char *admin_escape(const char *id, char out[400]);

struct admin_column {
    const char *title;
    const char *field; // member of the row
};

// Prints the rows of {"data": [...]} (or of one object) as a table; nothing with -o json.
void admin_table(const struct admin *a, const struct json_value *answer,
                 const struct admin_column *columns, size_t n);
// One row, and the titles above, with fixed widths: for rows that come one at a time.
void admin_titles(const struct admin_column *columns, size_t n);
void admin_row(const struct json_at *row, const struct admin_column *columns, size_t n);
// admin_call, and a table of the answer; n 0: nothing is printed of it (but with -o json).
MUST_CHECK int admin_show(struct admin *a, const char *method, const char *path,
                          const struct buf *body, const struct admin_column *columns, size_t n);
// GET path page by page and a table of it.
MUST_CHECK int admin_list(struct admin *a, const char *path, const struct admin_column *columns,
                          size_t n);

#endif
