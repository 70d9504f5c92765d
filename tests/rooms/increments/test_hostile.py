"""Forged increments: refused before the first row, with the rest of their chain and, mostly,
alone."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any
from uuid import UUID

import pytest

from rooms.errors import BundleBadManifest, BundleDamaged, BundleError, BundleOutOfOrder
from rooms.imports.verify_bundle import verify_chain
from rooms.models import Event
from scaiwave.core.errors import DomainError
from tests.rooms.bundle.factories import (
    encode_manifest,
    make_bundle,
    make_entries,
    make_manifest_bundle,
    make_signature,
)
from tests.rooms.increments.histories import (
    MAX_BYTES,
    Copy,
    Life,
    append,
    import_whole,
    merge,
    read_manifest,
)
from tests.rooms.increments.test_append import import_directory
from tests.rooms.test_round_trip import a_home
from tests.rooms.transcripts.test_transcribe_room import transcribe_file
from tests.scaiwave import row_factories
from tests.tools import NIGHTLY

Json = dict[str, Any]
Edit = Callable[[Json], object]

pytestmark = pytest.mark.django_db(transaction=True)
ELSEWHERE = "01990000-0000-7000-8000-00000000beef"


@pytest.fixture
def pair(media_root: Path, tmp_path: Path) -> Copy:
    """A copy of a room, and an increment with every kind of change."""
    home, there = a_home(), a_home()
    life = Life(row_factories.make_room(home.workspace, home.anna), tmp_path / "chain")
    life.directory.mkdir()
    for number in range(6):
        life.do("add", 0, {"content": {"body": f"message {number}"}})
    life.do("attach", 0, {"text": "a file"})
    life.end_day()
    copy = Copy(life, there, import_whole(there, life.links()[0].read_bytes()))
    life.do("delete", 0, {})
    life.do("touch", 0, {"text": "x"})
    life.do("add", 0, {"content": {"body": "new"}})
    life.do("detach", 0, {})
    life.do("attach", 1, {"text": "another"})
    life.end_day()
    return copy


def add(key: str, value: Any) -> Edit:
    return lambda manifest: manifest[key].append(value)


def put(key: str, **values: Any) -> Edit:
    return lambda manifest: manifest[key].update(values)


def put_event(number: int, **values: Any) -> Edit:
    return lambda manifest: manifest["events"][number].update(values)


def put_sender(**values: Any) -> Edit:
    return lambda manifest: next(iter(manifest["senders"].values())).update(values)


def count_after(edit: Edit, events: int) -> Edit:
    """Also change the total, as a forger would."""

    def both(manifest: Json) -> None:
        edit(manifest)
        manifest["after"]["events"] += events

    return both


def drop(*path: str) -> Edit:
    """Remove a key at this path."""

    def edit(manifest: Json) -> None:
        holder = manifest
        for key in path[:-1]:
            holder = holder[key]
        del holder[path[-1]]

    return edit


def _swap_keys(manifest: Json) -> None:
    event = manifest["events"][0]
    event["change"] = event.pop("change")


CHANGED, ADDED = 0, 1
FORGED: dict[str, Edit] = {
    "deletes an unknown event": count_after(add("deleted", ELSEWHERE), -1),
    "deletes an unknown event without counting it": add("deleted", ELSEWHERE),
    "deletes what it changes": lambda manifest: manifest["deleted"].append(
        manifest["events"][CHANGED]["id"]
    ),
    "deletes twice": lambda manifest: manifest["deleted"].append(manifest["deleted"][0]),
    "deletes no ID": add("deleted", "all"),
    "deletes a number": add("deleted", 1),
    "changes an unknown event": put_event(CHANGED, id=ELSEWHERE),
    "adds an event that exists": lambda manifest: manifest["events"][CHANGED].update(
        change="added"
    ),
    "adds and counts an event that exists": count_after(put_event(CHANGED, change="added"), 1),
    "changes an event that it adds": put_event(ADDED, change="changed"),
    "one event twice": lambda manifest: manifest["events"][ADDED].update(
        id=manifest["events"][CHANGED]["id"]
    ),
    "unknown change": put_event(ADDED, change="moved"),
    "no change": lambda manifest: manifest["events"][ADDED].pop("change"),
    "follows itself": lambda manifest: manifest["chain"].update(
        parent="0" * 64, root=manifest["chain"]["root"]
    ),
    "other base": put("chain", root="1" * 64),
    "other parent": put("chain", parent="2" * 64),
    "sequence 0": put("chain", sequence=0),
    "sequence 2": put("chain", sequence=2),
    "sequence of the far future": put("chain", sequence=2**31 - 1),
    "huge sequence": put("chain", sequence=2**70),
    "sequence as a text": put("chain", sequence="1"),
    "other time of the parent": put("chain", since="2020-01-01T00:00:00.000000Z"),
    "exported before its parent": lambda manifest: manifest.update(
        exported_at="2020-01-01T00:00:00.000000Z"
    ),
    "too few events after it": put("after", events=1),
    "no events after it": put("after", events=0),
    "negative events": put("after", events=-1),
    "digest of no form": put("after", digest="0"),
    "other kind": lambda manifest: manifest.update(kind="decrement"),
    "no kind": lambda manifest: manifest.pop("kind"),
    "version 3": lambda manifest: manifest.update(version=3),
    "version as a text": lambda manifest: manifest.update(version="2"),
    "window": lambda manifest: manifest.update(window={"since": None, "until": None}),
    "another room": lambda manifest: manifest["room"].update(id=ELSEWHERE),
    "sidekick room": lambda manifest: manifest["room"].update(room_type="sidekick"),
    "strange sender": lambda manifest: manifest["senders"].update({"x": {}}),
    "unknown change of a sender": lambda manifest: next(iter(manifest["senders"].values())).update(
        change="erased"
    ),
    "removes no ID": add("media_removed", {"media_id": "x", "name": ""}),
    **{
        f"no {key}": drop(key)
        for key in ("chain", "after", "media_removed", "deleted", "senders", "room", "media")
    },
    **{f"no {key} in chain": drop("chain", key) for key in ("root", "parent", "sequence", "since")},
}
ONLY_IN_CHAIN: dict[str, Edit] = {
    "change is not first": _swap_keys,
    "wrong digest": put("after", digest="0" * 32),
    "wrong count of attachments": put("after", media=7),
    "changed text": put_event(ADDED, content={"body": "forged"}),
    "removes an unknown attachment": add("media_removed", {"media_id": ELSEWHERE, "name": "x"}),
    "adds a sender who is known": put_sender(change="added"),
    "changes nothing about a sender": put_sender(change="changed"),
    "does not say that a sender has changed": put_sender(display_name="Another"),
    "takes the events of another sender": put_sender(
        change="changed", display_name="Another", previous_fqid="@other:localhost"
    ),
}
"""An import of the increment alone can't know what the base had."""


