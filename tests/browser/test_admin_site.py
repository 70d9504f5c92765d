"""Every page of the admin site in a real browser: accessible, complete, at every width."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import NARROW, WIDE, WatchedPage, run_chromium
from tests.browser.conftest import SampleServer
from tests.browser.pages import SitePage, list_pages

# On one database only: what the browser sees does not depend on it.
pytestmark = [pytest.mark.only_on("sqlite"), pytest.mark.once]


@pytest.fixture(scope="module")
def browser(sample_server: SampleServer) -> Iterator[Browser]:
    with run_chromium() as running:
        yield running


@pytest.fixture
def watched(browser: Browser, sample_server: SampleServer) -> Iterator[WatchedPage]:
    """A page of an administrator who is signed in."""
    opened = WatchedPage(browser, sample_server.url, sample_server.session)
    yield opened
    opened.context.close()


@pytest.fixture
def anonymous(browser: Browser, sample_server: SampleServer) -> Iterator[WatchedPage]:
    opened = WatchedPage(browser, sample_server.url)
    yield opened
    opened.context.close()


def check(watched: WatchedPage, page: SitePage) -> list[str]:
    """Return what is wrong with a page at both widths, in the light colour scheme."""
    watched.open(page.path, status=page.status)
    watched.save_screenshot(f"{page.name}-{WIDE}-light")
    watched.resize(NARROW)
    watched.save_screenshot(f"{page.name}-{NARROW}-light")
    excess = watched.get_excess_width()
    found = [f"{excess} pixels too wide at {NARROW}"] if excess else []
    watched.resize(WIDE)
    if page.kind != "tab":  # a list that is tested, below the heading of a row that is tested
        found += watched.find_violations()
    return found + watched.take_problems()


def check_colours_and_widths(watched: WatchedPage, page: SitePage) -> list[str]:
    """Return what is wrong with the open page in the dark colour scheme, or if it is narrow.

    Pages of one kind share their styles, so that one of them is enough.
    """
    watched.page.emulate_media(color_scheme="dark")
    watched.save_screenshot(f"{page.name}-{WIDE}-dark")
    found = [f"dark: {each}" for each in watched.find_violations("color-contrast")]
    watched.resize(NARROW)
    watched.save_screenshot(f"{page.name}-{NARROW}-dark")
    found += [f"dark, narrow: {each}" for each in watched.find_violations()]
    watched.page.emulate_media(color_scheme="light")
    found += [f"narrow: {each}" for each in watched.find_violations("color-contrast")]
    watched.resize(WIDE)
    return found


def walk(watched: WatchedPage, pages: list[SitePage]) -> dict[str, list[str]]:
    """Return what is wrong with each page, also with the tabs of rows, each of them once."""
    problems, kinds, tabs = {}, set(), set()
    for page in (queue := list(pages)):
        found = check(watched, page)
        if page.kind not in kinds:
            kinds.add(page.kind)
            found += check_colours_and_widths(watched, page)
        if found:
            problems[page.name] = found
        for link in watched.page.locator(".tabs a").all() if page.kind == "row" else ():
            path = link.get_attribute("href") or ""
            tab = f"{page.name.partition('-')[0]}-tab-{(link.text_content() or '').lower()}"
            if tab not in tabs and urlsplit(path).query:
                tabs.add(tab)
                queue.append(SitePage("tab", tab, path))
    return problems


def test_success_every_page_is_accessible_and_fits(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    assert walk(watched, list_pages(sample_server.rows, sample_server.acts)) == {}


def test_success_pages_without_sign_in_are_accessible_and_fit(anonymous: WatchedPage) -> None:
    assert walk(anonymous, [SitePage("login", "login", "/admin/login/")]) == {}
