"""Increments as the commands write them: chains of files, the cache, and what is refused."""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
import threading
from copy import copy
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone
from jsonschema import Draft202012Validator
from referencing import Registry

from federation.keys.lifecycle import generate_key
from federation.models import ServerKey
from rooms.bundle.chain_files import find_chain, list_bundles
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.errors import (
    BundleChainGap,
    BundleChainOther,
    BundleChainPartial,
    BundleError,
    BundleNotZip,
    ExportChainFull,
    ExportIncomplete,
    ExportRefused,
    ExportRunning,
)
from rooms.exports import increments
from rooms.exports.chain_cache import NAME, PageRecorder
from rooms.exports.export_rooms import ChainOptions, export_rooms
from rooms.exports.increments import RecordedRun, start_increment
from rooms.exports.sinks import lock_directory
from rooms.models import Event, Room
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.errors import DiskFull, FileExists, UsageError
from scaiwave.core.report import Report
from scaiwave.ids import new_id
from tests.concurrency import run_concurrently
from tests.rooms.increments.histories import (
    MAX_BYTES,
    Life,
    export_next,
    export_whole,
    make_options,
    merge,
    read_manifest,
    value,
)
from tests.rooms.test_round_trip import a_home
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, run_command

pytestmark = pytest.mark.django_db(transaction=True)
FULL = Path("/dev/full")


@pytest.fixture
def life(media_root: Path, tmp_path: Path) -> Life:
    home = a_home()
    life = Life(
        row_factories.make_room(home.workspace, home.anna, name="Lobby"), tmp_path / "chain"
    )
    life.directory.mkdir()
    for number in range(5):
        life.do("add", 0, {"content": {"body": f"message {number}"}})
    life.end_day()
    return life


def test_success_each_change(life: Life) -> None:
    first, second, third = Event.objects.filter(room=life.room).order_by("stream_position")[:3]
    first.content = {"body": "changed without a mark"}
    first.save()
    deleted = str(second.pk)
    second.delete()
    third.stream_position = 1000
    third.save()
    life.do("add", 0, {"content": {"body": "new"}})
    assert life.end_day()
    base, link = map(read_manifest, life.links())
    assert (link["version"], link["kind"], link["window"]) == (2, "increment", None)
    assert link["chain"]["sequence"] == 1
    assert link["chain"]["since"] == base["exported_at"]
    assert link["chain"]["root"] == link["chain"]["parent"]
    assert [(row["change"], row["content"]["body"]) for row in link["events"]] == [
        ("changed", "changed without a mark"),
        ("changed", "message 2"),
        ("added", "new"),
    ]
    assert link["deleted"] == [deleted]
    assert link["after"]["events"] == 5
    assert link["senders"][str(third.sender_id)]["change"] is None


def test_success_edit_while_the_chain_is_read(life: Life) -> None:
    now = timezone.now()
    event = Event.objects.filter(room=life.room)[0]

    def edit(title: str, unit: ColumnType = ColumnType.COUNT) -> Any:
        Event.objects.filter(pk=event.pk).update(edited_at=timezone.now())
        return null_progress_factory(title, unit)

    target = life.directory / "0001.zip"
    with start_increment(
        operator=HOST_OPERATOR, room=life.room, options=make_options(now), since=life.links(),
        max_bytes=MAX_BYTES, progress_factory=edit,
    ) as export:  # fmt: skip
        export.write(target)
    link = read_manifest(target)
    assert now.isoformat() < link["events"][0]["edited_at"] < link["exported_at"]


