from __future__ import annotations

from argparse import ArgumentParser

from federation.keys.lifecycle import revoke_key
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(revoke_key)
    words = "admin federation key revoke"
    summary = "Revoke a key and all its signatures"
    area, place = "federation", 40
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin federation key revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        "scaiwave admin federation key revoke kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k --yes",
    )
    help = (
        "Revoke a key: invalidate every signature made with it, and erase its private key. Use it "
        "if someone else may have the key; to replace a key, rotate it."
    )
    changes = True

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "key_id", metavar="KEY_ID", help="key ID, or at least its first 8 characters"
        )
