"""The descriptor as gunicorn serves it."""

from __future__ import annotations

import http.client
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.scaiwave.cli_helpers import CHECKOUT, run_scaiwave

ADDRESS = "/.well-known/scaiwave/server"


@contextmanager
def run_gunicorn() -> Iterator[int]:
    """Run gunicorn; yield its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "scaiwave.wsgi"],
        env={**os.environ},
        cwd=CHECKOUT,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stderr is not None
        try:
            yield next(
                int(match[1])
                for line in process.stderr
                if (match := re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", line))
            )
        finally:
            process.terminate()


@pytest.mark.only_on("sqlite")
@pytest.mark.usefixtures("server")
def test_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCAIWAVE_SERVER_NAME", "chat.example.com:8448")
    assert run_scaiwave("admin", "federation", "key", "generate").code == 0
    shown = run_scaiwave("admin", "federation", "descriptor", "--json").out
    with run_gunicorn() as port, closing(http.client.HTTPConnection("127.0.0.1", port)) as peer:
        peer.request("GET", ADDRESS)
        response = peer.getresponse()
        body = response.read()
        assert (response.status, response.headers["Cache-Control"]) == (200, "public, max-age=300")
        assert [line.strip() for line in shown.splitlines()][1] in body.decode()

        peer.request("GET", ADDRESS, headers={"Host": "chat.example.com:8448"})
        assert peer.getresponse().read() == body

        peer.request("HEAD", ADDRESS)
        head = peer.getresponse()
        assert (head.status, head.read(), head.headers["ETag"]) == (
            200,
            b"",
            response.headers["ETag"],
        )
        assert head.headers["Content-Length"] == str(len(body))

        peer.request("GET", ADDRESS, headers={"If-None-Match": response.headers["ETag"]})
        unchanged = peer.getresponse()
        assert (unchanged.status, unchanged.read()) == (304, b"")
