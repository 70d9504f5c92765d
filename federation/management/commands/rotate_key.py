from __future__ import annotations

from federation.keys.lifecycle import OVERLAP_DAYS, rotate_key
from scaiwave.cli.arguments import Arguments, option
from scaiwave.cli.command import OperatorCommand


class RotateKeyArguments(Arguments):
    overlap_days: int = option(
        f"days that the old key keeps verifying (default {OVERLAP_DAYS})",
        default=OVERLAP_DAYS,
        metavar="N",
    )


class Command(OperatorCommand[RotateKeyArguments]):
    service = staticmethod(rotate_key)
    words = "admin federation key rotate"
    summary = "Rotate the server's signing key"
    area, place = "federation", 20
    permission = "MANAGE_PLATFORM"
    examples = (
        "scaiwave admin federation key rotate",
        "scaiwave admin federation key rotate --overlap-days 7 --dry-run",
    )
    help = (
        "Create a new signing key. The key it replaces keeps verifying for the overlap. If several "
        "runs start at the same time, one creates the key and the others report it."
    )
    changes = True