def forge(pair: Copy, edit: Edit) -> Path:
    """Write the increment again, with a change and without a signature."""
    link = pair.life.links()[1]
    manifest = read_manifest(link)
    edit(manifest)
    link.write_bytes(make_unsigned(link, manifest))
    return link


def make_unsigned(link: Path, manifest: Json) -> bytes:
    with zipfile.ZipFile(link) as archive:
        files = [
            (name.split("/")[2], archive.read(name))
            for name in archive.namelist()
            if name.startswith("media/")
        ]
    # What was dropped is counted in signature.json.
    counted = {"senders": {}, "media": [], **manifest}
    signature = make_signature(make_entries(manifest, *files), counted)
    return make_bundle(manifest, *files, signed=signature)


def snapshot(pair: Copy) -> list[Any]:
    return list(
        Event.objects.filter(room=pair.room)
        .order_by("pk")
        .values_list("pk", "content", "edited_at")
    )


def is_refused(call: Callable[[], object]) -> bool:
    try:
        call()
    except DomainError:
        return True
    return False


def test_fail_forged(pair: Copy, tmp_path: Path) -> None:
    before, link = snapshot(pair), pair.life.links()[1]
    original = link.read_bytes()
    for name, edit in {**FORGED, **ONLY_IN_CHAIN}.items():
        forge(pair, edit)
        assert is_refused(lambda: merge(pair.life.links())), name
        assert is_refused(lambda: transcribe_file(pair.life.directory, tmp_path / "out")), name
        assert is_refused(lambda: import_directory(pair.home, pair.life.directory)), name
        if name in FORGED:
            assert is_refused(lambda: append(pair.home, link, accept_unsigned=True)), name
        assert snapshot(pair) == before
        link.write_bytes(original)


def test_success_unforged(pair: Copy) -> None:
    """What the test forges is valid if nothing is changed."""
    link = forge(pair, lambda manifest: None)
    merge(pair.life.links())
    assert append(pair.home, link, accept_unsigned=True).applied


