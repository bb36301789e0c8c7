# SPDX-License-Identifier: Apache-2.0
"""A man in the middle between proxies and one control plane: real TCP, whole nanomsg messages.

A proxy is given his endpoint. Every message passes `on_message(socket, up, body)`, which returns the messages to
send in its place: [body] to pass it on, [] to drop it, more to repeat or forge. `socket` is "pub", "rep" or "pull", `up`
is True on the way to the control plane. Everything that passed is kept in `seen`.
"""
import socket
import struct
import threading

import sluice

SOCKETS = ("pub", "rep", "pull")


def read_exactly(s, n):
    out = b""
    while len(out) < n:
        more = s.recv(n - len(out))
        if not more:
            raise ConnectionError("closed")
        out += more
    return out


class Connection:
    """One proxy's connection to one socket of the control plane."""

    def __init__(self, relay, name, client, server):
        self.relay, self.name, self.client, self.server = relay, name, client, server
        self.locks = {True: threading.Lock(), False: threading.Lock()}
        for up in (True, False):
            threading.Thread(target=self.pump, args=(up,), daemon=True).start()

    def send(self, up, body):
        """A message of ours, in either direction."""
        with self.locks[up]:
            (self.server if up else self.client).sendall(struct.pack(">Q", len(body)) + body)

    def pump(self, up):
        source, sink = (self.client, self.server) if up else (self.server, self.client)
        try:
            hello = read_exactly(source, 8)  # \0SP\0, the kind of socket
            with self.locks[up]:
                sink.sendall(hello)
            while True:
                size, = struct.unpack(">Q", read_exactly(source, 8))
                body = read_exactly(source, size)
                self.relay.note(self.name, up, body)
                for out in self.relay.on_message(self.name, up, body):
                    self.send(up, out)
        except OSError:
            pass
        finally:
            for s in (source, sink):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
            self.relay.forget(self)


class Middleman:
    def __init__(self, control_port):
        self.port = sluice.free_triple()
        self.seen = []  # (socket, up, body)
        self.connections = []
        self.lock = threading.Lock()
        self.on_message = lambda name, up, body: [body]
        self.listeners = []
        for i, name in enumerate(SOCKETS):
            s = socket.create_server(("127.0.0.1", self.port + i))
            self.listeners.append(s)
            threading.Thread(target=self.accept, args=(s, name, control_port + i), daemon=True).start()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"

    def accept(self, listener, name, port):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", port), 5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            for s in (client, server):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                self.connections.append(Connection(self, name, client, server))

    def note(self, name, up, body):
        with self.lock:
            self.seen.append((name, up, body))

    def forget(self, connection):
        with self.lock:
            if connection in self.connections:
                self.connections.remove(connection)
                connection.client.close()
                connection.server.close()

    def of(self, name):
        with self.lock:
            return [c for c in self.connections if c.name == name]

    def bodies(self, name, up):
        with self.lock:
            return [b for n, u, b in self.seen if n == name and u == up]

    def stop(self):
        for s in self.listeners:
            s.close()
        with self.lock:
            for c in self.connections:
                for s in (c.client, c.server):
                    try:
                        s.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
