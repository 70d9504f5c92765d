"""Keys, policy and peers in the admin site."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from federation.models import KnownPeer, Policy, ServerKey
from tests.scaiwave.site.pages import read_column, strip_markup

pytestmark = pytest.mark.django_db
KEYS = "admin:federation_serverkey_changelist"


def make_key(name: str, age_days: float, **fields: Any) -> ServerKey:
    at = timezone.now() - timedelta(days=age_days)
    values = {"created_at": at, "signs_from": at, "public_key": "cHVi", **fields}
    return ServerKey.objects.create(key_id=name, private_key_encrypted="x", **values)


@pytest.mark.parametrize(
    ("age_days", "text", "left"),
    [
        (20.5, "345 days until rotation", 345),
        (350.5, "15 days until rotation", 15),
        (400.5, "rotation is due", 0),
    ],
)
def test_success_signing_key_shows_the_days_left_as_a_bar(
    age_days: float, text: str, left: int, client: Client
) -> None:
    key = make_key("current", age_days)
    make_key("old", 500, retires_at=timezone.now() + timedelta(days=9, hours=1))
    make_key("gone", 900, revoked_at=timezone.now())
    assert read_column(client, KEYS, "state") == ["signing", "checks old signatures", "revoked"]
    assert read_column(client, KEYS, "days_left") == [text, "10 days until it expires", "-"]
    url = reverse("admin:federation_serverkey_change", args=[key.pk])
    with CaptureQueriesContext(connection) as caught:
        page = client.get(url).content.decode()
    assert len(caught) <= 12
    assert f'<meter min="0" max="365" low="1" high="30" optimum="365" value="{left}">' in page


@pytest.mark.parametrize(
    ("mode", "sentence"),
    [
        ("open", "The policy in force is open: every server may federate. A room may have 5"),
        ("invite_only", "listed servers may federate. It allows 1 server. A room may have 5"),
        ("closed", "this server federates with no other. This server knows 2 other servers."),
    ],
)
def test_success_policy_in_force_is_above_every_list(
    mode: str, sentence: str, client: Client
) -> None:
    Policy.objects.create(
        default_mode=mode,
        allowed_peers=["a.example"],
        max_foreign_participants_per_room=5,
        updated_at=timezone.now(),
    )
    for name in ("a.example", "b.example"):
        KnownPeer.objects.create(
            server_name=name,
            public_key="cHVi",
            first_seen_at=timezone.now(),
            last_seen_at=timezone.now(),
        )
    for model in ("serverkey", "policy", "knownpeer"):
        page = client.get(reverse(f"admin:federation_{model}_changelist")).content.decode()
        assert sentence in strip_markup(page)
        link = '<a href="/admin/federation/knownpeer/">2 other servers</a>'
        assert (link in page) is (model != "knownpeer")
    badges = read_column(client, "admin:federation_knownpeer_changelist", "policy_badge")
    assert [text.split()[0] for text in badges] == {
        "open": ["allowed", "allowed"],
        "invite_only": ["allowed", "refused"],
        "closed": ["refused", "refused"],
    }[mode]


@pytest.mark.parametrize("is_stored", [False, True])
def test_success_the_list_of_policies_shows_the_one_in_force(
    is_stored: bool, client: Client
) -> None:
    if is_stored:
        Policy.objects.create(
            default_mode="invite_only", allowed_peers=["a.example"], updated_at=timezone.now()
        )
    page = client.get(reverse("admin:federation_policy_changelist")).content.decode()
    text = strip_markup(page.partition('class="card policy"')[2])
    mode = "invite only Allowed servers a.example" if is_stored else "closed Allowed servers -"
    assert f"Policy in force Default mode {mode} Max foreign participants" in text
    assert "Changed never" in text or is_stored
    for absent in ("No rows match.", "0 policies", "1 policy"):
        assert absent not in page


def test_success_the_page_of_a_key_leads_to_policy_and_peers(client: Client) -> None:
    key = make_key("current", 1)
    page = client.get(reverse("admin:federation_serverkey_change", args=[key.pk])).content.decode()
    badge = '<span class="badge neutral">closed</span>'
    assert f'<a href="/admin/federation/policy/">{badge}</a> The policy in force is closed' in page
    assert '<a href="/admin/federation/knownpeer/">0 other servers</a>' in page
