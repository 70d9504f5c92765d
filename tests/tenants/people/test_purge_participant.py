from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from pytest_django import Settings

from scaiwave import extensions
from scaiwave.cli.command import ConfirmationDeclined
from scaiwave.config import load
from scaiwave.console.progress import null_progress_factory
from scaiwave.core.change import Change
from scaiwave.core.errors import ConfirmationNeeded, InsufficientPermission, UsageError
from scaiwave.operations.doctor.stored_report import store_health_report
from tenants import jobs
from tenants.errors import ParticipantNotFound, PurgeLimitExceeded, PurgeRefused, TenantNotFound
from tenants.models import (
    AdminUser,
    AuditEntry,
    DoctorRun,
    Participant,
    RoleGrant,
    StoredOverview,
    Tenant,
)
from tenants.people import purge_participant as service
from tenants.people.purge_participant import (
    BATCH_SIZE,
    purge_participant,
    purge_participants,
)
from tests.extensions import Provided
from tests.refusals import decline, refuses
from tests.tenants.factories import (
    EARLIER,
    HOST_OPERATOR,
    NOW,
    READ_ONLY_OPERATOR,
    make_partner,
    make_partner_admin,
    make_person,
    make_tenant,
    make_tenant_admin,
    run_command,
)
from tests.tenants.role_factories import make_grant, make_role

pytestmark = pytest.mark.django_db

FQID = "@anna.acme:localhost"
PERSONAL = {"display_name": "Anna", "email": "anna@acme.example", "avatar_url": "https://a/a.png"}
ERASED = {"display_name": "Deleted user", "email": "", "avatar_url": ""}


def make_removed(tenant: Tenant, name: str = "anna", days: int = 100, **fields: Any) -> Participant:
    return make_person(tenant, name, absent_since=NOW - timedelta(days=days), **fields)


def purge(**changes: Any) -> Change:
    arguments: dict[str, Any] = {
        "operator": HOST_OPERATOR,
        "name": "anna@acme.example",
        "reason": "request 17",
        "confirm": lambda question: None,
        "now": NOW,
    }
    return purge_participant(**{**arguments, **changes})


def purge_all(
    *, operator: Any = HOST_OPERATOR, confirm: Callable[[str], None] = print, **options: Any
) -> Change:
    return purge_participants(
        operator=operator,
        confirm=confirm,
        now=NOW,
        progress_factory=null_progress_factory,
        **{"days": 90, "limit": 100, **options},
    )


def get_personal_data(person: Participant) -> dict[str, Any]:
    return dict(Participant.objects.filter(pk=person.pk).values(*PERSONAL)[0])


def list_purged() -> list[str]:
    people = Participant.objects.exclude(purged_at=None).order_by("local_id")
    return [person.local_id.partition(".")[0] for person in people]


def test_success_erased_and_audited_by_id() -> None:
    anna = make_removed(make_tenant(), avatar_url="https://a/a.png")
    assert get_personal_data(anna) == PERSONAL
    result = purge()
    assert get_personal_data(anna) == ERASED
    before = anna
    anna = Participant.objects.get()
    assert (anna.purged_at, anna.updated_at) == (NOW, NOW)
    for field in ("pk", "local_id", "scaikey_id", "tenant_id", "absent_since", "created_at"):
        assert getattr(anna, field) == getattr(before, field)
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.subject_type, entry.subject_name) == (
        "purge-participant",
        "participant",
        "",
    )
    assert (entry.subject_id, entry.tenant_slug) == (str(anna.pk), "acme")
    assert entry.details == {"reason": "request 17", "removed_at": "2026-08-16T12:00:00+00:00"}
    assert result.sentence == f"Participant {FQID} purged."
    assert result.subject["purged_at"] == NOW
    assert result.subject["status"] == "deactivated"


def test_success_the_account_of_the_admin_site_is_deleted() -> None:
    anna = make_removed(make_tenant("acme"), scaikey_id="usr_anna", email=PERSONAL["email"])
    for name in ("anna", "bert"):
        AdminUser.objects.create(username=f"scaikey:usr_{name}", scaikey_id=f"usr_{name}")
    AdminUser.objects.create(username="root", email=anna.email)
    purge()
    assert {user.username for user in AdminUser.objects.all()} == {"root", "scaikey:usr_bert"}


def test_success_by_every_name_that_remains() -> None:
    anna = make_removed(make_tenant())
    for name in (str(anna.pk), FQID, "@anna.acme", "anna.acme", str(anna.scaikey_id)):
        Participant.objects.update(purged_at=None)
        assert purge(name=name).changed
    with pytest.raises(ParticipantNotFound):
        purge(name="anna@acme.example")


