from __future__ import annotations

from rooms.lifecycle.delete_room import delete_room
from scaiwave.cli.arguments import REASON, ROOM, TENANT, Arguments, argument, option
from scaiwave.cli.command import OperatorCommand


class DeleteRoomArguments(Arguments):
    name: str = argument(ROOM, metavar="room")
    tenant: str = option(TENANT, required=True)
    reason: str = option(REASON, required=True)
    archive: bool = option("archive an open room first")
    now: bool = option("skip the grace period; this can't be undone")


class Command(OperatorCommand[DeleteRoomArguments]):
    service = staticmethod(delete_room)
    words = "room delete"
    summary = "Delete a room, its events and its files"
    area, place = "rooms", 101
    permission = "MANAGE_TENANTS"
    examples = (
        'scaiwave room delete launch-party --tenant acme --reason "project ended"',
        'scaiwave room delete launch-party --tenant acme --reason "asked for by acme" --now',
    )
    help = (
        "Delete an archived room. It is hidden everywhere at once. Its events, members and files "
        "are deleted after SCAIWAVE_DELETION_GRACE_DAYS, by `admin prune`; until then `room "
        "undelete` brings it back. Files that other rooms have stay."
    )
    changes = True

    def run(self, given: DeleteRoomArguments) -> None:
        confirm = self.confirm_name if given.now else lambda effect, name: self.confirm(effect)
        self.print_report(self.call_service(given, confirm=confirm, at_once=given.now))
