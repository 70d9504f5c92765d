from __future__ import annotations

from tenants.management.suspension import ParticipantsArguments, ResumeCommand
from tenants.people.suspension import PARTICIPANT


class Command(ResumeCommand):
    rules = PARTICIPANT
    arguments = ParticipantsArguments
    words = "admin resume-participant"
    summary = "Lift a participant's manual suspension"
    area, place = "people", 40
    permission = "MANAGE_TENANTS"
    examples = ("scaiwave admin resume-participant anna@acme.example",)
    help = "Lift a manual suspension. The participant's status in ScaiKey applies again."
