// SPDX-License-Identifier: Apache-2.0
// nanomsg sockets in our loop. nanomsg runs threads of its own; NN_RCVFD is a descriptor that is
// readable while a message can be received. It stays readable until the last one was taken, so a
// batch per event is enough.
//
// What nanomsg 1.1.5 does, read in its source, and what we do about it:
//   - a pipe is "busy" from a send until the kernel has taken all of it; PUB and REP drop what
//   comes
//     for a busy pipe. With room in the socket buffer the send is complete when nn_send returns, so
//     the buffers are large (NN_SNDBUF; the kernel caps it at net.core.wmem_max).
//   - TCP_NODELAY is off by default
//   - connecting to an IPv4 address with NN_IPV4ONLY 0 binds an IPv4 socket to an IPv6 address,
//   which
//     fails, after which the next attempt aborts the process (issue 1114 there): so the option is 1
//     for IPv4 addresses and 0 for IPv6 ones
//   - raw REQ and REP carry the SP header (reply route, request id) as ancillary data
#include "common/io/nnsock.h"

#include <nanomsg/nn.h>
#include <nanomsg/pipeline.h>
#include <nanomsg/pubsub.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <string.h>

#include "common/base/check.h"
#include "common/base/mem.h"

#define BATCH        64                // messages taken for one event, then others have a turn
#define BUFFER_BYTES (4 * 1024 * 1024) // a burst of deltas, or a snapshot chunk with room to spare
#define CONTROL_MAX  256

struct nnsock {
    int fd; // nanomsg's socket, -1 when closed
    enum nnsock_kind kind;
    struct nnsock_config conf;
    struct loop_watch watch;
    struct loop_grave grave;
    uint32_t next_request; // id of the next request, for nanomsg's header
};

static bool fail(struct err *e, const char *what)
{
    return err_set(e, nn_errno() == EADDRINUSE ? ERR_CONFLICT : ERR_IO, "%s: %s", what,
                   nn_strerror(nn_errno()));
}

static bool set_int(int fd, int level, int option, int value)
{
    return nn_setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

static bool set_options(const struct nnsock *s)
{
    bool ok = set_int(s->fd, NN_SOL_SOCKET, NN_RECONNECT_IVL, 50) &&
              set_int(s->fd, NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, 5000) &&
              set_int(s->fd, NN_SOL_SOCKET, NN_SNDBUF, BUFFER_BYTES) &&
              set_int(s->fd, NN_SOL_SOCKET, NN_RCVBUF, BUFFER_BYTES) &&
              set_int(s->fd, NN_TCP, NN_TCP_NODELAY, 1);

    if (ok && s->conf.receive_max > 0) {
        CHECK(s->conf.receive_max < INT32_MAX);
        ok = set_int(s->fd, NN_SOL_SOCKET, NN_RCVMAXSIZE, (int)s->conf.receive_max);
    }
    if (ok && s->kind == NNSOCK_SUB) {
        ok = nn_setsockopt(s->fd, NN_SUB, NN_SUB_SUBSCRIBE, "", 0) == 0;
    }
    return ok;
}

// ---- receiving -------------------------------------------------------------------------------

// The SP header out of the ancillary data; false when it is not as expected.
static bool take_route(struct nn_msghdr *hdr, struct nnsock_route *ret)
{
    for (struct nn_cmsghdr *c = NN_CMSG_FIRSTHDR(hdr); c != NULL; c = NN_CMSG_NXTHDR(hdr, c)) {
        size_t n;

        if (c->cmsg_level != PROTO_SP || c->cmsg_type != SP_HDR ||
            c->cmsg_len < NN_CMSG_LEN(sizeof(size_t))) {
            continue;
        }
        memcpy(&n, NN_CMSG_DATA(c), sizeof(n));
        if (n > NNSOCK_ROUTE_MAX || n > c->cmsg_len - NN_CMSG_LEN(sizeof(size_t))) {
            return false;
        }
        memcpy(ret->bytes, NN_CMSG_DATA(c) + sizeof(size_t), n);
        ret->n = n;
        return true;
    }
    return false;
}

// False: nothing there now.
static bool receive_one(struct nnsock *s)
{
    struct nnsock_route route = {.n = 0};
    _Alignas(16) uint8_t control[CONTROL_MAX] = {0};
    void *body = NULL;
    struct nn_iovec iov = {.iov_base = &body, .iov_len = NN_MSG};
    struct nn_msghdr hdr = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    int n = nn_recvmsg(s->fd, &hdr, NN_DONTWAIT);

    if (n < 0) {
        return false;
    }
    if (take_route(&hdr, &route) || (s->kind != NNSOCK_REP && s->kind != NNSOCK_REQ)) {
        s->conf.on_message(s->conf.arg, SLICE_MAKE(body, (size_t)n), &route);
    }
    CHECK(nn_freemsg(body) == 0);
    return true;
}

static void on_readable(struct loop_watch *w, uint32_t events)
{
    struct nnsock *s = container_of(w, struct nnsock, watch);

    (void)events;
    // The callback may close the socket; its memory lasts until the end of the turn.
    for (int i = 0; i < BATCH && s->fd >= 0 && receive_one(s); i++) {
    }
}

// ---- sending ---------------------------------------------------------------------------------

static int send_routed(struct nnsock *s, struct slice body, const struct nnsock_route *route)
{
    _Alignas(16) uint8_t control[CONTROL_MAX] = {0};
    struct nn_cmsghdr *c = (struct nn_cmsghdr *)(void *)control;
    char *text;
    struct nn_iovec iov = {.iov_len = body.n};
    struct nn_msghdr hdr = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = NN_CMSG_SPACE(sizeof(size_t) + route->n),
    };

    memcpy(&text, &body.p, sizeof(text)); // nanomsg's iovec is not const; it only reads
    iov.iov_base = text;
    c->cmsg_level = PROTO_SP;
    c->cmsg_type = SP_HDR;
    c->cmsg_len = NN_CMSG_LEN(sizeof(size_t) + route->n);
    memcpy(NN_CMSG_DATA(c), &route->n, sizeof(size_t));
    memcpy(NN_CMSG_DATA(c) + sizeof(size_t), route->bytes, route->n);
    return nn_sendmsg(s->fd, &hdr, NN_DONTWAIT);
}

