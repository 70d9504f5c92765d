"""Approve and keep: exactly the rows that are named, by those who may."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from identity_sync.errors import RemovalNotFound, RemovalsChanged, RemovalsDecided
from identity_sync.models import PendingRemoval, RemovalState
from identity_sync.removals.decide import Selection
from identity_sync.removals.queries import digest_pending
from scaiwave.core.errors import InsufficientPermission, UsageError
from scaiwave.core.operators import Operator, OperatorRole, get_host_operator
from scaiwave.sandbox import Sandbox
from tenants.models import AuditEntry, Participant, Partner, Tenant
from tests.identity_sync.removals.helpers import (
    approve,
    keep,
    list_open,
    now,
    pick_tenant,
    remove_groups,
    remove_people,
    sync_partly,
)
from tests.identity_sync.sync.helpers import HOST, sync
from tests.refusals import refuses
from tests.tenants.factories import run_command

pytestmark = [
    pytest.mark.dated,
    pytest.mark.django_db,
    pytest.mark.sandbox(partners=2, tenants=6, people=300, groups=2, scim=False),
]


@pytest.fixture
def tenant(scaikey: Sandbox) -> Tenant:
    """The largest tenant, in which thirty people wait."""
    remove_groups(scaikey)
    sync()
    key = pick_tenant(scaikey)
    remove_people(scaikey, key, 30)
    sync_partly()
    return Tenant.objects.get(scaikey_tenant_id=key)


@pytest.fixture
def rows(tenant: Tenant) -> list[PendingRemoval]:
    return list_open()


def get_states() -> set[str]:
    return set(PendingRemoval.objects.values_list("state", flat=True))


def test_success_audit_names_rows_by_id(rows: list[PendingRemoval]) -> None:
    approve([row.pk for row in rows[:2]], reason="checked with acme")
    keep([rows[2].pk], reason="on leave")
    approval, kept = AuditEntry.objects.filter(action__startswith="sync ").order_by("at", "id")
    assert (approval.action, kept.action) == ("sync approve", "sync keep")
    assert approval.details["removals"] == [
        str(row.pk) for row in sorted(rows[:2], key=lambda row: row.subject_name)
    ]
    assert approval.details["reason"] == "checked with acme"
    assert approval.tenant_id == str(rows[0].tenant_id)
    assert [approval.subject_id, kept.subject_id] == [
        *(approval.details["removals"][0], str(rows[2].pk))
    ]
    text = f"{approval.subject_name} {json.dumps([approval.details, kept.details])}"
    assert not any(row.subject_name in text for row in rows)


def test_success_repeated(rows: list[PendingRemoval]) -> None:
    first = approve([rows[0].pk])
    again = approve([rows[0].pk])
    assert (first.changed, again.changed) == (True, False)
    assert again.sentence == "1 removal already approved; nothing changed."
    assert AuditEntry.objects.filter(action="sync approve").count() == 1
    both = approve([rows[0].pk, rows[1].pk])
    assert both.sentence == (
        f"1 removal approved: {rows[1].subject_name} ({rows[1].subject_scaikey_id}) in "
        f"{rows[1].tenant} (removed). The next sync looks it up again, and applies it if it "
        "is still true. 1 already approved."
    )


def test_fail_another_operator_has_decided(rows: list[PendingRemoval]) -> None:
    paula = Operator("paula", OperatorRole.SUPER_ADMIN)
    approve([rows[0].pk], paula)
    row = PendingRemoval.objects.get(pk=rows[0].pk)
    decision = f"Another decision applies: approved by paula on {row.decided_at:%Y-%m-%d %H:%M}"
    for dry_run in (False, True):
        with refuses(RemovalsDecided, f"{decision} UTC. No changes were made."):
            keep([row.pk for row in rows], dry_run=dry_run)
    assert get_states() == {RemovalState.PENDING, RemovalState.APPROVED}
    effects: list[str] = []
    keep([row.pk], override=True, confirm=effects.append)
    approve([row.pk], confirm=effects.append)
    for effect, decided in zip(effects, ("approved by paula", f"kept by {HOST.name}"), strict=True):
        assert f" This overrides a decision: {decided} on {row.decided_at:%Y-%m-%d }" in effect
    keep([row.pk], paula, override=True)
    with pytest.raises(RemovalsDecided, match="Another decision applies: kept by paula on "):
        run_command("sync_approve", str(row.pk), "--yes")
    run_command("sync_approve", str(row.pk), "--yes", "--override")
    keep([rows[1].pk], paula)
    run_command("sync_keep", str(row.pk), "--reason", "x", "--yes")
    with pytest.raises(RemovalsDecided):
        approve([row.pk for row in rows])


def test_success_the_dry_run_and_the_effect_name_whom(rows: list[PendingRemoval]) -> None:
    decision = approve([row.pk for row in rows], dry_run=True)
    first = min(row.subject_name for row in rows)
    assert decision.sentence.startswith(f"Would approve 30 removals: {first} (usr_")
    assert decision.sentence.endswith(", and 20 more.")
    assert decision.document()["changed"] is True
    assert get_states() == {RemovalState.PENDING}
    effects: list[str] = []
    approve([row.pk for row in rows], confirm=effects.append)
    [effect] = effects
    first_row = min(rows, key=lambda row: row.subject_name)
    name = f"{first} ({first_row.subject_scaikey_id})"
    assert effect.startswith(f"The next sync will apply 30 removals: {name} in ")
    assert effect.endswith(", and 20 more.")


def test_success_the_later_decision_wins(rows: list[PendingRemoval]) -> None:
    approved, kept = rows[:2]
    keep([approved.pk])
    approve([approved.pk])
    approve([kept.pk])
    keep([kept.pk])
    sync_partly()
    present = Participant.objects.filter(absent_since=None).values_list("pk", flat=True)
    assert (approved.subject_id in present, kept.subject_id in present) == (False, True)
    for decide in (approve, keep):
        with pytest.raises(RemovalNotFound):
            decide([approved.pk])


def test_fail_other_rows_than_were_reviewed(
    rows: list[PendingRemoval], tenant: Tenant, scaikey: Sandbox
) -> None:
    digest = digest_pending(row.pk for row in rows)
    remove_people(scaikey, pick_tenant(scaikey), 1)
    sync_partly()
    with pytest.raises(RemovalsChanged, match="pending now: 31, with"):
        approve(selection=Selection(tenant=tenant.slug, expect=digest))
    assert get_states() == {RemovalState.PENDING}
    digest = digest_pending(row.pk for row in list_open())
    approve(selection=Selection(tenant=tenant.slug, expect=digest))
    assert get_states() == {RemovalState.APPROVED}


def test_fail_unknown_ids_dates_and_reasons(rows: list[PendingRemoval]) -> None:
    for name in ("", "nonsense", "0" * 32, "*", "%"):
        with pytest.raises(RemovalNotFound):
            approve(selection=Selection([str(rows[0].pk), name]))
    for days in (-1, 0, 92):
        with pytest.raises(UsageError, match="within the next 90 days"):
            keep([rows[0].pk], until=now() + timedelta(days=days))
    with pytest.raises(UsageError, match="reason"):
        keep([rows[0].pk], reason=" ")
    assert get_states() == {RemovalState.PENDING}


def test_fail_keeping_oneself_or_the_own_tenant(synced: Sandbox) -> None:
    key = pick_tenant(synced)
    partner = Partner.objects.get(tenants__scaikey_tenant_id=key)
    synced.directory.remove_tenant(key)
    sync_partly()
    [row] = list_open()
    boss = Operator("paul", OperatorRole.PARTNER_ADMIN, partner_id=partner.scaikey_id)
    with pytest.raises(InsufficientPermission, match="own tenant"):
        keep([row.pk], Operator("x", OperatorRole.HOST, tenant_id=key))
    assert keep([row.pk], boss).changed


def test_fail_keeping_oneself(rows: list[PendingRemoval]) -> None:
    boss = Operator("paul", OperatorRole.HOST, subject=rows[0].person_scaikey_id)
    with pytest.raises(InsufficientPermission, match="about themselves"):
        keep([row.pk for row in rows], boss)
    others = [row.pk for row in rows[1:]]
    assert keep(others, boss).changed
    kept = PendingRemoval.objects.filter(pk__in=others, state=RemovalState.KEPT)
    assert kept.count() == len(others) == 29


def test_success_list(rows: list[PendingRemoval], tenant: Tenant) -> None:
    digest = digest_pending(row.pk for row in rows)
    document = json.loads(run_command("sync_removals", "--json"))
    assert document["tenants"] == [{"tenant": tenant.slug, "count": 30, "digest": digest}]
    first = document["removals"][0]
    person = Participant.objects.get(pk=first["subject_id"])
    assert (first["email"], first["scaikey_id"]) == (person.email, person.scaikey_id)
    assert first["reason"] == "removed from ScaiKey"
    text = run_command("sync_removals", "--tenant", tenant.slug)
    assert text.count("removed") >= 30
    # A digest would cover rows that are not listed.
    for flags in (["--loss", "removed"], ["--since", "1h"], ["--limit", "3"]):
        assert json.loads(run_command("sync_removals", "--json", *flags))["tenants"] == []


def test_success_commands(
    rows: list[PendingRemoval], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = tmp_path / "removals.csv"
    listed.write_text(run_command("sync_removals", "--csv"))
    answer = json.loads(run_command("sync_approve", rows[0].pk.hex[-12:], "--json", "--yes"))
    assert (answer["changed"], len(answer["removals"])) == (True, 1)
    day = f"{now() + timedelta(days=60):%Y-%m-%d}"
    text = run_command(
        "sync_keep", str(rows[1].pk), "--reason", "on leave", "--until", day, "--yes"
    )
    assert text == (
        f"Access kept for 1 removal until {day}: {rows[1].subject_name} "
        f"({rows[1].subject_scaikey_id}) in {rows[1].tenant} (removed).\n"
    )
    shown = run_command("show_participant", str(rows[1].subject_id))
    assert f"removed: removed from ScaiKey, until {day}" in shown
    fresh = tmp_path / "fresh.csv"
    fresh.write_text(run_command("sync_removals", "--csv"))
    kept = PendingRemoval.objects.get(pk=rows[1].pk)
    decision = f"kept by {get_host_operator().name} on {kept.decided_at:%Y-%m-%d %H:%M} UTC"
    preview = run_command("sync_approve", "--from", str(fresh), "--dry-run")
    assert preview.startswith("Would approve 28 removals: ")
    assert preview.endswith(f" 1 already approved. 1 skipped: {decision}.\n")
    preview = run_command("sync_keep", "--from", str(fresh), "--reason", "x", "--dry-run")
    assert " 1 skipped: approved by " in preview
    only = tmp_path / "only.txt"
    only.write_text(f"{kept.pk}\n")
    done = run_command("sync_approve", "--from", str(only), "--yes")
    assert done == f"0 removals already approved; nothing changed. 1 skipped: {decision}.\n"
    answer = json.loads(
        run_command("sync_approve", "--from", str(fresh), "--yes", "--json", "--dry-run")
    )
    assert (len(answer["removals"]), answer["skipped"]) == (29, 1)
    override = ("--from", str(listed), "--now", "--yes", "--override", "--json")
    answer = json.loads(run_command("sync_approve", *override))
    assert (len(answer["removals"]), answer["skipped"]) == (30, 0)
    assert answer["sync"]["kinds"]["participants"]["deactivated"] == 30
    assert get_states() == {RemovalState.APPLIED}
    # The same file, after the sync has applied its rows.
    done = run_command("sync_approve", "--from", str(only), "--yes")
    assert done == "0 removals already approved; nothing changed. 1 no longer waits.\n"
    only.write_text(f"{kept.pk}\nnonsense\n")
    with refuses(RemovalNotFound, "Pending removal not found: nonsense. No changes were made."):
        run_command("sync_approve", "--from", str(only), "--yes")
    losses = json.loads(run_command("sync_losses", "--loss", "removed", "--json"))["losses"]
    assert [row["approved_by"] for row in losses] == [get_host_operator().name] * 30
    assert f"(approved by {get_host_operator().name})" in run_command("sync_losses")


UNNAMED = "Name the removals by their IDs, by --from, or by --tenant with --expect."


DIGEST = "The digest is in the output of `scaiwave sync removals --tenant 'a b'`."


@pytest.mark.parametrize(
    ("words", "message", "fix"),
    [
        ([], UNNAMED, None),
        (["x", "--tenant", "acme"], UNNAMED, None),
        (["x", "--expect", "1"], "--expect needs --tenant.", None),
        (["--from", "/"], "/ can't be read: Is a directory.", None),
        (["--tenant", "a b"], "--tenant needs --expect.", DIGEST),
    ],
)
def test_fail_usage(words: list[str], message: str, fix: str | None) -> None:
    with refuses(UsageError, message) as caught:
        run_command("sync_approve", *words, "--yes")
    assert fix in (None, caught.value.fix)


@pytest.mark.django_db(transaction=True)
@pytest.mark.only_on("postgresql")
def test_success_a_decision_waits_for_the_sync_that_applies(
    rows: list[PendingRemoval], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The keep comes while the sync writes: it finds that the row was applied."""
    approve([row.pk for row in rows])
    errors: list[Exception] = []

    def decide() -> None:
        try:
            keep([rows[0].pk])
        except (RemovalsChanged, RemovalNotFound) as error:
            errors.append(error)
        finally:
            connection.close()

    thread = threading.Thread(target=decide)

    def start() -> None:
        thread.start()
        thread.join(1)
        assert thread.is_alive()

    with transaction.atomic():
        sync(on_planned=start)
    thread.join(20)
    assert [type(error) for error in errors] in ([RemovalsChanged], [RemovalNotFound])
    assert get_states() == {RemovalState.APPLIED}