def test_success_again_does_not_ask_and_changes_nothing() -> None:
    make_removed(make_tenant(), purged_at=EARLIER)
    asked: list[str] = []
    result = purge(confirm=asked.append)
    assert (result.changed, asked) == (False, [])
    assert result.sentence == f"Participant {FQID} is already purged; nothing changed."
    assert Participant.objects.get().purged_at == EARLIER
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("granted_by", ["Anna@acme.example", "Örs Ågren", FQID])
def test_success_grants_do_not_name_the_person_who_made_them(granted_by: str) -> None:
    """A token without an e-mail address names its owner by the name."""
    tenant = make_tenant()
    make_removed(tenant, display_name="Örs Ågren")
    other = make_person(tenant, "bert")
    grant = make_grant(make_role(tenant), other, granted_by=granted_by)
    kept = make_grant(make_role(tenant, "leads"), other, granted_by="root")
    purge()
    for row, name in ((grant, "Deleted user"), (kept, "root")):
        row.refresh_from_db()
        assert row.granted_by == name


def test_success_the_stored_report_of_doctor_has_no_name() -> None:
    make_removed(make_tenant(), display_name="Al")
    finding = {
        "check": "sync",
        "state": "error",
        "message": "All 2 rows skipped, the oldest is participants usr_1 (Al): anna@acme.example.",
        "fix": None,
    }
    StoredOverview.objects.create(built_at=NOW, document={"message": finding["message"]})
    document = {"healthy": False, "checks": [finding]}
    store_health_report(replace(HOST_OPERATOR, name="Anna@acme.example"), document, NOW)
    purge()
    run = DoctorRun.objects.get()
    message = "All 2 rows skipped, the oldest is participants usr_1 (Deleted user): Deleted user."
    assert run.findings == [{**finding, "message": message}]
    assert run.operator == "Deleted user"
    assert not StoredOverview.objects.exists()


def test_success_a_name_that_is_a_word_of_the_report() -> None:
    make_removed(make_tenant(), display_name="Fail")
    finding = {"check": "sync", "state": "fail", "message": "The name fail.", "fix": "", "code": ""}
    store_health_report(HOST_OPERATOR, {"healthy": False, "checks": [finding]}, NOW)
    purge()
    assert DoctorRun.objects.get().findings == [{**finding, "message": "The name Deleted user."}]


def test_success_an_e_mail_address_of_someone_else_stays_theirs(tenant: Tenant) -> None:
    make_removed(tenant)
    namesake = make_person(tenant, "bert", email="ANNA@acme.example", display_name="anna")
    for number, name in enumerate(("anna@acme.example", "Anna")):
        make_grant(make_role(tenant, f"role-{number}"), namesake, granted_by=name)
    purge(name="anna.acme")
    names = RoleGrant.objects.order_by("role__slug").values_list("granted_by", flat=True)
    assert list(names) == ["anna@acme.example", "Anna"]
    assert get_personal_data(namesake)["email"] == "ANNA@acme.example"


def test_success_everything_or_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    anna = make_removed(make_tenant())

    def fail(people: object, replacement: str) -> None:
        raise OSError("out of order")

    monkeypatch.setattr(extensions, "PERSONAL_DATA_ERASERS", [Provided(fail)])
    with pytest.raises(OSError, match="out of order"), transaction.atomic():
        purge()
    assert get_personal_data(anna)["display_name"] == "Anna"
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "the person is still in ScaiKey"),
        ({"scaikey_status": "SUSPENDED"}, "the person is still in ScaiKey"),
        ({"suspended_by_hand_at": EARLIER}, "the person is still in ScaiKey"),
        ({"participant_type": "agent", "absent_since": EARLIER}, "the type is agent"),
        ({"participant_type": "federated", "scaikey_id": None}, "the type is federated"),
    ],
)
@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_not_removed_from_scaikey(fields: dict[str, Any], problem: str, dry_run: bool) -> None:
    anna = make_person(make_tenant(), **fields)
    with refuses(PurgeRefused, f"Can't purge Anna ({FQID}): {problem}.") as caught:
        purge(dry_run=dry_run)
    assert (caught.value.code, caught.value.exit_code) == ("SW_PARTICIPANT_NOT_PURGEABLE", 1)
    assert get_personal_data(anna)["display_name"] == "Anna"
    assert purge_all().rest["purged"] == 0


def test_fail_moved_to_another_tenant() -> None:
    anna = make_removed(make_tenant(), scaikey_id="usr_anna")
    there = make_person(make_tenant("globex"), scaikey_id="usr_anna")
    with pytest.raises(PurgeRefused) as caught:
        purge(name=str(anna.pk))
    assert caught.value.message == (
        f"Can't purge Anna ({FQID}): the person is still in ScaiKey, in another tenant."
    )
    assert purge_all().rest["due"] == 0
    Participant.objects.filter(pk=there.pk).update(absent_since=EARLIER)
    assert purge(name=str(anna.pk)).changed


