from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from identity_sync.models import SyncChange, SyncRun, SyncSkip
from scaiwave.ids import new_id
from tenants.models import Participant, StoredOverview, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.site.pages import strip_markup

pytestmark = pytest.mark.django_db


@pytest.fixture
def filled() -> Tenant:
    """A tenant with a row of every model."""
    return row_factories.make_row_of_every_model(1)


def test_success_run_shows_its_changes_and_errors(client: Client, filled: Tenant) -> None:
    SyncRun.objects.create(
        operator="root",
        outcome="refused",
        started_at=row_factories.NOW,
        error_code="SW_SYNC_REMOVAL_LIMIT",
        error_message="Too many losses.",
        counts={
            "groups": {"seen": 5, "skipped": 5},
            "partners": {"seen": 2, "held": 2},
            "tenants": {"seen": 3},
        },
    )
    page = client.get(reverse("admin:identity_sync_syncrun_changelist")).content.decode()
    for text in (
        "people: 2 added, 1 deactivated",
        "1.2 s",
        "groups: 5 skipped; partners: 2 skipped",
        "SW_SYNC_REMOVAL_LIMIT Too many losses.",
    ):
        assert text in page
    assert "tenants: " not in page.partition('id="result_list"')[2].partition("</table>")[0]


def test_success_old_held_changes_are_shown_as_skipped(client: Client, filled: Tenant) -> None:
    change = SyncChange.objects.get(kind="participants")
    SyncChange.objects.filter(pk=change.pk).update(action="held")
    url = reverse("admin:identity_sync_syncchange_changelist")
    skipped = client.get(url, {"action": "skipped"}).content.decode()
    added = client.get(url, {"action": "add"}).content.decode()
    page = client.get(reverse("admin:identity_sync_syncchange_change", args=[change.pk]))
    assert str(change.pk) in skipped
    assert str(change.pk) not in added
    for text in (skipped, page.content.decode()):
        assert "skipped" in text
        assert "held" not in text


def test_success_a_change_leads_to_its_subject(client: Client, filled: Tenant) -> None:
    change = SyncChange.objects.get(kind="participants")
    subject_url = reverse("admin:tenants_participant_change", args=[change.subject_id])
    listed = client.get(reverse("admin:identity_sync_syncchange_changelist")).content.decode()
    page = client.get(reverse("admin:identity_sync_syncchange_change", args=[change.pk]))
    for text in (listed, page.content.decode()):
        assert f'<a href="{subject_url}"><code class="id" title="{change.subject_id}">' in text
    assert client.get(subject_url).status_code == 200


def read_status(client: Client, person: Participant) -> str:
    url = reverse("admin:tenants_participant_change", args=[person.pk])
    return strip_markup(client.get(url).content.decode())


def test_success_person_suspended_in_scaikey_shows_since_when(client: Client) -> None:
    tenant = row_factories.make_row_of_every_model(1)
    run = SyncRun.objects.get()
    person = row_factories.make_participant(tenant, "eva", scaikey_status="SUSPENDED")
    assert "suspended in ScaiKey, since unknown" in read_status(client, person)
    for fields in ("email,scaikey_status", "email"):
        SyncChange.objects.create(
            run=run, tenant=tenant, subject_id=person.pk, fields=fields, kind="participants"
        )
        run = SyncRun.objects.create(
            operator="root", started_at=row_factories.NOW + timedelta(days=1)
        )
    assert "suspended in ScaiKey since 2026-03-04 05:06:07 UTC" in read_status(client, person)


def test_success_names_of_runs_have_times_that_a_script_can_read(client: Client) -> None:
    row_factories.make_row_of_every_model(1)
    run = SyncRun.objects.get()
    url = reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    page = client.get(url).content.decode()
    assert "<title>Sync run | 2026-03-04 05:06:07 UTC applied |" in page
    listed = client.get(reverse("admin:identity_sync_syncchange_changelist")).content.decode()
    time = '<time datetime="2026-03-04T05:06:07+00:00"'
    assert f"<h1>{time}" in page
    assert f'<a href="{url}">{time}' in listed