def test_fail_any_value(pair: Copy) -> None:
    """A value that another one replaces is noticed, whatever it is; what was signed too."""
    random, link = Random(1), pair.life.links()[1]
    original = link.read_bytes()
    manifest = read_manifest(link)
    for _ in range(60):
        edited = json.loads(json.dumps(manifest))
        places = list(_iter_places(edited))
        holder, key = random.choice(places)
        holder[key] = random.choice([None, 0, -1, "", "x", [], {}, ELSEWHERE, 2**64, 1.5])
        if edited == manifest:
            continue
        link.write_bytes(_write(original, edited))
        assert is_refused(lambda: merge(pair.life.links())), (key, holder[key])
    link.write_bytes(original)


def _write(original: bytes, manifest: Json) -> bytes:
    """Write the manifest beside the old signature."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as old, zipfile.ZipFile(target, "w") as new:
        for entry in old.infolist():
            data = old.read(entry)
            is_manifest = entry.filename == "manifest.json"
            new.writestr(entry.filename, encode_manifest(manifest) if is_manifest else data)
    return target.getvalue()


def _iter_places(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, dict):
        for key in value:
            yield value, key
            yield from _iter_places(value[key])
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield value, number
            yield from _iter_places(item)


def test_fail_swapped_signature(pair: Copy) -> None:
    link = pair.life.links()[1]
    pair.life.do("touch", 0, {"text": "y"})
    third = pair.end_day()
    link.write_bytes(_write(third.read_bytes(), read_manifest(link)))
    with pytest.raises(BundleDamaged, match="does not have the hash and size in"):
        append(pair.home, link, accept_unsigned=True)


def test_fail_many_deletions(pair: Copy) -> None:
    before = snapshot(pair)
    many = [str(UUID(int=number)) for number in range(10**6 if NIGHTLY else 2 * 10**5)]
    link = forge(pair, lambda manifest: manifest["deleted"].extend(many))
    with pytest.raises(BundleDamaged, match=r"has -[19]99"):
        append(pair.home, link, accept_unsigned=True)
    with pytest.raises(BundleError):
        merge(pair.life.links())
    assert snapshot(pair) == before


def test_fail_ids_of_the_target(pair: Copy) -> None:
    """The IDs of events here, in this room and in others, mean nothing in an increment."""
    other = import_whole(pair.home, pair.life.links()[0].read_bytes())
    for event in (*Event.objects.filter(room=pair.room)[:2], *Event.objects.filter(room=other)[:2]):
        link = forge(pair, count_after(add("deleted", str(event.pk)), -1))
        with pytest.raises(
            BundleDamaged, match="1 event that its base and its increments did not have"
        ):
            append(Copy(pair.life, pair.home, other).home, link, accept_unsigned=True)
        pair.life.links()[1].unlink()
        pair.life.day = 1
        pair.life.end_day()
    assert Event.objects.filter(room=other).count() == 7


def test_fail_events_first(pair: Copy) -> None:
    """It is known what the events of an increment are before they are read."""
    link = pair.life.links()[1]
    manifest = read_manifest(link)
    events, senders = manifest.pop("events"), manifest.pop("senders")
    for document, problem in (
        ({"events": events, "senders": senders, **manifest}, "does not begin with `version`"),
        ({"senders": senders, **manifest, "events": events}, "does not begin with `version`"),
        ({**manifest, "events": events, "senders": senders}, "does not have `events` last"),
    ):
        link.write_bytes(make_manifest_bundle(json.dumps(document).encode()))
        with pytest.raises(BundleBadManifest, match=problem):
            append(pair.home, link, accept_unsigned=True)


def test_fail_position_of_another_event(pair: Copy) -> None:
    """An import gives events new positions, but the chain could not be merged."""
    base, link = map(read_manifest, pair.life.links())
    gone = {*link["deleted"], link["events"][CHANGED]["id"]}
    taken = next(row["stream_position"] for row in base["events"] if row["id"] not in gone)
    forge(pair, put_event(ADDED, stream_position=taken))
    with pytest.raises(BundleDamaged, match="digest") as caught:
        verify(pair)
    right = re.findall("digest ([0-9a-f]{32}), but", caught.value.message)[0]
    forge(pair, put("after", digest=right))
    with pytest.raises(BundleOutOfOrder, match="the same stream_position"):
        verify(pair)


def verify(pair: Copy) -> None:
    verify_chain(operator=None, files=pair.life.links(), max_bytes=MAX_BYTES)
