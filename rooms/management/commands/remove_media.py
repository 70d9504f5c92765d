from __future__ import annotations

from argparse import ArgumentParser

from rooms.lifecycle.remove_media import remove_media
from rooms.management.commands import delete_room


class Command(delete_room.Command):
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

    def add_arguments(self, parser: ArgumentParser) -> None:
        add = parser.add_argument
        add("room", help="room (ID or alias)")
        add("file", help="file (ID, SHA-256 or name)")
        add("--tenant", required=True, help="tenant (slug, ID or ScaiKey ID)")
        add("--reason", required=True, help="reason, which the list, messages and audit log show")
        add("--now", action="store_true", help="skip the grace period; this can't be undone")
