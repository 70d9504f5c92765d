"""A person signs in and out in a browser, with an OpenID Connect server that we did not write."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect, sync_playwright

from tests.browser.chromium import NAMES
from tests.databases import RawDatabase, copy_database
from tests.tenants.oidc import iam_process as iam
from tests.tenants.oidc.live_site import get_url, serve_site
from tests.tools import require_tool
from tests.web_process import listen

pytestmark = pytest.mark.once


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
            yield f"http://localhost:{port}"
        finally:
            process.terminate()


@contextmanager
def open_page() -> Iterator[Page]:
    """Open a page in the browser of this host, whose errors fail the test."""
    program = require_tool(*NAMES)
    options = ["--disable-gpu", "--disable-background-networking", "--no-first-run"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=options)
        try:
            page = browser.new_page()
            problems: list[str] = []
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on(
                "console",
                lambda message: problems.append(message.text) if message.type == "error" else None,
            )
            yield page
            assert problems == []
        finally:
            browser.close()


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
        open_page() as page,
    ):
        sign_in_and_out(page, get_url(listener), issuer)
    database = RawDatabase(database_url)
    assert database.rows("SELECT action, operator, operator_role FROM sw_audit_entries") == [
        ("sign-in", iam.EMAIL, "super_admin")
    ]


def sign_in_and_out(page: Page, url: str, issuer: str) -> None:
    page.goto(f"{url}/admin/tenants/tenant/?q=acme")
    assert page.locator("#id_password").count() == 0
    page.get_by_role("link", name="Sign in with ScaiKey").click()
    assert page.url.startswith(issuer)
    page.locator("input[name=login]").fill(iam.USERNAME)
    page.locator("[type=submit]").first.click()
    page.locator("input[name=password]").fill(iam.PASSWORD)
    page.locator("[type=submit]").first.click()

    expect(page).to_have_url(f"{url}/admin/tenants/tenant/?q=acme")
    expect(page.get_by_role("heading", name="Tenants", exact=True)).to_be_visible()
    page.goto(f"{url}/admin/")
    expect(page.get_by_text("Last successful full sync")).to_be_visible()

    page.locator("#logout-form button").click()
    expect(page.get_by_text("You are signed out of this server.")).to_be_visible()
    page.wait_for_url(f"{issuer}/**")
    page.goto(f"{url}/admin/")
    assert page.url.startswith(f"{url}/admin/login/")
