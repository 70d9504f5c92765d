"""A server that greets as Redis does, and then answers each command with the same bytes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

LIES = (
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"\x00\xff\r\n",
    b":many\r\n",
    b"$few\r\n",
    b"*some\r\n",
    b",much\r\n",
    b"#x\r\n",
    b"*1\r\n:1\r\n",
    b"*2\r\n$1\r\na\r\n$1\r\nb\r\n",
    b"%1\r\n*0\r\n+a\r\n",
    b"*1\r\n" * 5000 + b":1\r\n",
    b"-NOTHING was done\r\n",
    b"!3\r\nERR\r\n",
)
"""Not responses of Redis, or not to any command that reads the queues."""
SILENCE = b""


@contextmanager
def run_lying_redis(lie: bytes) -> Iterator[str]:
    """Yield the address of a server that lies until the end of the block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=[listener, lie], daemon=True).start()
        try:
            yield f"redis://127.0.0.1:{listener.getsockname()[1]}/0"
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, lie: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=_answer, args=[connection, lie], daemon=True).start()


def _answer(connection: socket.socket, lie: bytes) -> None:
    with suppress(OSError), connection, connection.makefile("rb") as requests:
        while words := _read_command(requests):
            greetings = {b"HELLO": b"%1\r\n$5\r\nproto\r\n:3\r\n", b"CLIENT": b"+OK\r\n"}
            connection.sendall(greetings.get(words[0], lie))


def _read_command(requests: BinaryIO) -> list[bytes]:
    """Return the words of the next command, or nothing at the end."""
    head = requests.readline()
    words = []
    for _ in range(int(head[1:] or 0)):
        size = int(requests.readline()[1:])
        words.append(requests.read(size + 2)[:-2])
    return words
