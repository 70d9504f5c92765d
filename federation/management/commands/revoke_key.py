from __future__ import annotations

from federation.keys.lifecycle import revoke_key
from scaiwave.cli.arguments import Arguments, argument
from scaiwave.cli.command import OperatorCommand


class RevokeKeyArguments(Arguments):
    key_id: str = argument("key ID, or at least its first 8 characters", metavar="KEY_ID")


class Command(OperatorCommand[RevokeKeyArguments]):
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
