// SPDX-License-Identifier: Apache-2.0
// A port that is taken down keeps its sockets: shutdown(2) on a listening socket makes Linux refuse
// connects at once and keep the address, so that nobody can take the port meanwhile, and listen(2)
// brings it back. Workers see the change of `generation` in their hook: they stop or resume
// watching the socket (a shut-down listener would be reported for ever) and reset what is open.
#include "tests/mock/mock_port.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/check.h"
#include "tests/mock/mock_conn.h"

#define BACKLOG 4096

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } u;
    socklen_t n;
};

static bool parse_address(struct slice where, struct address *ret)
{
    char host[64] = "127.0.0.1";
    struct slice port = where;
    uint64_t n = 0;
    size_t colon = SIZE_MAX;

    for (size_t i = 0; i < where.n; i++) {
        colon = where.p[i] == ':' ? i : colon;
    }
    if (colon != SIZE_MAX) {
        struct slice h = slice_head(where, colon);

        port = slice_from(where, colon + 1);
        if (h.n >= 2 && h.p[0] == '[' && h.p[h.n - 1] == ']') {
            h = SLICE_MAKE(h.p + 1, h.n - 2);
        }
        if (h.n == 0 || h.n >= sizeof(host)) {
            return false;
        }
        memcpy(host, h.p, h.n);
        host[h.n] = '\0';
    }
    if (!slice_to_u64(port, &n) || n > 65535) {
        return false;
    }
    memset(ret, 0, sizeof(*ret));
    if (inet_pton(AF_INET, host, &ret->u.v4.sin_addr) == 1) {
        ret->u.v4.sin_family = AF_INET;
        ret->u.v4.sin_port = htons((uint16_t)n);
        ret->n = sizeof(ret->u.v4);
        return true;
    }
    memset(ret, 0, sizeof(*ret));
    ret->u.v6.sin6_family = AF_INET6;
    ret->u.v6.sin6_port = htons((uint16_t)n);
    ret->n = sizeof(ret->u.v6);
    return inet_pton(AF_INET6, host, &ret->u.v6.sin6_addr) == 1;
}

