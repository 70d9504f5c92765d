from __future__ import annotations

from rooms.lifecycle.remove_media import remove_media
from scaiwave.cli.arguments import ROOM, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class RemoveMediaArguments(Arguments):
    room: str = argument(ROOM)
    file: str = argument("file (ID, SHA-256 or name)")
    tenant: str = option(TENANT, required=True)
    reason: str = option("reason, which the list, messages and audit log show", required=True)
    now: bool = option("skip the grace period; this can't be undone")


class Command(OperatorCommand[RemoveMediaArguments]):
    service = staticmethod(remove_media)
    words = "room media remove"
    summary = "Remove a file from a room"
    area, place = "rooms", 104
    permission = "MANAGE_TENANTS"
    examples = (
        'scaiwave room media remove launch-party photo.png --tenant acme --reason "not allowed"',
        'scaiwave room media remove launch-party photo.png --tenant acme --reason "malware" --now',
    )
    help = (
        "Remove a file from a room. It is hidden at once, and its bytes are deleted after "
        "SCAIWAVE_DELETION_GRACE_DAYS, by `admin prune`, unless another room has them. Then the "
        "messages keep its name and the reason."
    )
    changes = True

    def run(self, given: RemoveMediaArguments) -> None:
        confirm = self.confirm_name if given.now else lambda effect, name: self.confirm(effect)
        self.print_report(self.call_service(given, confirm=confirm, at_once=given.now))
