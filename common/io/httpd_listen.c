// SPDX-License-Identifier: Apache-2.0
// Listening socket and accept. Our own rather than libmicrohttpd's: it feeds many daemons, knows
// one limit for all of them, can hand a connection to another worker, and can be drained.
//
// Accepting stops (the watch's interest is cleared, clients wait in the backlog) at max_connections
// until one ends, and for 100 ms when the process is out of descriptors.
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/mono.h"
#include "common/io/httpd_priv.h"

#define BACKLOG          4096
#define ACCEPTS_PER_TURN 64
#define TLS_PER_TURN     4 // a handshake costs 3.5 ms of the loop
#define OUT_OF_FDS_US    (100 * MONO_MS)

static bool parse_address(const struct httpd_config *c, union httpd_addr *a, socklen_t *ret_n)
{
    const char *address = strcmp(c->address, "localhost") == 0 ? "127.0.0.1" : c->address;

    *a = (union httpd_addr){0};
    if (inet_pton(AF_INET, address, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons(c->port);
        *ret_n = sizeof a->v4;
        return true;
    }
    if (inet_pton(AF_INET6, address, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons(c->port);
        *ret_n = sizeof a->v6;
        return true;
    }
    return false;
}

static bool full(const struct httpd *h)
{
    return h->conns.count >= h->max_connections;
}

// One connection. False: no more for now.
static bool accept_one(struct httpd *h)
{
    union httpd_addr a = {0};
    socklen_t n = sizeof a;
    int fd = accept4(h->listener.fd, &a.any, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
            loop_watch_set(h->l, &h->listener, 0);
            loop_timer_set(h->l, &h->accept_again, loop_now_us(h->l) + OUT_OF_FDS_US);
            return false;
        }
        return errno != EAGAIN; // the rest concerns the one connection
    }
    if (h->on.on_accept == NULL || h->on.on_accept(h->arg, fd)) {
        httpd_conn_open(h, fd, &a, n);
    }
    return true;
}

static void on_connection(struct loop_watch *w, uint32_t events)
{
    struct httpd *h = container_of(w, struct httpd, listener);
    int n = h->tls != NULL ? TLS_PER_TURN : ACCEPTS_PER_TURN;

    (void)events;
    while (n-- > 0) {
        if (full(h)) {
            loop_watch_set(h->l, w, 0);
            return;
        }
        if (!accept_one(h)) {
            return;
        }
    }
}

static void accept_again(struct loop_timer *t)
{
    struct httpd *h = container_of(t, struct httpd, accept_again);

    if (h->listener.added && !full(h)) {
        loop_watch_set(h->l, &h->listener, LOOP_READ);
    }
}

void httpd_listen_room(struct httpd *h)
{
    if (h->listener.added && h->listener.events == 0 && h->accept_again.due_us == 0 && !full(h)) {
        loop_watch_set(h->l, &h->listener, LOOP_READ);
    }
}

// SO_REUSEPORT would let a second gateway of the same user join the port in silence and take half
// of the connections: one bind without it tells whether anybody is there.
static bool is_taken(const union httpd_addr *a, socklen_t n)
{
    const int on = 1;
    int fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                 bind(fd, &a->any, n) != 0 && errno == EADDRINUSE;

    if (fd >= 0) {
        (void)close(fd); // never used
    }
    return taken;
}

static int open_listener(const struct httpd_config *c, const union httpd_addr *a, socklen_t n)
{
    const int on = 1, off = 0;
    int fd, error;

    if (c->exclusive && c->reuse_port && c->port != 0 && is_taken(a, n)) {
        errno = EADDRINUSE;
        return -1;
    }
    fd = socket(a->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        (c->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) ||
        (a->any.sa_family == AF_INET6 && // "::" serves IPv4 too, whatever the sysctl says
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off) != 0) ||
        bind(fd, &a->any, n) != 0 || listen(fd, BACKLOG) != 0) {
        error = errno;
        (void)close(fd); // never used
        errno = error;
        return -1;
    }
    return fd;
}

bool httpd_listen_start(struct httpd *h, const struct httpd_config *c, struct err *e)
{
    union httpd_addr a;
    socklen_t n;

    h->listener = (struct loop_watch){.fd = -1, .fn = on_connection};
    h->accept_again.fn = accept_again;
    if (c->no_listen) {
        return true;
    }
    if (!parse_address(c, &a, &n)) {
        return err_set(e, ERR_INVALID, "\"%s\" is not a numeric IPv4 or IPv6 address", c->address);
    }
    h->listener.fd = open_listener(c, &a, n);
    if (h->listener.fd < 0) {
        return err_set(e, ERR_IO, "cannot listen on %s port %u: %s", c->address, (unsigned)c->port,
                       strerror(errno));
    }
    if (getsockname(h->listener.fd, &a.any, &n) == 0) {
        h->port = ntohs(a.any.sa_family == AF_INET ? a.v4.sin_port : a.v6.sin6_port);
    }
    return loop_watch_add(h->l, &h->listener, LOOP_READ, e);
}

void httpd_listen_stop(struct httpd *h)
{
    if (h->listener.fd < 0) {
        return;
    }
    // Who has connected before now is served.
    while (!full(h) && h->listener.events != 0 && accept_one(h)) {
    }
    loop_watch_remove(h->l, &h->listener);
    loop_timer_cancel(h->l, &h->accept_again);
    (void)close(h->listener.fd); // nothing buffered in it
    h->listener.fd = -1;
}
