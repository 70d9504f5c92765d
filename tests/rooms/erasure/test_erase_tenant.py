"""A tenant erased by a plan: what goes, what stays, and what continues after any end."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from django.apps import apps
from django.conf import settings as django_settings
from django.core.files.storage import default_storage
from django.db import connection

from federation.models import ServerKey
from identity_sync.models import SyncRun
from rooms.erasure import erase_tenant as module
from rooms.erasure.certificate import read_certificate as load_certificate
from rooms.erasure.certificate import verify_certificate
from rooms.erasure.erase_tenant import erase_again
from rooms.erasure.plan import count_all, read_plan
from rooms.errors import (
    CertificateInvalid,
    ErasurePlanChanged,
    ErasurePlanInvalid,
    TenantBusy,
    TenantExportOutdated,
    TenantInScaiKey,
    TenantNotSuspended,
    TenantReferenced,
    TenantRowsLeft,
)
from rooms.exports.export_room import load_signer
from rooms.lifecycle import deletion
from rooms.models import (
    Event,
    ImportIntent,
    Room,
    RoomMember,
    SearchBackfill,
    SearchRange,
    TenantImport,
)
from rooms.moves.rows import iter_tables, iter_tenant_tables
from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.core.errors import ScaiWaveError, UsageError
from scaiwave.operations.doctor.tenants import check_erasures
from tenants.errors import (
    ParticipantOnHold,
    RoomOnHold,
    ServerRestored,
    TenantNotFound,
    TenantOnHold,
)
from tenants.holds.hold import add_hold
from tenants.models import (
    AuditEntry,
    ErasurePhase,
    Hold,
    Participant,
    Restoration,
    Tenant,
    TenantErasure,
)
from tests.concurrency import run_concurrently
from tests.rooms.erasure.factories import (
    LATER,
    clock,
    erase,
    make_closed_tenant,
    make_plan,
    options,
    plant,
    read_certificate,
)
from tests.rooms.moves.factories import NOW, make_moving_tenant
from tests.rooms.moves.test_move import snapshot_of
from tests.scaiwave import row_factories
from tests.scaiwave.lock_helpers import hold_lock_elsewhere
from tests.tenants.factories import HOST_OPERATOR, make_person, make_tenant, run_command

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("media_root")]
IN_AUDIT = {"sw_audit_entries", "sw_audit_seal_parts"}


def dump_database(path: Path) -> Iterator[bytes]:
    """Yield all that the database has, but the audit log: on SQLite the bytes of its file."""
    if connection.vendor == "sqlite":
        connection.cursor().execute("VACUUM INTO %s", [str(path)])
        with closing(sqlite3.connect(path, isolation_level=None)) as copy:
            triggers = copy.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            for (name,) in triggers.fetchall():
                copy.execute(f'DROP TRIGGER "{name}"')
            for table in IN_AUDIT:
                copy.execute(f"DELETE FROM {table}")
            copy.execute("VACUUM")
        yield path.read_bytes()
        return
    with connection.cursor() as cursor:
        for table in set(connection.introspection.table_names(cursor)) - IN_AUDIT:
            cursor.execute(f"SELECT t::text FROM {table} t")
            for (row,) in cursor.fetchall():
                yield row.encode()


def list_stored() -> dict[str, bytes]:
    root = Path(default_storage.path("."))
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_success_nothing_is_left_but_in_the_audit_log(tmp_path: Path) -> None:
    tenant, other = make_closed_tenant(), make_moving_tenant("other")
    texts = plant(tenant, other)
    before, files = snapshot_of(other), list_stored()
    events = Event.objects.filter(tenant=tenant).count()
    file, proof = make_plan(tenant, tmp_path), tmp_path / "erased.json"
    result = erase("acme", file, proof)
    assert result.sentence.endswith("Nothing of it was found afterwards.")
    dump = b"\n".join(dump_database(tmp_path / "copy.sqlite3"))
    assert [text for text in texts if text.encode() in dump] == []
    stored = list_stored()
    assert stored == {name: data for name, data in files.items() if str(other.pk) in name}
    assert [text for text in texts if text.encode() in b"".join(stored.values())] == []
    assert snapshot_of(other) == before
    run = SyncRun.objects.get(tenant=None)
    assert run.losses == [["people", str(other.pk), 4]]
    assert run.warnings == ["tenant other is well"]
    assert [row["tenant"] for row in (SearchBackfill.objects.get().outcome or {})["tenants"]] == [
        "other"
    ]
    counts = {each["place"]: each for each in read_certificate(proof)["counts"]}
    assert {name for name, each in counts.items() if each["after"]} == set()
    assert (counts["rooms.Event"]["before"], counts["accounts"]["before"]) == (events, 1)
    assert counts["files"]["before"] >= 4
    entries = AuditEntry.objects.filter(action="erase-tenant").order_by("id")
    assert [entry.tenant_slug for entry in entries] == ["acme", "acme"]
    assert entries[1].details["left"] == 0
    again = erase("acme", file, tmp_path / "second.json")
    assert (again.changed, read_certificate(tmp_path / "second.json")) == (
        False,
        read_certificate(proof),
    )
    row = TenantErasure.objects.get()
    assert (django_settings.HOME / "erasures" / f"{row.pk}.json").read_bytes() == proof.read_bytes()


def test_success_every_table_is_counted() -> None:
    kept = {table.model for table in iter_tenant_tables() if table.is_record}
    assert kept == {"tenants.AuditEntry", "tenants.TenantErasure"}
    names = [name for name, _ in iter_tables()]
    assert sorted([*names, *kept]) == sorted(table.model for table in iter_tenant_tables())
    for number, name in enumerate(names):
        for field in apps.get_model(name)._meta.concrete_fields:
            if field.related_model and field.related_model._meta.label in names:
                assert field.related_model._meta.label in names[number:], f"{name} comes too late"


@pytest.mark.parametrize("phase", list(ErasurePhase)[:-1])
def test_success_continues_in_each_phase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: ErasurePhase
) -> None:
    """The end of the process in the middle of a phase, which the next call continues."""
    tenant, other = make_closed_tenant(), make_moving_tenant("other")
    before = snapshot_of(other)
    file, proof = make_plan(tenant, tmp_path), tmp_path / "erased.json"
    targets = {
        ErasurePhase.ROOMS: (module, "purge_room", 2),
        ErasurePhase.RECORDS: (module, "list_places", 0),
        ErasurePhase.TABLES: (deletion, "_delete_first", 9),
        ErasurePhase.FILES: (module._Erasure, "_finish", 0),
    }
    owner, name, calls = targets[phase]
    real, seen = getattr(owner, name), []

    class Killed(BaseException):
        """As the end of a process, nothing catches it."""

    def die(*args: Any, **kwargs: Any) -> Any:
        seen.append(args)
        if len(seen) > calls:
            raise Killed
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, die)
        with pytest.raises(Killed):
            erase("acme", file, proof)
    assert TenantErasure.objects.get().phase == phase
    for command in ("show_tenant", "export_tenant"):
        words = ["--output-dir", str(tmp_path / "x")] if command == "export_tenant" else []
        with pytest.raises(TenantNotFound):
            run_command(command, "acme", *words)
    listed = json.loads(run_command("list_tenants", "--json"))["tenants"]
    assert [row["slug"] for row in listed] == ["other"]
    (finding,) = check_erasures(django_settings.CONFIG, LATER)
    assert finding.state.value == "warn"
    assert str(tenant.pk) in finding.fix
    stored = list_stored()
    for plan in (file, None):
        name = "acme" if plan else str(tenant.pk)
        assert "No changes were made." in erase(name, plan, proof, dry_run=True).sentence
    assert (TenantErasure.objects.get().phase, list_stored()) == (phase, stored)
    result = erase(str(tenant.pk), None, proof)
    assert result.changed
    assert not Tenant.objects.filter(pk=tenant.pk).exists()
    assert verify_certificate(operator=HOST_OPERATOR, file=proof)[0].id == str(result.erasure_id)
    assert snapshot_of(other) == before


def make_busy(kind: str, tenant: Tenant) -> None:
    if kind == "import":
        ImportIntent.objects.create(
            tenant=tenant, hashes=["0" * 64], operator="root", started_at=NOW
        )
    elif kind == "tenant import":
        TenantImport.objects.create(
            tenant=tenant, source_tenant_id=tenant.pk, is_new=True, operator="r", started_at=NOW
        )
    else:
        run = SearchBackfill.objects.create(scope="all", operator="root", started_at=NOW)
        SearchRange.objects.create(
            backfill=run, tenant=tenant, first=1, last=9, done_through=4, events=9
        )


def refer(tenant: Tenant) -> None:
    """Let a person of the tenant be a member of a room of another one."""
    stranger = make_moving_tenant("other")
    RoomMember.objects.create(
        tenant=stranger,
        room=Room.objects.filter(tenant=stranger)[0],
        participant=Participant.objects.filter(tenant=tenant)[0],
    )


HOLD: dict[str, Any] = {"operator": HOST_OPERATOR, "reason": "case", "now": NOW}
REFUSALS: dict[str, tuple[Any, type[ScaiWaveError]]] = {
    "not suspended": (
        lambda t: Tenant.objects.update(suspended_by_hand_at=None),
        TenantNotSuspended,
    ),
    "suspended too late": (
        lambda t: Tenant.objects.update(suspended_by_hand_at=LATER - timedelta(days=6)),
        TenantNotSuspended,
    ),
    "in ScaiKey": (lambda t: Tenant.objects.update(absent_since=None), TenantInScaiKey),
    "hold on the tenant": (lambda t: add_hold(tenant="acme", **HOLD), TenantOnHold),
    "hold on a person": (
        lambda t: add_hold(participant=str(t.participants.first().pk), **HOLD),
        ParticipantOnHold,
    ),
    "hold on a room": (
        lambda t: add_hold(tenant="acme", room=str(t.rooms.first().pk), **HOLD),
        RoomOnHold,
    ),
    "import": (lambda t: make_busy("import", t), TenantBusy),
    "tenant import": (lambda t: make_busy("tenant import", t), TenantBusy),
    "backfill": (lambda t: make_busy("backfill", t), TenantBusy),
    "referenced": (refer, TenantReferenced),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_fail_preconditions(tmp_path: Path, case: str) -> None:
    """Each is refused for the plan, and by it once it is made."""
    tenant = make_closed_tenant(events=20)
    file = make_plan(tenant, tmp_path)
    change, error = REFUSALS[case]
    change(tenant)
    events = Event.objects.count()
    with pytest.raises(error):
        make_plan(tenant, tmp_path)
    with pytest.raises(error):
        erase("acme", file, tmp_path / "erased.json")
    assert (Event.objects.count(), TenantErasure.objects.count()) == (events, 0)


def test_fail_while_a_sync_is_running(tmp_path: Path) -> None:
    tenant = make_closed_tenant(events=20)
    file = make_plan(tenant, tmp_path)
    with hold_lock_elsewhere("sync"), pytest.raises(ScaiWaveError) as caught:
        erase("acme", file, tmp_path / "erased.json")
    assert caught.value.code == "SW_SYNC_LOCKED"


def test_success_one_of_two_at_once(tmp_path: Path) -> None:
    """The others wait for none and change nothing, also with another plan of the tenant."""
    tenant = make_closed_tenant(events=20)
    file = make_plan(tenant, tmp_path).rename(tmp_path / "first.plan")
    other = make_plan(tenant, tmp_path)

    def run(number: int) -> str:
        try:
            result = erase("acme", (file, file, other)[number], tmp_path / f"{number}.json")
        except TenantBusy as error:
            return str(error)
        except TenantNotFound:  # The first one has ended already.
            return "gone"
        return "erased" if result.changed else "again"

    outcomes = run_concurrently(*(partial(run, number) for number in range(3)))
    assert outcomes.count("erased") == 1
    assert set(outcomes) <= {"erased", "again", "gone", "Another process is erasing the tenant."}


def test_success_at_once_with_a_reason(tmp_path: Path) -> None:
    tenant = make_closed_tenant(events=20)
    Tenant.objects.update(suspended_by_hand_at=LATER)
    file = make_plan(tenant, tmp_path, at_once=True)
    assert erase("acme", file, tmp_path / "erased.json").changed


@pytest.mark.parametrize(
    "case",
    ["edited", "new room", "renamed", "new person", "other name", "other number", "other tenant"],
)
def test_fail_export_is_not_equal(tmp_path: Path, case: str) -> None:
    tenant = make_closed_tenant(events=20)
    make_plan(tenant, tmp_path)
    changes: dict[str, Any] = {}
    error: type[ScaiWaveError] = TenantExportOutdated
    room = Room.objects.filter(tenant=tenant, room_type="dm")[0]
    if case == "edited":
        event = Event.objects.filter(room=room)[0]
        event.content = {"body": "changed without a mark"}
        event.save()
    elif case == "new room":
        row_factories.make_room(room.workspace, room.creator, "later")
    elif case == "renamed":
        Room.objects.filter(pk=room.pk).update(topic="other")
    elif case == "new person":
        make_person(tenant, "zoe")
    elif case == "other name":
        Participant.objects.filter(tenant=tenant, local_id="anna.acme").update(display_name="x")
    elif case == "other number":
        changes["not_exported"], error = 0, UsageError
    else:
        tenant = make_closed_tenant("other", events=20)
    with pytest.raises(error):
        make_plan(tenant, tmp_path, **changes)


def test_fail_plan_outdated_or_forged(tmp_path: Path) -> None:
    tenant = make_closed_tenant(events=20)
    file, proof = make_plan(tenant, tmp_path), tmp_path / "erased.json"
    text = file.read_text()
    forgeries = (
        text.replace('"not_exported":4', '"not_exported":9'),
        text.replace('"not_exported":4', '"not_exported":9007199254740993'),
        text.replace('"mac":"', '"mac":"é'),
        "{}",
        "[" * 9999,
    )
    for forged in forgeries:
        file.write_text(forged)
        with pytest.raises(ErasurePlanInvalid):
            erase("acme", file, proof)
    file.write_text(text)
    with pytest.raises(UsageError) as missing:
        erase("acme", tmp_path / "no.plan", proof)
    assert "--plan" in (missing.value.fix or "")
    with pytest.raises(UsageError, match="is a directory"):
        erase("acme", file, tmp_path)
    with pytest.raises(ErasurePlanInvalid):
        erase("other", file, proof)
    with pytest.raises(ErasurePlanInvalid):
        erase("acme", file, proof, values={"clock": lambda: clock() + timedelta(days=2)})
    Hold.objects.create(
        tenant=tenant, reason="over", placed_by="root", placed_at=NOW, lifted_at=NOW
    )
    with pytest.raises(ErasurePlanChanged, match=r"tenants\.Hold has 1 and not 0"):
        erase("acme", file, proof)
    assert not TenantErasure.objects.exists()


def test_fail_declined_or_without_a_place_for_the_certificate(tmp_path: Path) -> None:
    tenant = make_closed_tenant(events=20)
    file = make_plan(tenant, tmp_path)

    def decline(effect: str, name: str) -> None:
        assert name == "acme"
        assert effect.endswith("It can't be undone.")
        raise ConfirmationDeclined("Cancelled.")

    with pytest.raises(ConfirmationDeclined):
        erase("acme", file, tmp_path / "erased.json", confirm=decline)
    with pytest.raises(UsageError, match="does not exist"):
        erase("acme", file, tmp_path / "missing" / "erased.json")
    assert erase("acme", file, tmp_path / "e.json", dry_run=True).certificate is None
    assert not TenantErasure.objects.exists()


def test_fail_a_hold_or_a_row_that_comes_while_it_is_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = make_closed_tenant(events=20)
    file, proof = make_plan(tenant, tmp_path), tmp_path / "erased.json"
    hold = row_factories.make_hold

    with monkeypatch.context() as patch:
        patch.setattr(module, "list_places", lambda: [hold(tenant)][:0])
        with pytest.raises(TenantOnHold):
            erase("acme", file, proof)
    assert Participant.objects.filter(tenant=tenant).exists()
    Hold.objects.all().delete()

    def add(subject: Any) -> Any:
        make_person(tenant, "late")
        return count_all(subject)

    with monkeypatch.context() as patch:
        patch.setattr(module, "count_all", add)
        with pytest.raises(TenantRowsLeft, match=r"tenants\.Participant 1"):
            erase("acme", file, proof)
    assert erase("acme", file, proof).changed


def test_fail_certificate_forged(tmp_path: Path) -> None:
    tenant = make_closed_tenant(events=20)
    proof = tmp_path / "erased.json"
    key = str(tenant.pk)
    erase("acme", make_plan(tenant, tmp_path), proof)
    assert verify_certificate(operator=HOST_OPERATOR, file=proof, tenant_id=key)[1] == "localhost"
    verify_certificate(operator=HOST_OPERATOR, file=proof, tenant_id="tnt_acme")
    text = proof.read_text()
    document = json.loads(text)
    descriptor = tmp_path / "descriptor.json"
    descriptor.write_text(run_command("show_descriptor", "--json"))
    _, signer = verify_certificate(operator=None, file=proof, descriptor=descriptor)
    assert signer == "localhost"
    public = "ed25519:" + ServerKey.objects.get().public_key
    _, signer = verify_certificate(operator=None, file=proof, key=public)
    assert signer == f"key {document['key_id']}, which proves no server name"
    forgeries: list[Any] = [
        {**document, "rooms_not_exported": 0},
        {**document, "counts": []},
        {**document, "key_id": "x"},
        {**document, "signature": "AAAA"},
        {**document, "signature": "é"},
        {key: value for key, value in document.items() if key != "signature"},
        {**document, "finished_at": "2026-02-30T00:00:00.000000Z"},
        {**document, "version": 2},
        [],
    ]
    for forged in forgeries:
        proof.write_text(json.dumps(forged))
        with pytest.raises(CertificateInvalid):
            verify_certificate(operator=HOST_OPERATOR, file=proof)
    proof.write_text(text)
    with pytest.raises(CertificateInvalid, match="another tenant"):
        verify_certificate(operator=HOST_OPERATOR, file=proof, tenant_id="tnt_other")


def _refuse_certificates_of_others(arguments: dict[str, Any], descriptor: Path) -> None:
    """A key that is passed, or of another server, does not make a certificate this server's."""
    (key,) = ServerKey.objects.all()
    key.delete()
    public, file = f"ed25519:{key.public_key}", arguments["certificate"]
    original = file.read_text()
    with pytest.raises(CertificateInvalid) as caught:
        erase_again(**{**arguments, "key": public})
    assert str(caught.value) == (
        f"The signature of {file} is not accepted. Key {key.key_id} is not a key of localhost."
    )
    document = {**json.loads(original), "server_name": "other.example"}
    del document["signature"]
    ServerKey.objects.bulk_create([key])
    signer = load_signer(NOW)
    assert signer is not None
    document["signature"] = base64.b64encode(signer.sign(rfc8785.dumps(document))).decode()
    file.write_text(json.dumps(document))
    key.delete()
    descriptor.write_text(json.dumps({"server_name": "other.example", "public_key": public}))
    for given, named in (
        ({"key": public}, f"key {key.key_id}, which proves no server name"),
        ({"descriptor": descriptor}, "other.example"),
    ):
        with pytest.raises(CertificateInvalid) as caught:
            erase_again(**{**arguments, **given})
        assert str(caught.value) == f"{file} is signed by {named}, not by this server."
        assert caught.value.fix == "Name a certificate of this server."
    # Its descriptor has a key from after the backup.
    file.write_text(original)
    descriptor.write_text(json.dumps({"server_name": "localhost", "public_key": public}))
    assert not erase_again(**{**arguments, "descriptor": descriptor, "dry_run": True}).changed
    ServerKey.objects.bulk_create([key])


