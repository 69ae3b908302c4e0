"""A TCP proxy for tests, between a client and a server on 127.0.0.1: counts bytes, slows and cuts when told."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator


class Proxy:
    """Forwards connections to one server.

    ``on_bytes`` is called with the number of bytes that clients have sent so far, before they are passed on; what it
    does then (kill the client, call :meth:`cut`) is the test's affair.
    """

    def __init__(self, target_port: int, on_bytes: Callable[[int], None] = lambda sent: None) -> None:
        self._target = ("127.0.0.1", target_port)
        self.on_bytes = on_bytes
        self.sent = 0
        self.latency = 0.0
        """Seconds that each piece of at most 16 KiB waits before it is passed on, in either direction."""
        self.bytes_per_second = float("inf")
        """Of each connection."""
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection that is open now."""
        with self._lock:
            connections, self._open = self._open, set()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Break every connection and take no new ones."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(self._target)
            except OSError:  # the server is away: so is the client's connection
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, False), daemon=True).start()

    def _forward(self, source: socket.socket, sink: socket.socket, counted: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if counted:
                    with self._lock:
                        self.sent += len(data)
                        sent = self.sent
                    self.on_bytes(sent)
                time.sleep(self.latency + len(data) / self.bytes_per_second)
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        with self._lock:
            self._open -= {source, sink}


@contextlib.contextmanager
def running(target_port: int, on_bytes: Callable[[int], None] = lambda sent: None) -> Iterator[Proxy]:
    """A proxy that is closed in the end."""
    proxy = Proxy(target_port, on_bytes)
    try:
        yield proxy
    finally:
        proxy.close()