// A bound socket; fills in the port that the kernel chose. -1 on failure.
static int bind_socket(struct address *a)
{
    const int on = 1;
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0) {
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
    if (bind(fd, &a->u.any, a->n) < 0 || getsockname(fd, &a->u.any, &a->n) < 0) {
        int saved = errno;

        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

// A listening socket; fills in the port. A port of the kernel's choice would be given back on
// shutdown(2): choose with one socket, then bind another to what is now a number.
static int open_socket(struct address *a)
{
    int chooser = bind_socket(a);
    int fd = chooser < 0 ? -1 : bind_socket(a);
    int saved = errno;

    if (chooser >= 0) {
        (void)close(chooser);
    }
    if (fd >= 0 && listen(fd, BACKLOG) < 0) {
        saved = errno;
        (void)close(fd);
        fd = -1;
    }
    errno = saved;
    return fd;
}

// SO_REUSEPORT would let a second mock share the port of a first one by mistake: ask without it.
static bool is_taken(const struct address *a)
{
    const int on = 1;
    int fd = socket(a->u.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool taken;

    if (fd < 0) {
        return false;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    taken = bind(fd, &a->u.any, a->n) < 0 && errno == EADDRINUSE;
    (void)close(fd);
    return taken;
}

bool mock_port_open(struct mock *m, struct slice where, struct err *e)
{
    struct mock_port *p = &m->ports[m->n_ports];
    struct address a;

    if (m->n_ports == MOCK_PORTS_MAX) {
        return err_set(e, ERR_INVALID, "at most %u ports", MOCK_PORTS_MAX);
    }
    if (!parse_address(where, &a)) {
        return err_set(e, ERR_INVALID, "\"" SLICE_FMT "\" is not ADDRESS:PORT", SLICE_ARG(where));
    }
    if (is_taken(&a)) {
        return err_set(e, ERR_IO, "cannot listen on " SLICE_FMT ": %s", SLICE_ARG(where),
                       strerror(EADDRINUSE));
    }
    for (unsigned i = 0; i < MOCK_WORKERS_MAX; i++) {
        p->fds[i] = -1;
    }
    m->n_ports++;
    for (unsigned i = 0; i < m->n_workers; i++) {
        p->fds[i] = open_socket(&a);
        if (p->fds[i] < 0) {
            return err_set(e, ERR_IO, "cannot listen on " SLICE_FMT ": %s", SLICE_ARG(where),
                           strerror(errno));
        }
    }
    p->port = ntohs(a.u.any.sa_family == AF_INET ? a.u.v4.sin_port : a.u.v6.sin6_port);
    return true;
}

struct mock_port *mock_port_find(struct mock *m, uint16_t port)
{
    for (size_t i = 0; i < m->n_ports; i++) {
        if (m->ports[i].port == port) {
            return &m->ports[i];
        }
    }
    return NULL;
}

static void on_accept(struct loop_watch *watch, uint32_t events)
{
    struct mock_listener *l = container_of(watch, struct mock_listener, watch);
    const int on = 1;

    (void)events;
    for (int i = 0; i < 64; i++) {
        int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            return; // EAGAIN; or out of fds: the kernel keeps the rest in the backlog
        }
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        mock_conn_start(l->worker, l->port, fd);
    }
}

static void drop_connections(struct mock_worker *w, const struct mock_port *p, enum mock_end how)
{
    list_foreach_safe (n, &w->conns) {
        struct mock_conn *c = container_of(n, struct mock_conn, node);

        if ((p == NULL || c->port == p) && !c->keep_when_down) {
            mock_conn_close(c, how, true);
        }
    }
}

// Every turn: a comparison per port.
static bool on_turn(struct loop_hook *hook, uint64_t *ret_next_us)
{
    struct mock_worker *w = container_of(hook, struct mock_worker, hook);

    for (size_t i = 0; i < w->mock->n_ports; i++) {
        struct mock_listener *l = &w->listeners[i];
        unsigned generation = atomic_load(&l->port->generation);

        if (generation == l->generation) {
            continue;
        }
        l->generation = generation;
        loop_watch_remove(w->loop, &l->watch);
        if (atomic_load(&l->port->down)) {
            drop_connections(w, l->port, MOCK_END_PORT_DOWN);
        } else {
            struct err e;

            // It was added before, so only a lack of memory in the kernel could refuse it.
            CHECK(loop_watch_add(w->loop, &l->watch, LOOP_READ, &e));
        }
    }
    *ret_next_us = UINT64_MAX;
    return false;
}

bool mock_port_attach(struct mock_worker *w, struct err *e)
{
    for (size_t i = 0; i < w->mock->n_ports; i++) {
        struct mock_listener *l = &w->listeners[i];

        l->worker = w;
        l->port = &w->mock->ports[i];
        l->generation = atomic_load(&l->port->generation);
        l->watch.fd = l->port->fds[w->index];
        l->watch.fn = on_accept;
        if (!loop_watch_add(w->loop, &l->watch, LOOP_READ, e)) {
            return false;
        }
    }
    w->hook.fn = on_turn;
    loop_hook_add(w->loop, &w->hook);
    return true;
}

void mock_port_detach(struct mock_worker *w)
{
    for (size_t i = 0; i < w->mock->n_ports; i++) {
        loop_watch_remove(w->loop, &w->listeners[i].watch);
    }
    loop_hook_remove(w->loop, &w->hook);
    list_foreach_safe (n, &w->conns) {
        mock_conn_close(container_of(n, struct mock_conn, node), MOCK_END_SHUTDOWN, false);
    }
}

void mock_port_set_down(struct mock *m, struct mock_port *p, bool down)
{
    if (atomic_exchange(&p->down, down) == down) {
        return;
    }
    for (unsigned i = 0; i < m->n_workers; i++) {
        if (down) {
            (void)shutdown(p->fds[i], SHUT_RDWR); // refuses connects; cannot fail on a listener
        } else {
            (void)listen(p->fds[i], BACKLOG);
        }
    }
    atomic_fetch_add(&p->generation, 1);
    for (unsigned i = 0; i < m->n_workers; i++) {
        loop_wake(m->workers[i].loop);
    }
}

void mock_port_close_all(struct mock *m)
{
    for (size_t i = 0; i < m->n_ports; i++) {
        for (unsigned k = 0; k < MOCK_WORKERS_MAX; k++) {
            if (m->ports[i].fds[k] >= 0) {
                (void)close(m->ports[i].fds[k]);
            }
        }
    }
}
