// SPDX-License-Identifier: Apache-2.0
// The other side of connections under test: plain sockets driven by the test itself, in the loop's
// thread (loopback delivers at once, so turns of the loop and steps of the peer alternate without
// sleeping), and a TLS server in a Python process.
#ifndef SLUICE_TESTS_PEER_H
#define SLUICE_TESTS_PEER_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/base/mem.h"
#include "common/base/mono.h"
#include "common/io/loop.h"

// Turns the loop until cond holds; a test that hangs is killed by ctest.
#define PEER_UNTIL(l, cond)                                                                        \
    do {                                                                                           \
        while (!(cond)) {                                                                          \
            loop_turn((l), 5 * MONO_MS);                                                           \
        }                                                                                          \
    } while (0)

// 127.0.0.1, any port. backlog < 0: bound but not listening, so that connecting is refused.
static inline int peer_listen(int backlog, uint16_t *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &n), 0);
    if (backlog >= 0) {
        assert_int_equal(listen(fd, backlog), 0);
    }
    *ret_port = ntohs(a.sin_port);
    return fd;
}

// -1: nobody there yet.
static inline int peer_try_accept(int listener)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), on = 1;

    if (fd >= 0) { // else a second small piece waits 40 ms for the first one's delayed ACK
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)), 0);
    }
    return fd;
}

static inline int peer_accept(struct loop *l, int listener)
{
    int fd = -1;

    PEER_UNTIL(l, (fd = peer_try_accept(listener)) >= 0);
    return fd;
}

// A RST instead of a FIN.
static inline void peer_reset(int fd)
{
    struct linger hard = {.l_onoff = 1, .l_linger = 0};

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
    assert_int_equal(close(fd), 0);
}