def test_success_run_shows_what_changed_for_whom(client: Client, filled: Tenant) -> None:
    change = SyncChange.objects.get(kind="participants")
    run = change.run
    run.counts["participants"]["skipped"] = 4
    erased = new_id()  # SQLite stores IDs without dashes. A partner is of no tenant.
    run.losses = [
        *(["people", filled.pk.hex, 2], ["affected_people", str(filled.pk), 1]),
        ["memberships", str(filled.pk), 1],
        *(["people", erased.hex, 1], ["partners", "", 1]),
    ]
    run.warnings = ["Two groups have one name."]
    run.error_code, run.error_message = "SW_SYNC_PARTIAL", "4 were skipped."
    run.error_fix = "Run `scaiwave sync --allow-removals 4`."
    run.save()
    url = reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    with CaptureQueriesContext(connection) as caught:
        page = client.get(url).content.decode()
    assert len(caught) <= 12
    changes = reverse("admin:identity_sync_syncchange_changelist")
    for column, action, number in (("added", "add", "2"), ("skipped", "skipped", "4")):
        link = f"{changes}?run__id__exact={run.pk}&amp;kind=participants&amp;action={action}"
        assert f'<a href="{link}">{number}</a>' in page, column
        assert client.get(link.replace("&amp;", "&")).status_code == 200
    subject = reverse("admin:tenants_participant_change", args=[change.subject_id])
    assert f'<a href="{subject}">' in page
    lines = re.findall(r"<div>([^<]*|<a [^>]*>[^<]*</a>): (\d [^<]*)</div>", page)
    own = reverse("admin:tenants_tenant_change", args=[filled.pk])
    assert lines == [
        (f'<a href="{own}">{filled.slug}</a>', "2 people, 1 group membership"),
        *((str(erased), "1 person"), ("no tenant", "1 partner")),
    ]
    assert "Two groups have one name." in page
    assert "Run <code>scaiwave sync --allow-removals 4</code>." in page


def test_success_values_of_a_change_are_readable(client: Client, filled: Tenant) -> None:
    change = SyncChange.objects.get(kind="participants")
    url = reverse("admin:identity_sync_syncchange_change", args=[change.pk])
    page = client.get(url).content.decode()
    values = '<td data-label="Before">a@b.example</td><td data-label="After">c@d.example</td>'
    assert f'<th scope="row">email</th>{values}' in page


@pytest.mark.parametrize(
    ("outcome", "sentence", "is_linked"),
    [
        ("applied", ": 5 corrected, 5 skipped.", True),
        ("refused", ". It was refused, so they remain.", False),
        ("planned", ". It was a dry run, so they remain.", False),
    ],
)
def test_success_overview_shows_drift_by_kind_of_the_last_full_sync(
    outcome: str, sentence: str, is_linked: bool, client: Client
) -> None:
    index = reverse("admin:index")
    assert "No full sync has compared this server with ScaiKey yet." in (
        client.get(index).content.decode()
    )
    now = datetime.now(UTC)
    counts = {"participants": {"seen": 1200, "added": 2, "updated": 3, "skipped": 5}}
    run = SyncRun.objects.create(
        operator="cron", outcome=outcome, started_at=now, ended_at=now, counts=counts
    )
    SyncRun.objects.create(operator="cron", outcome="failed", started_at=now, ended_at=now)
    StoredOverview.objects.all().delete()
    page = client.get(index).content.decode()
    drift = page.partition("Drift by kind")[2].partition("</section>")[0]
    assert f"found 10 differences{sentence}" in drift
    assert ">1,200<" in drift
    assert (f"run__id__exact={run.pk}" in drift) is is_linked
    (table,) = client.get(index).context["overview"]["tables"]
    assert table["url"] == reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    run.counts = {}
    run.save()
    StoredOverview.objects.all().delete()
    (table,) = client.get(index).context["overview"]["tables"]
    assert table["details"].endswith(" ago found no differences.")


