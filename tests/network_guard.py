"""Restrict tests to this host: an attempt to connect to another one fails the test."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

attempts: list[str] = []
"""The other hosts that the current test tried to reach. The error alone is not enough, because code
under test may handle it as an unreachable server."""


class OutsideConnection(OSError):
    """A test tried to connect to another host."""


@contextmanager
def guard_network() -> Iterator[None]:
    """Let Python's sockets connect to loopback addresses and Unix sockets only."""
    connect, connect_ex = socket.socket.connect, socket.socket.connect_ex

    def guarded_connect(self: socket.socket, address: Any) -> None:
        _check(self, address)
        connect(self, address)

    def guarded_connect_ex(self: socket.socket, address: Any) -> int:
        _check(self, address)
        return connect_ex(self, address)

    socket.socket.connect = guarded_connect  # type: ignore[assignment,method-assign]
    socket.socket.connect_ex = guarded_connect_ex  # type: ignore[assignment,method-assign]
    try:
        yield
    finally:
        socket.socket.connect = connect  # type: ignore[method-assign]
        socket.socket.connect_ex = connect_ex  # type: ignore[method-assign]


def _check(connection: socket.socket, address: Any) -> None:
    if connection.family == socket.AF_UNIX or _is_loopback(str(address[0])):
        return
    attempts.append(f"{address[0]} port {address[1]}")
    raise OutsideConnection(f"A test may not connect to {attempts[-1]}.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False