static inline void peer_send(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

// Reads what is there until `buf` holds `want` bytes.
static inline void peer_read(struct loop *l, int fd, char *buf, size_t want)
{
    size_t have = 0;

    while (have < want) {
        ssize_t n = -1;

        PEER_UNTIL(l, (n = recv(fd, buf + have, want - have, 0)) >= 0 || errno != EAGAIN);
        assert_true(n > 0);
        have += (size_t)n;
    }
}

static inline void peer_expect(struct loop *l, int fd, const char *text)
{
    size_t n = strlen(text);
    char *got = mem_alloc(n + 1);

    peer_read(l, fd, got, n);
    got[n] = '\0';
    assert_string_equal(got, text);
    mem_free(got);
}

// The peer of fd has closed (or reset) the connection.
static inline void peer_expect_closed(struct loop *l, int fd)
{
    char byte;
    ssize_t n = -1;

    PEER_UNTIL(l, (n = recv(fd, &byte, 1, 0)) >= 0 || errno != EAGAIN);
    assert_true(n <= 0);
}

// --- TLS -----------------------------------------------------------------------------------------

struct peer_tls {
    pid_t pid;
    int control; // closing it ends the server
    uint16_t port;
    char dir[64];
    char cert[96]; // PEM file, CN and SAN localhost and 127.0.0.1
};

// An HTTP/1.1 server that offers h2 and http/1.1 by ALPN and answers by path:
//   /alpn   the protocol chosen and whether the session was resumed    /echo  the request body's
//   length /big    1 MiB of 'x', chunked    /close  one body until close, with a proper close /two
//   the answer, and one more nobody asked for, in the same record
static const char peer_tls_script[] =
    "import socket, ssl, sys, threading, os\n"
    "ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)\n"
    "ctx.load_cert_chain(sys.argv[1], sys.argv[2])\n"
    "ctx.set_alpn_protocols(['h2', 'http/1.1'])\n"
    "def serve(s):\n"
    "    try:\n"
    "        s = ctx.wrap_socket(s, server_side=True)\n"
    "        f = s.makefile('rb')\n"
    "        while True:\n"
    "            line = f.readline().split()\n"
    "            if not line: break\n"
    "            n = 0\n"
    "            while True:\n"
    "                h = f.readline().strip().lower()\n"
    "                if not h: break\n"
    "                if h.startswith(b'content-length:'): n = int(h.split(b':')[1])\n"
    "            body = f.read(n)\n"
    "            path = line[1]\n"
    "            if path == b'/big':\n"
    "                s.sendall(b'HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n')\n"
    "                for i in range(16): s.sendall(b'10000\\r\\n' + b'x' * 65536 + b'\\r\\n')\n"
    "                s.sendall(b'0\\r\\n\\r\\n')\n"
    "                continue\n"
    "            if path == b'/close':\n"
    "                s.sendall(b'HTTP/1.1 200 OK\\r\\n\\r\\nuntil close')\n"
    "                s.unwrap(); break\n"
    "            if path == b'/echo': out = b'%d' % len(body)\n"
    "            else: out = ('%s %d' % (s.selected_alpn_protocol(), s.session_reused)).encode()\n"
    "            r = b'HTTP/1.1 200 OK\\r\\nContent-Length: %d\\r\\n\\r\\n' % len(out) + out\n"
    "            s.sendall(r + r if path == b'/two' else r)\n"
    "    except (OSError, ValueError): pass\n"
    "    s.close()\n"
    "def accept(l):\n"
    "    while True:\n"
    "        c, _ = l.accept()\n"
    "        threading.Thread(target=serve, args=(c,), daemon=True).start()\n"
    "l = socket.socket(); l.bind(('127.0.0.1', 0)); l.listen(64)\n"
    "print(l.getsockname()[1], flush=True)\n"
    "threading.Thread(target=accept, args=(l,), daemon=True).start()\n"
    "sys.stdin.read()\n"
    "os._exit(0)\n";

static inline void peer_tls_stop(struct peer_tls *t)
{
    char command[160];

    if (t->pid > 0) {
        (void)close(t->control);
        (void)waitpid(t->pid, NULL, 0);
    }
    (void)snprintf(command, sizeof(command), "rm -rf %s", t->dir);
    if (t->dir[0] != '\0' && system(command) != 0) {
        print_message("cannot remove %s\n", t->dir);
    }
}

static inline bool peer_tls_certificate(struct peer_tls *t)
{
    char command[512];

    (void)snprintf(t->dir, sizeof(t->dir), "/tmp/sluice-tls-XXXXXX");
    if (mkdtemp(t->dir) == NULL) {
        t->dir[0] = '\0';
        return false;
    }
    (void)snprintf(t->cert, sizeof(t->cert), "%s/cert.pem", t->dir);
    (void)snprintf(
        command, sizeof(command),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=localhost -addext subjectAltName=DNS:localhost,IP:127.0.0.1 "
        "-keyout %s/key.pem -out %s/cert.pem 2>/dev/null",
        t->dir, t->dir);
    return system(command) == 0;
}

// False: openssl or python3 is missing, which the caller turns into skip().
static inline bool peer_tls_start(struct peer_tls *t)
{
    int in[2], out[2];
    char key[96], line[16] = "";

    *t = (struct peer_tls){.pid = -1};
    if (!peer_tls_certificate(t)) {
        print_message("skipped: the openssl command does not work\n");
        peer_tls_stop(t);
        return false;
    }
    (void)snprintf(key, sizeof(key), "%s/key.pem", t->dir);
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    t->pid = fork();
    if (t->pid == 0) {
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)execlp("python3", "python3", "-c", peer_tls_script, t->cert, key, (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    t->control = in[1];
    size_t have = 0;
    ssize_t n;
    while (have < sizeof(line) - 1 && strchr(line, '\n') == NULL &&
           (n = read(out[0], line + have, sizeof(line) - 1 - have)) > 0) {
        have += (size_t)n;
        line[have] = '\0';
    }
    (void)close(out[0]);
    t->port = (uint16_t)strtoul(line, NULL, 10);
    if (t->port == 0) {
        print_message("skipped: python3 with ssl does not work\n");
        peer_tls_stop(t);
        return false;
    }
    return true;
}

#endif
