"""Export directories that were changed are refused before the first row is written."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import rfc8785
from pytest_django import Settings

from federation.models import ServerKey
from rooms.errors import (
    TenantExportDamaged,
)
from rooms.models import Event, Room, TenantImport
from rooms.moves.abort_import import abort_tenant_import
from scaiwave.core.errors import UsageError
from scaiwave.sandbox import Sandbox
from tenants.accounts.callers import find_account, find_sign_in_blocker
from tenants.models import AdminUser, Group, Participant, RoleGrant, Tenant
from tenants.people.purge_participant import purge_participant
from tenants.people.suspension import suspend_participant
from tests.identity_sync.sync.helpers import list_people, sync
from tests.rooms.moves.factories import (
    NOW,
    bring,
    bring_alike,
    export,
    make_moving_tenant,
    on_old_server,
    read_index,
    tick,
    verify,
)
from tests.rooms.moves.forged_exports import (
    Change,
    Index,
    forge,
    refuses,
    rewrite,
    rewrite_room,
    set_value,
    sign,
)
from tests.tenants.audit.seals import make_sealed_log
from tests.tenants.factories import HOST_OPERATOR, make_person, make_tenant
from tests.tenants.fake_scaikey import make_config

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]


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


SIGNED: dict[str, Change] = {
    "a room leads out": lambda d, i: _first_room(i).update(id="../../etc"),
    "an increment leads out": lambda d, i: _first_room(i)["links"][0].update(name="../0000.zip"),
    "an increment is absolute": lambda d, i: _first_room(i)["links"][0].update(name="/etc/passwd"),
    "a table leads out": lambda d, i: i["files"].update({"../x": i["files"]["people"]}),
    "a table is missing": lambda d, i: i["files"].pop("people"),
    "a room twice": lambda d, i: i["rooms"].append(_first_room(i)),
    "a room that is not in the table": lambda d, i: i["rooms"].append(
        {**_first_room(i), "id": str(uuid4())}
    ),
    "another format": lambda d, i: i.update(version=2),
    "another tenant": lambda d, i: i["tenant"].update(id=str(uuid4())),
    "a foreign row": rewrite("people", lambda rows: set_value(rows, tenant_id=str(uuid4()))),
    "a foreign reference": rewrite(
        "workspace-members", lambda rows: set_value(rows, participant_id=str(uuid4()))
    ),
    "an FQID twice": rewrite(
        "people",
        lambda rows: set_value(
            rows, local_id=rows[1]["local_id"], server_name=rows[1]["server_name"]
        ),
    ),
    "an address of two servers": rewrite(
        "people", lambda rows: set_value(rows, local_id="boss:victim.example.org")
    ),
    "an invisible letter in an address": rewrite(
        "people", lambda rows: set_value(rows, local_id=f"{rows[0]['local_id']}\u3164")
    ),
    "a Cyrillic letter in an address": rewrite(
        "people", lambda rows: set_value(rows, local_id="\u0430nna.acme")
    ),
    "a header in an e-mail address": rewrite(
        "people", lambda rows: set_value(rows, email="a@b.c\r\nBcc: d@e.f")
    ),
    "a header in the tenant's e-mail address": rewrite(
        "tenant", lambda rows: set_value(rows, contact_email="a@b.c\nBcc: d@e.f")
    ),
    "an invisible letter in a slug": rewrite(
        "workspaces", lambda rows: set_value(rows, slug="ma\u3164in")
    ),
    "a path in place of a slug": rewrite("workspaces", lambda rows: set_value(rows, slug="../x")),
    "an ID twice": rewrite("people", lambda rows: [*rows, {**rows[0], "local_id": "x"}]),
    "no tenant": rewrite("tenant", lambda rows: rows[:0]),
    "an unknown column": rewrite("people", lambda rows: set_value(rows, password="x")),
    "a wrong type": rewrite("people", lambda rows: set_value(rows, display_name=7)),
    "a long text": rewrite("people", lambda rows: set_value(rows, display_name="x" * 301)),
    "an unknown kind": rewrite("people", lambda rows: set_value(rows, participant_type="root")),
    "U+0000": rewrite("people", lambda rows: set_value(rows, display_name="\0")),
    "a large number": rewrite("tenant", lambda rows: set_value(rows, max_rooms=2**31)),
    "a time out of range": rewrite(
        "people", lambda rows: set_value(rows, created_at="9999-12-31T23:59:59-14:00")
    ),
    "a time before there is one": rewrite(
        "people", lambda rows: set_value(rows, created_at="0001-01-01T00:00:00+14:00")
    ),
    "a deleted room": rewrite(
        "rooms", lambda rows: set_value(rows, deleted_at="2026-01-01T00:00:00Z")
    ),
    "a room of a type that stays": rewrite(
        "rooms", lambda rows: set_value(rows, room_type="sidekick")
    ),
    "a federated room": rewrite("rooms", lambda rows: set_value(rows, is_federated=True)),
    "a power level above 100": rewrite(
        "room-members", lambda rows: set_value(rows, power_level=101)
    ),
    "a member twice": rewrite(
        "room-members", lambda rows: [*rows, {**rows[0], "id": str(uuid4())}]
    ),
    "a row twice": rewrite("room-members", lambda rows: [*rows, rows[0]]),
    "a ScaiKey ID twice": rewrite(
        "groups", lambda rows: set_value(rows, scaikey_id=rows[1]["scaikey_id"])
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
            refuses(directory)
        except BaseException as error:
            raise AssertionError(name) from error


def test_fail_swapped_files(out: Path) -> None:
    """Files that are not the listed ones: shorter, exchanged, missing, or increments."""
    people, groups = out / "rows/0000/people.jsonl", out / "rows/0000/groups.jsonl"
    text = people.read_bytes()
    people.write_bytes(text[:-1])
    refuses(out, "SW_TENANT_EXPORT_DAMAGED")
    people.write_bytes(groups.read_bytes())
    refuses(out, "SW_TENANT_EXPORT_DAMAGED")
    people.unlink()
    refuses(out, "SW_TENANT_EXPORT_DAMAGED")
    other = out.parent / "people"
    other.write_bytes(text)
    people.symlink_to(other)
    refuses(out, "SW_TENANT_EXPORT_DAMAGED")
    people.unlink()
    people.write_bytes(text)
    (out / "rows").rename(out.parent / "rows")
    (out / "rows").symlink_to(out.parent / "rows")
    refuses(out, "SW_TENANT_EXPORT_DAMAGED")


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
