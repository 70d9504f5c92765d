"""The review of pending removals in the admin site: by tenant, for the rows that were shown."""

from __future__ import annotations

import re
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from identity_sync.models import PendingRemoval
from scaiwave.ids import new_id
from scaiwave.site.access import SCAIKEY_BACKEND
from scaiwave.site.acts import MAX_SELECTED
from tenants.models import AdminUser, AuditEntry, Participant, Tenant
from tests.scaiwave import row_factories
from tests.scaiwave.site.scaikey_sessions import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.dated]
LIST = "admin:identity_sync_pendingremoval_changelist"
APPROVE, KEEP = (f"sync-{verb}-ids" for verb in ("approve", "keep"))


def make_removals(slug: str, number: int) -> list[PendingRemoval]:
    tenant = row_factories.make_tenant(slug, scaikey_tenant_id=f"tnt_{slug}")
    people = [row_factories.make_participant(tenant, f"p{each}") for each in range(number)]
    return [
        row_factories.make_pending_removal(
            tenant, each, subject_id=person.pk, subject_name=f"{slug} {each}"
        )
        for each, person in enumerate(people)
    ]


def post(client: Client, slug: str, rows: list[Any], **values: str) -> Any:
    data = {"rows": [str(getattr(row, "pk", row)) for row in rows], **values}
    return client.post(reverse("admin:act", args=[slug]), data)


def confirm(client: Client, answer: Any, slug: str, rows: list[Any], **values: str) -> Any:
    """Send the form of an answer again, with its question confirmed."""
    page = answer.content.decode()
    (confirmed,) = re.findall('name="confirmed" value="([^"]+)"', page)
    assert re.findall('name="rows" value="([^"]+)"', page) == [str(row.pk) for row in rows]
    return post(client, slug, rows, confirmed=confirmed, **values)


def get_states() -> dict[str, str]:
    return dict(PendingRemoval.objects.values_list("subject_name", "state"))


def test_success_shows_the_removals_of_each_tenant_with_their_people(client: Client) -> None:
    rows = [*make_removals("acme", 2), *make_removals("lab", 1)]
    page = client.get(reverse(LIST)).content.decode()
    assert re.findall(r"<summary><strong>(\w+)</strong>", page) == ["acme", "lab"]
    assert page.count('name="rows"') == 3
    assert all(f'value="{row.pk}"' in page for row in rows)
    person = reverse("admin:tenants_participant_change", args=[rows[0].subject_id])
    assert f'<a href="{person}">acme 0</a>' in page
    texts = ("p0@example.com", ", 2 members", "usr_waiting_0", "removed from ScaiKey")
    for text in (*texts, "1 sync, the last"):
        assert text in page
    assert f'formaction="{reverse("admin:act", args=[APPROVE])}' in page


def test_success_dependents_are_shown_of_what_can_have_some(client: Client) -> None:
    """The memberships of a person go too, and are not counted."""
    person = make_removals("acme", 1)[0]
    lab = row_factories.make_pending_removal(
        row_factories.make_tenant("lab"), 9, kind="tenants", loss="tenant-removed", people=3
    )
    for row, is_shown in ((person, False), (lab, True)):
        url = reverse("admin:identity_sync_pendingremoval_change", args=[row.pk])
        page = client.get(url).content.decode()
        shown = [f"field-{name}" in page for name in ("people", "roles", "memberships")]
        assert shown == [is_shown] * 3
    listed = client.get(reverse(LIST), {"state": "pending"}).content.decode()
    cells = re.findall(r'<td[^>]*data-label="People"[^>]*>([^<]*)<', listed)
    assert sorted(cells) == ["-", "3"]


def test_success_e_mails_and_members_need_the_permission_for_people() -> None:
    make_removals("acme", 2)
    user = AdminUser.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(user)
    shown = []
    for names in (["view_pendingremoval"], ["view_pendingremoval", "view_participant"]):
        user.user_permissions.set(Permission.objects.filter(codename__in=names))
        page = client.get(reverse(LIST)).content.decode()
        assert "acme 0" in page
        shown.append([text in page for text in ("p0@example.com", ", 2 members")])
    assert shown == [[False, False], [True, True]]


def test_success_filters_show_the_list(client: Client) -> None:
    make_removals("acme", 1)
    assert 'id="result_list"' in client.get(reverse(LIST), {"state": "pending"}).content.decode()


def test_success_the_search_finds_what_the_rows_show() -> None:
    acme = make_removals("acme", 2)[1]
    make_removals("lab", 1)
    Participant.objects.filter(pk=acme.subject_id).update(
        scaikey_id=acme.person_scaikey_id, email="Zoé@example.com"
    )
    user = AdminUser.objects.create_user("viewer", is_staff=True)
    client = Client()
    client.force_login(user)
    seen = Permission.objects.filter(codename__in=("view_pendingremoval", "view_participant"))
    user.user_permissions.set(seen)
    for term in ("acme 1", "ACME", "usr_waiting_1", "zoé@"):
        page = client.get(reverse(LIST), {"q": term}).content.decode()
        assert re.findall(r"<summary><strong>(\w+)</strong>", page) == ["acme"], term
        assert page.count('name="rows"') == (2 if term == "ACME" else 1)
        assert ("Zoé@example.com" in page, "usr_waiting_1" in page) == (True, True)
    user.user_permissions.set(seen.exclude(codename="view_participant"))
    assert "acme 1" not in client.get(reverse(LIST), {"q": "zoé@"}).content.decode()