@pytest.mark.parametrize("is_served", [False, True])
def test_fail_while_the_room_is_read(
    life: Life, monkeypatch: pytest.MonkeyPatch, is_served: bool
) -> None:
    """The query that still has events to return ends with the export."""
    events = [copy(Event.objects.filter(room=life.room)[0]) for _ in range(2000)]
    for number, event in enumerate(events, 1000):
        event.pk, event.stream_position = new_id(), number
    Event.objects.bulk_create(events)

    def end(recorder: PageRecorder, page: bytes) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PageRecorder, "describe", end)
    served = RecordedRun(life.room, make_options(life.now)).iter_parts()
    with pytest.raises(KeyboardInterrupt):
        any(served) if is_served else life.end_day()
    monkeypatch.undo()
    assert life.end_day()


@pytest.mark.skipif(not FULL.exists(), reason="only Linux has /dev/full")
def test_fail_no_space_for_temporary_files(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is closed after the error must not report another one."""
    life.do("touch", 4, {"text": "x"})
    monkeypatch.setattr(tempfile, "TemporaryFile", lambda: FULL.open("r+b"))
    with pytest.raises(DiskFull, match=f"Not enough disk space in {tempfile.gettempdir()}"):
        life.end_day()


def test_success_schema(life: Life) -> None:
    life.do("attach", 1, {"text": "x"})
    life.do("rename", 0, {"text": "Renamed"})
    life.do("delete", 0, {})
    life.end_day()
    life.do("detach", 0, {})
    life.end_day()
    schemas = [
        json.loads(files("rooms.bundle").joinpath(f"{name}.schema.json").read_text())
        for name in ("manifest", "increment")
    ]
    registry: Registry[Any] = Registry().with_contents((one["$id"], one) for one in schemas)
    schema = Draft202012Validator(schemas[1], registry=registry)
    for path in life.links()[1:]:
        assert list(schema.iter_errors(read_manifest(path))) == []
    assert list(schema.iter_errors(read_manifest(life.links()[0])))
    assert read_manifest(life.links()[2])["media_removed"]


def test_success_nothing_changed(life: Life) -> None:
    assert not life.end_day()
    assert len(life.links()) == 1
    assert (life.directory / NAME).exists()  # The next export need not read the base.


@pytest.mark.parametrize("act", ["rename", "topic"])
def test_success_change_without_events(life: Life, act: str) -> None:
    life.do(act, 0, {"text": "New"})
    assert life.end_day()
    link = read_manifest(life.links()[1])
    assert (link["events"], link["deleted"]) == ([], [])
    assert value(merge(life.links())) == value(export_whole(life))


@pytest.mark.only_on("postgresql")
def test_success_late_commit(life: Life) -> None:
    """A row with a low position is committed after the export that read higher ones."""
    highest = Event.objects.get(room=life.room, content__body="message 4").stream_position
    has_written, was_exported = threading.Event(), threading.Event()

    def write_late() -> None:
        with transaction.atomic():
            life.create(0, highest - 1, content={"body": "late"})
            has_written.set()
            assert was_exported.wait(30)

    def export_meanwhile() -> None:
        assert has_written.wait(30)
        life.do("touch", 0, {"text": "x"})
        assert life.end_day()
        was_exported.set()

    run_concurrently(write_late, export_meanwhile)
    assert life.end_day()
    first, second = map(read_manifest, life.links()[1:])
    assert [event["change"] for event in first["events"]] == ["changed"]
    (event,) = second["events"]
    assert (event["change"], event["content"]["body"]) == ("added", "late")
    assert event["stream_position"] == highest - 1


def test_success_cache_is_used(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    life.do("add", 0, {"content": {"body": "new"}})
    life.end_day()
    cache = life.directory / NAME
    assert cache.stat().st_mode & 0o777 == 0o600

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the chain was read")

    with monkeypatch.context() as patched:
        patched.setattr(increments, "open_chain", refuse)
        assert not life.end_day()
        life.do("delete", 0, {})
        assert life.end_day()
    assert value(merge(life.links())) == value(export_whole(life))


def _flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize(
    "damage", [_flip, lambda data: data[:-40], lambda data: b"", lambda data: data[32:]]
)
def test_success_cache_is_not_trusted(life: Life, damage: Any) -> None:
    life.do("touch", 4, {"text": "x"})
    life.end_day()
    cache = life.directory / NAME
    cache.write_bytes(damage(cache.read_bytes()))
    life.do("touch", 4, {"text": "y"})
    assert life.end_day()
    assert len(read_manifest(life.links()[2])["events"]) == 1
    assert value(merge(life.links())) == value(export_whole(life))


def test_success_a_pipe_in_place_of_the_cache(life: Life, tmp_path: Path) -> None:
    """Opening a pipe would wait for its writer."""
    os.mkfifo(life.directory / NAME)
    life.do("touch", 4, {"text": "x"})
    assert life.end_day()
    assert (life.directory / NAME).is_file()
    directory = tmp_path / "all"
    directory.mkdir()
    found = directory / f"{life.room.pk}.zip"
    os.mkfifo(found)
    words = ("--all", "--output-dir", str(directory), "--tenant", life.room.tenant.slug)
    for more in ((), ("--incremental",)):
        with pytest.raises((ExportIncomplete, UsageError)):
            run_command("export_room", *words, *more)
    assert stat.S_ISFIFO(found.stat().st_mode)


def test_success_cache_of_another_secret(life: Life, settings: Any) -> None:
    life.do("touch", 4, {"text": "x"})
    life.end_day()
    settings.SECRET_KEY = "another"
    before = (life.directory / NAME).read_bytes()
    life.do("touch", 4, {"text": "y"})
    assert life.end_day()
    assert (life.directory / NAME).read_bytes()[:32] != before[:32]


def test_fail_damaged_parent(life: Life) -> None:
    """Also with a cache, which knows the manifest but not whether the file still has it."""
    life.do("touch", 4, {"text": "x"})
    life.end_day()
    base = life.links()[0]
    data = bytearray(base.read_bytes())
    data[200] ^= 0xFF
    base.write_bytes(data)
    with pytest.raises(BundleError, match=str(base)):
        life.end_day()
    base.write_bytes(data[:-30])
    with pytest.raises(BundleNotZip, match=str(base)):
        life.end_day()


def test_fail_increments(life: Life, tmp_path: Path) -> None:
    for text in ("x", "y", "z"):
        life.do("touch", 4, {"text": text})
        life.end_day()
    base, first, _, third = life.links()
    target = tmp_path / "inc.zip"
    with pytest.raises(BundleChainGap, match="The base of the chain is missing"):
        export_next(life, target, [first])
    with pytest.raises(BundleChainGap, match="Bundles are missing: 1, 2"):
        export_next(life, target, [base, third])
    with pytest.raises(BundleChainOther, match=f"{first} does not follow"):
        export_next(life, target, [base, first, first])
    with pytest.raises(BundleChainOther, match="are both whole bundles"):
        export_next(life, target, [base, base])
    other = Life(
        row_factories.make_room(life.room.workspace, life.room.creator), tmp_path / "other"
    )
    with pytest.raises(BundleChainOther, match="The bundles are of room"):
        export_next(other, target, [base])
    other.directory.mkdir()
    other.end_day()
    with pytest.raises(BundleChainOther, match=f"{first} belongs to another base"):
        export_next(other, target, [other.links()[0], first])
    life.day = 0
    with pytest.raises(BundleChainOther, match="later than now"):
        export_next(life, target, [base, first])
    assert not target.exists()


def test_fail_partial_base(life: Life, tmp_path: Path) -> None:
    base = tmp_path / "base.zip"
    words = ("--tenant", life.room.tenant.slug, "--output", str(base))
    run_command("export_room", str(life.room.pk), *words, "--since", "2026-01-01")
    with pytest.raises(BundleChainPartial, match="contains a period"):
        export_next(life, tmp_path / "inc.zip", [base])


def test_fail_room_became_incognito(life: Life) -> None:
    Room.objects.update(scope_kind="incognito")
    with pytest.raises(ExportRefused):
        life.end_day()


def test_fail_two_exporters(life: Life, tmp_path: Path) -> None:
    """The second one finds the file of the first."""
    life.do("touch", 4, {"text": "x"})
    links = life.links()
    target = tmp_path / "inc.zip"
    assert export_next(life, target, links)
    with pytest.raises(FileExists):
        export_next(life, target, links)


def test_fail_two_exporters_at_once(life: Life, tmp_path: Path) -> None:
    """While one compares the chain, no other one may begin an increment that follows the same
    bundle."""
    directory = tmp_path / "all"
    export_all(life, directory)
    life.do("touch", 4, {"text": "x"})
    life.day += 1
    base = directory / str(life.room.pk) / "0000.zip"
    words = ("--since-bundle", str(base), "--output", str(base.with_name("0001.zip")))
    is_locked, was_refused = threading.Event(), threading.Event()

    def export_first() -> None:
        with lock_directory(base.parent, room=life.room):
            is_locked.set()
            assert was_refused.wait(30)

    def export_meanwhile() -> None:
        assert is_locked.wait(30)
        try:
            with pytest.raises(ExportRunning, match=f"Another export into {base.parent} is in"):
                run_export(life, *words)
            (row,) = export_all(life, directory).figures["rooms"]
            assert (row["outcome"], row["file"]) == ("failed", None)
            assert "is in progress" in row["reason"]
        finally:
            was_refused.set()

    run_concurrently(export_first, export_meanwhile)
    assert list_files(directory) == [f"{life.room.pk}/0000.zip"]
    assert [row["outcome"] for row in export_all(life, directory).figures["rooms"]] == ["exported"]
    assert value(merge(sorted(base.parent.glob("*.zip")))) == value(export_whole(life))


def run_export(life: Life, *words: str) -> Any:
    tenant = ("--tenant", life.room.tenant.slug)
    return run_command("export_room", str(life.room.pk), *tenant, *words)


def test_success_command(life: Life, tmp_path: Path) -> None:
    run_export(life, "--output", str(tmp_path / "base.zip"))
    since = ("--since-bundle", str(tmp_path / "base.zip"))
    output = ("--output", str(tmp_path / "inc.zip"))
    unchanged = run_export(life, *since, *output)
    assert "Nothing changed in room 'Lobby' since" in str(unchanged)
    assert not (tmp_path / "inc.zip").exists()
    document = json.loads(str(run_export(life, *since, *output, "--json")))
    assert (document["file"], document["size_bytes"]) == (None, 0)
    life.do("delete", 0, {})
    assert "as increment 1: 0 added, 0 changed, 1 deleted." in str(
        run_export(life, *since, *output)
    )
    both = (*since, "--since-bundle", str(tmp_path / "inc.zip"))
    empty = ("--output", str(tmp_path / "empty.zip"), "--even-if-empty")
    assert "as increment 2: 0 added, 0 changed, 0 deleted." in str(run_export(life, *both, *empty))
    assert read_manifest(tmp_path / "empty.zip")["events"] == []


@pytest.mark.parametrize(
    "words",
    [
        ("lobby", "--since-bundle", "missing.zip", "--output", "x.zip"),
        ("--all", "--output-dir", "x", "--incremental", "--full-every", "0"),
    ],
)
def test_fail_usage(life: Life, words: tuple[str, ...]) -> None:
    Room.objects.filter(pk=life.room.pk).update(room_alias="lobby")
    with pytest.raises(UsageError):
        run_command("export_room", *words, "--tenant", life.room.tenant.slug)


def export_all(life: Life, directory: Path, **changes: Any) -> Report:
    options = {"full_every": 30, "even_if_empty": False, "max_bytes": MAX_BYTES, **changes}
    return export_rooms(
        operator=HOST_OPERATOR,
        tenant=life.room.tenant.slug,
        directory=directory,
        window=WHOLE_ROOM,
        with_media=True,
        clock=lambda: life.now,
        chains=ChainOptions(**options),
    )


def list_files(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*.zip"))


def test_success_all(life: Life, tmp_path: Path) -> None:
    directory, key = tmp_path / "all", life.room.pk
    quiet = row_factories.make_room(life.room.workspace, life.room.creator).pk
    for expected in ("exported", "exported", "kept"):
        result = export_all(life, directory)
        outcome = {row["id"]: row["outcome"] for row in result.figures["rooms"]}
        assert outcome[key] == expected
        life.day += 1
        if len(list_files(directory)) == 2:
            life.do("touch", 0, {"text": "x"})
    names = [f"{key}/0000.zip", f"{key}/0001.zip", f"{quiet}/0000.zip"]
    assert list_files(directory) == sorted(names)
    assert value(merge(sorted((directory / str(key)).glob("*.zip")))) == value(export_whole(life))


def test_success_full_every(life: Life, tmp_path: Path) -> None:
    directory = tmp_path / "all"
    for number in range(6):
        export_all(life, directory, full_every=2)
        life.day += 1
        life.do("touch", 0, {"text": str(number)})
    files = sorted(directory.rglob("*.zip"))
    assert [read_manifest(path)["version"] for path in files] == [1, 2, 2, 1, 2, 2]


def test_success_no_chain_of_others_is_continued(life: Life, tmp_path: Path) -> None:
    """An increment without a signature of this server, which may be forged, is followed by a new
    base."""
    directory, reasons = tmp_path / "all", []
    for number in range(6):
        (row,) = export_all(life, directory).figures["rooms"]
        reasons.append((row["outcome"], row["reason"]))
        life.day += 1
        life.do("touch", 0, {"text": str(number)})
        if number in (1, 3):
            ServerKey.objects.all().delete()  # Chains of before then have an unknown signer.
        if number == 3:
            shutil.rmtree(directory)  # The next base has no signature.
        if number in (1, 4):
            generate_key(operator=HOST_OPERATOR, now=life.now)
    name = "a new base, since no key of this server has signed 000{}.zip".format
    expected = [None, None, name(0), None, None, name(0)]
    assert reasons == [("exported", reason) for reason in expected]
    files = list_bundles(directory / str(life.room.pk))
    assert [read_manifest(path)["version"] for path in files] == [1, 1]
    (directory / str(life.room.pk)).rename(directory / "elsewhere")
    (directory / str(life.room.pk)).symlink_to("elsewhere")
    (row,) = export_all(life, directory).figures["rooms"]
    link = directory / str(life.room.pk)
    assert (row["outcome"], row["reason"]) == ("failed", f"{link} is a symbolic link.")


@pytest.mark.parametrize(("name", "limit"), [("MAX_DELETED", 1), ("MAX_BUNDLES", 2)])
def test_fail_an_increment_that_no_one_could_read(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, limit: int
) -> None:
    """By night, a new base takes its place."""
    life.do("touch", 0, {"text": "x"})
    assert life.end_day()
    (tmp_path / "all").mkdir()
    directory = life.directory.rename(tmp_path / "all" / str(life.room.pk))
    life.do("delete", 0, {})
    life.do("delete", 0, {})
    monkeypatch.setattr(increments, name, limit)
    with pytest.raises(ExportChainFull, match="number 2 and delete 2 events"):
        export_next(life, tmp_path / "inc.zip", list_bundles(directory))
    export_all(life, directory.parent)
    assert [read_manifest(path)["version"] for path in list_bundles(directory)] == [1, 2, 1]


def test_success_adopted(life: Life, tmp_path: Path) -> None:
    directory = tmp_path / "all"
    directory.mkdir()
    life.links()[0].rename(directory / f"{life.room.pk}.zip")
    assert [row["outcome"] for row in export_all(life, directory).figures["rooms"]] == ["kept"]
    assert list_files(directory) == [f"{life.room.pk}/0000.zip"]


def test_fail_an_increment_that_is_a_directory(life: Life, tmp_path: Path) -> None:
    """The other rooms are exported all the same."""
    other = row_factories.make_room(life.room.workspace, life.room.creator)
    export_all(life, tmp_path / "all")
    (tmp_path / "all" / str(life.room.pk) / "0001.zip").mkdir()
    rows = {row["id"]: row for row in export_all(life, tmp_path / "all").figures["rooms"]}
    assert "it is not a regular file" in rows[life.room.pk]["reason"]
    assert rows[other.pk]["outcome"] == "kept"


def test_fail_not_adopted(life: Life, tmp_path: Path) -> None:
    directory = tmp_path / "all"
    directory.mkdir()
    found = directory / f"{life.room.pk}.zip"
    found.write_bytes(life.links()[0].read_bytes()[:-10])
    (row,) = export_all(life, directory).figures["rooms"]
    assert row["outcome"] == "failed"
    assert str(found) in row["reason"]
    other = row_factories.make_room(life.room.workspace, life.room.creator)
    found.unlink()
    life.links()[0].rename(directory / f"{other.pk}.zip")
    reasons = {row["id"]: row["reason"] for row in export_all(life, directory).figures["rooms"]}
    assert f"is of room {life.room.pk}" in reasons[other.pk]


def test_fail_a_file_in_place_of_a_directory(life: Life, tmp_path: Path) -> None:
    """The other rooms are exported all the same."""
    other = row_factories.make_room(life.room.workspace, life.room.creator)
    (tmp_path / "all").mkdir()
    (tmp_path / "all" / str(life.room.pk)).write_text("x")
    rows = {row["id"]: row for row in export_all(life, tmp_path / "all").figures["rooms"]}
    assert "is not a directory" in rows[life.room.pk]["reason"]
    assert rows[other.pk]["outcome"] == "exported"


def test_fail_the_damaged_increment_is_named(life: Life, tmp_path: Path) -> None:
    export_all(life, tmp_path / "all")
    life.do("touch", 0, {"text": "x"})
    export_all(life, tmp_path / "all")
    last = max((tmp_path / "all").rglob("*.zip"))
    last.write_bytes(last.read_bytes()[:-100])
    (row,) = export_all(life, tmp_path / "all").figures["rooms"]
    assert str(last) in row["reason"]


def test_success_ten_thousand_increments(life: Life, tmp_path: Path) -> None:
    directory = tmp_path / "all" / str(life.room.pk)
    directory.mkdir(parents=True)
    life.links()[0].rename(directory / "9998.zip")
    for text in "abc":
        life.do("touch", 0, {"text": text})
        export_all(life, tmp_path / "all")
        life.day += 1
    names = [path.name for path in list_bundles(directory)]
    assert names == ["9998.zip", "9999.zip", "10000.zip", "10001.zip"]
    assert find_chain(directory) == find_chain(directory / "10001.zip") == list_bundles(directory)
    assert value(merge(find_chain(directory))) == value(export_whole(life))


def test_success_cache_replaces_a_link_to_another_file(life: Life, tmp_path: Path) -> None:
    (tmp_path / "other").write_text("other")
    (life.directory / NAME).symlink_to(tmp_path / "other")
    life.do("touch", 4, {"text": "x"})
    assert life.end_day()
    assert (tmp_path / "other").read_text() == "other"


def test_success_draft_of_the_cache_is_announced(
    life: Life, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed then leaves a draft that doctor finds."""
    announced: list[bytes] = []

    def note(*args: Any) -> None:
        announced.extend(each.read_bytes() for each in (settings.HOME / "drafts").iterdir())

    monkeypatch.setattr(increments, "write_cache", note)
    life.do("touch", 4, {"text": "x"})
    life.end_day()
    assert bytes(life.directory) in announced