bool nnsock_send(struct nnsock *s, struct slice body, const struct nnsock_route *route)
{
    struct nnsock_route own = {.n = 4};
    uint32_t id;

    CHECK((route != NULL) == (s->kind == NNSOCK_REP));
    CHECK(s->kind != NNSOCK_SUB && s->kind != NNSOCK_PULL);
    if (s->kind != NNSOCK_REQ && s->kind != NNSOCK_REP) {
        return nn_send(s->fd, body.p, body.n, NN_DONTWAIT) >= 0;
    }
    if (s->kind == NNSOCK_REQ) {
        // The highest bit ends nanomsg's stack of hops; the rest is ours and of no meaning.
        id = 0x80000000U | (s->next_request++ & 0x7fffffffU);
        own.bytes[0] = (uint8_t)(id >> 24);
        own.bytes[1] = (uint8_t)(id >> 16);
        own.bytes[2] = (uint8_t)(id >> 8);
        own.bytes[3] = (uint8_t)id;
        route = &own;
    }
    return send_routed(s, body, route) >= 0;
}

// ---- life ------------------------------------------------------------------------------------

static int open_socket(enum nnsock_kind kind)
{
    switch (kind) {
    case NNSOCK_PUB:
        return nn_socket(AF_SP, NN_PUB);
    case NNSOCK_SUB:
        return nn_socket(AF_SP, NN_SUB);
    case NNSOCK_REP:
        return nn_socket(AF_SP_RAW, NN_REP);
    case NNSOCK_REQ:
        return nn_socket(AF_SP_RAW, NN_REQ);
    case NNSOCK_PUSH:
        return nn_socket(AF_SP, NN_PUSH);
    case NNSOCK_PULL:
        return nn_socket(AF_SP, NN_PULL);
    }
    UNREACHABLE();
}

static bool watch_socket(struct nnsock *s, struct err *e)
{
    size_t n = sizeof(s->watch.fd);

    if (s->kind == NNSOCK_PUB || s->kind == NNSOCK_PUSH) {
        return true;
    }
    CHECK(s->conf.on_message != NULL);
    if (nn_getsockopt(s->fd, NN_SOL_SOCKET, NN_RCVFD, &s->watch.fd, &n) != 0) {
        return fail(e, "NN_RCVFD");
    }
    s->watch.fn = on_readable;
    return loop_watch_add(s->conf.loop, &s->watch, LOOP_READ, e);
}

struct nnsock *nnsock_new(enum nnsock_kind kind, const struct nnsock_config *c, struct err *e)
{
    struct nnsock *s = mem_zalloc(sizeof(*s));

    s->kind = kind;
    s->conf = *c;
    s->fd = open_socket(kind);
    if (s->fd < 0 || !set_options(s)) {
        (void)fail(e, "nanomsg socket");
        nnsock_free(&s);
    } else if (!watch_socket(s, e)) {
        nnsock_free(&s);
    }
    return s;
}

static void on_bury(struct loop_grave *g)
{
    mem_free(container_of(g, struct nnsock, grave));
}

void nnsock_free(struct nnsock **s)
{
    struct nnsock *old = *s;

    *s = NULL;
    if (old == NULL) {
        return;
    }
    loop_watch_remove(old->conf.loop, &old->watch);
    if (old->fd >= 0) {
        (void)nn_close(old->fd);
        old->fd = -1;
    }
    old->grave.fn = on_bury;
    loop_bury(old->conf.loop, &old->grave);
}

// The option must match the address: see the top.
static bool choose_family(struct nnsock *s, const char *endpoint)
{
    return set_int(s->fd, NN_SOL_SOCKET, NN_IPV4ONLY, strchr(endpoint, '[') == NULL);
}

bool nnsock_bind(struct nnsock *s, const char *endpoint, struct err *e)
{
    if (!choose_family(s, endpoint)) {
        return fail(e, endpoint);
    }
    return nn_bind(s->fd, endpoint) >= 0 || fail(e, endpoint);
}

bool nnsock_connect(struct nnsock *s, const char *endpoint, struct err *e)
{
    if (!choose_family(s, endpoint)) {
        return fail(e, endpoint);
    }
    return nn_connect(s->fd, endpoint) >= 0 || fail(e, endpoint);
}