def test_fail_returned_while_the_operator_was_asked() -> None:
    anna = make_removed(make_tenant())

    def restore(question: str) -> None:
        Participant.objects.update(absent_since=None)

    with pytest.raises(PurgeRefused):
        purge(confirm=restore)
    assert get_personal_data(anna)["display_name"] == "Anna"
    assert not AuditEntry.objects.exists()


def test_fail_no_terminal_or_declined() -> None:
    make_removed(make_tenant())
    with pytest.raises(ConfirmationNeeded) as caught:
        run_command("purge_participant", "anna@acme.example")
    assert caught.value.message == (
        f"Confirmation required: This erases the name, e-mail address and avatar of Anna ({FQID}); "
        'messages stay, by "Deleted user". This can\'t be undone. Continue?'
    )
    with pytest.raises(ConfirmationDeclined):
        purge(confirm=decline)
    with pytest.raises(ConfirmationDeclined):
        purge_all(confirm=decline)
    assert list_purged() == []


def test_fail_outside_the_scope_or_not_allowed() -> None:
    anna = make_removed(make_tenant())
    elsewhere = make_partner_admin(make_partner())
    with pytest.raises(ParticipantNotFound):
        purge(operator=elsewhere)
    assert purge_all(operator=elsewhere).rest["due"] == 0
    with pytest.raises(TenantNotFound):
        purge_all(operator=elsewhere, tenant="acme")
    for operator in (READ_ONLY_OPERATOR, make_tenant_admin(anna.tenant)):
        with pytest.raises(InsufficientPermission):
            purge(operator=operator)
        with pytest.raises(InsufficientPermission):
            purge_all(operator=operator)
    assert list_purged() == []


def test_success_all_who_were_removed_long_enough_ago() -> None:
    acme = make_tenant(partner=make_partner())
    make_removed(acme, "anna", days=91)
    make_removed(acme, "bert", days=90)
    make_removed(acme, "cleo", days=89)
    make_removed(acme, "dora", purged_at=EARLIER)
    make_removed(acme, "shadow", participant_type="bridge")
    make_person(acme, "emil")
    make_removed(make_tenant("globex"), "fred")
    asked: list[str] = []
    assert purge_all(dry_run=True).rest["due"] == 3
    assert purge_all(tenant="acme", dry_run=True).rest["due"] == 2
    assert acme.partner is not None
    result = purge_all(operator=make_partner_admin(acme.partner), confirm=asked.append)
    assert asked == [
        "This erases the name, e-mail address and avatar of 2 people who were removed from ScaiKey "
        "at least 90 days ago. This can't be undone."
    ]
    assert result.sentence == "2 people purged."
    assert result.rest == {"due": 2, "purged": 2, "on_hold": 0}
    assert [row["fqid"] for row in result.subject] == [FQID, "@bert.acme:localhost"]
    assert set(result.subject[0]) == {"id", "fqid", "tenant", "scaikey_id", "deactivated_at"}
    assert list_purged() == ["anna", "bert", "dora"]
    entries = AuditEntry.objects.order_by("pk")
    assert [entry.details["purge_after_days"] for entry in entries] == [90, 90]
    assert purge_all().rest["purged"] == 1
    assert purge_all(confirm=pytest.fail).sentence == "0 people purged."
    assert purge_all(days=10**12).rest["due"] == 0


@pytest.mark.parametrize("dry_run", [False, True])
def test_fail_more_than_the_limit(dry_run: bool, tenant: Tenant) -> None:
    for number in range(4):
        make_removed(tenant, f"person-{number}")
    with refuses(
        PurgeLimitExceeded,
        "4 people were removed from ScaiKey at least 90 days ago, more than the limit of 3. No "
        "one was purged.",
        "Preview them: `scaiwave admin purge-participant --purge-after 90 --limit 4 --dry-run`. If "
        "they are right, leave out --dry-run.",
    ) as caught:
        purge_all(limit=3, dry_run=dry_run, confirm=pytest.fail)
    assert (caught.value.code, caught.value.exit_code) == ("SW_PARTICIPANT_PURGE_LIMIT", 1)
    assert list_purged() == []
    assert purge_all(limit=4).rest["purged"] == 4


