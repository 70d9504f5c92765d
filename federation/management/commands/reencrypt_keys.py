from __future__ import annotations

from federation.keys.lifecycle import reencrypt_keys
from scaiwave.cli.command import OperatorCommand


class Command(OperatorCommand):
    service = staticmethod(reencrypt_keys)
    words = "admin federation key reencrypt"
    summary = "Re-encrypt keys with the newest encryption key"
    area, place = "federation", 60
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin federation key reencrypt",)
    help = "Encrypt all stored private keys with the newest of SCAIWAVE_ENCRYPTION_KEYS."
    changes = True
