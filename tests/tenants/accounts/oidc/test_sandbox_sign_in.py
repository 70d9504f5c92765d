"""People sign in to the admin site with the sandbox's ScaiKey, over real HTTP."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest
from django.test import Client

from scaiwave.sandbox import Sandbox
from scaiwave.web.scaikey_sign_in import endpoint_cache
from tenants.models import AdminUser, AuditEntry
from tests.databases import RawDatabase, copy_database
from tests.scaiwave import row_factories
from tests.tenants.accounts.oidc.conftest import SCOPES, ScaiKey, find_person
from tests.tenants.accounts.oidc.fake_browser import FakeBrowser, choose_person
from tests.tenants.accounts.oidc.live_site import get_url, serve_site
from tests.web_process import listen

pytestmark = pytest.mark.sandbox(people=60, tenants=3, groups=3)
INSERT_TENANT = (
    "INSERT INTO sw_tenants (id, slug, name, scaikey_tenant_id, contact_email,"
    " scaikey_status, features, created_at, updated_at)"
    " VALUES ('{id}', '{slug}', '{slug}', '{key}', '', '', '{{}}',"
    " '2026-03-04 05:06:07+00:00', '2026-03-04 05:06:07+00:00')"
)


def test_success_a_tenant_admin_signs_in_and_out(
    sandbox: Sandbox, database_url: str, home: Path, request: pytest.FixtureRequest
) -> None:
    copy_database(request.getfixturevalue("migrated"), database_url)
    database = RawDatabase(database_url)
    person = find_person(sandbox)
    key = sandbox.directory.get_tenant_of_user(person["id"])["id"]
    sandbox.directory.set_roles(person["id"], ["tenant_admin"])
    for number, (slug, tenant_key) in enumerate((("own", key), ("other", "tnt_other"))):
        row_id = f"0197b0e24c1f7a3e800000000000000{number}"
        with database.connected() as connection:
            connection.execute(INSERT_TENANT.format(id=row_id, slug=slug, key=tenant_key))
    with listen() as listener:
        url = get_url(listener)
        application = sandbox.clients.issue(
            name="ScaiWave",
            app_scope="GLOBAL",
            app_type="WEB",
            target="",
            scopes=SCOPES,
            redirect_uris=[f"{url}/oidc/callback/"],
        )
        credentials = {
            "SCAIWAVE_SCAIKEY_URL": sandbox.url,
            "SCAIWAVE_SCAIKEY_CLIENT_ID": application.client_id,
            "SCAIWAVE_SCAIKEY_CLIENT_SECRET": sandbox.clients.get_secret(application) or "",
        }
        with serve_site(listener, database_url, home, **credentials):
            sign_in_and_out(FakeBrowser(url), sandbox, person["id"])
    entries = "SELECT action, operator, operator_role, origin FROM sw_audit_entries"
    assert database.rows(entries) == [
        ("sign-in", person["email"], "tenant_admin", "127.0.0.1 via ScaiKey")
    ]


def sign_in_and_out(browser: FakeBrowser, sandbox: Sandbox, person_id: str) -> None:
    page = browser.open("/admin/tenants/tenant/")
    assert page.url.path == "/admin/login/", page.text
    assert page.text.index("Sign in with ScaiKey") < page.text.index('id="id_password"')
    page = browser.click(page, "Sign in with ScaiKey")
    assert str(page.url).startswith(sandbox.url)
    assert browser.get_session_key() is None
    page = browser.choose(page, sandbox_person=person_id)
    assert (page.status_code, page.url.path) == (HTTPStatus.OK, "/admin/tenants/tenant/")
    assert browser.get_session_key()
    assert ">own<" in page.text
    assert ">other<" not in page.text

    page = browser.submit(page, "logout-form")
    assert "ScaiKey ends its session next." in page.text
    page = browser.leave(page)
    assert "You are signed out." in page.text
    assert browser.open("/admin/").url.path == "/admin/login/"


def sign_in(client: Client, **choice: str) -> httpx.Response:
    """Go to ScaiKey and back, and return the last response of this server."""
    there = client.get("/oidc/authenticate/", {"next": "/admin/"})
    assert there.status_code == HTTPStatus.FOUND, there.content.decode()
    back = urlsplit(choose_person(there.headers["Location"], **choice))
    return client.get(f"{back.path}?{back.query}")  # type: ignore[return-value]


@pytest.mark.django_db
def test_success_account_is_known_by_its_id_and_refreshed(scaikey: ScaiKey) -> None:
    person, twin = scaikey.find_person(), scaikey.find_person(1)
    AdminUser.objects.create_superuser("root", email=person["email"])
    for each in (person, twin):
        scaikey.sandbox.directory.set_roles(each["id"], ["super_admin"])
    assert sign_in(Client(), sandbox_person=person["id"]).status_code == HTTPStatus.FOUND
    account = AdminUser.objects.get(scaikey_id=person["id"])
    assert (account.email, account.username) == (person["email"], f"scaikey:{person['id']}")
    assert (account.is_staff, account.is_superuser, account.has_usable_password()) == (False,) * 3
    # Someone else may get the address that a person had.
    scaikey.sandbox.directory.update_user(person["id"], email="new@example.com")
    scaikey.sandbox.directory.update_user(twin["id"], email=person["email"])
    for each in (twin, person):
        sign_in(Client(), sandbox_person=each["id"])
    account.refresh_from_db()
    assert account.email == "new@example.com"
    assert AdminUser.objects.get(scaikey_id=twin["id"]).email == person["email"]
    assert AdminUser.objects.count() == 3


@pytest.mark.django_db
def test_fail_each_way_not_to_get_in_is_a_page(scaikey: ScaiKey) -> None:
    person = scaikey.find_person()
    client = Client()
    refuses(sign_in(client, sandbox_person=person["id"]), "SW_SIGN_IN_NO_ROLE")
    refuses(sign_in(client, sandbox_decision="deny"), "SW_SIGN_IN_CANCELLED")
    scaikey.sandbox.directory.set_roles(person["id"], ["super_admin"])
    own = row_factories.make_tenant("own", scaikey_tenant_id="tnt_own")
    anna = row_factories.make_participant(own, "anna", scaikey_id=person["id"])
    for name, value in (
        ("suspended_by_hand_at", row_factories.NOW),
        ("absent_since", row_factories.NOW + timedelta(days=1)),
        ("scaikey_status", "SUSPENDED"),
    ):
        before = getattr(anna, name)
        setattr(anna, name, value)
        anna.save()
        refuses(sign_in(client, sandbox_person=person["id"]), "SW_SIGN_IN_REFUSED")
        setattr(anna, name, before)
        anna.save()
    assert sign_in(client, sandbox_person=person["id"]).status_code == HTTPStatus.FOUND
    assert client.get("/admin/").status_code == HTTPStatus.OK
    anna.suspended_by_hand_at = row_factories.NOW
    anna.save()
    assert client.get("/admin/").status_code == HTTPStatus.FOUND
    assert {entry.action for entry in AuditEntry.objects.all()} == {"sign-in", "sign-in-failed"}
    anna.suspended_by_hand_at = None
    anna.save()
    assert client.get("/admin/").status_code == HTTPStatus.FOUND
    assert sign_in(client, sandbox_person=person["id"]).status_code == HTTPStatus.FOUND
    assert client.get("/admin/").status_code == HTTPStatus.OK
    AdminUser.objects.update(is_active=False)
    assert client.get("/admin/").status_code == HTTPStatus.FOUND
    refuses(sign_in(Client(), sandbox_person=person["id"]), "SW_SIGN_IN_REFUSED")


def refuses(answer: httpx.Response, code: str) -> None:
    page = answer.content.decode()
    assert answer.status_code == HTTPStatus.FORBIDDEN, page
    assert code in page
    assert "Back to the sign-in page" in page


@pytest.mark.django_db
def test_fail_scaikey_is_down(scaikey: ScaiKey) -> None:
    client = Client()
    there = client.get("/oidc/authenticate/")
    state = dict(parse_qsl(urlsplit(there.headers["Location"]).query))["state"]
    issuer = scaikey.sandbox.url
    scaikey.sandbox.stop()
    answers: list[Any] = [
        client.get("/oidc/callback/", {"code": "x", "state": state, "iss": issuer}),
        forget_endpoints_and_begin(),
    ]
    for answer in answers:
        assert answer.status_code == HTTPStatus.BAD_GATEWAY
        assert "SW_UPSTREAM_UNREACHABLE" in answer.content.decode()
        assert urlsplit(issuer).netloc not in answer.content.decode()


def forget_endpoints_and_begin() -> Any:
    endpoint_cache.clear()
    return Client().get("/oidc/authenticate/")


def test_success_without_a_registration_there_is_only_the_password() -> None:
    page = Client().get("/admin/login/").content.decode()
    assert "ScaiKey" not in page
    assert 'id="id_password"' in page
    for path in ("/oidc/authenticate/", "/oidc/callback/?code=x&state=y"):
        assert Client().get(path).status_code == HTTPStatus.NOT_FOUND