def test_success_batches_and_a_list_that_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    tenant = make_tenant()
    for number in range(7):
        make_removed(tenant, f"person-{number}")
    sizes: list[int] = []

    def record(people: Any, replacement: str) -> None:
        sizes.append(len(people))

    monkeypatch.setattr(extensions, "PERSONAL_DATA_ERASERS", [Provided(record)])
    monkeypatch.setattr(service, "BATCH_SIZE", 3)
    monkeypatch.setattr(service, "MAX_LISTED", 2)
    result = purge_all()
    assert (result.rest["purged"], len(result.subject), sizes) == (7, 2, [3, 3, 1])
    assert BATCH_SIZE == 100


@pytest.mark.django_db(transaction=True)
def test_fail_interrupted_between_batches(monkeypatch: pytest.MonkeyPatch, tenant: Tenant) -> None:
    """What was purged is purged completely, the rest not at all, and the next run continues."""
    for number in range(4):
        make_removed(tenant, f"person-{number}")
    batches: list[int] = []

    def stop_in_second_batch(people: Any, replacement: str) -> None:
        batches.append(len(people))
        if len(batches) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(extensions, "PERSONAL_DATA_ERASERS", [Provided(stop_in_second_batch)])
    monkeypatch.setattr(service, "BATCH_SIZE", 2)
    with pytest.raises(KeyboardInterrupt):
        purge_all()
    assert Participant.objects.filter(purged_at=NOW, **ERASED).count() == 2
    assert Participant.objects.filter(purged_at=None).exclude(email="").count() == 2
    assert AuditEntry.objects.count() == 2
    assert purge_all().rest["purged"] == 2


@pytest.mark.only_on("postgresql")
@pytest.mark.django_db(transaction=True)
def test_success_people_whom_a_sync_has_locked_are_left_for_the_next_run(tenant: Tenant) -> None:
    anna, _ = make_removed(tenant), make_removed(tenant, "bert")
    locked, finished = threading.Event(), threading.Event()

    def restore() -> None:
        with transaction.atomic():
            Participant.objects.filter(pk=anna.pk).update(absent_since=None)
            locked.set()
            finished.wait(30)
        connection.close()

    thread = threading.Thread(target=restore)
    thread.start()
    assert locked.wait(30)
    result = purge_all()
    finished.set()
    thread.join()
    assert (result.rest["due"], result.rest["purged"]) == (2, 1)
    assert list_purged() == ["bert"]
    assert get_personal_data(anna)["display_name"] == "Anna"


def test_success_command() -> None:
    make_removed(make_tenant())
    words = ("purge_participant", "anna@acme.example")
    assert run_command(*words, "--dry-run") == f"Would purge participant {FQID}.\n"
    assert not AuditEntry.objects.exists()
    assert run_command(*words, "--yes") == f"Participant {FQID} purged.\n"
    assert "Deleted user" in run_command("show_participant", FQID)
    document = json.loads(run_command("purge_participant", FQID, "--json"))
    assert document["changed"] is False
    assert document["participant"]["purged_at"] is not None


def test_success_command_for_all() -> None:
    make_removed(make_tenant())
    words = ("purge_participant", "--purge-after", "90")
    shown = run_command(*words, "--dry-run")
    assert FQID in shown
    assert "anna@acme.example" not in shown
    assert shown.endswith("Would purge 1 person.\n")
    document = json.loads(run_command(*words, "--dry-run", "--json"))
    assert (document["due"], document["purged"]) == (1, 0)
    assert (document["changed"], document["dry_run"]) == (True, True)
    assert run_command(*words, "--yes") == "1 person purged.\n"
    document = json.loads(run_command(*words, "--json"))
    assert document == {
        "participants": [],
        "due": 0,
        "purged": 0,
        "on_hold": 0,
        "changed": False,
        "dry_run": False,
    }


def test_fail_a_limit_for_one_person() -> None:
    with refuses(UsageError, "--limit needs --purge-after."):
        run_command("purge_participant", "@anna", "--limit", "3")


def test_success_a_reason_for_all() -> None:
    make_removed(make_tenant())
    run_command("purge_participant", "--purge-after", "90", "--yes", "--reason", "retention")
    assert AuditEntry.objects.get().details["reason"] == "retention"


def test_success_the_scheduled_job(settings: Settings) -> None:
    make_person(make_tenant(), absent_since=EARLIER)
    settings.CONFIG = load({})
    assert jobs.purge_participants() == {"due": 0, "purged": 0}
    settings.CONFIG = load({"SCAIWAVE_PURGE_AFTER_DAYS": "1"})
    assert jobs.purge_participants() == {"due": 1, "purged": 1}
    make_person(Tenant.objects.get(), "bert", absent_since=EARLIER)
    settings.CONFIG = load({"SCAIWAVE_PURGE_AFTER_DAYS": "1", "SCAIWAVE_PURGE_LIMIT": "0"})
    with pytest.raises(PurgeLimitExceeded):
        jobs.purge_participants()
