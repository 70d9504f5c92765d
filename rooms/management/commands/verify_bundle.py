from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings

from rooms.bundle.format import MIB
from rooms.management.bundle_io import open_input, print_verification
from rooms.queries.verify_bundle import verify_bundle
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    help = (
        "Check a bundle offline: every hash, checksum and count, every event, and the signature. "
        "Names each entry that is wrong, missing or too many. Exit code 0 only when all is good; "
        "without a signature that is known it can be good too, unless --require-signature is given."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "bundle", nargs="?", default="-", help="the file, or - for stdin (default: -)"
        )
        parser.add_argument(
            "--key", help="the signer's public key: ed25519:… (default: this server's own keys)"
        )
        parser.add_argument(
            "--descriptor",
            metavar="FILE",
            type=Path,
            help="the signer's keys: its saved /.well-known/scaiwave/server",
        )
        parser.add_argument(
            "--require-signature",
            action="store_true",
            help="not good without a valid signature by a known key",
        )

    def handle(self, bundle: str, key: str | None, **options: Any) -> None:
        with open_input(
            None if bundle == "-" else bundle,
            at_terminal="Name the file: `scaiwave room verify bundle.zip`.",
            unreadable="Name a bundle that is there.",
        ) as file:
            found = verify_bundle(
                # Given keys need neither database nor network.
                operator=None if key or options["descriptor"] else self.operator,
                file=file,
                most_bytes=settings.CONFIG.get_int("SCAIWAVE_IMPORT_LIMIT_MB") * MIB,
                key=key,
                descriptor=options["descriptor"],
                require_signature=options["require_signature"],
                bars=self.output.progress,
            )
        print_verification(self.output, found)
