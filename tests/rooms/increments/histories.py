"""Random lives of a room, exported after each day."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db.models import Max
from hypothesis import strategies as st

from rooms.bundle.chain import open_chain
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.exports.export_room import ExportOptions, load_signer, start_export
from rooms.exports.increments import start_increment
from rooms.exports.merge_bundles import iter_merged
from rooms.imports.append_increment import append_increment
from rooms.imports.apply_increment import AppendResult, LocalChanges
from rooms.imports.id_mapping import IdMapper
from rooms.imports.import_room import FOLLOWED_FIELDS, ImportRequest, import_room
from rooms.models import Event, Media, Room, RoomMedia
from scaiwave.console.progress import null_progress
from scaiwave.ids import new_id
from tenants.models import Participant, Tenant
from tests.rooms.imports.factories import ImportTargetRows
from tests.rooms.random_rooms import extras, places, texts
from tests.rooms.round_trip import read_bundle
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, run_command

MAX_BYTES = 2**26
EVENT_FIELDS = (
    "event_type", "content", "original_content", "origin_ts", "event_uuid", "created_at",
    "edited_at", "redacted_at", "do_not_index",
)  # fmt: skip
_ID = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
START = datetime(2026, 11, 1, 3, tzinfo=UTC)
Json = dict[str, Any]

ACTS = (
    "add", "add", "add", "edit", "redact", "delete", "late", "touch", "move", "rescan", "lose",
    "attach", "detach", "rename", "erase", "topic", "member", "reply", "react",
)  # fmt: skip
# Each act of a day: its name, the place of the event or person it is about, and what it writes.
acts = st.lists(
    st.tuples(
        st.sampled_from(ACTS),
        places,
        st.fixed_dictionaries({"content": extras, "text": texts}),
    ),
    max_size=6,
)  # fmt: skip
histories = st.lists(acts, min_size=1, max_size=4)


@dataclass
class Life:
    """A room that changes; `day` counts the exports.

    A careful one does not lose files, or take back that they are infected: an imported room keeps
    what its source has lost.
    """

    room: Room
    directory: Path
    day: int = 0
    is_careful: bool = False

    @property
    def now(self) -> datetime:
        return START + timedelta(days=self.day)

    def do(self, name: str, place: int, given: Json) -> None:
        getattr(self, f"_{name}")(place, given)

    def _pick(self, place: int) -> Event | None:
        events = list(Event.objects.filter(room=self.room).order_by("stream_position"))
        return events[place % len(events)] if events else None

    def _person(self, place: int) -> Participant:
        people = list(Participant.objects.filter(tenant=self.room.tenant).order_by("pk"))
        return people[place % len(people)]

    def create(self, place: int, position: int | None = None, **fields: Any) -> None:
        highest = Event.objects.aggregate(last=Max("stream_position"))["last"] or 0
        Event.objects.create(
            id=new_id(),
            tenant=self.room.tenant,
            room=self.room,
            sender=self._person(place),
            stream_position=position or highest + 10,
            origin_ts=int(self.now.timestamp()),
            created_at=self.now,
            **{"event_type": "swp.room.message", **fields},
        )

    def _add(self, place: int, given: Json) -> None:
        self.create(place, content=given["content"])

    def _late(self, place: int, given: Json) -> None:
        """Commit an event at a position below the last one."""
        if (event := self._pick(place)) is None:
            return
        taken = set(Event.objects.values_list("stream_position", flat=True))
        low = next(number for number in count(1) if number not in taken)
        if low < event.stream_position:
            self.create(place, low, content=given["content"])

    def _member(self, place: int, given: Json) -> None:
        self.create(place, event_type="swp.room.member", content={"membership": "join"})

    def _reply(self, place: int, given: Json) -> None:
        if event := self._pick(place):
            self.create(place, content={"reply_to_event_id": str(event.pk)})

    def _react(self, place: int, given: Json) -> None:
        if event := self._pick(place):
            content = {"event_id": str(event.pk), "emoji": given["text"]}
            self.create(place, event_type="swp.room.reaction", content=content)

    def _edit(self, place: int, given: Json) -> None:
        if (event := self._pick(place)) and event.event_type == "swp.room.message":
            event.original_content = event.original_content or event.content
            event.content = given["content"]
            event.edited_at = self.now
            event.save()

    def _touch(self, place: int, given: Json) -> None:
        """Change a row without any mark."""
        if event := self._pick(place):
            event.content = {**event.content, "touched": given["text"]}
            event.save()

    def _move(self, place: int, given: Json) -> None:
        if event := self._pick(place):
            highest = Event.objects.aggregate(last=Max("stream_position"))["last"]
            event.stream_position = highest + 1
            event.save()

    def _redact(self, place: int, given: Json) -> None:
        if event := self._pick(place):
            event.content, event.original_content = {"redacted_by": given["text"]}, None
            event.redacted_at = event.redacted_at or self.now  # It is redacted once.
            event.save()

    def _delete(self, place: int, given: Json) -> None:
        if event := self._pick(place):
            event.delete()

    def _attach(self, place: int, given: Json) -> None:
        data = f"file {given['text']}".encode()
        digest = sha256(data).hexdigest()
        media = Media.objects.filter(tenant=self.room.tenant, sha256=digest).first()
        media = media or row_factories.make_media(
            self.room.tenant, sha256=digest, size=len(data), scan_status="pending"
        )
        RoomMedia.objects.get_or_create(
            room=self.room, media=media, name=f"{place}.txt",
            defaults={"tenant": self.room.tenant, "created_at": self.now},
        )  # fmt: skip
        if not default_storage.exists(media.storage_name):
            default_storage.save(media.storage_name, ContentFile(data))
        self.create(place, content={"media_id": str(media.pk)})

    def _detach(self, place: int, given: Json) -> None:
        if link := self._pick_media(place):
            link.delete()

    def _pick_media(self, place: int) -> RoomMedia | None:
        links = list(RoomMedia.objects.filter(room=self.room).order_by("pk"))
        return links[place % len(links)] if links else None

    def _rescan(self, place: int, given: Json) -> None:
        if link := self._pick_media(place):
            media = link.media
            # What was found infected once stays so.
            if media.scan_status != "infected" or not self.is_careful:
                media.scan_status = ("clean", "infected", "clean")[place % 3]
                media.save()

    def _lose(self, place: int, given: Json) -> None:
        if (link := self._pick_media(place)) and not self.is_careful:
            default_storage.delete(link.media.storage_name)

    def _rename(self, place: int, given: Json) -> None:
        person = self._person(place)
        person.display_name = f"{given['text']}{self.day}"[:300]
        person.save()

    def _erase(self, place: int, given: Json) -> None:
        person = self._person(place)
        person.display_name, person.avatar_url, person.email = "Deleted user", "", ""
        person.save()

    def _topic(self, place: int, given: Json) -> None:
        self.room.topic, self.room.name = given["text"], f"{given['text']}{place}"
        self.room.save()

    def links(self) -> list[Path]:
        return sorted(self.directory.glob("*.zip"))

    def end_day(self) -> bool:
        """Export what changed into the next file of the chain."""
        links = self.links()
        done = export_next(self, self.directory / f"{len(links):04}.zip", links)
        self.day += 1
        return done


def make_options(now: datetime) -> ExportOptions:
    return ExportOptions(WHOLE_ROOM, True, now, load_signer(now), null_progress)


def export_next(life: Life, target: Path, links: Sequence[Path]) -> bool:
    if not links:
        target.write_bytes(export_whole(life))
        return True
    with start_increment(
        operator=HOST_OPERATOR,
        room=life.room,
        options=make_options(life.now),
        since=links,
        max_bytes=MAX_BYTES,
    ) as export:
        return export.write(target).size > 0


def export_whole(life: Life) -> bytes:
    options = make_options(life.now)
    return b"".join(start_export(operator=HOST_OPERATOR, room=life.room, options=options))


def read_manifest(path: Path) -> Json:
    with zipfile.ZipFile(path) as archive:
        document: Json = json.loads(archive.read("manifest.json"))
        return document


def merge(links: Sequence[Path], **options: Any) -> bytes:
    with ExitStack() as stack:
        files = [(path.name, stack.enter_context(path.open("rb"))) for path in links]
        chain = stack.enter_context(open_chain(files, max_bytes=MAX_BYTES, **options))
        return b"".join(iter_merged(chain, "scaiwave merged", lambda done: None))


def value(bundle: bytes) -> Json:
    """Return everything of a whole bundle but when and by what it was written."""
    read = read_bundle(bundle)
    manifest = {
        key: content
        for key, content in read.manifest.items()
        if key not in {"generator", "exported_at"}
    }
    files = {name: data for name, data in read.files.items() if name != "signature.json"}
    counts = json.loads(read.files["signature.json"])["counts"]
    return {"manifest": manifest, "files": files, "counts": counts}


def import_whole(home: ImportTargetRows, data: bytes, **options: Any) -> Room:
    once = options.pop("once", False)
    arguments: dict[str, Any] = {
        **home.names,
        "max_bytes": MAX_BYTES,
        "now": START,
        "cut_references": True,
        **options,
    }
    request, file = ImportRequest(**arguments), BytesIO(data)
    done = import_room(operator=HOST_OPERATOR, request=request, file=file, once=once)
    return Room.objects.get(pk=str(done.room_id))


def append(home: ImportTargetRows, link: Path, **options: Any) -> AppendResult:
    local_changes = options.pop("local_changes", LocalChanges.REFUSE)
    arguments: dict[str, Any] = {**home.names, "max_bytes": MAX_BYTES, "now": START, **options}
    with link.open("rb") as file:
        return append_increment(
            operator=HOST_OPERATOR,
            request=ImportRequest(**arguments),
            file=file,
            local_changes=local_changes,
        )


def describe_room(room: Room, source_ids: Iterable[str], source_media: Mapping[str, str]) -> Json:
    """Return an imported room as rows, with the IDs of its source; `source_media` is by hash."""
    new_id = IdMapper(room.pk)
    olds = {new_id(old): old for old in (*source_ids, *source_media.values())}
    for media in Media.objects.filter(tenant=room.tenant):
        olds[str(media.pk)] = source_media.get(media.sha256, "?")

    def restore(value: Any) -> Any:
        return json.loads(_ID.sub(lambda found: olds.get(found[0], found[0]), json.dumps(value)))

    events = {
        olds[str(event.pk)]: {
            name: restore(value) if name.endswith("content") else value
            for name, value in vars(event).items()
            if name in EVENT_FIELDS
        }
        for event in Event.objects.filter(room=room)
    }
    links = RoomMedia.objects.filter(room=room).select_related("media")
    files = {(link.media.sha256, link.name, link.media.scan_status) for link in links}
    fields = {name: getattr(room, name) for name in FOLLOWED_FIELDS}
    return {"events": events, "media": files, "room": fields}


@dataclass(frozen=True)
class Copy:
    """A room, and its copy on another server, which was imported from the base of its chain."""

    life: Life
    home: ImportTargetRows
    room: Room

    def end_day(self) -> Path:
        assert self.life.end_day()
        return self.life.links()[-1]

    def append(self, link: Path, **options: Any) -> AppendResult:
        return append(self.home, link, **options)

    def event(self, body: str) -> Event:
        return Event.objects.get(room=self.room, content__body=body)

    def bodies(self) -> list[str]:
        events = Event.objects.filter(room=self.room).order_by("stream_position")
        return [event.content.get("body", "") for event in events]


def change(pair: Copy, body: str, **fields: Any) -> None:
    """Change an event of the source."""
    event = Event.objects.get(room=pair.life.room, content__body=body)
    for name, value in fields.items():
        setattr(event, name, value)
    event.save()


def run_import(pair: Copy, *words: str) -> str:
    home = pair.home
    names = (home.workspace.slug, "--tenant", home.tenant.slug, "--as", str(home.anna.pk))
    return run_command("import_room", *names, *words)


def list_stored(tenant: Tenant) -> list[str]:
    """Return the hashes of the files of a tenant in the store, which must be those of its rows."""
    rows = [media.sha256 for media in Media.objects.filter(tenant=tenant).order_by("sha256")]
    try:
        _, files = default_storage.listdir(f"tenant/{tenant.pk}")
    except FileNotFoundError:
        files = []
    assert sorted(files) == rows
    return rows
