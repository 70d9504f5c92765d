"""The ID token of a sign-in: encrypted in the session, posted at the sign-out, and no access."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.contrib.sessions.models import Session
from django.test import Client
from pytest_django import Settings

from scaiwave.auth.identify import identify_operator
from scaiwave.config import load
from scaiwave.core.errors import InvalidToken
from scaiwave.web.scaikey_sign_in import endpoint_cache
from tests.tenants.accounts.oidc.conftest import ENCRYPTION_KEY, Register, ScaiKey
from tests.tenants.accounts.oidc.test_sandbox_sign_in import sign_in

pytestmark = [pytest.mark.django_db, pytest.mark.sandbox(people=60, tenants=3, groups=3)]
DISCOVERY = "/api/v1/platform/oauth/.well-known/openid-configuration"


def enter(scaikey: ScaiKey) -> Client:
    """Return a client that has signed in."""
    person = scaikey.find_person()
    scaikey.sandbox.directory.set_roles(person["id"], ["super_admin"])
    client = Client()
    assert sign_in(client, sandbox_person=person["id"]).status_code == HTTPStatus.FOUND
    return client


def leave(client: Client) -> Any:
    return client.post("/admin/logout/")


def list_stored_texts() -> list[str]:
    return [str(session.get_decoded()) for session in Session.objects.all()]


def get_token(client: Client) -> str:
    """Sign out, and return the ID token that goes to ScaiKey."""
    return str(leave(client).context["sign_out_form"].fields["id_token_hint"])


def test_success_the_token_is_encrypted_and_posted(scaikey: ScaiKey) -> None:
    client = enter(scaikey)
    (stored,) = list_stored_texts()
    assert "scaikey_sign_out" in stored
    page = leave(client)
    form = page.context["sign_out_form"]
    token = form.fields["id_token_hint"]
    assert token.count(".") == 2
    assert not any(part in stored for part in token.split("."))
    assert form.address == f"{scaikey.sandbox.url}/api/v1/platform/oauth/logout"
    text = page.content.decode()
    assert f'<form id="scaikey-sign-out" method="post" action="{form.address}">' in text
    assert text.count(token) == 1
    assert f'name="id_token_hint" value="{token}"' in text
    assert "no-store" in page.headers["Cache-Control"]
    assert f"form-action {scaikey.sandbox.url};" in page.headers["Content-Security-Policy"]
    assert "form-action 'self'" in client.get("/admin/login/").headers["Content-Security-Policy"]
    assert not Session.objects.exists()


def test_success_a_key_that_is_gone_only_costs_the_hint(
    scaikey: ScaiKey, settings: Settings
) -> None:
    client, kept = enter(scaikey), enter(scaikey)
    values = dict(settings.CONFIG.environment)
    newer = Fernet.generate_key().decode()
    settings.CONFIG = load({**values, "SCAIWAVE_ENCRYPTION_KEYS": f"{newer},{ENCRYPTION_KEY}"})
    assert get_token(kept)
    settings.CONFIG = load({**values, "SCAIWAVE_ENCRYPTION_KEYS": newer})
    assert client.get("/admin/").status_code == HTTPStatus.OK
    page = leave(client)
    assert page.context["sign_out_form"].fields.keys() == {"client_id"}
    assert "Sign out of ScaiKey" in page.content.decode()


@pytest.mark.parametrize("keys", ["", "no Fernet key"])
def test_success_without_a_key_the_token_is_not_kept(
    register: Register, keys: str, caplog: pytest.LogCaptureFixture
) -> None:
    address = "postgres://user@host/name"  # which has no keys of its own
    scaikey = register(SCAIWAVE_ENCRYPTION_KEYS=keys, SCAIWAVE_DB_URL=address)
    client = enter(scaikey)
    assert "Sign-outs send ScaiKey no ID token: SCAIWAVE_ENCRYPTION_KEYS" in caplog.text
    assert leave(client).context["sign_out_form"].fields.keys() == {"client_id"}


def test_success_without_an_address_nothing_is_sent(scaikey: ScaiKey) -> None:
    client = enter(scaikey)
    platform = f"{scaikey.sandbox.url}/api/v1/platform/oauth"
    document = {
        "issuer": scaikey.sandbox.url,
        "authorization_endpoint": f"{platform}/authorize",
        "token_endpoint": f"{platform}/token",
    }
    endpoint_cache.clear()
    scaikey.sandbox.faults.add("status", path=DISCOVERY, status=HTTPStatus.OK, body=document)
    page = leave(client)
    assert page.context["sign_out_form"] is None
    assert "You may still be signed in to ScaiKey." in page.content.decode()
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]


def test_fail_scaikey_is_down_at_the_sign_out(scaikey: ScaiKey) -> None:
    client = enter(scaikey)
    endpoint_cache.clear()
    scaikey.sandbox.stop()
    page = leave(client)
    assert "You may still be signed in to ScaiKey: ScaiKey can&#x27;t be reached now" in (
        page.content.decode()
    )
    assert client.get("/admin/").status_code == HTTPStatus.FOUND


@pytest.mark.sandbox(people=60, tenants=3, groups=3, at_hash=False)
def test_fail_an_id_token_without_at_hash_acts_for_no_one(
    scaikey: ScaiKey, settings: Settings
) -> None:
    """The person has signed in with it, and the server itself has sent it to the browser."""
    token = get_token(enter(scaikey))
    answer = Client().get("/v1/rooms/lobby/export", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == HTTPStatus.UNAUTHORIZED
    assert "only proves a sign-in" in answer.json()["error"]["message"]
    config = load({**settings.CONFIG.environment, "SCAIWAVE_ADMIN_TOKEN": token})
    with pytest.raises(InvalidToken, match="only proves a sign-in"):
        identify_operator(config)
