"""`scaiwave manage sandbox`: a ScaiKey on loopback to try everything against."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser, ArgumentTypeError
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.api.pagination import ENVELOPES


class Command(BaseCommand):
    help = "Serve a made-up ScaiKey on 127.0.0.1 until interrupted. Needs no database."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--port", type=_number, default=8790, help="0 takes a free one (default 8790)")
        add("--people", type=_number, default=2000, help="up to 1,000,000 (default 2,000)")
        add("--tenants", type=_number, default=12)
        add("--partners", type=_number, default=3)
        add("--groups", type=_number, default=150)
        add("--seed", type=int, default=1, help="same seed and sizes: same people, same ids")
        add("--latency", type=float, default=0.0, help="seconds before each answer")
        add("--max-per-page", type=_number, default=100, help="most rows of a page")
        add("--refuse-per-page", type=_number, help="answer 422 to a page of more rows than this")
        add("--no-scim", dest="scim", action="store_false", help="answer 404 to SCIM requests")
        add("--envelope", choices=ENVELOPES, default=ENVELOPES[0], help="the form of lists")
        add("--auto-approve", action="store_true", help="approve registrations at once")
        add("--token-lifetime", type=_number, default=3600, help="seconds (default 3600)")
        add("--clock-offset", type=float, default=0.0, help="seconds the Date header is off")
        add("--state-dir", type=Path, help="keep changes made through /sandbox/mutate here")

    def handle(self, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        knobs = {name: options[name] for name in Sandbox.__dataclass_fields__ if name in options}
        with Sandbox(**knobs) as sandbox:
            self._introduce(sandbox)
            stop.wait()

    def _introduce(self, sandbox: Sandbox) -> None:
        counts = ", ".join(f"{n:,} {kind}" for kind, n in sandbox.directory.totals().items())
        approve = f"POST {sandbox.url}/sandbox/registrations/<request id>/approve"
        self.stdout.write(f"Sandbox ScaiKey on {sandbox.url}: {counts} (seed {sandbox.seed}).")
        self.stdout.write(f"Register: scaiwave sync register --url {sandbox.url}")
        self.stdout.write(f"Approve:  {'by itself' if sandbox.auto_approve else approve}")
        self.stdout.write(f"Look:     GET {sandbox.url}/sandbox/\nStop:     Ctrl-C")
        self.stdout.flush()


def _number(text: str) -> int:
    if not text.isdecimal():
        raise ArgumentTypeError(f"{text!r} is not a whole number from 0 up")
    return int(text)
