"""Increments imported into a room."""

from __future__ import annotations

import json
from datetime import timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings

from federation.models import ServerKey
from rooms.bundle.manifest.schema import WHOLE_ROOM
from rooms.errors import (
    BundleChainGap,
    BundleChainOther,
    BundleNotZip,
    BundleVersion,
    DanglingReference,
    ImportRefused,
    ImportRunning,
)
from rooms.exports.export_rooms import ChainOptions, export_rooms
from rooms.imports.append_increment import append_increment, import_chain
from rooms.imports.apply_increment import LocalChanges
from rooms.imports.import_room import ImportRequest, import_room
from rooms.models import (
    Event,
    ImportIntent,
    Media,
    Room,
    RoomImport,
    RoomMedia,
    WorkspaceMember,
)
from rooms.stream_positions import reserve_positions
from tests.federation.factories import configure
from tests.rooms.imports.factories import ImportTargetRows
from tests.rooms.increments.histories import (
    ACTS,
    MAX_BYTES,
    START,
    Copy,
    Life,
    append,
    describe_room,
    export_next,
    export_whole,
    histories,
    import_whole,
    list_stored,
    run_import,
)
from tests.rooms.increments.made_increments import make_increment
from tests.rooms.random_rooms import Drawn, create_room, rooms
from tests.rooms.test_round_trip import a_home
from tests.scaiwave import row_factories
from tests.tenants.factories import HOST_OPERATOR, make_person
from tests.tools import count_examples

_NUMBERS = count()
database = pytest.mark.django_db(transaction=True)


