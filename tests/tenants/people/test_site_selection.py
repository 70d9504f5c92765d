"""Acts on people that were selected in the list of the admin site."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from scaiwave.ids import new_id
from tenants.models import AuditEntry, Participant, Role, RoleGrant, RoleSource
from tests.scaiwave import row_factories

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 1, 1, tzinfo=UTC)
LIST = "admin:tenants_participant_changelist"
SUSPEND = "admin-suspend-participant-names"
RESUME = "admin-resume-participant-names"


def post(client: Client, slug: str, people: list[Any], **values: str) -> Any:
    data = {"rows": [str(person.pk) for person in people], "reason": "merger", **values}
    return client.post(reverse("admin:act", args=[slug]), data)


def find_confirmation(answer: Any) -> str:
    (confirmed,) = re.findall('name="confirmed" value="([^"]+)"', answer.content.decode())
    return str(confirmed)


def make_people(number: int) -> list[Participant]:
    tenant = row_factories.make_tenant("acme")
    return [row_factories.make_participant(tenant, f"p{each}") for each in range(number)]


def count_suspended() -> int:
    return Participant.objects.exclude(suspended_by_hand_at=None).count()


def test_success_forty_people_are_suspended_and_resumed(client: Client) -> None:
    people = make_people(41)
    page = client.get(reverse(LIST)).content.decode()
    assert page.count('name="rows"') == 41
    assert f'formaction="{reverse("admin:act", args=[SUSPEND])}' in page
    for slug, number, verb in ((SUSPEND, 40, "suspended"), (RESUME, 0, "resumed")):
        asked = post(client, slug, people[:40])
        assert "40" in asked.context["question"], asked.context["question"]
        done = post(client, slug, people[:40], confirmed=find_confirmation(asked))
        assert (done.status_code, done["Location"]) == (HTTPStatus.FOUND, reverse(LIST))
        assert f"40 people {verb}." in client.get(reverse(LIST)).content.decode()
        assert count_suspended() == number
    assert AuditEntry.objects.filter(action="suspend-participant").count() == 40


def test_success_the_list_keeps_its_filter_and_the_form_names_the_people(client: Client) -> None:
    people = make_people(7)
    tenant = people[0].tenant_id
    query = f"tenant={tenant}&amp;status=active"
    page = client.get(reverse(LIST), {"tenant": str(tenant), "status": "active", "p": "1"})
    assert f'formaction="{reverse("admin:act", args=[SUSPEND])}?{query}"' in (page.content.decode())
    url = f"{reverse('admin:act', args=[SUSPEND])}?tenant={tenant}&status=active"
    data: dict[str, Any] = {"rows": [each.pk for each in people], "chosen": "1"}
    names = [f"P{each} (@p{each}.acme:localhost)" for each in range(5)]
    form = client.post(url, data).content.decode()
    assert f"<p>7 selected: {', '.join(names)} and 2 more.</p>" in form
    assert f'<a href="{reverse(LIST)}?{query}">Cancel</a>' in form
    one = client.post(url, {**data, "rows": [people[0].pk, "x"]}).content.decode()
    assert f"<p>1 selected: {names[0]}.</p>" in one
    data = {"rows": data["rows"], "reason": "merger"}
    asked = client.post(url, data)
    assert "<p>7 selected" not in asked.content.decode()
    done = client.post(url, {**data, "confirmed": find_confirmation(asked)})
    assert done["Location"] == f"{reverse(LIST)}?tenant={tenant}&status=active"


def test_success_people_are_counted_by_what_became_of_them(client: Client) -> None:
    people = make_people(11)
    Participant.objects.filter(pk__in=[each.pk for each in people[2:]]).update(
        scaikey_status="SUSPENDED"
    )
    of_three = Participant.objects.filter(pk__in=[each.pk for each in people[:3]])
    of_three.update(suspended_by_hand_at=NOW)
    Participant.objects.filter(pk=people[3].pk).update(scaikey_status="ACTIVE")
    for slug, sentence in (
        (
            RESUME,
            "2 people resumed; 1 person resumed, but still suspended in ScaiKey; 1 person already "
            "active; 7 people still suspended in ScaiKey.",
        ),
        (SUSPEND, "11 people suspended."),
    ):
        asked = post(client, slug, people)
        assert asked.context["question"].endswith(f" Expected: {sentence}")
        post(client, slug, people, confirmed=find_confirmation(asked))
        assert sentence in client.get(reverse(LIST)).content.decode()
    of_three.update(suspended_by_hand_at=None)
    asked = post(client, SUSPEND, people)
    post(client, SUSPEND, people, confirmed=find_confirmation(asked))
    page = client.get(reverse(LIST)).content.decode()
    assert "3 people suspended; 8 people already suspended." in page
    post(client, SUSPEND, people)
    assert "11 people already suspended." in client.get(reverse(LIST)).content.decode()


def test_fail_a_confirmation_is_about_the_people_who_were_named(client: Client) -> None:
    people = make_people(3)
    confirmed = find_confirmation(post(client, SUSPEND, people[:2]))
    again = post(client, SUSPEND, people[1:], confirmed=confirmed)
    assert "The question has changed since you were asked." in again.content.decode()
    assert count_suspended() == 0


def test_fail_one_unknown_person_stops_all(client: Client) -> None:
    people = make_people(2)
    unknown = Participant(pk=new_id())
    answer = post(client, SUSPEND, [*people, unknown])
    assert answer.status_code == HTTPStatus.CONFLICT
    assert "SW_PARTICIPANT_NOT_FOUND" in answer.content.decode()
    assert count_suspended() == 0


def test_success_a_role_is_granted_to_people_and_revoked_from_them(client: Client) -> None:
    people = make_people(3)
    row_factories.make_participant(row_factories.make_tenant("other"), "zoe")
    Role.objects.create(tenant=people[0].tenant, slug="editors", name="Editors", created_at=NOW)
    for slug, number, past in (
        ("role-grant-role-from-file-file", 3, "granted to"),
        ("role-revoke-role-from-file-file", 0, "revoked from"),
    ):
        empty = client.post(
            reverse("admin:act", args=[slug]), {"chosen": "1", "rows": [p.pk for p in people]}
        )
        assert not empty.context["form"].errors
        asked = post(client, slug, people, role="editors")
        assert "role editors" in asked.context["question"]
        done = post(client, slug, people, role="editors", confirmed=find_confirmation(asked))
        assert f"Role editors {past} 3 people." in client.get(done["Location"]).content.decode()
        assert RoleGrant.objects.count() == number
        if number:
            RoleGrant.objects.filter(participant=people[0]).update(source=RoleSource.SCAIKEY)
            RoleGrant.objects.filter(participant=people[1]).delete()
            asked = post(client, slug, people, role="editors")
            outcome = (
                "converted to a manual grant for 1 person; granted to 1 person; already granted to "
                "1 person."
            )
            both = "(P0 (@p0.acme:localhost), P1 (@p1.acme:localhost))."
            assert asked.context["question"].endswith(f"{both} Expected: {outcome}")
            post(client, slug, people, role="editors", confirmed=find_confirmation(asked))
            assert f"Role editors {outcome}" in client.get(done["Location"]).content.decode()
    post(client, "role-revoke-role-from-file-file", people, role="editors")
    page = client.get(reverse(LIST)).content.decode()
    assert "Role editors not granted to 3 people." in page


def test_fail_a_role_is_of_one_tenant(client: Client) -> None:
    people = [*make_people(1), row_factories.make_participant(row_factories.make_tenant("other"))]
    for values in ({"chosen": "1"}, {"role": "tenant_admin"}):
        answer = post(client, "role-grant-role-from-file-file", people, **values)
        assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, reverse(LIST))
        assert "Select rows of one tenant" in client.get(reverse(LIST)).content.decode()
    assert not RoleGrant.objects.exists()


def test_fail_a_role_is_not_granted_to_removed_people(client: Client) -> None:
    """Revoked it is: they may come back."""
    people = make_people(2)
    Participant.objects.filter(pk=people[1].pk).update(absent_since=NOW)
    answer = post(client, "role-grant-role-from-file-file", people, chosen="1")
    assert (answer.status_code, answer["Location"]) == (HTTPStatus.FOUND, reverse(LIST))
    message = client.get(reverse(LIST)).content.decode()
    assert "Removed from ScaiKey: P1 (@p1.acme:localhost). Deselect these first." in message
    asked = post(client, "role-revoke-role-from-file-file", people, chosen="1")
    assert asked.status_code == HTTPStatus.OK