APPROVE_ALL = "sync-approve-tenant-slug-expect-digest"


def post(client: Client, slug: str, row: Any, **values: str) -> Any:
    return client.post(reverse("admin:act", args=[slug, row.pk]), values)


def list_acts(client: Client, row: Any) -> list[str]:
    page = client.get(
        reverse(f"admin:{row._meta.label_lower.replace('.', '_')}_change", args=[row.pk])
    )
    return [act.title for act in page.context["acts"]]


def test_success_all_of_a_tenant_as_they_were_shown(
    scaikey: Sandbox, client: Client, tenant: Tenant
) -> None:
    assert "Approve removals" in list_acts(client, tenant)
    question = post(client, APPROVE_ALL, tenant)
    assert question.status_code == HTTPStatus.OK
    assert "will apply 30 removals" in question.context["question"]
    confirmed = question.context["confirmation"]
    # More come in while the question is read.
    remove_people(scaikey, str(tenant.scaikey_tenant_id), 1)
    sync_partly()
    again = post(client, APPROVE_ALL, tenant, confirmed=confirmed)
    assert "will apply 31 removals" in again.context["question"]
    assert get_states() == {"pending"}

    done = post(client, APPROVE_ALL, tenant, confirmed=again.context["confirmation"])
    assert done.status_code == HTTPStatus.FOUND
    assert get_states() == {"approved"}
    assert AuditEntry.objects.get(action="sync approve").operator == "root"
    active = Participant.objects.filter(absent_since=None).count()
    sync()
    assert active - Participant.objects.filter(absent_since=None).count() == 31
    assert "Approve removals" not in list_acts(client, tenant)


