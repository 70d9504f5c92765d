from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from identity_sync.models import SyncChange, SyncRun
from tenants.models import AdminUser
from tests.scaiwave import rows

pytestmark = pytest.mark.django_db


def test_success_run_says_what_it_did_and_what_failed() -> None:
    rows.everything(1)
    SyncRun.objects.create(
        operator="root",
        outcome="refused",
        started_at=rows.NOW,
        error_code="SW_SYNC_REMOVAL_LIMIT",
        error_message="Too many would go.",
        counts={"groups": {"seen": 5, "skipped": 5}, "tenants": {"seen": 3}},
    )
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    page = client.get(reverse("admin:identity_sync_syncrun_changelist")).content.decode()
    for told in (
        "participants +2 −1",
        "1.2 s",
        "groups skipped 5",
        "SW_SYNC_REMOVAL_LIMIT Too many would go.",
    ):
        assert told in page
    assert "tenants " not in page.partition('id="result_list"')[2].partition("</table>")[0]


def test_success_a_change_leads_to_whom_it_was_about() -> None:
    rows.everything(1)
    change = SyncChange.objects.get(kind="participants")
    client = Client()
    client.force_login(AdminUser.objects.create_superuser("root"))
    about = reverse("admin:tenants_participant_change", args=[change.subject_id])
    listed = client.get(reverse("admin:identity_sync_syncchange_changelist")).content.decode()
    page = client.get(reverse("admin:identity_sync_syncchange_change", args=[change.pk]))
    for shown in (listed, page.content.decode()):
        assert f'<a href="{about}">{change.subject_name or change.subject_id}</a>' in shown
    assert client.get(about).status_code == 200
