from __future__ import annotations

from tenants.management.suspension import ParticipantsArguments, SuspendCommand
from tenants.people.suspension import PARTICIPANT


class Command(SuspendCommand):
    rules = PARTICIPANT
    arguments = ParticipantsArguments
    words = "admin suspend-participant"
    area, place = "people", 30
    permission = "MANAGE_TENANTS"
    examples = ('scaiwave admin suspend-participant anna@acme.example --reason "lost laptop"',)
    help = (
        "Suspend a participant manually. They can't sign in, and their tokens are refused, until "
        "you resume them; syncs do not lift the suspension."
    )
