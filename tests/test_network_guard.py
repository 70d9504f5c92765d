from __future__ import annotations

import socket

import pytest

from tests import network_guard


def test_success_connection_to_loopback() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname(), timeout=5),
    ):
        assert network_guard.attempts == []


@pytest.mark.parametrize("host", ["192.0.2.1", "10.0.0.1", "2001:db8::1"])
def test_fail_connection_to_another_host(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as connection:
        with pytest.raises(network_guard.OutsideConnection) as caught:
            connection.connect((host, 443))
        with pytest.raises(network_guard.OutsideConnection):
            connection.connect_ex((host, 443))

    assert str(caught.value) == f"A test may not connect to {host} port 443."
    assert network_guard.attempts == [f"{host} port 443"] * 2
    network_guard.attempts.clear()
