"""Serve a ScaiKey sandbox in a separate process, so that its memory and time are not measured.

`python -m scripts.benchmarks.fake_scaikey '{"people": 1000}'` takes the options of `Sandbox`,
prints one line of JSON with URL and credentials, and serves until its standard input ends, at the
latest when the process that started it ends.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, Request, build_opener

TOP = Path(__file__).parents[2]
MUTATION_TIMEOUT_SECONDS = 300
"""Changing a large directory takes long."""


class ScaiKeyServer:
    """A running sandbox. `settings` are the environment variables for connecting to it."""

    def __init__(self, answer: dict[str, str]) -> None:
        self.url = answer["url"]
        self.settings = {
            "SCAIWAVE_SCAIKEY_URL": self.url,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": answer["client_id"],
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": answer["client_secret"],
        }

    def mutate(self, operation: str, **arguments: Any) -> Any:
        """Change the directory (see `Sandbox.mutate`), and return the result."""
        request = Request(  # noqa: S310 - our own server
            f"{self.url}/sandbox/mutate",
            data=json.dumps({"op": operation, **arguments}).encode(),
            headers={"Content-Type": "application/json"},
        )
        with build_opener(ProxyHandler({})).open(
            request, timeout=MUTATION_TIMEOUT_SECONDS
        ) as answer:
            return json.load(answer)["result"]


@contextmanager
def run_scaikey(**options: Any) -> Iterator[ScaiKeyServer]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.benchmarks.fake_scaikey", json.dumps(options)],
        cwd=TOP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,  # an interrupt from the keyboard must reach only the caller
    )
    try:
        line = process.stdout.readline() if process.stdout else b""
        if not line:
            raise RuntimeError("The sandbox did not start; see its message above.")
        yield ScaiKeyServer(json.loads(line))
    finally:
        process.communicate()


def _serve(options: dict[str, Any]) -> None:
    from scaiwave.sandbox import Sandbox

    with Sandbox(**options) as sandbox:
        names = ("url", "client_id", "client_secret")
        print(json.dumps({name: getattr(sandbox, name) for name in names}), flush=True)
        while os.read(0, 4096):
            pass


if __name__ == "__main__":
    _serve(json.loads(sys.argv[1]))
