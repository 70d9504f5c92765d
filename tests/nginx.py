"""Run nginx with the site file that operators install, on loopback addresses."""

from __future__ import annotations

import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.scaiwave.cli_helpers import CHECKOUT
from tests.scaiwave.clients.certificates import Authority
from tests.tools import require_tool

SITE = CHECKOUT / "scripts/deploy/nginx.conf"
START_SECONDS = 60
LOAD_BALANCER = "127.0.0.6"
"""The address whose X-Forwarded-For nginx trusts, as behind a load balancer."""


@dataclass(frozen=True)
class Nginx:
    """A running nginx. `context` trusts its certificate."""

    port: int
    context: ssl.SSLContext
    log: Path

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def connect(self, source: str = "127.0.0.1") -> ssl.SSLSocket:
        """Open a connection from a loopback address."""
        connection = socket.create_connection(
            ("127.0.0.1", self.port), timeout=60, source_address=(source, 0)
        )
        return self.context.wrap_socket(connection, server_hostname="127.0.0.1")


@contextmanager
def run_nginx(directory: Path, backend: str) -> Iterator[Nginx]:
    """Run it for a backend, given as host:port. Skips the test if nginx is not installed."""
    program = require_tool("nginx")
    authority = Authority(directory)
    authority.server()
    plain_port, port = _find_free_ports()
    (directory / "site.conf").write_text(_build_site(directory, backend, plain_port, port))
    (directory / "main.conf").write_text(_build_main(directory))
    command = [program, "-p", str(directory), "-c", str(directory / "main.conf")]
    log = directory / "nginx.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    context = ssl.create_default_context(cafile=str(authority.file))
    try:
        _wait_until_started(process, port, log)
        yield Nginx(port, context, log)
    finally:
        process.terminate()
        process.wait(30)


def _build_site(directory: Path, backend: str, plain_port: int, port: int) -> str:
    """Return the file with other ports, addresses and certificates, as an operator edits it."""
    site = SITE.read_text(encoding="utf-8")
    for pattern, value in (
        (r"server 127\.0\.0\.1:8000", f"server {backend}"),
        (r"listen 80;\n\s*listen \[::\]:80;", f"listen 127.0.0.1:{plain_port};"),
        (r"listen 443 ssl;\n\s*listen \[::\]:443 ssl;", f"listen 127.0.0.1:{port} ssl;"),
        (r"/etc/ssl/scaiwave/fullchain\.pem", str(directory / "server.pem")),
        (r"/etc/ssl/scaiwave/privkey\.pem", str(directory / "server.key")),
    ):
        site, count = re.subn(pattern, value, site)
        assert count == 1, pattern
    return site


def _build_main(directory: Path) -> str:
    user = "user root;" if os.geteuid() == 0 else ""
    temporary = " ".join(
        f"{name}_temp_path {directory}/{name};"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"{user} daemon off; pid {directory}/nginx.pid; error_log stderr;\n"
        f"events {{ worker_connections 1024; }}\n"
        f"http {{ access_log off; {temporary} include {directory}/site.conf;\n"
        f"set_real_ip_from {LOAD_BALANCER}; real_ip_header X-Forwarded-For; }}\n"
    )


def _find_free_ports() -> tuple[int, int]:
    """Return two that differ."""
    with (
        socket.create_server(("127.0.0.1", 0)) as first,
        socket.create_server(("127.0.0.1", 0)) as second,
    ):
        return first.getsockname()[1], second.getsockname()[1]


def _wait_until_started(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    pytest.fail(f"nginx did not start:\n{log.read_text()}")
