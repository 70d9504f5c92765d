"""Export directories that were changed are refused before the first row is written."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import rfc8785
from pytest_django import Settings

from federation.keys.lifecycle import generate_key
from federation.models import KnownPeer, ServerKey
from rooms.errors import (
    TenantExportDamaged,
    TenantExportUntrusted,
    TenantImportPeople,
    TenantImportRefused,
)
from rooms.exports.export_room import load_signer
from rooms.lookup.authors import find_erasures
from rooms.models import Event, Room, TenantImport
from rooms.moves.abort_import import abort_tenant_import
from scaiwave.core.errors import ScaiWaveError, UsageError
from scaiwave.sandbox import Sandbox
from tenants.accounts.callers import find_account, find_sign_in_blocker
from tenants.models import AdminUser, AuditEntry, Group, Participant, RoleGrant, Tenant
from tenants.people.purge_participant import purge_participant
from tenants.people.suspension import suspend_participant
from tests.identity_sync.sync.helpers import list_people, sync
from tests.rooms.bundle.factories import encode_manifest
from tests.rooms.increments.histories import read_manifest
from tests.rooms.increments.test_hostile import make_unsigned
from tests.rooms.moves.factories import (
    NOW,
    bring,
    bring_alike,
    export,
    leave,
    make_moving_tenant,
    on_old_server,
    read_index,
    tick,
    verify,
)
from tests.tenants.audit.seals import make_sealed_log
from tests.tenants.factories import HOST_OPERATOR, make_person, make_tenant
from tests.tenants.fake_scaikey import make_config

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]

Index = dict[str, Any]
Change = Callable[[Path, Index], object]


def sign(directory: Path, index: Index) -> None:
    """Sign as a server would whose key is trusted, and whose operator is not honest."""
    signer = load_signer(tick())
    assert signer is not None
    index.pop("signature", None)
    index["signature"] = base64.b64encode(signer.sign(rfc8785.dumps(index))).decode()
    (directory / "index.json").write_bytes(rfc8785.dumps(index))


def rewrite(name: str, change: Callable[[list[Any]], object]) -> Change:
    """Change the rows of a table, and list the new file."""

    def apply(directory: Path, index: Index) -> None:
        path = directory / f"rows/0000/{name}.jsonl"
        rows = [json.loads(line) for line in path.read_bytes().splitlines()]
        changed = change(rows)
        rows = changed if isinstance(changed, list) else rows
        data = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
        path.write_bytes(data)
        listed = {"sha256": sha256(data).hexdigest(), "size": len(data), "rows": len(rows)}
        index["files"][name] = listed

    return apply


def forge(directory: Path, *changes: Change) -> None:
    index = read_index(directory)
    for change in changes:
        change(directory, index)
    sign(directory, index)


def rewrite_room(change: Callable[[Any], object]) -> Change:
    """Change the manifest of the room of type dm."""

    def apply(directory: Path, index: Index) -> None:
        room = next(room for room in index["rooms"] if room["room_type"] == "dm")
        path = directory / f"rooms/{room['id']}/0000.zip"
        change(manifest := read_manifest(path))
        path.write_bytes(make_unsigned(path, manifest))
        (link,), room["events"] = room["links"], len(manifest["events"])
        link |= {"sha256": sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}
        link["manifest_sha256"] = sha256(encode_manifest(manifest)).hexdigest()

    return apply


def _first_room(index: Index) -> Any:
    return next(room for room in index["rooms"] if not room["reason"])


def _swap_rooms(directory: Path, index: Index) -> None:
    """The bundles of two rooms, with the hashes of the files."""
    one, two = [room for room in index["rooms"] if not room["reason"]][:2]
    paths = [directory / f"rooms/{room['id']}/0000.zip" for room in (one, two)]
    first = paths[0].read_bytes()
    paths[0].write_bytes(paths[1].read_bytes())
    paths[1].write_bytes(first)
    one["links"], two["links"] = two["links"], one["links"]


def _set(rows: list[Any], **values: Any) -> None:
    rows[0].update(values)


SIGNED: dict[str, Change] = {
    "a room leads out": lambda d, i: _first_room(i).update(id="../../etc"),
    "a link leads out": lambda d, i: _first_room(i)["links"][0].update(name="../0000.zip"),
    "a link is absolute": lambda d, i: _first_room(i)["links"][0].update(name="/etc/passwd"),
    "a table leads out": lambda d, i: i["files"].update({"../x": i["files"]["people"]}),
    "a table is missing": lambda d, i: i["files"].pop("people"),
    "a room twice": lambda d, i: i["rooms"].append(_first_room(i)),
    "a room that is not in the table": lambda d, i: i["rooms"].append(
        {**_first_room(i), "id": str(uuid4())}
    ),
    "another format": lambda d, i: i.update(version=2),
    "another tenant": lambda d, i: i["tenant"].update(id=str(uuid4())),
    "a foreign row": rewrite("people", lambda rows: _set(rows, tenant_id=str(uuid4()))),
    "a foreign reference": rewrite(
        "workspace-members", lambda rows: _set(rows, participant_id=str(uuid4()))
    ),
    "an FQID twice": rewrite(
        "people",
        lambda rows: _set(rows, local_id=rows[1]["local_id"], server_name=rows[1]["server_name"]),
    ),
    "an address of two servers": rewrite(
        "people", lambda rows: _set(rows, local_id="boss:victim.example.org")
    ),
    "an invisible letter in an address": rewrite(
        "people", lambda rows: _set(rows, local_id=f"{rows[0]['local_id']}\u3164")
    ),
    "a Cyrillic letter in an address": rewrite(
        "people", lambda rows: _set(rows, local_id="\u0430nna.acme")
    ),
    "a header in an e-mail address": rewrite(
        "people", lambda rows: _set(rows, email="a@b.c\r\nBcc: d@e.f")
    ),
    "a header in the tenant's e-mail address": rewrite(
        "tenant", lambda rows: _set(rows, contact_email="a@b.c\nBcc: d@e.f")
    ),
    "an invisible letter in a slug": rewrite(
        "workspaces", lambda rows: _set(rows, slug="ma\u3164in")
    ),
    "a path in place of a slug": rewrite("workspaces", lambda rows: _set(rows, slug="../x")),
    "an ID twice": rewrite("people", lambda rows: [*rows, {**rows[0], "local_id": "x"}]),
    "no tenant": rewrite("tenant", lambda rows: rows[:0]),
    "an unknown column": rewrite("people", lambda rows: _set(rows, password="x")),
    "a wrong type": rewrite("people", lambda rows: _set(rows, display_name=7)),
    "a long text": rewrite("people", lambda rows: _set(rows, display_name="x" * 301)),
    "an unknown kind": rewrite("people", lambda rows: _set(rows, participant_type="root")),
    "U+0000": rewrite("people", lambda rows: _set(rows, display_name="\0")),
    "a large number": rewrite("tenant", lambda rows: _set(rows, max_rooms=2**31)),
    "a time out of range": rewrite(
        "people", lambda rows: _set(rows, created_at="9999-12-31T23:59:59-14:00")
    ),
    "a time before there is one": rewrite(
        "people", lambda rows: _set(rows, created_at="0001-01-01T00:00:00+14:00")
    ),
    "a deleted room": rewrite("rooms", lambda rows: _set(rows, deleted_at="2026-01-01T00:00:00Z")),
    "a room of a type that stays": rewrite("rooms", lambda rows: _set(rows, room_type="sidekick")),
    "a federated room": rewrite("rooms", lambda rows: _set(rows, is_federated=True)),
    "a power level above 100": rewrite("room-members", lambda rows: _set(rows, power_level=101)),
    "a member twice": rewrite(
        "room-members", lambda rows: [*rows, {**rows[0], "id": str(uuid4())}]
    ),
    "a row twice": rewrite("room-members", lambda rows: [*rows, rows[0]]),
    "a ScaiKey ID twice": rewrite(
        "groups", lambda rows: _set(rows, scaikey_id=rows[1]["scaikey_id"])
    ),
    "a room without a chain": lambda d, i: _first_room(i).update(links=[]),
    "a day that does not exist": lambda d, i: i.update(begun_at="2026-02-30T00:00:00.000000Z"),
}
UNSIGNED: dict[str, Change] = {
    "swapped bundles": _swap_rooms,
    "a wrong signature": lambda d, i: i.update(frozen=True),
    "no signature": lambda d, i: i.update(signature=""),
    "no key for a signature": lambda d, i: i.pop("signature"),
    "a signature that is not ASCII": lambda d, i: i.update(signature="é"),
    "signed on a day that does not exist": lambda d, i: i.update(
        snapshot_at="2026-02-30T00:00:00.000000Z"
    ),
    "not JSON": lambda d, i: (d / "index.json").write_text("{"),
}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    source = make_moving_tenant(events=12)
    export(source, tmp_path / "out")
    leave(source)
    return tmp_path / "out"


def assert_refused(directory: Path, code: str = "") -> None:
    counts = Tenant.objects.count(), Participant.objects.count(), AuditEntry.objects.count()
    for act in (verify, bring):
        with pytest.raises(ScaiWaveError) as caught:
            act(directory)
        if code:
            assert caught.value.code == code, caught.value
    now = Tenant.objects.count(), Participant.objects.count(), AuditEntry.objects.count()
    assert now == counts
    assert not TenantImport.objects.exists()


def test_fail_changed(out: Path, tmp_path: Path) -> None:
    """One directory is changed in every way, since it is slow to make."""
    for number, (name, change) in enumerate({**SIGNED, **UNSIGNED}.items()):
        directory = tmp_path / str(number)
        shutil.copytree(out, directory)
        index = read_index(directory)
        change(directory, index)
        if name in SIGNED:
            sign(directory, index)
        elif name != "not JSON":
            (directory / "index.json").write_bytes(rfc8785.dumps(index))
        try:
            assert_refused(directory)
        except BaseException as error:
            raise AssertionError(name) from error


def test_fail_swapped_files(out: Path) -> None:
    """Files that are not the listed ones: shorter, exchanged, missing, or links."""
    people, groups = out / "rows/0000/people.jsonl", out / "rows/0000/groups.jsonl"
    text = people.read_bytes()
    people.write_bytes(text[:-1])
    assert_refused(out, "SW_TENANT_EXPORT_DAMAGED")
    people.write_bytes(groups.read_bytes())
    assert_refused(out, "SW_TENANT_EXPORT_DAMAGED")
    people.unlink()
    assert_refused(out, "SW_TENANT_EXPORT_DAMAGED")
    other = out.parent / "people"
    other.write_bytes(text)
    people.symlink_to(other)
    assert_refused(out, "SW_TENANT_EXPORT_DAMAGED")
    people.unlink()
    people.write_bytes(text)
    (out / "rows").rename(out.parent / "rows")
    (out / "rows").symlink_to(out.parent / "rows")
    assert_refused(out, "SW_TENANT_EXPORT_DAMAGED")


def test_fail_swapped_bundles_that_are_signed(out: Path) -> None:
    """They match the index; the rooms in them do not, so nothing of the first is written."""
    forge(out, _swap_rooms)
    with pytest.raises(TenantExportDamaged):
        verify(out)
    with pytest.raises(TenantExportDamaged) as caught:
        bring_alike(out)
    here = Tenant.objects.get(slug="moved")
    assert here.rooms.count() == 0
    assert here.suspended_by_hand_at
    assert caught.value.fix == (
        "Get the directory again from the server that wrote it, unchanged. Tenant moved is "
        "suspended and incomplete. Run the same command again, or pass --abort."
    )


def test_fail_false_figures(out: Path) -> None:
    for figures in ({"events": 10**15}, {"room_type": "incognito"}):
        forge(out, lambda d, i, figures=figures: _first_room(i).update(figures))  # type: ignore[misc]
        with pytest.raises(TenantExportDamaged) as caught:
            bring(out)
        assert str(caught.value).endswith(" is not the bundle of the index.")


def test_fail_swapped_bundles_of_a_new_base(out: Path, tmp_path: Path) -> None:
    """A room that begins again stays as it is until the bundle that replaces it is valid."""
    bring(out)
    source, here = Tenant.objects.get(slug="acme"), Tenant.objects.get(slug="moved")
    events = Event.objects.filter(tenant=here).count()
    with on_old_server(source, here):
        export(source, tmp_path / "again")
    forge(tmp_path / "again", _swap_rooms)
    with pytest.raises(TenantExportDamaged) as caught:
        bring_alike(tmp_path / "again")
    assert caught.value.fix == (
        "Get the directory again from the server that wrote it, unchanged. Tenant moved is "
        "suspended and incomplete. Run the same command again."
    )
    assert Room.objects.filter(tenant=here).count() == 3
    assert Event.objects.filter(tenant=here).count() == events


def test_fail_two_rooms_with_one_event(out: Path, tmp_path: Path) -> None:
    """The import is refused in the second room, and can be deleted then.

    Nor may an event have a position after which no other event has one.
    """
    others = Event.objects.filter(tenant__slug="acme").exclude(room__room_type="dm")
    first = others.order_by("stream_position")[0]
    for name, values in (
        ("position", {"stream_position": first.stream_position}),
        ("id", {"id": str(first.pk)}),
        ("end", {"stream_position": 2**62}),
    ):
        shutil.copytree(out, tmp_path / name)
        place = -1 if name == "end" else 0
        forge(tmp_path / name, rewrite_room(lambda m: m["events"][place].update(values)))  # noqa: B023
        room = next(r for r in read_index(out)["rooms"] if r["room_type"] == "dm")
        act, problem, fix = bring, "Rows of the export contradict each other, or rows of this", ""
        if name == "end":
            act, fix = bring_alike, " from the server that wrote it, unchanged"
            problem = f"0000.zip of room {room['id']} leaves no stream positions for others."
        with pytest.raises(TenantExportDamaged) as caught:
            act(tmp_path / name)
        assert str(caught.value).startswith(problem)
        assert "\n" not in str(caught.value)
        assert caught.value.fix == (
            f"Get the directory again{fix}. Tenant moved is suspended and incomplete. Run the same "
            "command again, or pass --abort."
        )
        abort_tenant_import(operator=HOST_OPERATOR, slug="moved", now=tick())


@pytest.mark.sandbox(partners=1, tenants=1, people=6, groups=0)
def test_success_placeholders_decide_about_no_one(
    sandbox: Sandbox, settings: Settings, out: Path
) -> None:
    """People of the export are people of other tenants too, or an administrator without one."""
    suspended, resumed, local, other = (str(row["id"]) for row in list_people(sandbox)[:4])
    left = make_tenant("left", scaikey_tenant_id=None)
    long_ago = "2020-01-01T00:00:00Z"
    make_person(
        left, scaikey_id=resumed, created_at=long_ago, absent_since=NOW, suspended_by_hand_at=NOW
    )
    keys = (suspended, resumed, local, other, "usr_root")

    def change(rows: list[Any]) -> None:
        people = [row for row in rows if row["participant_type"] == "human"]
        for row, key in zip(people, keys, strict=False):
            row.update(scaikey_id=key, created_at=long_ago, absent_since="2999-01-01T00:00:00Z")
            if key not in {resumed, local}:
                row.update(suspended_by_hand_at="2999-02-01T00:00:00Z")

    forge(out, rewrite("people", change))
    bring(out, opens=True)
    account = AdminUser.objects.create(username="scaikey:usr_root", scaikey_id="usr_root")
    assert (find_sign_in_blocker("usr_root"), find_account(account.pk)) == (None, account)
    here = Participant.objects.filter(tenant__slug="moved")
    for key in (local, "usr_root"):
        suspend_participant(
            operator=HOST_OPERATOR, name=str(here.get(scaikey_id=key).pk), tenant="moved",
            reason="", confirm=lambda question: None, now=tick(),
        )  # fmt: skip
    # The suspension of the file is one already; that of this server blocks from now on.
    assert find_sign_in_blocker(local) == "the person is suspended manually"
    # The old server is gone, as far as the sync is concerned.
    Tenant.objects.update(scaikey_tenant_id=None)
    Tenant.objects.filter(slug="acme").update(slug="gone")
    for model in (Participant, Group):
        model._base_manager.filter(tenant__slug="gone").update(scaikey_id=None)
    settings.CONFIG = make_config(sandbox)
    sync()
    present = Participant.objects.filter(absent_since=None)
    found = {row.scaikey_id: row.inactive_reason for row in present.exclude(scaikey_id=None)}
    assert [found[key] for key in (suspended, resumed, local, other)] == [
        None, "suspended manually", "suspended manually", None,
    ]  # fmt: skip


def test_success_decisions_of_the_file(out: Path) -> None:
    """A purge of the file keeps no one from a purge here, and its grants name no operator here."""

    def purge(rows: list[Any]) -> None:
        for row in rows:
            row.update(purged_at="2020-01-01T00:00:00Z", messages_erased_at="2999-01-01T00:00:00Z")
            row.update(absent_since="2020-01-01T00:00:00Z")

    def grant(rows: list[Any]) -> None:
        for row in rows:
            row.update(granted_by="root", source="scaikey")

    forge(out, rewrite("people", purge), rewrite("grants", grant))
    bring(out, opens=True)
    here = Tenant.objects.get(slug="moved")
    assert {row["table"] for row in verify(out, "moved").lists["differences"]} == {"room"}
    grants = RoleGrant.objects.filter(tenant=here).order_by("source")
    assert list(grants.values_list("source", "granted_by", "participant__local_id")) == [
        ("manual", "import from localhost", None),
        ("scaikey", "import from localhost", "anna.acme"),
    ]
    anna = Participant.objects.get(tenant=here, local_id="anna.acme")
    assert (anna.purged_at, anna.email) == (None, "anna@acme.example")
    started_at = TenantImport.objects.get().started_at
    assert anna.messages_erased_at == anna.absent_since == started_at
    purged = purge_participant(
        operator=HOST_OPERATOR, name=str(anna.pk), reason="", confirm=lambda question: None,
        now=tick(),
    )  # fmt: skip
    anna.refresh_from_db()
    assert (purged.changed, anna.display_name, anna.email) == (True, "Deleted user", "")


@pytest.fixture
def far(out: Path) -> Callable[..., Any]:
    """Bring a forged export of old.example, which has another key; return the differences."""
    theirs = ServerKey.objects.get()

    def bring_forged(*changes: Change) -> Any:
        directory = out.parent / f"forged {tick():%H%M%S}"
        shutil.copytree(out, directory)
        ServerKey.objects.all().delete()
        theirs.save()
        forge(directory, *changes, lambda d, i: i.update(server_name="old.example"))
        ServerKey.objects.all().delete()
        generate_key(operator=HOST_OPERATOR, now=tick())
        bring(directory, key=f"ed25519:{theirs.public_key}")
        return verify(directory, "moved", key=f"ed25519:{theirs.public_key}").lists["differences"]

    return bring_forged


SPELLINGS = (
    "@anna.acme:OLD.example:443", "@ANNA.acme:LocalHost", "@an\u200bna.acme:old.example",
    "@anna.acme:old\u3002example", "anna.acme:old.example", "", None,
)  # fmt: skip


def _add_event(manifest: Any, sender: str, body: str, fqid: object = 0, **changes: Any) -> None:
    content: Index = {"body": body}
    if fqid != 0:
        url = "http://169.254.169.254/latest"
        name = {"display_name": "Anna (CEO)", "avatar_url": url, "fqid": fqid}
        content["_imported_sender"] = name
    first, *_, last = events = manifest["events"]
    here = {"id": str(uuid4()), "stream_position": last["stream_position"] + 1}
    events.append({**first, "sender_id": sender, "content": content, **here, **changes})


def test_success_original_senders(out: Path, far: Callable[..., Any]) -> None:
    """In one form, which an erasure finds; of this server they prove nothing."""
    anna, bert = (
        str(Participant.objects.get(local_id=f"old-{name}.acme").pk) for name in ("anna", "bert")
    )

    known = str(uuid4())

    def speak(manifest: Any, author: str = anna) -> None:
        for fqid in SPELLINGS:
            _add_event(manifest, bert if fqid else anna, "secret", fqid)
        _add_event(manifest, author, "secret", id=known)
        _add_event(manifest, bert, "boss", "@Boss:localhost:443")
        _add_event(manifest, bert, "stranger", "boss")

    def paint(rows: list[Any]) -> None:
        for row in rows:
            row.update(avatar_url="javascript:alert(1)")

    assert far(rewrite_room(speak), rewrite("people", paint)) == []
    here = Tenant.objects.get(slug="moved")
    assert set(here.participants.values_list("avatar_url", flat=True)) == {""}
    events = Event.objects.filter(tenant=here)
    secret = events.filter(content__body="secret")
    given = [each.content.get("_imported_sender") for each in secret.order_by("stream_position")]
    assert given.pop() is None
    senders = list(filter(None, given))
    found = [(each["fqid"], each.get("unverified", False)) for each in senders]
    there = ("@anna.acme:old.example", False)
    assert found == [
        there, ("@anna.acme:localhost", True), there, there, there, ("", True), ("", True),
    ]  # fmt: skip
    assert {each["avatar_url"] for each in senders} == {""}
    for body, fqid in (("boss", "@boss:localhost"), ("stranger", "boss")):
        sender = events.get(content__body=body).content["_imported_sender"]
        assert (sender["fqid"], sender.get("unverified")) == (fqid, True)
    purge_participant(
        operator=HOST_OPERATOR, name=str(here.participants.get(local_id="anna.acme").pk), reason="",
        confirm=lambda question: None, now=tick(), with_messages=True,
    )  # fmt: skip
    assert secret.count() == 0

    # Nor do they come back: under another row with an address of hers, or with a later time as long
    # as she has not returned; and an event that is empty here stays so, under every sender.
    alias, stranger = str(uuid4()), str(uuid4())
    late = {"created_at": f"{tick():%Y-%m-%dT%H:%M:%S.%fZ}"}

    def come_back(manifest: Any) -> None:
        sender = manifest["senders"][anna]
        manifest["senders"][alias] = dict(sender, fqid="@anna.acme:Old.example")
        manifest["senders"][stranger] = dict(sender, fqid="@stranger:old.example")
        speak(manifest, stranger)
        _add_event(manifest, alias, "secret")
        _add_event(manifest, alias, "later", **late)
        _add_event(manifest, anna, "secret", created_at="2099-01-01T00:00:00.000000Z")

    def add_people(rows: list[Any]) -> None:
        row = next(row for row in rows if row["id"] == anna)
        for key, name in ((alias, "anna2"), (stranger, "stranger")):
            rows.append({**row, "id": key, "scaikey_id": None, "email": "", "local_id": name})

    far(rewrite_room(come_back), rewrite("people", add_people))
    assert events.filter(content__body__in=["secret", "later"]).count() == 0
    here.participants.filter(local_id="anna.acme").update(absent_since=None, purged_at=None)
    far(rewrite_room(come_back), rewrite("people", add_people))
    assert (secret.count(), events.filter(content__body="later").count()) == (0, 1)
    assert "Anna" not in str(events.values_list("content", flat=True))


def test_fail_unknown_key(out: Path, tmp_path: Path) -> None:
    """Another server needs the key, or the descriptor with it."""
    key = "ed25519:" + ServerKey.objects.get().public_key
    ServerKey.objects.all().delete()
    generate_key(operator=HOST_OPERATOR, now=tick())
    assert_refused(out, "SW_TENANT_EXPORT_UNTRUSTED")
    descriptor = tmp_path / "descriptor.json"
    descriptor.write_text(json.dumps({"public_key": key}))
    assert verify(out, operator=None, key=key).error is None
    assert verify(out, operator=None, descriptor=descriptor).error is None
    ServerKey.objects.all().delete()
    for refused in ({}, {"key": key}):
        with pytest.raises(TenantExportUntrusted):
            verify(out, **refused)
    descriptor.write_text(json.dumps({"public_key": key, "server_name": "localhost"}))
    assert bring(out, descriptor=descriptor).changed


def test_fail_name_of_another_server(out: Path, tmp_path: Path) -> None:
    """The key or its descriptor, or else a known peer, says which server an export is from."""
    forge(out, lambda d, i: i.update(server_name="old.example.org"))
    (stored,) = ServerKey.objects.values("key_id", "public_key")
    key, key_id = f"ed25519:{stored['public_key']}", stored["key_id"]
    ServerKey.objects.all().delete()
    descriptor = tmp_path / "descriptor.json"
    names = {name: KnownPeer(server_name=name, first_seen_at=NOW, last_seen_at=NOW) for name in (
        "old.example.org", "third.example.org",
    )}  # fmt: skip

    def refuse(**options: Any) -> None:
        for act in (verify, bring_alike):
            with pytest.raises(TenantExportUntrusted) as caught:
                act(out, **options)
            assert str(caught.value) == (
                "The signature of the export is not accepted. "
                f"Key {key_id} is not a key of old.example.org."
            )
            assert caught.value.fix == (
                "If you trust old.example.org, pass its descriptor with --descriptor."
            )

    descriptor.write_text(json.dumps({"public_key": key, "server_name": "third.example.org"}))
    refuse(descriptor=descriptor)
    refuse(descriptor=descriptor, key=key)
    names["third.example.org"].public_key = stored["public_key"]
    names["old.example.org"].public_key = "another"
    for peer in names.values():
        peer.save()
        refuse(key=key)
        peer.delete()
    descriptor.write_text(json.dumps({"public_key": key, "server_name": "Old.example.org.:443"}))
    named = verify(out, descriptor=descriptor).sentence
    assert named == "The export is valid, signed by old.example.org."
    assert verify(out, operator=None, key=key).sentence == (
        f"The export is valid, signed by key {key_id}, which proves no server name."
    )
    assert bring(out, dry_run=True, descriptor=descriptor).warnings == []
    assert bring_alike(out, key=key).warnings == [
        f"The export is signed by key {key_id}, which proves no server name. To verify the name, "
        "pass --descriptor."
    ]


def test_fail_later_export_of_another_server(out: Path) -> None:
    bring(out)
    ServerKey.objects.update(published_as="other.example")
    forge(out, lambda d, i: i.update(server_name="Other.example:443"))
    with pytest.raises(TenantImportRefused) as caught:
        bring_alike(out)
    assert str(caught.value) == ("Tenant moved was imported from localhost, not Other.example:443.")
    assert caught.value.fix == "Nothing was imported. Name the right slug and directory."


def test_fail_people_of_this_server(out: Path, tmp_path: Path) -> None:
    """No row may get an address here as a person of another server, in any spelling."""

    def add(name: str) -> Change:
        def change(rows: list[Any]) -> list[Any]:
            row = {**rows[0], "id": str(uuid4()), "scaikey_id": None, "local_id": "ruth.bell"}
            row |= {"server_name": name, "participant_type": "federated", "email": ""}
            return [*rows, row | {"purged_at": "2020-01-01T00:00:00Z"}]

        return rewrite("people", change)

    for number, name in enumerate(
        ("localhost", "LocalHost", "localhost:443", "LOCALHOST.", "local\u200bhost", "localhost。")
    ):
        shutil.copytree(out, tmp_path / str(number))
        forge(tmp_path / str(number), add(name))
        assert bring(tmp_path / str(number), dry_run=True).lists["refused"] == [
            {"fqid": f"@ruth.bell:{name}", "reason": "this can't be the name of a third server"}
        ]
        with pytest.raises(TenantImportPeople):
            bring_alike(tmp_path / str(number))
    shutil.copytree(out, tmp_path / "twice")
    forge(tmp_path / "twice", add("Third.example"), add("third.example.:443"))
    assert_refused(tmp_path / "twice", "SW_TENANT_EXPORT_DAMAGED")
    forge(out, add("Third.Example.:443"))
    bring_alike(out)
    here = Participant.objects.get(local_id="ruth.bell")
    assert (here.server_name, here.purged_at) == ("third.example", None)
    assert "@ruth.bell:third.example" not in find_erasures(make_tenant("nordlys").pk)
    assert verify(out, "moved").error is None


def test_fail_audit_entries(tmp_path: Path) -> None:
    """Sealed entries are verified, also by an index whose signer is not honest."""
    source = make_moving_tenant(events=12)
    ServerKey.objects.all().delete()
    make_sealed_log(tenant_id=str(source.pk))
    export(source, tmp_path / "out")
    assert verify(tmp_path / "out").error is None
    index = read_index(tmp_path / "out")

    def change(rows: list[Any]) -> None:
        next(row for row in rows if "entry" in row)["entry"]["operator"] = "root"

    rewrite("audit", change)(tmp_path / "out", index)
    sign(tmp_path / "out", index)
    with pytest.raises(TenantExportDamaged, match="was changed"):
        verify(tmp_path / "out")


def test_fail_not_an_export(tmp_path: Path) -> None:
    for act in (verify, bring):
        with pytest.raises(UsageError, match="not the export"):
            act(tmp_path)
