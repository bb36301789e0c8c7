// SPDX-License-Identifier: Apache-2.0
// Parsing of base endpoints, and finding three free ports in a row by trying: the kernel gives one,
// the two behind it are tested by binding them for a moment. Somebody may take them before we do;
// then binding fails and the caller asks again.
#include "common/io/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/check.h"

#define TRIES 200

static bool refuse(struct slice text, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "control endpoint \"" SLICE_FMT
                   "\": expected tcp://HOST:PORT (65533 at most) or ipc:///PATH",
                   SLICE_ARG(slice_head(text, 200)));
}

static bool parse_tcp(struct slice text, struct slice rest, struct endpoint *ret, struct err *e)
{
    struct slice host, port;
    uint64_t n;
    size_t colon = SIZE_MAX;

    for (size_t i = 0; i < rest.n; i++) {
        colon = rest.p[i] == ':' ? i : colon;
    }
    if (colon == SIZE_MAX) {
        return refuse(text, e);
    }
    host = slice_head(rest, colon);
    port = slice_from(rest, colon + 1);
    if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']') {
        host = SLICE_MAKE(host.p + 1, host.n - 2);
    } else if (slice_find_char(host, ':') != SIZE_MAX) {
        return refuse(text, e);
    }
    if (!slice_to_u64(port, &n) || n > 65533 || host.n == 0 || host.n > ENDPOINT_HOST_MAX ||
        slice_find_char(host, '/') != SIZE_MAX) {
        return refuse(text, e);
    }
    memcpy(ret->host, host.p, host.n);
    ret->port = (uint16_t)n;
    return true;
}

static bool parse_ipc(struct slice text, struct slice rest, struct endpoint *ret, struct err *e)
{
    struct stat st;

    if (rest.n < 2 || rest.p[0] != '/' || rest.n > ENDPOINT_PATH_MAX) {
        return refuse(text, e);
    }
    memcpy(ret->path, rest.p, rest.n);
    if (ret->path[rest.n - 1] == '/' || (stat(ret->path, &st) == 0 && S_ISDIR(st.st_mode))) {
        (void)snprintf(ret->path + rest.n, sizeof(ret->path) - rest.n, "%scontrol",
                       ret->path[rest.n - 1] == '/' ? "" : "/");
    }
    ret->is_ipc = true;
    return true;
}

bool endpoint_parse(struct slice text, struct endpoint *ret, struct err *e)
{
    struct endpoint ep = {.is_ipc = false};
    bool ok;

    if (text.n > 0 && memchr(text.p, '\0', text.n) != NULL) {
        return refuse(text, e);
    }
    if (slice_starts(text, SLICE("tcp://"))) {
        ok = parse_tcp(text, slice_from(text, 6), &ep, e);
    } else if (slice_starts(text, SLICE("ipc://"))) {
        ok = parse_ipc(text, slice_from(text, 6), &ep, e);
    } else {
        ok = refuse(text, e);
    }
    if (ok) {
        *ret = ep;
    }
    return ok;
}

// "host:port" with brackets where they are needed.
static void tcp_text(const struct endpoint *ep, unsigned port, char out[ENDPOINT_TEXT_MAX])
{
    bool v6 = strchr(ep->host, ':') != NULL;

    (void)snprintf(out, ENDPOINT_TEXT_MAX, "tcp://%s%s%s:%u", v6 ? "[" : "", ep->host,
                   v6 ? "]" : "", port);
}

void endpoint_socket_address(const struct endpoint *ep, enum endpoint_socket which,
                             char out[ENDPOINT_TEXT_MAX])
{
    static const char *const suffixes[] = {"pub", "rep", "pull"};

    if (ep->is_ipc) {
        (void)snprintf(out, ENDPOINT_TEXT_MAX, "ipc://%s.%s", ep->path, suffixes[which]);
    } else {
        tcp_text(ep, ep->port + (unsigned)which, out);
    }
}

void endpoint_format(const struct endpoint *ep, char out[ENDPOINT_TEXT_MAX])
{
    if (ep->is_ipc) {
        (void)snprintf(out, ENDPOINT_TEXT_MAX, "ipc://%s", ep->path);
    } else {
        tcp_text(ep, ep->port, out);
    }
}

// ---- free ports ------------------------------------------------------------------------------

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static bool make_address(const char *host, uint16_t port, union address *ret, socklen_t *ret_n)
{
    memset(ret, 0, sizeof(*ret));
    if (strcmp(host, "*") == 0 || inet_pton(AF_INET, host, &ret->v4.sin_addr) == 1) {
        ret->v4.sin_family = AF_INET;
        ret->v4.sin_port = htons(port);
        *ret_n = sizeof(ret->v4);
        return true;
    }
    if (inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
        ret->v6.sin6_family = AF_INET6;
        ret->v6.sin6_port = htons(port);
        *ret_n = sizeof(ret->v6);
        return true;
    }
    return false;
}

// Binds and listens for a moment. 0: not free; otherwise the port.
static uint16_t try_port(const char *host, uint16_t port)
{
    union address a;
    socklen_t n;
    uint16_t got = 0;
    int fd;

    if (!make_address(host, port, &a, &n)) {
        return 0;
    }
    fd = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return 0;
    }
    if (bind(fd, &a.any, n) == 0 && listen(fd, 1) == 0 && getsockname(fd, &a.any, &n) == 0) {
        got = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    }
    (void)close(fd);
    return got;
}

bool endpoint_choose_port(struct endpoint *ep, struct err *e)
{
    union address a;
    socklen_t n;

    CHECK(!ep->is_ipc);
    if (!make_address(ep->host, 0, &a, &n)) {
        return err_set(e, ERR_INVALID, "\"%s\": a listening address is numeric", ep->host);
    }
    for (int i = 0; i < TRIES; i++) {
        uint16_t port = try_port(ep->host, 0);

        if (port != 0 && port <= 65533 && try_port(ep->host, port + 1) != 0 &&
            try_port(ep->host, port + 2) != 0) {
            ep->port = port;
            return true;
        }
    }
    return err_set(e, ERR_UNAVAILABLE, "%s: no three free ports in a row: %s", ep->host,
                   strerror(errno));
}
