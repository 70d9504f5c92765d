"""What administrators do in the admin site, each with at most six clicks and without a terminal."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from scaiwave.web.scaikey_sign_in import CALLBACK_PATH
from tests.browser.chromium import WatchedPage, run_chromium
from tests.browser.conftest import run_sample_server
from tests.tools import NIGHTLY

MAX_CLICKS = 6
SCAIKEY = {
    "SCAIWAVE_SCAIKEY_URL": "http://127.0.0.1:9",
    "SCAIWAVE_SCAIKEY_CLIENT_ID": "app",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "secret",
    "SCAIWAVE_SCAIKEY_REDIRECT_URI": f"http://localhost:8000{CALLBACK_PATH}",
}
"""The settings of a ScaiKey that is down: former sign-ins count, and no one can begin another."""

pytestmark = [
    pytest.mark.only_on("sqlite"),
    pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set."),
]


@pytest.fixture(scope="module")
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    home = tmp_path_factory.mktemp("used")
    with run_sample_server(request, home, "create_site_to_use", SCAIKEY) as running:
        yield running


@pytest.fixture(scope="module")
def browser(server: tuple[str, dict[str, str]]) -> Iterator[Browser]:
    with run_chromium() as running:
        yield running


class User:
    """Someone at the page, whose clicks are counted. Choosing in a list is a click, as is Enter."""

    def __init__(self, page: Page, downloads: Path) -> None:
        self.page = page
        self.downloads = downloads
        self.clicks = 0

    def click(self, name: str, role: str = "link", *, within: str = "body") -> None:
        self.clicks += 1
        self.page.locator(within).get_by_role(role, name=name, exact=True).first.click()  # type: ignore[arg-type]

    def press(self, name: str) -> None:
        self.click(name, "button")

    def tick(self, css: str) -> None:
        self.clicks += 1
        self.page.locator(css).first.check()

    def open(self, name: str) -> None:
        self.click(name, within="#nav-sidebar tr")

    def row(self, text: str = "") -> None:
        self.clicks += 1
        rows = self.page.locator("#result_list tbody tr").filter(has_text=text)
        rows.first.locator("th a").click()

    def start(self, act: str) -> None:
        """Open an act of the page, which may be in its menu."""
        self.page.wait_for_load_state()
        self.page.locator(".acts").wait_for()
        if not self.page.locator(".acts").get_by_role("link", name=act, exact=True).is_visible():
            self.clicks += 1
            self.page.locator(".more > summary").click()
        self.click(act, within=".acts")

    def find(self, term: str, text: str) -> None:
        self.page.locator("#site-search-term").press_sequentially(term)
        self.clicks += 1
        self.page.locator("[role=option]").filter(has_text=text).first.click()

    def type(self, label: str, text: str) -> None:
        self.page.get_by_label(label, exact=True).fill(text)

    def pick(self, label: str, value: str) -> None:
        self.clicks += 1
        self.page.get_by_label(label, exact=True).select_option(value)

    def choose_file(self, path: Path) -> None:
        self.clicks += 1
        self.page.locator("input[type=file]").set_input_files(path)

    def download(self, button: str) -> Path:
        with self.page.expect_download() as download:
            self.press(button)
        path = self.downloads / download.value.suggested_filename
        download.value.save_as(path)
        return path

    def sees(self, text: str) -> None:
        self.page.locator("main, #content").get_by_text(re.compile(text)).first.wait_for()


def find_out_why_anna_cannot_sign_in(user: User) -> None:
    user.find("anna berg", "Anna Berg")
    user.sees("can.t sign in")
    user.sees("suspended manually")


def see_what_the_last_sync_changed(user: User) -> None:
    user.open("Sync runs")
    user.row("partial")
    user.sees("updated")


def see_changes_of_syncs(user: User) -> None:
    """Runs of all tenants are not shown to administrators of some, but their changes are."""
    user.open("Sync changes")
    user.sees("acme")


def approve_fourteen_of_twenty(user: User) -> None:
    user.open("Pending removals")
    user.tick("[data-rows]:has-text('cobalt') [data-all]")
    user.press("Approve selected")
    user.sees("14")
    user.press("Yes: Approve selected")
    user.sees("6 other removals still wait")


def suspend_a_tenant(user: User) -> None:
    user.find("cobal", "cobalt")
    user.start("Suspend")
    user.type("Reason", "unpaid")
    user.press("Suspend")
    user.sees("until you choose Resume on the page of the tenant")
    user.press("Yes: Suspend")
    user.sees("Tenant cobalt suspended")


def resume_a_tenant(user: User) -> None:
    user.find("cobal", "cobalt")
    user.start("Resume")
    user.type("Reason", "paid")
    user.press("Resume")
    user.sees("Tenant cobalt resumed")


def change_a_limit(user: User) -> None:
    user.find("acm", "acme")
    user.start("Change limits")
    limit = user.page.get_by_label("Active participants")
    limit.fill("1" if limit.input_value() == "2" else "2")
    user.press("Change limits")
    user.sees("exceeds the new limit")
    user.press("Yes: Change limits")
    user.sees("max_participants")


def grant_a_role(user: User) -> None:
    user.find("anna berg", "Anna Berg")
    user.start("Grant a role")
    user.pick("Role", "tenant_admin")
    user.type("Reason", "deputy")
    user.press("Grant a role")
    user.sees("This grants role tenant_admin")
    user.press("Yes: Grant a role")
    user.sees("(Role|has role) tenant_admin (granted|from ScaiKey)")


def revoke_a_role(user: User) -> None:
    user.find("anna berg", "Anna Berg")
    user.click("Roles", within=".tabs")
    user.row("tenant_admin")
    user.start("Revoke")
    user.type("Reason", "back")
    user.press("Revoke")
    user.press("Yes: Revoke")
    user.sees("Role tenant_admin revoked")
    assert user.page.locator(".heading h1").inner_text() == "Anna Berg"


def download_a_room(user: User) -> None:
    user.open("Rooms")
    user.row("acme")
    user.start("Download bundle")
    user.type("Reason", "request of the owner")
    path = user.download("Download bundle")
    path.rename(user.downloads / "room.zip")


def verify_a_bundle(user: User) -> None:
    user.open("Rooms")
    user.start("Verify a bundle")
    user.choose_file(user.downloads / "room.zip")
    user.press("Verify a bundle")
    user.sees("The bundle is valid")


def import_a_bundle_after_a_dry_run(user: User) -> None:
    user.open("Workspaces")
    user.row("acme")
    user.start("Import a room")
    user.page.get_by_label("Don't import a bundle twice into this workspace").uncheck()
    user.page.get_by_label("Dry run: check everything, change nothing").check()
    user.choose_file(user.downloads / "room.zip")
    user.press("Import a room")
    user.sees("Would import")
    user.page.get_by_label("Dry run: check everything, change nothing").uncheck()
    user.press("Import a room")
    user.page.wait_for_url("**/rooms/room/*/change/")
    user.sees("Imported room")


def rotate_the_key(user: User) -> None:
    user.open("Server keys")
    user.row("signing")
    key_id = user.page.locator("h1").inner_text()
    user.start("Rotate")
    user.page.locator("form.act input[type=text]").fill(key_id.split()[-1])
    user.press("Rotate")
    user.sees("30 days")
    user.page.wait_for_url("**/federation/serverkey/*/change/")


def list_tenants_near_a_limit_as_csv(user: User) -> None:
    user.open("Tenants")
    user.clicks += 1
    user.page.locator("#changelist-filter summary").filter(has_text="Limits").click()
    user.click("80% of a limit or more")
    rows = list(csv.DictReader(user.download("CSV").read_text().splitlines()))
    assert rows
    assert {"rooms", "rooms_limit", "rooms_percent"} <= rows[0].keys()


def see_who_did_what_yesterday(user: User) -> None:
    yesterday = f"{datetime.now(UTC) - timedelta(days=1):%Y-%m-%d}"
    user.open("Audit entries")
    user.type("From", yesterday)
    user.type("To", yesterday)
    user.press("Apply")
    assert user.page.url.count(yesterday) == 2
    user.sees("Audit entries")


def run_a_failed_job_again(user: User) -> None:
    user.open("Jobs")
    user.click("Run again")
    user.press("Run again")
    user.sees("Jobs")


def start_a_dry_run(user: User) -> None:
    user.open("Sync runs")
    user.start("Dry run")
    user.press("Dry run")
    user.sees("Sync runs|dry run|no worker|worker")


def disable_an_administrator(user: User) -> None:
    user.open("Administrators")
    user.row("otto")
    user.start("Disable")
    user.press("Disable")
    user.sees("ends their sessions")
    user.press("Yes: Disable")
    user.sees("otto disabled")


def suspend_forty_people(user: User) -> None:
    user.open("People")
    rows = user.page.locator("#result_list tbody tr")
    rows.nth(49).wait_for()
    user.tick("#result_list [data-all]")
    active = rows.filter(has_text="active")
    for row in (*rows.filter(has_not_text="active").all(), *active.all()[40:]):
        row.locator("[name=rows]").uncheck()
    user.press("Suspend selected")
    user.type("Reason", "merger")
    user.press("Suspend selected")
    user.sees("40 participants")
    user.press("Yes: Suspend selected")
    user.sees("40 people suspended")


Task = Callable[[User], None]
OF_TENANT: list[Task] = [
    find_out_why_anna_cannot_sign_in,
    see_changes_of_syncs,
    download_a_room,
    verify_a_bundle,
    import_a_bundle_after_a_dry_run,
    list_tenants_near_a_limit_as_csv,
    see_who_did_what_yesterday,
]
OF_PARTNER: list[Task] = [*OF_TENANT, grant_a_role, revoke_a_role, change_a_limit]
OF_PLATFORM: list[Task] = [
    *OF_PARTNER,
    see_what_the_last_sync_changed,
    approve_fourteen_of_twenty,
    suspend_a_tenant,
    resume_a_tenant,
    rotate_the_key,
    run_a_failed_job_again,
    start_a_dry_run,
    disable_an_administrator,
    suspend_forty_people,
]


@pytest.mark.parametrize(
    ("role", "tasks"),
    [("tenant", OF_TENANT), ("partner", OF_PARTNER), ("platform", OF_PLATFORM)],
)
def test_success_each_task_takes_six_clicks(
    role: str,
    tasks: list[Task],
    browser: Browser,
    server: tuple[str, dict[str, str]],
    tmp_path: Path,
) -> None:
    url, sessions = server
    watched = WatchedPage(browser, url, sessions[role], accept_downloads=True)
    watched.page.set_default_timeout(30_000)
    clicks = {}
    for task in tasks:
        watched.open("/admin/")
        user = User(watched.page, tmp_path)
        task(user)
        clicks[task.__name__] = user.clicks
    assert {name: number for name, number in clicks.items() if number > MAX_CLICKS} == {}
    assert watched.take_problems() == []
    watched.context.close()
