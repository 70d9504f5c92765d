"""Export what this server has about one person, as a ZIP file to hand over to that person.

It answers articles 15 and 20 of the GDPR. Messages of others stay out, also as quotes: each room is
exported with the person's own events alone, and its transcript is made of that. In them, others are
IDs, except where the person wrote their names.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from shlex import quote
from typing import Any, cast
from uuid import UUID

from django.db import transaction
from django.db.models import Count

from rooms.bundle.archive.writer import DeflateCompressor, ZipStreamWriter
from rooms.bundle.format import MANIFEST
from rooms.bundle.manifest.schema import WHOLE_ROOM, ManifestHeader, format_timestamp
from rooms.bundle.reader import BundleContent
from rooms.exports.export_room import (
    ExportOptions,
    ExportRun,
    FileExport,
    RoomExport,
    load_signer,
)
from rooms.exports.sinks import write_draft, write_drafts
from rooms.lookup.authors import Author, list_fqids
from rooms.lookup.export_metadata import (
    export_blocker,
    get_media_of,
    get_room,
    iter_senders,
)
from rooms.models import Event, Room, RoomMember, WorkspaceMember
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.transcribe_room import iter_files, spool_export
from rooms.transcripts.wording import Clock, encode_json
from scaiwave import __version__
from scaiwave.console.output import format_bytes
from scaiwave.console.progress import ProgressCallback, null_progress
from scaiwave.console.text import pluralize
from scaiwave.core.completed_work import record_completed
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report
from scaiwave.extensions import PARTICIPANT_CHANGES, PARTICIPANT_FACTS
from tenants.audit.queries.entries import iter_entries_about
from tenants.audit.record import record_audit
from tenants.lookup.resolve import look_up_participants_in
from tenants.lookup.serializers import Row, get_server_name, participant_row
from tenants.lookup.validators import validate_reason
from tenants.models import Participant
from tenants.people.queries.participants import list_groups_of
from tenants.roles.queries.roles import assignment_row, effective_roles

ACTION = "export-participant"
FORMAT = "scaiwave-participant-export"


def export_participant(
    *,
    operator: Operator,
    name: str,
    reason: str,
    now: datetime,
    tenant: str | None = None,
    progress: ProgressCallback = null_progress,
) -> ParticipantExport:
    """Start the export of a participant, and record it. `progress` counts rooms.

    Raises ParticipantNotFound, TenantNotFound, AmbiguousName, InvalidName for a reason that can't
    be printed, `KeyUnreadable` and `KeyDamaged`.
    """
    operator.require(Permission.EXPORT_ROOMS)
    validate_reason(reason)
    person = look_up_participants_in(operator, tenant).find(name)
    export = ParticipantExport(operator, person, now, progress)
    left_out = [str(row["id"]) for row in export.left_out]
    with transaction.atomic():
        record_audit(
            operator=operator,
            action=ACTION,
            subject=person,
            tenant=person.tenant,
            now=now,
            details={"reason": reason, "rooms": len(export.rooms), "left_out": left_out},
            is_change=False,
        )
    return export


def write_participant_export(
    start: Callable[[], ParticipantExport], target: Path, *, overwrite: bool
) -> Report:
    """Write the file once it is complete. Raises the errors of `write_to_file`."""
    with write_drafts(target.parent):
        result, publish = write_draft(start, target, overwrite=overwrite)
        publish()
    record_completed(f"{ACTION}: {target}", command=f"unzip -l {quote(str(target))}")
    return replace(result, figures={**result.figures, "file": str(target)})


def _build_report(manifest: Row, size: int) -> Report:
    """`manifest` is the one in the file; `size` is the size of the file in bytes."""
    counts, fqid = manifest["counts"], manifest["participant"]["fqid"]
    figures = {key: manifest[key] for key in ("participant", "counts", "rooms", "left_out")}
    sentence = (
        f"Exported {fqid}: {pluralize(counts['events'], 'event')} of "
        f"{pluralize(counts['rooms'], 'room')}, {pluralize(counts['media'], 'attachment')}, "
        f"{counts['audit_entries']:,} audit entries, {format_bytes(size)}."
    )
    warnings = [
        f"Not exported: {pluralize(row['events'], 'event')} of room {row['id']}: {row['reason']}."
        for row in manifest["left_out"]
    ]
    if any(counts["missing_media"].values()):
        missing = counts["missing_media"].items()
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in missing)
        warnings.append(f"Without the files of some attachments: {reasons}.")
    return Report({**figures, "size_bytes": size}, sentence, warnings=warnings)


class ParticipantExport(FileExport[Report]):
    """A ZIP file. Each room is read from a snapshot of its own, into a file without a name."""

    room = None

    def __init__(
        self, operator: Operator, person: Participant, now: datetime, progress: ProgressCallback
    ) -> None:
        self.rooms: dict[UUID, int] = {}
        self.left_out: list[Row] = []
        self._operator, self._person, self._now, self._progress = operator, person, now, progress
        self._author = Author(person.pk, list_fqids([person.pk]))
        self._counts: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._files: list[Row] = []
        self._room_rows: list[Row] = []
        # Some of the rooms with events of the person must not leave this server.
        events = Event.objects.filter(self._author.events_q, tenant=person.tenant_id)
        found = events.order_by().values_list("room").annotate(Count("pk"))
        for room_id, count in sorted(found, key=lambda row: str(row[0])):
            room = get_room(room_id)
            reason = "it was deleted" if room is None else export_blocker(room)
            if reason is None:
                self.rooms[room_id] = count
            else:
                self.left_out.append({"id": room_id, "events": count, "reason": reason})
        self._options = ExportOptions(WHOLE_ROOM, True, now, load_signer(now), null_progress)
        self._writer = ZipStreamWriter(now)
        super().__init__(self._iter_entries(), lambda size: _build_report(self._manifest, size))

    def _iter_entries(self) -> Generator[bytes]:
        person = self._person
        yield from self._encode_json("profile.json", _build_profile(person))
        yield from self._encode_json("memberships.json", _build_memberships(person))
        roles = [assignment_row(each) for each in effective_roles(person)]
        # Who granted a role is another person's data.
        roles = [{k: v for k, v in row.items() if k != "granted_by"} for row in roles]
        yield from self._encode_json("roles.json", roles)
        self._counts["roles"] = len(roles)
        yield from self._encode("audit.jsonl", self._iter_audit())
        for number, room_id in enumerate(self.rooms, 1):
            yield from self._encode_room(room_id)
            self._progress(number, len(self.rooms))
        self._manifest = self._build_manifest()
        yield from self._encode_json("manifest.json", self._manifest)
        yield from self._writer.encode_end()

    def _iter_audit(self) -> Iterator[bytes]:
        for entry in iter_entries_about(self._operator, self._person):
            self._counts["audit_entries"] += 1
            yield encode_json(entry).encode() + b"\n"

    def _encode_room(self, room_id: UUID) -> Generator[bytes]:
        """Write the person's events as JSON, their transcript, and the files that they sent."""
        room = Room.objects.select_related("workspace").get(pk=room_id)
        directory = f"rooms/{room_id}"
        with tempfile.TemporaryFile() as spool:
            run = _AuthorRun(room, self._options)
            run.author = self._author
            source = spool_export(RoomExport(run), spool, self._options.signer)
            sentence = f"{source.sentence}; only what {self._author.fqids[0]} wrote"
            source = replace(source, sentence=sentence)
            chunks = cast(BundleContent, source.content).archive.iter_entry(MANIFEST)
            yield from self._encode(f"{directory}/messages.json", chunks)
            for path, content in iter_files(
                source, TranscriptOptions("html", Clock(UTC)), self._now
            ):
                yield from self._encode(f"{directory}/{path}", content)
        missing = Counter(str(entry.missing) for entry in run.header.media if entry.missing)
        row = {"events": run.event_count, "media": len(run.header.media)}
        self._counts.update({**row, "rooms": 1})
        self._missing.update(missing)
        self._room_rows.append(
            {"id": room_id, "name": room.name, **row, "missing_media": dict(missing)}
        )

    def _build_manifest(self) -> Row:
        return {
            "format": FORMAT,
            "version": 1,
            "generator": f"scaiwave {__version__}",
            "server_name": get_server_name(),
            "exported_at": format_timestamp(self._now),
            "participant": {"id": self._author.participant_id, "fqid": self._author.fqids[0]},
            "counts": {
                **{key: self._counts[key] for key in ("roles", "audit_entries", "rooms", "events")},
                "media": self._counts["media"],
                "missing_media": dict(self._missing),
            },
            "rooms": self._room_rows,
            "left_out": self.left_out,
            "files": self._files,
        }

    def _encode_json(self, name: str, value: Any) -> Generator[bytes]:
        yield from self._encode(name, [encode_json(value, indent=1).encode() + b"\n"])

    def _encode(self, name: str, chunks: Iterable[bytes]) -> Generator[bytes]:
        digest, size = yield from self._writer.encode_entry(name, chunks, DeflateCompressor())
        self._files.append({"name": name, "sha256": digest, "size": size})