def test_success_again_after_a_restored_backup(tmp_path: Path) -> None:
    """The rows of a backup come back with the tenant's ID; the erasure and its tombstone do not."""
    tenant = make_closed_tenant(events=20)
    proof, second = tmp_path / "erased.json", tmp_path / "again.json"
    erase("acme", make_plan(tenant, tmp_path), proof)
    TenantErasure.objects.all().delete()
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR, "tenant": "", "certificate": proof, "key": None,
        "descriptor": None,
        "options": options(None, certificate=second), "confirm": lambda effect, name: None,
    }  # fmt: skip
    for _ in range(2):
        with pytest.raises(TenantNotFound, match="the one of the certificate"):
            erase_again(**arguments)
    # A backup from before the tenant was created has nothing of it, and syncs may still bring it.
    tombstone = TenantErasure.objects.get()
    assert tombstone.is_certified_for("tnt_acme")
    assert not tombstone.is_certified_for("tnt_other")
    synced = make_tenant("acme-2", scaikey_tenant_id="tnt_acme")
    with pytest.raises(TenantNotFound) as caught:
        erase_again(**arguments)
    assert caught.value.fix.startswith("Tenant acme-2 was created later with the same ScaiKey ID.")
    synced.delete()
    tombstone.delete()
    other = make_moving_tenant("other", events=20)
    before = snapshot_of(other)
    back = Tenant.objects.create(
        pk=tenant.pk, slug="acme", name="Acme", scaikey_tenant_id="tnt_acme",
        created_at=NOW, updated_at=NOW,
    )  # fmt: skip
    person = make_person(back, "anna-again")
    room = row_factories.make_room(row_factories.make_workspace(back), person, "Back")
    row_factories.make_event(room, 1, sender=person)
    mark = Restoration.objects.create(backup="b", backup_at=NOW, restored_at=NOW)
    with pytest.raises(ServerRestored):
        erase_again(**arguments)
    mark.delete()
    with pytest.raises(UsageError, match="is about tenant acme"):
        erase_again(**{**arguments, "tenant": "other"})
    _refuse_certificates_of_others(arguments, tmp_path / "descriptor.json")
    assert erase_again(**arguments).changed
    assert not Tenant.objects.filter(pk=tenant.pk).exists()
    second.unlink()  # As if the process had ended before it wrote the file.
    assert not erase_again(**arguments).changed
    assert read_certificate(second)["again"] == read_certificate(proof)["id"]
    assert TenantErasure.objects.get().scaikey_hash
    assert snapshot_of(other) == before


