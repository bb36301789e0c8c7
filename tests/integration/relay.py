# SPDX-License-Identifier: Apache-2.0
"""A network between a proxy and the three ports of a control plane, to be cut."""
import selectors
import socket
import threading
import time

import sluice


class Relay:
    """`open = False`: it keeps all connections and moves no byte, as a network that swallows everything. `drop`: all
    connections end, and what was under way is lost."""

    def __init__(self, port):
        self.port, self.open, self.done, self.dropping = sluice.free_triple(), True, False, False
        self.select, self.to = selectors.DefaultSelector(), port - self.port
        for i in range(3):
            s = socket.create_server(("127.0.0.1", self.port + i))
            self.select.register(s, selectors.EVENT_READ, None)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    @property
    def endpoint(self):
        return f"tcp://127.0.0.1:{self.port}"

    def run(self):
        while not self.done:
            if self.dropping:
                self.end_all()
            if not self.open:
                time.sleep(0.01)
                continue
            for key, _ in self.select.select(0.05):
                if self.open:
                    self.accept(key.fileobj) if key.data is None else self.move(key.fileobj, key.data)

    def accept(self, server):
        one, _ = server.accept()
        try:
            other = socket.create_connection(("127.0.0.1", server.getsockname()[1] + self.to))
        except OSError:
            one.close()
            return
        self.select.register(one, selectors.EVENT_READ, other)
        self.select.register(other, selectors.EVENT_READ, one)

    def move(self, source, sink):
        if source.fileno() < 0:
            return  # ended with the other one, a moment ago
        try:
            data = source.recv(65536)
            sink.sendall(data)
        except OSError:
            data = b""
        if not data:
            for s in (source, sink):
                try:
                    self.select.unregister(s)
                except (KeyError, ValueError):
                    pass
                s.close()

    def drop(self):
        self.dropping = True
        sluice.wait_for(lambda: not self.dropping, 10, "the connections to end")

    def end_all(self):
        for key in list(self.select.get_map().values()):
            if key.data is not None:
                self.select.unregister(key.fileobj)
                key.fileobj.close()
        self.dropping = False

    def stop(self):
        self.done = True
        self.thread.join()
        for key in list(self.select.get_map().values()):
            key.fileobj.close()
