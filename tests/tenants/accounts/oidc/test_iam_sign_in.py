"""A person signs in and out in a browser, with an OpenID Connect server that we did not write."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import NAMES, WatchedPage, run_chromium
from tests.databases import RawDatabase, copy_database
from tests.tenants.accounts.oidc import iam_process as iam
from tests.tenants.accounts.oidc.live_site import get_url, serve_site
from tests.tools import require_tool
from tests.web_process import listen

pytestmark = [pytest.mark.once, pytest.mark.ci]


@contextmanager
def run_identity_provider(redirect_uri: str) -> Iterator[str]:
    """Run Canaille, and yield its address."""
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = reserved.getsockname()[1]
    command = [sys.executable, "-m", iam.__name__, str(port), redirect_uri]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def test_success_a_person_signs_in_and_out_in_a_browser(
    database_url: str, home: Path, request: pytest.FixtureRequest
) -> None:
    require_tool(*NAMES)
    copy_database(request.getfixturevalue("migrated"), database_url)
    with (
        listen() as listener,
        run_identity_provider(f"{get_url(listener)}/oidc/callback/") as issuer,
        serve_site(
            listener,
            database_url,
            home,
            SCAIWAVE_SCAIKEY_URL=issuer,
            SCAIWAVE_SCAIKEY_CLIENT_ID=iam.CLIENT_ID,
            SCAIWAVE_SCAIKEY_CLIENT_SECRET=iam.CLIENT_SECRET,
            SCAIWAVE_ADMIN_PASSWORD_SIGN_IN="false",
            SCAIWAVE_REQUIRE_ADMIN_TOKEN="true",
        ),
        run_chromium() as browser,
    ):
        watched = WatchedPage(browser, get_url(listener))
        sign_in_and_out(watched, issuer)
        # The other server is the one to sign in at.
        problems = [each for each in watched.take_problems() if issuer not in each]
        assert problems == []
    database = RawDatabase(database_url)
    assert database.rows("SELECT action, operator, operator_role FROM sw_audit_entries") == [
        ("sign-in", iam.EMAIL, "super_admin")
    ]


def sign_in_and_out(watched: WatchedPage, issuer: str) -> None:
    page, url = watched.page, watched.origin
    watched.open("/oidc/callback/?code=x&state=y", status=400)
    assert watched.find_violations() == []
    page.goto(f"{url}/admin/tenants/tenant/?q=acme")
    assert page.locator("#id_password").count() == 0
    assert watched.find_violations() == []
    page.get_by_role("link", name="Sign in with ScaiKey").click()
    assert page.url.startswith(issuer)
    page.locator("input[name=login]").fill(iam.USERNAME)
    page.locator("[type=submit]").first.click()
    page.locator("input[name=password]").fill(iam.PASSWORD)
    page.locator("[type=submit]").first.click()

    expect(page).to_have_url(f"{url}/admin/tenants/tenant/?q=acme")
    expect(page.get_by_role("heading", name="Tenants", exact=True)).to_be_visible()
    page.goto(f"{url}/admin/")
    expect(page.get_by_role("heading", name="Health", exact=True)).to_be_visible()

    page.locator("#logout-form button").click()
    page.wait_for_url(f"{issuer}/**")
    page.goto(f"{url}/admin/")
    assert page.url.startswith(f"{url}/admin/login/")
