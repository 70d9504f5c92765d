from __future__ import annotations

from federation.keys.lifecycle import generate_key
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(generate_key)
    words = "admin federation key generate"
    summary = "Create this server's first signing key"
    area, place = "federation", 10
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin federation key generate",)
    help = "Create this server's signing key. To replace an existing key, rotate it instead."
    changes = True