def test_success_as_many_others_are_asked_about_again(
    scaikey: Sandbox, client: Client, tenant: Tenant
) -> None:
    """The question names the first ten only, so that it would be the same without the digest."""
    question = post(client, APPROVE_ALL, tenant)
    last = max(list_open(), key=lambda row: row.subject_name)
    PendingRemoval.objects.filter(pk=last.pk).delete()
    sync_partly()
    assert len(list_open()) == 30
    again = post(client, APPROVE_ALL, tenant, confirmed=question.context["confirmation"])
    assert again.status_code == HTTPStatus.OK
    assert again.context["is_asked_again"]
    assert get_states() == {"pending"}


def test_success_one_is_kept_and_one_approved(client: Client, tenant: Tenant) -> None:
    first, second, *_ = list_open()
    for slug, row, values in (
        ("sync-keep-id", first, {"reason": "on leave"}),
        ("sync-approve-id", second, {}),
    ):
        assert list_acts(client, row) == ["Approve", "Keep access"]
        question = post(client, slug, row, **values)
        done = post(client, slug, row, **values, confirmed=question.context["confirmation"])
        assert done.status_code == HTTPStatus.FOUND
    first.refresh_from_db()
    second.refresh_from_db()
    assert (first.state, first.decision_reason, first.decided_by) == ("kept", "on leave", "root")
    assert second.state == "approved"
    sync_partly()
    second.refresh_from_db()
    assert second.state == "applied"
    assert list_acts(client, second) == []