@database
@property_settings(
    max_examples=count_examples(100), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(drawn=rooms, history=histories)
def test_success_any_history(
    media_root: Path, tmp_path: Path, drawn: Drawn, history: list[Any]
) -> None:
    """After each bundle, the room is the one that a full export would have become."""
    directory = tmp_path / str(next(_NUMBERS))
    directory.mkdir()
    life = Life(create_room(drawn, a_home()), directory, is_careful=True)
    life.end_day()
    there, ids, media = a_home(), set[str](), dict[str, str]()

    def remember() -> None:
        events = Event.objects.filter(room=life.room).values_list("pk", flat=True)
        ids.update(map(str, events))
        for row in Media.objects.filter(tenant=life.room.tenant):
            media[row.sha256] = str(row.pk)

    remember()
    room = import_whole(there, life.links()[0].read_bytes())
    for day in history:
        for act in day:
            life.do(*act)
            remember()
        if not life.end_day():
            continue
        options = {"cut_references": True, "local_changes": LocalChanges.REPLACE}
        done = append(there, life.links()[-1], **options)
        assert done.applied
        room.refresh_from_db()
        life.day -= 1
        other = import_whole(a_home(), export_whole(life))
        life.day += 1
        found = describe_room(room, ids, media)
        assert found == describe_room(other, ids, media)
        # Nothing is imported twice.
        for link in life.links()[1:]:
            assert not append(there, link, **options).applied
        assert describe_room(room, ids, media) == found


@database
def test_success_added_events_are_last(pair: Copy) -> None:
    """An event of this server keeps its place, and a late one can't be slipped between."""
    own = pair.home.tenant.events.order_by("-stream_position")[0].stream_position + 1
    Event.objects.create(
        tenant=pair.home.tenant,
        room=pair.room,
        sender=pair.home.anna,
        event_type="swp.room.message",
        content={"body": "own"},
        stream_position=own,
        origin_ts=0,
        created_at=START,
    )
    pair.life.do("late", 3, {"content": {"body": "late"}})
    done = pair.append(pair.end_day())
    assert (done.added, done.changed, done.deleted) == (1, 0, 0)
    assert pair.bodies() == [f"message {number}" for number in range(4)] + ["own", "late"]


@database
def test_success_deleted_event_takes_its_reactions(pair: Copy) -> None:
    pair.life.do("reply", 0, {})
    pair.life.do("react", 0, {"text": "👍"})
    pair.append(pair.end_day())
    pair.life.do("delete", 0, {})
    done = pair.append(pair.end_day())
    assert (done.deleted, done.references_cut) == (1, 2)
    events = Event.objects.filter(room=pair.room)
    assert not events.filter(event_type="swp.room.reaction").exists()
    assert not events.filter(content__has_key="reply_to_event_id").exists()


@database
def test_fail_dangling_reference(pair: Copy) -> None:
    content = {"reply_to_event_id": "01990000-0000-7000-8000-000000000000"}
    pair.life.create(0, content=content)
    link = pair.end_day()
    with pytest.raises(DanglingReference):
        pair.append(link)
    assert pair.append(link, cut_references=True).references_cut == 1


@database
def test_success_dry_run(pair: Copy) -> None:
    pair.life.do("attach", 0, {"text": "a file"})
    pair.life.do("delete", 1, {})
    link = pair.end_day()
    before, media = pair.bodies(), Media.objects.count()
    found = pair.append(link, dry_run=True)
    assert (found.applied, found.added, found.deleted, found.media_stored) == (False, 1, 1, 1)
    assert (pair.bodies(), Media.objects.count()) == (before, media)
    assert RoomImport.objects.get(room=pair.room).links == []
    done = pair.append(link)
    assert (done.applied, done.added, done.deleted, done.media_stored) == (True, 1, 1, 1)


@database
def test_fail_gap_and_strangers(pair: Copy, tmp_path: Path) -> None:
    links = []
    for text in "abc":
        pair.life.do("touch", 0, {"text": text})
        links.append(pair.end_day())
    with pytest.raises(BundleChainGap, match="Bundles are missing: 1, 2"):
        pair.append(links[2])
    pair.append(links[0])
    with pytest.raises(BundleChainGap, match="Bundles are missing: 2"):
        pair.append(links[2])
    # The second exporter of the same day.
    pair.life.day = 1
    twin = tmp_path / "twin.zip"
    export_next(pair.life, twin, pair.life.links()[:1])
    with pytest.raises(BundleChainOther, match="Another increment 1 was imported"):
        pair.append(twin)
    with pytest.raises(BundleChainOther, match="has imported no room into workspace"):
        append(a_home(), links[1])
    with pytest.raises(BundleChainOther, match="not an increment"):
        pair.append(pair.life.links()[0])
    RoomImport.objects.update(tip_exported_at=None)
    with pytest.raises(ImportRefused, match="by a release without --append"):
        pair.append(links[1])


@database
def test_fail_imported_concurrently(pair: Copy, monkeypatch: pytest.MonkeyPatch) -> None:
    pair.life.do("touch", 0, {"text": "x"})
    link = pair.end_day()

    def import_first(tenant_id: Any, count: int) -> int:
        monkeypatch.undo()
        pair.append(link)
        return reserve_positions(tenant_id, count)

    monkeypatch.setattr("rooms.imports.write_bundle.reserve_positions", import_first)
    with pytest.raises(ImportRunning):
        pair.append(link)
    assert not pair.append(link).applied


@pytest.fixture
def pair_with_file(pair: Copy) -> Copy:
    """A pair whose rooms have a file, and an increment that removes it."""
    pair.life.do("attach", 0, {"text": "a file"})
    pair.append(pair.end_day())
    assert len(list_stored(pair.home.tenant)) == 1
    pair.life.do("detach", 0, {})
    return pair


@database
def test_success_files_go_with_their_last_room(pair_with_file: Copy) -> None:
    pair, link = pair_with_file, pair_with_file.end_day()
    pair.append(link, dry_run=True)
    assert len(list_stored(pair.home.tenant)) == 1
    assert pair.append(link).media_removed == 1
    assert list_stored(pair.home.tenant) == []
    assert not ImportIntent.objects.exists()
    # The same file may come again.
    pair.life.do("attach", 0, {"text": "a file"})
    pair.append(pair.end_day())
    assert len(list_stored(pair.home.tenant)) == 1


@database
@pytest.mark.parametrize("keeper", ["another room", "another name", "from before the room"])
def test_success_files_that_are_used_stay(pair_with_file: Copy, keeper: str) -> None:
    pair = pair_with_file
    media = Media.objects.get(tenant=pair.home.tenant)
    if keeper == "from before the room":
        Media.objects.filter(pk=media.pk).update(created_at=START - timedelta(days=1))
    else:
        is_here = keeper == "another name"
        room = (
            pair.room if is_here else row_factories.make_room(pair.home.workspace, pair.home.anna)
        )
        RoomMedia.objects.create(
            tenant=pair.home.tenant, room=room, media=media, name="mine.txt", created_at=START
        )
    assert pair.append(pair.end_day()).media_removed == 1
    assert list_stored(pair.home.tenant) == [media.sha256]


@database
def test_success_files_of_an_interrupted_import_go_later(
    pair_with_file: Copy, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair, link = pair_with_file, pair_with_file.end_day()

    def end(intent: ImportIntent) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rooms.imports.intents.delete_released", end)
    with pytest.raises(KeyboardInterrupt):
        pair.append(link)
    assert not Media.objects.filter(tenant=pair.home.tenant).exists()
    assert not pair.append(link).applied
    assert list_stored(pair.home.tenant) == []


@database
def test_success_unsigned_increment(pair: Copy) -> None:
    """It is refused after signed ones, and else proves nothing and makes no room public."""
    keys = list(ServerKey.objects.all())
    ServerKey.objects.all().delete()
    Room.objects.filter(pk=pair.life.room.pk).update(is_public=True)
    link = pair.end_day()
    with pytest.raises(ImportRefused, match="--require-signature"):
        pair.append(link, require_signature=True)
    for words in (("--append", "--input", str(link)), ("--chain", str(link.parent))):
        with pytest.raises(ImportRefused) as caught:
            run_import(pair, *words)
        assert str(caught.value) == (
            "The bundle is unsigned, so its origin can't be verified. A known key has signed the "
            "bundles before it."
        )
    done = pair.append(link, accept_unsigned=True)
    assert (done.signature, len(done.warnings)) == ("unsigned", 2)
    assert "is now private" in done.warnings[1]
    pair.room.refresh_from_db()
    assert not pair.room.is_public
    # The flag is for that import alone.
    pair.life.do("touch", 0, {"text": "x"})
    forged = pair.end_day()
    with pytest.raises(ImportRefused, match="A known key has signed"):
        pair.append(forged)
    # Nothing is left of it, so that the true increment can follow. An unknown key is not enough.
    forged.unlink()
    ServerKey.objects.bulk_create(keys)
    link = pair.end_day()
    ServerKey.objects.all().delete()
    with pytest.raises(ImportRefused) as caught:
        pair.append(link)
    assert "is not known here. A known key has signed the bundles before it." in str(caught.value)
    key = f"ed25519:{keys[0].public_key}"
    with pytest.raises(ImportRefused, match="is not a key of localhost"):
        pair.append(link, key=key)
    ServerKey.objects.bulk_create(keys)
    assert pair.append(link, key=key).applied


@database
def test_fail_another_server(pair: Copy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only a key that proves the new name of the source continues its chain."""
    with monkeypatch.context() as patch:
        configure(patch, SCAIWAVE_SERVER_NAME="new.example")
        link = pair.end_day()
    (key,) = ServerKey.objects.all()
    key.delete()
    public, descriptor = f"ed25519:{key.public_key}", tmp_path / "new.json"
    for options in ({"key": public}, {"accept_unsigned": True}):
        with pytest.raises(ImportRefused) as caught:
            pair.append(link, **options)
        assert (str(caught.value), caught.value.fix) == (
            "The increment names new.example, but its base localhost, and no key proves the new "
            "name.",
            "Nothing was imported. After a rename, pass the new descriptor with --descriptor, or "
            "import a whole export.",
        )
    descriptor.write_text(json.dumps({"server_name": "new.example", "public_key": public}))
    assert pair.append(link, descriptor=descriptor, dry_run=True).warnings == []
    ServerKey.objects.bulk_create([key])
    assert pair.append(link).applied


@database
def test_success_a_true_increment_after_a_forged_one(pair: Copy, tmp_path: Path) -> None:
    """The error names the way on: the base once more, in a new room."""
    base = pair.life.links()[0]
    pair.life.do("touch", 0, {"text": "x"})
    true = pair.end_day()
    forged = tmp_path / "forged.zip"
    forged.write_bytes(make_increment(base.read_bytes(), []))
    assert pair.append(forged, accept_unsigned=True).applied
    pair.life.do("touch", 0, {"text": "y"})
    for link, problem in (
        (true, f"Another increment 1 was imported into room {pair.room.pk} before."),
        (
            pair.end_day(),
            "The increment does not follow increment 1, which was imported into room "
            f"{pair.room.pk}.",
        ),
    ):
        with pytest.raises(BundleChainOther) as caught:
            run_import(pair, "--append", "--input", str(link))
        assert (caught.value.message, caught.value.fix) == (
            problem,
            "Nothing was imported. If that increment was forged, import the base again, without "
            "--once: its increments follow in that new room.",
        )
    run_import(pair, "--input", str(base))
    document = json.loads(run_import(pair, "--chain", str(true.parent), "--json"))
    assert [row["changed"] for row in document["links"]] == [False, True, True]
    assert document["links"][-1]["room"]["id"] != str(pair.room.pk)


@database
def test_fail_by_another_editor(pair: Copy) -> None:
    """Another editor with the base can write into no other room, and draws no increment away."""
    bob = make_person(pair.home.tenant, f"bob{next(_NUMBERS)}")
    WorkspaceMember.objects.create(
        tenant=pair.home.tenant, workspace=pair.home.workspace, participant=bob, role="editor",
        created_at=START,
    )  # fmt: skip
    names: dict[str, Any] = pair.home.names | {"participant": str(bob.pk)}
    other = ImportRequest(**names, max_bytes=MAX_BYTES, now=START)
    pair.life.do("touch", 0, {"text": "x"})
    link = pair.end_day()
    with link.open("rb") as file, pytest.raises(BundleChainOther, match="has imported no room"):
        append_increment(operator=HOST_OPERATOR, file=file, request=other)
    with pair.life.links()[0].open("rb") as file:
        import_room(operator=HOST_OPERATOR, file=file, request=other)
    assert pair.append(link).room_id == pair.room.pk


@database
@pytest.mark.parametrize(("options", "is_public"), [({}, False), ({"public": True}, True)])
def test_success_publication(pair: Copy, options: Any, is_public: bool) -> None:
    """An import that no known key has signed makes a public room only on request."""
    Room.objects.filter(pk=pair.life.room.pk).update(is_public=True)
    signed = export_whole(pair.life)
    assert import_whole(pair.home, signed).is_public
    ServerKey.objects.all().delete()
    assert import_whole(pair.home, export_whole(pair.life), **options).is_public is is_public
    assert import_whole(pair.home, signed, **options).is_public is is_public


@database
def test_success_command(pair: Copy) -> None:
    pair.life.do("touch", 0, {"text": "x"})
    link = pair.end_day()
    words = ("--append", "--input", str(link))
    assert "Imported increment 1 into room 'Lobby': 0 added, 1 changed, 0 deleted." in run_import(
        pair, *words
    )
    assert "Increment 1 was already imported into room 'Lobby'." in run_import(pair, *words)
    document = json.loads(run_import(pair, *words, "--json"))
    assert (document["room"]["name"], document["changed"]) == ("Lobby", False)
    with pytest.raises(BundleVersion, match="an increment"):
        run_import(pair, "--input", str(link))


@database
def test_success_chain_command(pair: Copy) -> None:
    for text in "abc":
        pair.life.do("touch", 0, {"text": text})
        pair.end_day()
    words = ("--chain", str(pair.life.directory))
    first = run_import(pair, *words, "--to-sequence", "1")
    assert "was already imported into workspace" in first
    assert "Imported increment 1" in first
    document = json.loads(run_import(pair, *words, "--json"))
    assert [row["changed"] for row in document["links"]] == [False, False, True, True]
    # On a server that has nothing of it.
    other = Copy(pair.life, a_home(), pair.room)
    import_whole(other.home, export_whole(pair.life))
    # That room never got an increment, so that the new one does not replace it.
    document = json.loads(run_import(other, *words, "--json"))
    assert [row["changed"] for row in document["links"]] == [True] * 4
    assert "earlier base" not in str(document)
    assert Room.objects.filter(tenant=other.home.tenant).count() == 2
    # A broken link, and a new base.
    broken, whole = pair.life.links()[-1], pair.life.links()[-1].read_bytes()
    for size in (0, 700):
        broken.write_bytes(whole[:size])
        with pytest.raises(BundleNotZip) as caught:
            run_import(pair, *words)
        assert caught.value.fix == f"Nothing was imported. {BundleNotZip.advice}"
    broken.write_bytes(whole)
    base = pair.life.directory / "0004.zip"
    base.write_bytes(export_whole(pair.life))
    document = json.loads(run_import(pair, *words, "--json"))
    assert f"Room {pair.room.pk}, of an earlier base," in document["links"][0]["warnings"][-1]


@database
def test_success_times_of_no_calendar(pair: Copy) -> None:
    """An event has the time that its sender has stated, and a room is exported with it."""
    Event.objects.filter(room=pair.life.room, content__body="message 0").update(origin_ts=-(2**63))
    pair.life.do("add", 0, {"content": {"body": "new"}})
    Event.objects.filter(room=pair.life.room, content__body="new").update(origin_ts=2**63 - 1)
    done = pair.append(pair.end_day())
    assert (done.added, done.changed) == (1, 1)
    for room in (pair.room, import_whole(pair.home, export_whole(pair.life))):
        seconds = Event.objects.filter(room=room).values_list("origin_ts", flat=True)
        assert {-(2**63), 2**63 - 1} < set(seconds)


@database
def test_success_twenty_days(media_root: Path, tmp_path: Path) -> None:
    """A room lives, is exported each night, and is restored on another server."""
    random = Random(20)
    names = sorted(set(ACTS))
    home, there = a_home(), a_home()
    people = [row_factories.make_participant(home.tenant, f"person{number}") for number in range(5)]
    life = Life(row_factories.make_room(home.workspace, people[0]), tmp_path, is_careful=True)
    ids, media = set[str](), dict[str, str]()
    chain = tmp_path / str(life.room.pk)
    for day in range(20):
        life.day = day
        for number in range(random.randint(0, 12)):
            name = random.choice((*names, "add", "add", "reply", "react"))
            content = {"body": f"{day}/{number}", "n": random.random()}
            life.do(name, random.randrange(100), {"content": content, "text": f"{day}.{number}"})
            ids.update(map(str, life.room.events.values_list("pk", flat=True)))
            media.update(
                (row.sha256, str(row.pk)) for row in Media.objects.filter(tenant=home.tenant)
            )
        outcomes = export_rooms(
            operator=HOST_OPERATOR,
            tenant=home.tenant.slug,
            directory=tmp_path,
            window=WHOLE_ROOM,
            with_media=True,
            clock=lambda: life.now,
            chains=ChainOptions(30, even_if_empty=False, max_bytes=MAX_BYTES),
        )
        assert outcomes.figures["failed"] == 0
        if day in {7, 19}:
            import_directory(there, chain)
    room = Room.objects.get(tenant=there.tenant)
    other = import_whole(a_home(), export_whole(life))
    assert life.room.events.count() > 20
    assert describe_room(room, ids, media) == describe_room(other, ids, media)


def import_directory(home: ImportTargetRows, chain: Path) -> None:
    options: dict[str, Any] = {
        **home.names,
        "max_bytes": MAX_BYTES,
        "now": START,
        "cut_references": True,
    }
    import_chain(
        operator=HOST_OPERATOR,
        chain=chain,
        on_result=lambda result: None,
        request=ImportRequest(**options),
    )
