# SPDX-License-Identifier: Apache-2.0
"""A way to Redis that takes its time: every byte arrives `delay` seconds late, in order, both ways."""
import collections
import pathlib
import shutil
import socket
import tempfile
import threading
import time


class SlowRedis:
    """Stands between a control plane and `redis` (its `url` is what the control plane is given). `delay` may be changed at any
    time; what is under way keeps the delay it was given. `dribble`: no more than so many bytes at once."""

    def __init__(self, redis):
        self.redis, self.delay, self.dribble, self.done = redis, 0.0, 65536, False
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sluice-s"))
        self.url = f"unix:{self.dir / 's'}"
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.dir / "s"))
        self.server.listen(64)
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while not self.done:
            try:
                one, _ = self.server.accept()
                other = socket.socket(socket.AF_UNIX)
                other.connect(str(self.redis.socket))
            except OSError:
                continue
            for a, b in ((one, other), (other, one)):
                Pipe(self, a, b)

    def stop(self):
        self.done = True
        self.server.close()
        shutil.rmtree(self.dir, ignore_errors=True)


class Pipe:
    def __init__(self, relay, source, sink):
        self.relay, self.source, self.sink = relay, source, sink
        self.queue, self.ready = collections.deque(), threading.Condition()
        threading.Thread(target=self.read, daemon=True).start()
        threading.Thread(target=self.write, daemon=True).start()

    def read(self):
        data = b"x"
        while data:
            try:
                data = self.source.recv(self.relay.dribble)
            except OSError:
                data = b""
            with self.ready:
                self.queue.append((time.monotonic() + self.relay.delay, data))
                self.ready.notify()

    def write(self):
        while True:
            with self.ready:
                while not self.queue:
                    self.ready.wait()
                at, data = self.queue.popleft()
            time.sleep(max(0.0, at - time.monotonic()))  # this is what it is for
            try:
                if not data:
                    self.sink.shutdown(socket.SHUT_RDWR)
                    self.source.close()
                    return
                self.sink.sendall(data)
            except OSError:
                self.source.close()
                return
