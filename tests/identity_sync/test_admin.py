from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from identity_sync.models import SyncChange, SyncRun
from tenants.models import AdminUser
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db


def test_success_run_shows_its_changes_and_errors() -> None:
    row_factories.make_row_of_every_model(1)
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
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    page = client.get(reverse("admin:identity_sync_syncrun_changelist")).content.decode()
    for text in (
        "participants +2 −1",
        "1.2 s",
        "groups skipped 5; partners skipped 2",
        "SW_SYNC_REMOVAL_LIMIT Too many losses.",
    ):
        assert text in page
    assert "tenants " not in page.partition('id="result_list"')[2].partition("</table>")[0]


def test_success_old_held_changes_are_shown_as_skipped() -> None:
    row_factories.make_row_of_every_model(1)
    change = SyncChange.objects.get(kind="participants")
    SyncChange.objects.filter(pk=change.pk).update(action="held")
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    url = reverse("admin:identity_sync_syncchange_changelist")
    skipped = client.get(url, {"action": "skipped"}).content.decode()
    added = client.get(url, {"action": "add"}).content.decode()
    page = client.get(reverse("admin:identity_sync_syncchange_change", args=[change.pk]))
    assert str(change.pk) in skipped
    assert str(change.pk) not in added
    for text in (skipped, page.content.decode()):
        assert "skipped" in text
        assert "held" not in text


def test_success_a_change_leads_to_its_subject() -> None:
    row_factories.make_row_of_every_model(1)
    change = SyncChange.objects.get(kind="participants")
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    subject_url = reverse("admin:tenants_participant_change", args=[change.subject_id])
    listed = client.get(reverse("admin:identity_sync_syncchange_changelist")).content.decode()
    page = client.get(reverse("admin:identity_sync_syncchange_change", args=[change.pk]))
    for text in (listed, page.content.decode()):
        assert f'<a href="{subject_url}">{change.subject_name or change.subject_id}</a>' in text
    assert client.get(subject_url).status_code == 200
