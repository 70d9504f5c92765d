"""Start the browser of this host, and watch what it complains about."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import django
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    Response,
    sync_playwright,
)

from tests.services import clock
from tests.tools import require_tool

SCREENSHOTS = Path(__file__).parents[2] / ".screenshots" / f"django-{django.__version__[:3]}"
# Read at import, because the `home` fixture removes it from the environment.
_SAVES_SCREENSHOTS = os.environ.get("SCAIWAVE_TEST_SCREENSHOTS") == "1"
NAMES = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    # Only this host. A route of Playwright would also turn off the cache.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-sync",
    "--no-first-run",
    # Each page is looked at once, so its scripts are not worth compiling well.
    "--js-flags=--no-opt --no-maglev",
)
WIDE, NARROW = 1440, 390
HEIGHT = 900

_RUN_AXE = "options => axe.run(document, options).then(results => results.violations)"
_FIND_CUT = """() => [...document.querySelectorAll("body :not(input)")].filter(element => {
    const {overflowX, textOverflow} = getComputedStyle(element);
    return element.clientWidth > 1 && element.scrollWidth > element.clientWidth
        && (["hidden", "clip"].includes(overflowX) || element.matches(".tile"))
        && textOverflow !== "ellipsis";
}).map(element => element.outerHTML.slice(0, 120))"""
# Rows that look like the ones before them take most of the time of axe.
_REPEATED = (
    "#result_list tbody tr:nth-child(n+4), #nav-sidebar .module:nth-child(n+3), "
    ".chart .column:nth-child(n+8), .chart tbody tr:nth-child(n+4), "
    ".figures tbody tr:nth-child(n+6)"
)


@contextmanager
def run_chromium() -> Iterator[Browser]:
    """Start the installed browser; skips the test without one.

    Until it is closed, an event loop runs in this thread, in which Django refuses queries: create
    rows before, or in another process.
    """
    program = require_tool(*NAMES)
    options = [*OPTIONS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            args=options,
            env={**clock.get_real_environment()},  # with libfaketime it never starts
        )
        try:
            yield browser
        finally:
            browser.close()


def saves_screenshots() -> bool:
    return _SAVES_SCREENSHOTS


class WatchedPage:
    """A page whose errors and requests to other servers are collected in `problems`."""

    def __init__(self, browser: Browser, origin: str, session: str = "", **options: Any) -> None:
        """`session` is the key of a session at the server; without it, you are not signed in."""
        self.origin = origin
        self.context = browser.new_context(
            viewport={"width": WIDE, "height": HEIGHT},
            color_scheme="light",
            reduced_motion="reduce",  # colours that change slowly have too little contrast
            **options,
        )
        if session:
            self.context.add_cookies([{"name": "sessionid", "value": session, "url": origin}])
        self.page: Page = self.context.new_page()
        self._devtools = self.context.new_cdp_session(self.page)
        self.problems: list[str] = []
        self.page.on("console", self._note_message)
        self.page.on("pageerror", lambda error: self.problems.append(f"script: {error}"))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("response", self._note_response)
        self.page.on("request", self._note_request)

    def open(self, path: str, *, status: int = 200) -> Response:
        """Go to an address of the site, which responds with this status."""
        self._expected = status
        response = self.page.goto(self.origin + path)
        assert response is not None
        assert response.status == status, f"{path} responded {response.status}, not {status}"
        return response

    def find_violations(self, *rules: str) -> list[str]:
        """Return what axe finds on the page, each with elements; without rules, it tests all.

        Repeated rows are removed from the page before.
        """
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(
                "css => document.querySelectorAll(css).forEach(row => row.remove())", _REPEATED
            )
            self.page.evaluate(AXE_SCRIPT)
        options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
        return [
            f"{rule['id']}: {rule['help']}: "
            + "; ".join(_describe_node(node) for node in rule["nodes"][:3])
            for rule in self.page.evaluate(_RUN_AXE, options)
        ]

    def resize(self, width: int) -> None:
        self.page.set_viewport_size({"width": width, "height": HEIGHT})

    def get_excess_width(self) -> int:
        """Return by how many pixels the page is wider than the window."""
        width: int = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        return width

    def find_cut_elements(self) -> list[str]:
        """Return what hides a part of its content at the right, without an ellipsis or a bar."""
        cut: list[str] = self.page.evaluate(_FIND_CUT)
        return cut

    def save_screenshot(self, name: str) -> None:
        """Save what the window shows in the ignored directory of the checkout, if asked to.

        Playwright's own pictures take Chromium almost twice as long.
        """
        if not _SAVES_SCREENSHOTS:
            return
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        options = {"format": "png", "optimizeForSpeed": True}
        picture = self._devtools.send("Page.captureScreenshot", options)
        (SCREENSHOTS / f"{name}.png").write_bytes(base64.b64decode(picture["data"]))

    def take_problems(self) -> list[str]:
        """Return what was collected since the last call."""
        problems, self.problems[:] = list(self.problems), []
        return problems

    def _note_message(self, message: ConsoleMessage) -> None:
        """Violations of the content security policy are errors in the console, too."""
        is_load = message.text.startswith("Failed to load resource")  # noted as a response
        if message.type in {"error", "warning"} and not is_load:
            self.problems.append(f"console: {message.text}")

    def _note_failure(self, request: Request) -> None:
        """Chromium aborts requests of a page that is left before they are answered."""
        if request.failure != "net::ERR_ABORTED":
            self.problems.append(f"no answer: {request.url}: {request.failure}")

    def _note_response(self, response: Response) -> None:
        if response.status >= 400 and not (
            response.request.is_navigation_request() and response.status == self._expected
        ):
            self.problems.append(f"{response.status}: {response.url}")

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith(self.origin):
            self.problems.append(f"another server: {request.url}")


def _describe_node(node: dict[str, object]) -> str:
    return f"{node['target']} {str(node['html'])[:160]} {node['failureSummary']}"
