// SPDX-License-Identifier: Apache-2.0
// When a child of `sluice up` is ready, what it says of itself then, and what of that is printed.
#include "cli/up_priv.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/fetch.h"
#include "common/io/json.h"

// --- ready -------------------------------------------------------------------------------------

// One PING over a connection of its own: tells whether Redis has read its files.
static bool redis_answers(struct up *u)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    struct timeval limit = {.tv_usec = 200000};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char reply[8] = "";
    bool ok;

    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/redis.sock", u->run);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    ok = fd >= 0 && connect(fd, (struct sockaddr *)&addr, sizeof(addr)) == 0 &&
         send(fd, "PING\r\n", 6, MSG_NOSIGNAL) == 6 && recv(fd, reply, sizeof(reply) - 1, 0) >= 5 &&
         memcmp(reply, "+PONG", 5) == 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return ok;
}

bool up_ready(struct up *u, int step)
{
    return step == UP_REDIS ? redis_answers(u) : child_is_ready(&u->children[step]);
}

static struct json_value *ready_line(const struct child *c)
{
    struct json_value *doc = NULL;
    struct buf text;

    buf_init(&text, 65536);
    if (proc_read_file(c->json_file, 65536, &text, NULL)) {
        doc = json_parse(buf_slice(&text), 65536, 8, NULL);
    }
    buf_done(&text);
    return doc;
}

bool up_ready_flag(const struct child *c, const char *name)
{
    struct json_value *doc = ready_line(c);
    struct json_at root = json_root(doc), at = json_member(&root, name);
    struct json_report report = {0};
    bool on = false;

    if (!json_want_bool(&at, &on, &report)) {
        on = false;
    }
    json_free(&doc);
    return on;
}

int64_t up_ready_number(const struct child *c, const char *name)
{
    struct json_report report = {0};
    struct json_value *doc = ready_line(c);
    int64_t n = 0;
    struct json_at root = json_root(doc), at = json_member(&root, name);
    struct json_at first = json_element(&at, 0);
    if (!json_want_int(first.value != NULL ? &first : &at, 0, 65535, &n, &report)) {
        n = 0;
    }
    json_free(&doc);
    return n;
}

// --- what is printed when everything runs ------------------------------------------------------

// First chat model this proxy offers, into out; "openai/gpt-4o-mini" where it cannot be found out.
static void pick_model(struct up *u, int64_t port, char *out, size_t size)
{
    struct fetch_request rq = {.timeout_us = 2 * MONO_SEC, .insecure_tls = u->tls}; // ourselves
    struct json_report report = {0};
    struct fetch_response r;
    char url[64];

    (void)snprintf(out, size, "%s", u->demo ? "mock/gpt" : "openai/gpt-4o-mini");
    (void)snprintf(url, sizeof(url), "%s://127.0.0.1:%d/v1/models", u->tls ? "https" : "http",
                   (int)port);
    rq.url = url;
    if (!fetch_run(&rq, &r, NULL)) {
        return;
    }
    u->locked = r.status == 401;
    if (u->demo) {
        fetch_done(&r);
        return;
    }
    struct json_value *doc = json_parse(buf_slice(&r.body), (size_t)16 << 20, 16, NULL);
    struct json_at root = json_root(doc), data = json_member(&root, "data");
    for (size_t i = 0; i < json_size(&data); i++) {
        struct json_at item = json_element(&data, i), id = json_member(&item, "id");
        struct slice text;

        if (json_want_text(&id, 1, 200, &text, &report) &&
            slice_find(text, SLICE("embed")) == SIZE_MAX) {
            (void)snprintf(out, size, SLICE_FMT, SLICE_ARG(text));
            break;
        }
    }
    json_free(&doc);
    fetch_done(&r);
}

// The token itself only to a person: output that is kept somewhere names the file.
static void print_token(struct up *u)
{
    const char *file = up_path(u, u->data, "admin-token");
    struct buf token;

    buf_init(&token, 4096);
    if (isatty(STDOUT_FILENO) && proc_read_file(file, 4096, &token, NULL)) {
        struct slice text = slice_trim(buf_slice(&token));

        (void)printf("  admin token  " SLICE_FMT "   (in %s)\n", SLICE_ARG(text), file);
        mem_wipe(token.p, token.cap);
    } else {
        (void)printf("  admin token  in %s\n", file);
    }
    buf_done(&token);
}

void up_ready_print(struct up *u, int64_t port, int64_t admin_port)
{
    const char *scheme = u->tls ? "https" : "http";
    char model[256];

    pick_model(u, port, model, sizeof(model));
    (void)printf("\n  Sluice is running%s.\n\n"
                 "  endpoint     %s://localhost:%d/v1   (also /router/NAME, /ai)\n"
                 "  admin API    http://localhost:%d/admin/v1\n",
                 u->demo ? " with the built-in mock provider (no provider key was found or --demo)"
                         : "",
                 scheme, (int)port, (int)admin_port);
    print_token(u);
    if (u->locked) {
        (void)printf("\n  Callers need a key: KEY=$(sluice keys create --name me --data-dir %s)\n",
                     u->data);
    }
    (void)printf(
        "\n  curl %s%s://localhost:%d/%s/chat/completions -H 'Content-Type: application/json' %s\\\n"
        "    -d '{\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}]}'\n\n"
        "  Ctrl-C stops it.\n\n",
        u->tls ? "-k " : "", scheme, (int)port, u->demo ? "v1" : "ai",
        u->locked ? "-H \"Authorization: Bearer $KEY\" " : "", model);
    (void)fflush(stdout);
}