def test_success_approves_exactly_the_selected_rows(client: Client) -> None:
    rows = make_removals("acme", 4)
    names = [f"acme {each} (usr_waiting_{each}) in acme (removed)" for each in range(2)]
    form = post(client, KEEP, rows[:2], chosen="1").content.decode()
    assert f"<p>2 selected: {names[0]}, {names[1]}.</p>" in form
    answer = post(client, APPROVE, rows[:2], chosen="1")
    page = answer.content.decode()
    assert f"The next sync will apply 2 removals: {names[0]}, {names[1]}." in page
    assert set(get_states().values()) == {"pending"}
    tenant = Tenant.objects.get(slug="acme")
    row_factories.make_pending_removal(tenant, 9, subject_name="came in later")
    done = confirm(client, answer, APPROVE, rows[:2])
    assert (done.status_code, done["Location"]) == (HTTPStatus.FOUND, reverse(LIST))
    assert get_states() == {
        "acme 0": "approved",
        "acme 1": "approved",
        "acme 2": "pending",
        "acme 3": "pending",
        "came in later": "pending",
    }
    message = client.get(reverse(LIST)).content.decode()
    assert "3 other removals still wait." in message
    entry = AuditEntry.objects.get(action="sync approve")
    assert entry.details["removals"] == [str(row.pk) for row in rows[:2]]


def test_success_keeping_asks_for_a_reason_with_the_selection(client: Client) -> None:
    rows = make_removals("acme", 3)
    asked = post(client, KEEP, rows[:1], chosen="1")
    page = asked.content.decode()
    assert 'name="reason"' in page
    assert "This field is required" not in page
    answer = post(client, KEEP, rows[:1], reason="on leave")
    confirm(client, answer, KEEP, rows[:1], reason="on leave")
    assert get_states() == {"acme 0": "kept", "acme 1": "pending", "acme 2": "pending"}


def test_success_the_decision_of_another_operator_is_named_before_it_is_overridden(
    client: Client,
) -> None:
    rows = make_removals("acme", 3)
    now = timezone.now()
    decided = {"decided_at": now, "decided_by": "paula", "expires_at": now + timedelta(hours=9)}
    PendingRemoval.objects.filter(pk=rows[0].pk).update(state="approved", **decided)
    asked = post(client, KEEP, rows[:2], reason="on leave")
    overrides = f"This overrides a decision: approved by paula on {now:%Y-%m-%d %H:%M} UTC."
    assert asked.context["question"].endswith(
        f"acme 1 (usr_waiting_1) in acme (removed). {overrides}"
    )
    confirm(client, asked, KEEP, rows[:2], reason="on leave")
    assert get_states() == {"acme 0": "kept", "acme 1": "kept", "acme 2": "pending"}
    asked = post(client, APPROVE, rows)
    assert "will apply 3 removals" in asked.context["question"]
    assert " This overrides a decision: kept by " in asked.context["question"]


def test_fail_another_selection_than_the_one_that_was_confirmed(client: Client) -> None:
    rows = make_removals("acme", 3)
    (confirmed,) = re.findall(
        'name="confirmed" value="([^"]+)"', post(client, APPROVE, rows[:1]).content.decode()
    )
    again = post(client, APPROVE, rows[:2], confirmed=confirmed)
    assert "The question has changed since you were asked." in again.content.decode()
    assert set(get_states().values()) == {"pending"}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "Select rows in the list first."),
        (["not-an-id"], f"Select at most {MAX_SELECTED} rows"),
        ([new_id() for _ in range(MAX_SELECTED + 1)], f"Select at most {MAX_SELECTED} rows"),
        ([new_id()], "Pending removal not found"),
    ],
    ids=["none", "other", "many", "unknown"],
)
def test_fail_selections_that_can_not_be_approved(
    rows: list[Any], message: str, client: Client
) -> None:
    assert message in post(client, APPROVE, rows).content.decode()


def test_fail_rows_of_others_are_not_found(settings: Settings) -> None:
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, SCAIKEY_BACKEND]
    own, foreign = make_removals("own", 1), make_removals("other", 1)
    client = sign_in("tenant_admin", tenant="tnt_own")
    page = client.get(reverse(LIST)).content.decode()
    assert "own 0" in page
    assert "other" not in page.partition('id="changelist-form"')[2]
    assert "Keep access" not in page, "They may not."
    for rows in (foreign, [*own, *foreign]):
        assert "Pending removal not found" in post(client, APPROVE, rows).content.decode()
    assert post(client, KEEP, own, reason="x").status_code == HTTPStatus.FORBIDDEN
    assert set(get_states().values()) == {"pending"}