def test_success_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = make_closed_tenant(events=20)
    Tenant.objects.update(scaikey_tenant_id=None, absent_since=None)
    plan, proof = tmp_path / "acme.plan", tmp_path / "erased.json"
    words = ("erase_tenant", "acme")
    run_command(
        *words, "--plan", str(plan), "--without-export", "--now", "--reason", "asked for today"
    )
    assert not TenantErasure.objects.exists()
    shown = run_command(
        *words, "--apply", str(plan), "--certificate", str(proof), "--reason", "over", "--yes",
        "--backups-gone-by", "2027-03-01", "--json",
    )  # fmt: skip
    document = json.loads(shown)
    assert document["certificate"]["export"] is None
    assert {"what": "backups made before", "gone_by": "2027-03-01"} in (
        document["certificate"]["not_erased"]
    )
    assert "none was found afterwards" in run_command("verify_certificate", str(proof))
    assert str(tenant.pk) not in proof.read_text()


def test_fail_a_file_that_does_not_exist(tmp_path: Path) -> None:
    file = tmp_path / "nowhere"
    readers: dict[str, Callable[[], object]] = {
        "--plan": lambda: read_plan(file),
        "--certificate": lambda: load_certificate(file, {}),
    }
    for option, read in readers.items():
        with pytest.raises(UsageError, match="can't be read") as failed:
            read()
        assert option in failed.value.fix