@pytest.mark.parametrize("name", ["Anna", ""])
def test_success_a_skipped_person_has_a_link(name: str, client: Client) -> None:
    """What has no row, such as a new person, has none, and neither has one of another tenant."""
    acme, other = row_factories.make_tenant("acme"), row_factories.make_tenant("other")
    anna = row_factories.make_participant(acme, "anna", scaikey_id="usr_anna")
    row_factories.make_participant(other, "berta", scaikey_id="usr_berta")
    for key in ("usr_anna", "usr_berta", "usr_new"):
        SyncSkip.objects.create(
            tenant=acme,
            kind="participants",
            subject_scaikey_id=key,
            subject_name=name,
            reason_code="over_limit",
            first_skipped_at=row_factories.NOW,
            last_skipped_at=row_factories.NOW,
        )
    page = client.get(reverse("admin:identity_sync_syncskip_changelist")).content.decode()
    person = reverse("admin:tenants_participant_change", args=[anna.pk])
    shown = f"{name} (usr_anna)" if name else "usr_anna"
    assert f'<a href="{person}">{shown}</a>' in page
    assert page.count("/admin/tenants/participant/0") == 1
    new = SyncSkip.objects.get(subject_scaikey_id="usr_new")
    url = reverse("admin:identity_sync_syncskip_change", args=[new.pk])
    assert "usr_new" in client.get(url).content.decode()


def test_success_a_run_is_shown_by_tenant_with_the_most_losses_first(client: Client) -> None:
    run = SyncRun.objects.create(
        outcome="applied", operator="root", started_at=row_factories.NOW, ended_at=row_factories.NOW
    )
    for slug, removed, added in (("acme", 1, 3), ("hikari", 12, 0), ("lab", 0, 20)):
        tenant = row_factories.make_tenant(slug)
        run.losses.append(["people", str(tenant.pk), removed])
        for number in range(removed + added):
            SyncChange.objects.create(
                run=run,
                tenant=tenant,
                kind="participants" if number else "memberships",
                action="deactivate" if number < removed else "add",
                subject_id=row_factories.make_participant(tenant, f"p{number}").pk,
                subject_name=f"{slug} {number}",
                subject_scaikey_id=f"usr_{number}" if number else "grp_1 usr_0",
                reason_code="removed",
            )
    run.losses = [loss for loss in run.losses if loss[2]]
    run.save()
    url = reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    with CaptureQueriesContext(connection) as caught:
        page = client.get(url).content.decode()
    assert len(caught) <= 14
    folds = re.findall(r"<summary><strong>(\w+)</strong>.*?</summary>", page)
    assert folds == ["hikari", "acme", "lab"]
    assert '<span class="why">people: 11 deactivated; memberships: 1 deactivated</span>' in page
    assert page.index("hikari</a>: 12 people") < page.index("acme</a>: 1 person")
    (link,) = re.findall(r'<a href="([^"]+)">All 12 changes of hikari', page)
    listed = client.get(link.replace("&amp;", "&")).context["cl"].result_list
    assert {change.tenant.slug for change in listed} == {"hikari"}
    assert "hikari 9 (usr_9)</a>" in page
    assert "hikari 0 (usr_0)" in page
    assert "hikari 11" not in page


def test_success_a_partial_run_leads_to_what_it_skipped(client: Client, filled: Tenant) -> None:
    run = SyncRun.objects.get()
    url = reverse("admin:identity_sync_syncrun_change", args=[run.pk])
    links = [
        f'href="{reverse(f"admin:identity_sync_{name}_changelist")}">{text}</a>'
        for name, text in (
            ("syncskip", "Why it is skipped"),
            ("pendingremoval", "Removals that wait for a decision"),
        )
    ]
    for outcome, is_partial in (("partial", True), ("applied", False)):
        SyncRun.objects.filter(pk=run.pk).update(outcome=outcome)
        page = client.get(url).content.decode()
        assert [link in page for link in links] == [is_partial] * 2
