"""`scaiwave manage sandbox`: serve a local ScaiKey with sample data."""

from __future__ import annotations

import signal
import threading
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand

from scaiwave.cli.parsers import whole_number
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.api.pagination import ENVELOPES


class Command(BaseCommand):
    help = "Serve a ScaiKey sandbox on 127.0.0.1 until interrupted. Needs no database."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("--port", type=whole_number, default=8790, help="port; 0: a free one (default 8790)")
        for name, default, text in (
            ("people", 2000, "number of people, up to 1,000,000"),
            ("tenants", 12, "number of tenants"),
            ("partners", 3, "number of partners"),
            ("groups", 150, "number of groups"),
            ("max-per-page", 100, "maximum number of rows per page; larger requests are capped"),
            ("token-lifetime", 3600, "lifetime of tokens in seconds"),
        ):
            add(
                f"--{name}",
                type=whole_number,
                default=default,
                help=f"{text} (default {default:,})",
            )
        for name, text in (
            ("latency", "delay of each response in seconds (default 0)"),
            ("clock-offset", "error of the Date header in seconds (default 0)"),
        ):
            add(f"--{name}", type=float, default=0.0, help=text)
        add(
            "--seed",
            type=int,
            default=1,
            help="seed; the same seed and sizes give the same people and IDs (default 1)",
        )
        add(
            "--refuse-per-page",
            type=whole_number,
            help="maximum number of rows per page; larger requests get status 422 (default: none)",
        )
        add("--no-scim", dest="scim", action="store_false", help="status 404 for SCIM requests")
        add("--scim-cursors", action="store_true", help="lists by SCIM also by cursor (RFC 9865)")
        help_of_envelope = f"format of lists (default {ENVELOPES[0]})"
        add("--envelope", choices=ENVELOPES, default=ENVELOPES[0], help=help_of_envelope)
        add("--auto-approve", action="store_true", help="automatic approval of registrations")
        add("--no-at-hash", dest="at_hash", action="store_false", help="ID tokens without at_hash")
        changes = "changes made through /sandbox/mutate"
        add("--webhook-url", default="", help=f"webhook address for {changes}")
        add("--state-dir", type=Path, help=f"directory for {changes}")

    def handle(self, **options: Any) -> None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        fields = {name: options[name] for name in Sandbox.__dataclass_fields__ if name in options}
        with Sandbox(**fields) as sandbox:
            counts = ", ".join(
                f"{count:,} {name}" for name, count in sandbox.directory.count_entities().items()
            )
            approve = f"POST {sandbox.url}/sandbox/registrations/<request id>/approve"
            self.stdout.write(f"ScaiKey sandbox on {sandbox.url}: {counts} (seed {sandbox.seed}).")
            self.stdout.write(f"Register: scaiwave sync register --url {sandbox.url}")
            self.stdout.write(f"Approve:  {'automatic' if sandbox.auto_approve else approve}")
            if sandbox.webhook_url:
                secret = sandbox.webhooks.options.secret
                self.stdout.write(f"Webhooks: to {sandbox.webhook_url}, signed with {secret}")
            self.stdout.write(f"Status:   GET {sandbox.url}/sandbox/\nStop:     Ctrl-C")
            self.stdout.flush()
            stop.wait()