class _AuthorRun(ExportRun):
    """The export of a room with the events of one author, and the files that these refer to."""

    author: Author

    def _build_header(self) -> tuple[ManifestHeader, int]:
        events = Event.objects.filter(self.author.events_q, room=self.room)
        senders = dict(iter_senders([self.author.participant_id], get_server_name()))
        header = self.make_header(senders, get_media_of(self.room, events))
        header.room.topic = ""  # Someone else may have written it.
        return header, 0


def _build_profile(person: Participant) -> Row:
    return {
        **participant_row(person, server_name=get_server_name()),
        "tenant": person.tenant.slug,
        "avatar_url": person.avatar_url,
        "facts": [
            {"title": title, "value": value}
            for extension in PARTICIPANT_FACTS
            for title, value in extension.load()(person.pk)
        ],
        "last_sync_changes": PARTICIPANT_CHANGES.load()(person.pk),
    }


def _build_memberships(person: Participant) -> Row:
    rooms = RoomMember.objects.filter(participant=person, room__deleted_at=None).order_by("pk")
    workspaces = WorkspaceMember.objects.filter(participant=person).order_by("pk")
    return {
        "groups": list_groups_of(person),
        "workspaces": [
            {"id": each.workspace_id, "slug": each.workspace.slug, "role": each.role}
            for each in workspaces.select_related("workspace")
        ],
        "rooms": [
            {
                "id": each.room_id,
                "name": each.room.name,
                "membership": each.membership,
                "power_level": each.power_level,
                "joined_at": each.joined_at,
                "notification_mode": each.notification_mode,
            }
            for each in rooms.select_related("room")
        ],
    }
