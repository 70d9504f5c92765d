"""The pages of a transcript in Chromium, opened from a disk: by a double click, as it were."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Browser, Page

from tests.browser.chromium import (
    HEIGHT,
    NARROW,
    SCREENSHOTS,
    WIDE,
    run_chromium,
    saves_screenshots,
)
from tests.rooms.bundle.factories import make_event
from tests.rooms.transcripts.factories import make_message, make_sample, write
from tests.rooms.transcripts.test_injection import INJECTIONS, make_hostile
from tests.tools import require_tool

pytestmark = [pytest.mark.once, pytest.mark.slow]

RUN_AXE = """() => axe.run(document, {preload: false}).then(
    results => results.violations.map(each => `${each.id} ${each.nodes[0].html}`))"""
EVENT = "#e-01900000-0000-7000-8000-0000000010"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_chromium() as started:
        yield started


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(make_sample(), "html", tmp_path_factory.mktemp("sample"))


class OfflinePage:
    """A page without a network. `problems` are messages, failures, and requests for other files."""

    def __init__(self, browser: Browser, directory: Path, **options: Any) -> None:
        self.directory = directory
        self.problems: list[str] = []
        self.context = browser.new_context(reduced_motion="reduce", **options)
        self.context.route(re.compile("^(?!file:|data:)"), lambda route: route.abort())
        self.page: Page = self.context.new_page()
        self.page.on("console", lambda message: self.problems.append(message.text))
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("request", lambda request: self._note(request.url))
        self.page.on("dialog", lambda dialog: self.problems.append("dialog"))

    def _note(self, url: str) -> None:
        if not url.startswith((f"file://{self.directory}/", "data:")):
            self.problems.append(url)

    def open(self, name: str) -> Page:
        self.page.goto(f"file://{self.directory}/{name}")
        return self.page


@pytest.fixture
def offline(browser: Browser, sample: Path) -> Iterator[OfflinePage]:
    page = OfflinePage(browser, sample)
    yield page
    page.context.close()
    assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_success_no_barriers_and_no_requests(
    browser: Browser, sample: Path, scheme: Any, width: int
) -> None:
    size = {"width": width, "height": HEIGHT}
    offline = OfflinePage(browser, sample, color_scheme=scheme, viewport=size)
    for name in ("index.html", "p0001.html", f"p0001.html{EVENT}0d"):
        page = offline.open(name)
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.wait_for_function("[...document.images].every(image => image.complete)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.evaluate(AXE_SCRIPT)
        assert page.evaluate(RUN_AXE) == []
        if saves_screenshots():
            SCREENSHOTS.mkdir(parents=True, exist_ok=True)
            label = name.partition(".")[0] + ("-event" if "#" in name else "")
            picture = SCREENSHOTS / f"transcript-{label}-{width}-{scheme}.png"
            page.screenshot(path=picture, full_page="#" not in name)
    offline.context.close()
    assert offline.problems == []


def test_success_pictures_are_shown_and_others_are_downloads(offline: OfflinePage) -> None:
    page = offline.open("p0001.html")
    page.locator("figure.pic img").scroll_into_view_if_needed()
    page.wait_for_function("document.querySelector('figure.pic img').naturalWidth === 480")
    with page.expect_download() as download:
        page.get_by_role("link", name="page.html").click()
    assert download.value.suggested_filename.endswith("page.html.bin")
    assert page.title() == "Launch, page 1"


def test_success_search_leads_to_the_event(offline: OfflinePage) -> None:
    page = offline.open("index.html")
    page.keyboard.press("/")
    page.keyboard.type("PRICING draft")
    status = page.locator("#results [role=status]")
    status.get_by_text("1 event found").wait_for()
    assert page.locator("#results mark").all_inner_texts() == ["draft", "pricing", "draft"]
    page.locator("#results a").click()
    page.wait_for_url(re.compile("p0001.html#n5$"))
    assert page.evaluate("document.activeElement.id") == "n5"
    shadow = "getComputedStyle(document.querySelectorAll('article')[4]).boxShadow"
    assert page.evaluate(shadow) != "none"


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("確認", 1),
        ("الخير", 1),
        ("contract.pdf", 1),
        ("bo lindqvist tomorrow", 1),
        ("friday?", 1),
        ("nothing like it", 0),
    ],
)
def test_success_search_in_every_script(offline: OfflinePage, words: str, found: int) -> None:
    page = offline.open("p0001.html")
    page.fill("#q", words)
    label = f"{found} event found" if found else "Nothing found"
    page.locator("#results [role=status]").get_by_text(label).wait_for()
    page.keyboard.press("Escape")
    page.locator("#results").wait_for(state="hidden")
    assert page.locator("#results").is_hidden()


def test_success_search_over_all_pages(browser: Browser, tmp_path: Path) -> None:
    events = [make_event(number) for number in range(1, 11_200)]
    events.append(make_message(11_200, "a needle"))
    zone = ZoneInfo("Asia/Kolkata")
    offline = OfflinePage(browser, write(make_sample(events), "html", tmp_path, zone=zone))
    page = offline.open("index.html")
    texts: list[str] = []
    page.on("request", lambda request: texts.extend(re.findall("search/([0-9]+)", request.url)))
    page.fill("#q", "haystack")
    page.locator("#results [role=status]").get_by_text("Nothing found").wait_for()
    assert texts == []
    page.fill("#q", "NEEDLE a")
    page.locator("#results [role=status]").get_by_text("1 event found").wait_for()
    assert texts == ["0002"]  # The lists of words show that no other one has it.
    sent = datetime.fromtimestamp(events[-1]["origin_ts"], zone)
    assert f"{sent:%Y-%m-%d %H:%M} Asia/Kolkata" in page.locator("#results small").inner_text()
    page.locator("#results a").click()
    page.wait_for_url(re.compile("p0012.html#n11200$"))
    page.fill("#q", "message")
    page.get_by_role("button", name="Show more").click()
    page.get_by_text("The first 400 events found").wait_for()
    offline.context.close()
    assert offline.problems == []


def test_success_one_file(browser: Browser, tmp_path: Path) -> None:
    offline = OfflinePage(browser, write(make_sample(), "html", tmp_path, single_file=True))
    page = offline.open("index.html")
    page.wait_for_function("document.querySelector('figure.pic img').naturalWidth === 480")
    page.fill("#q", "contract")
    page.locator("#results [role=status]").get_by_text("1 event found").wait_for()
    page.evaluate(AXE_SCRIPT)
    assert page.evaluate(RUN_AXE) == []
    offline.context.close()
    assert offline.problems == []


def test_success_nothing_that_people_wrote_runs(browser: Browser, tmp_path: Path) -> None:
    """Each text is in a thousand places of some pages, and some are the name of the room."""
    for first in range(0, len(INJECTIONS), 10):
        directory = tmp_path / str(first)
        directory.mkdir()
        texts = INJECTIONS[first:] + INJECTIONS[:first]
        offline = OfflinePage(browser, write(make_hostile(*texts), "html", directory))
        offline.open("index.html")
        page = offline.open("p0001.html")
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        page.fill("#q", "x")
        page.locator("#results [role=status]").get_by_text("found").wait_for()
        offline.context.close()
        assert offline.problems == []


def test_success_without_scripts_all_is_there(browser: Browser, sample: Path) -> None:
    offline = OfflinePage(browser, sample, java_script_enabled=False)
    page = offline.open("index.html")
    page.get_by_role("link", name="Page 1").click()
    assert page.locator("article").count() == 25
    offline.context.close()


def test_success_printed_and_read_back(browser: Browser, sample: Path, tmp_path: Path) -> None:
    program = require_tool("pdftotext")
    offline = OfflinePage(browser, sample)
    offline.open("p0001.html").pdf(path=tmp_path / "page.pdf", format="A4")
    offline.context.close()
    text = subprocess.run(
        [program, "-layout", tmp_path / "page.pdf", "-"], capture_output=True, text=True, check=True
    ).stdout
    assert "Fixed the second paragraph." in text
    assert "@bo:chat.example.com" in text
    assert "a phone number" in text
    assert "Previous" not in text
