"""Every page of the admin site in a real browser: accessible, complete, at every width."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Browser, FloatRect

from tests.browser.chromium import NARROW, WIDE, WatchedPage, run_chromium
from tests.browser.conftest import SampleServer
from tests.browser.pages import SitePage, list_pages
from tests.tools import NIGHTLY

MAX_CONTROLS = 400
# What narrow pages show instead of wide ones: the menu button, cards, and areas to scroll.
RULES_OF_WIDTHS = (
    *("aria-hidden-focus", "button-name", "label", "link-name", "meta-viewport", "region"),
    *("scrollable-region-focusable", "skip-link"),
)

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


def check(watched: WatchedPage, page: SitePage, *, is_first: bool) -> list[str]:
    """Return what is wrong with a page at both widths, in both colour schemes.

    At night axe looks at all pages, and before a merge only at the first one of each kind.
    """
    watched.open(page.path, status=page.status)
    has_dark = is_first or NIGHTLY
    found = []
    for width in (WIDE, NARROW):
        watched.resize(width)
        for scheme in ("light", "dark") if has_dark else ("light",):
            watched.page.emulate_media(color_scheme=scheme)
            watched.save_screenshot(f"{page.name}-{width}-{scheme}")
        if excess := watched.get_excess_width():
            found.append(f"{excess} pixels too wide at {width}")
        found += [f"cut at {width}: {each}" for each in watched.find_cut_elements()]
    if has_dark:
        # It removes repeated rows, so it comes after the pictures.
        found += find_barriers(watched, page, is_first=is_first)
    watched.page.emulate_media(color_scheme="light")
    watched.resize(WIDE)
    return found + watched.take_problems()


def find_barriers(watched: WatchedPage, page: SitePage, *, is_first: bool) -> list[str]:
    """Return what axe finds on a narrow dark page, and when it is light and wide.

    Narrow pages have the colours of wide ones, except for parts that all pages of a kind have: they
    are looked at on the first one. The forms of acts have the same elements at both widths. Only
    contrasts depend on colours.
    """
    found = []
    rules = (*RULES_OF_WIDTHS, *(["color-contrast"] if is_first else []))
    if is_first or page.kind != "act":
        found += [f"narrow: {each}" for each in watched.find_violations(*rules)]
    watched.page.emulate_media(color_scheme="light")
    if is_first:
        found += [f"narrow: {each}" for each in watched.find_violations("color-contrast")]
    watched.resize(WIDE)
    found += watched.find_violations()
    watched.page.emulate_media(color_scheme="dark")
    return found + [f"dark: {each}" for each in watched.find_violations("color-contrast")]


def walk(watched: WatchedPage, pages: list[SitePage], *, are_first: bool) -> dict[str, list[str]]:
    """Return what is wrong with each page, also with the tabs of rows, each of them once.

    Of the first page of each kind, that is one tab.
    """
    problems, tabs = {}, set()
    for page in (queue := list(pages)):
        if found := check(watched, page, is_first=are_first):
            problems[page.name] = found
        css = {"row": ".tabs a", "tab": ".parts a"}.get(page.kind)
        for link in watched.page.locator(css).all() if css else ():
            path = link.get_attribute("href") or ""
            tab = f"{page.name.partition('-')[0]}-tab-{(link.text_content() or '').lower()}"
            if tab not in tabs and urlsplit(path).query:
                tabs.add(tab)
                queue.append(SitePage("tab", tab, path))
                if are_first:
                    break
    return problems


def choose_pages(sample_server: SampleServer, *, are_first: bool) -> list[SitePage]:
    """Return the first page of each kind, or the others."""
    pages = list_pages(sample_server.rows, sample_server.acts)
    first = {page.kind: page for page in reversed(pages)}
    return [page for page in pages if (first[page.kind] is page) is are_first]


@pytest.mark.every_version
def test_success_a_page_of_each_kind_is_accessible_and_fits(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    assert walk(watched, choose_pages(sample_server, are_first=True), are_first=True) == {}


@pytest.mark.ci
def test_success_every_other_page_fits_and_is_accessible_at_night(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    assert walk(watched, choose_pages(sample_server, are_first=False), are_first=False) == {}


@pytest.mark.every_version
def test_success_pages_without_sign_in_are_accessible_and_fit(anonymous: WatchedPage) -> None:
    pages = [SitePage("login", "login", "/admin/login/")]
    assert walk(anonymous, pages, are_first=True) == {}


def find_box(watched: WatchedPage, css: str) -> FloatRect:
    box = watched.page.locator(css).first.bounding_box()
    assert box is not None, css
    return box


@pytest.mark.every_version
def test_success_the_path_is_one_line_and_each_part_has_its_place(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    tenant = sample_server.rows["tenants.tenant"][1]
    watched.open(f"/admin/tenants/tenant/{tenant}/change/")
    for width in (WIDE, NARROW):
        watched.resize(width)
        assert watched.page.locator(".trail li").count() == 3
        assert find_box(watched, ".trail")["height"] < 40  # one line, and the space above it
        name, acts, tabs, card, copy = (
            find_box(watched, css)
            for css in (".heading h1", ".heading .acts", ".tabs", ".record", ".record .copy")
        )
        if width == WIDE:
            assert name["x"] + name["width"] < acts["x"]
        else:
            assert name["y"] + name["height"] < acts["y"]
        assert acts["y"] + acts["height"] < tabs["y"]
        assert tabs["y"] + tabs["height"] < card["y"]
        assert copy["x"] + copy["width"] < card["x"] + card["width"]


CONTROLS = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]"
DESCRIBE_FOCUS = """() => {
    const element = document.activeElement, style = getComputedStyle(element);
    const box = element.getBoundingClientRect();
    return {
        html: element.outerHTML.slice(0, 120),
        isBody: element === document.body,
        isSeen: style.outlineStyle !== "none" && parseFloat(style.outlineWidth) && box.width > 0,
    };
}"""
LIST_CONTROLS = """css => [...document.querySelectorAll(css)]
    .filter(element => element.checkVisibility() && element.tabIndex >= 0)
    .map(element => element.outerHTML.slice(0, 120))"""


def press_tab_through(watched: WatchedPage) -> list[dict[str, object]]:
    """Return what has the focus after each press of Tab, until it has left the page."""
    focused: list[dict[str, object]] = []
    for _ in range(MAX_CONTROLS):
        watched.page.keyboard.press("Tab")
        focus = watched.page.evaluate(DESCRIBE_FOCUS)
        if focus["isBody"]:
            return focused
        focused.append(focus)
    pytest.fail(f"The focus does not leave the page: {focused[-3:]}")


@pytest.mark.parametrize("name", ["tenants_tenant", "act-admin-suspend-tenant", "index"])
def test_success_every_control_is_reached_and_seen_by_keyboard(
    name: str, watched: WatchedPage, sample_server: SampleServer
) -> None:
    pages = {page.name: page for page in list_pages(sample_server.rows, sample_server.acts)}
    watched.open(pages[name].path)
    watched.page.evaluate("document.activeElement.blur()")
    controls = watched.page.evaluate(LIST_CONTROLS, CONTROLS)
    focused = press_tab_through(watched)
    assert "Skip to main content" in str(focused[0]["html"])
    assert [each["html"] for each in focused if not each["isSeen"]] == []
    assert sorted(str(each["html"]) for each in focused) == sorted(controls)


def test_success_the_menu_of_a_small_screen_is_used_by_keyboard(watched: WatchedPage) -> None:
    watched.resize(NARROW)
    watched.open("/admin/tenants/rolegrant/")
    page, menu = watched.page, watched.page.get_by_role("navigation", name="Lists")
    button = page.get_by_role("button", name="Menu")
    assert not menu.is_visible()
    button.focus()
    page.keyboard.press("Enter")
    assert menu.get_by_role("link", name="Role grants").get_attribute("aria-current") == "page"
    assert watched.get_excess_width() == 0
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Close"
    page.keyboard.press("Escape")
    assert not menu.is_visible()
    assert page.evaluate("document.activeElement.textContent") == "Menu"
    page.keyboard.press("Enter")
    menu.get_by_role("link", name="Groups").press("Enter")
    page.wait_for_url("**/admin/tenants/group/")
    assert not menu.is_visible()
    button.click()
    watched.save_screenshot("menu-390-light")
    assert watched.find_violations() == watched.take_problems() == []


def test_success_the_menu_of_a_small_screen_needs_no_script(
    browser: Browser, sample_server: SampleServer
) -> None:
    watched = WatchedPage(
        browser, sample_server.url, sample_server.session, java_script_enabled=False
    )
    watched.resize(NARROW)
    watched.open("/admin/")
    watched.page.get_by_role("button", name="Menu").click()
    watched.page.get_by_role("link", name="Server keys").click()
    assert urlsplit(watched.page.url).path == "/admin/federation/serverkey/"
    assert watched.take_problems() == []
    watched.context.close()


TITLES = """css => [...document.querySelectorAll(css)]
    .map(element => JSON.parse(getComputedStyle(element, "::before").content))"""


def test_success_cards_of_a_small_screen_have_the_titles_of_columns(watched: WatchedPage) -> None:
    watched.resize(NARROW)
    watched.open("/admin/federation/serverkey/")
    titles = watched.page.evaluate(TITLES, "#result_list tr:first-child td")
    assert titles == ["State", "Days left", "Signs from", "Retires", "Revoked"]


TOO_LOW = """css => [...document.querySelectorAll(css)]
    .filter(element => element.checkVisibility() && element.getBoundingClientRect().height < 43.5)
    .map(element => element.outerHTML.slice(0, 120))"""
TAPPED = "button, .button, .tabs a, summary, input:not([type=hidden]), #user-tools a"


@pytest.mark.parametrize("name", ["tenants_tenant", "tenants_tenant-row2", "index", "act-sync"])
def test_success_what_a_finger_hits_is_high_enough(
    name: str, watched: WatchedPage, sample_server: SampleServer
) -> None:
    pages = {page.name: page for page in list_pages(sample_server.rows, sample_server.acts)}
    watched.resize(NARROW)
    watched.open(pages[name].path)
    assert watched.page.evaluate(TOO_LOW, TAPPED) == []


def test_success_a_table_without_links_can_be_scrolled_by_keyboard(watched: WatchedPage) -> None:
    watched.resize(NARROW)
    watched.open("/admin/")
    watched.page.evaluate(
        "document.querySelectorAll('.figures-frame a').forEach(link => link.replaceWith('0'))"
    )
    assert watched.find_violations("scrollable-region-focusable") == []


def test_success_the_skip_link_goes_to_the_content(watched: WatchedPage) -> None:
    watched.open("/admin/tenants/tenant/")
    watched.page.evaluate("document.activeElement.blur()")
    watched.page.keyboard.press("Tab")
    watched.page.keyboard.press("Enter")
    watched.page.keyboard.press("Tab")
    assert watched.page.evaluate("document.activeElement.closest('#content-start') !== null")


def test_success_an_act_is_done_by_keyboard(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    """The form, the question and the message are accessible, too. Other tests need the tenant as it
    was, so it is resumed."""
    [tenant] = sample_server.acts["admin-suspend-tenant"]
    watched.open(f"/admin/act/admin-suspend-tenant/{tenant}/")
    keyboard = watched.page.keyboard
    watched.page.get_by_label("Reason").focus()
    keyboard.type("unpaid <invoice>")
    keyboard.press("Enter")
    question = watched.page.get_by_role("alert")
    question.wait_for()
    assert watched.find_violations() == []
    watched.page.get_by_role("button", name="Suspend").focus()
    keyboard.press("Enter")
    message = watched.page.locator(".messagelist")
    message.wait_for()
    assert "suspended" in message.inner_text()
    watched.save_screenshot("act-done")
    assert watched.find_violations() == watched.take_problems() == []
    watched.open(f"/admin/act/admin-resume-tenant/{tenant}/")
    watched.page.get_by_label("Reason").focus()
    keyboard.type("paid")
    keyboard.press("Enter")
    message.get_by_text("resumed").wait_for()
    assert watched.take_problems() == []


def test_success_values_of_a_chart_are_shown_by_keyboard_and_pointer(watched: WatchedPage) -> None:
    watched.open("/admin/")
    chart = watched.page.locator(".chart").filter(has_text="People, over 90 days")
    shown = chart.locator("output")
    assert shown.inner_text() == ""
    chart.locator(".plot").focus()
    last = shown.inner_text()
    watched.page.keyboard.press("Home")
    first = shown.inner_text()
    assert first < last
    watched.page.keyboard.press("ArrowRight")
    assert first < shown.inner_text() < last
    watched.page.keyboard.press("Tab")
    assert shown.inner_text() == ""
    chart.locator(".column").nth(40).hover()
    assert first < shown.inner_text() < last
    assert watched.take_problems() == []


def test_success_selected_rows_stay_selected_when_an_act_refuses_them(watched: WatchedPage) -> None:
    watched.open("/admin/identity_sync/pendingremoval/")
    page = watched.page
    approve = page.get_by_role("button", name="Approve selected")
    assert approve.is_disabled()
    page.get_by_label("Select all 14 of cobalt").check()
    assert page.locator(".selection output").inner_text() == "14 selected"
    page.locator("[name=rows]:checked").first.uncheck()
    approve.click()
    assert "apply 13 removals" in page.get_by_role("alert").inner_text()
    watched.open("/admin/tenants/participant/")
    page.get_by_label("All rows of this page").check()
    selected = page.locator(".selection output").inner_text()
    page.get_by_role("button", name="Grant a role").click()
    assert "Select rows of one tenant" in page.locator(".messagelist").inner_text()
    assert page.locator(".selection output").inner_text() == selected
    assert watched.find_violations() == watched.take_problems() == []


def test_success_nothing_moves_for_those_who_want_none(watched: WatchedPage) -> None:
    watched.open("/admin/tenants/tenant/")
    moving = watched.page.evaluate(
        """[...document.querySelectorAll("*")].filter(element => {
            const style = getComputedStyle(element);
            return style.transitionDuration !== "0s" || style.animationName !== "none";
        }).map(element => element.outerHTML.slice(0, 120))"""
    )
    assert moving == []


def test_success_pages_are_read_without_scripts(
    browser: Browser, sample_server: SampleServer
) -> None:
    watched = WatchedPage(
        browser, sample_server.url, sample_server.session, java_script_enabled=False
    )
    page = watched.page
    watched.open("/admin/")
    page.get_by_text("As a table").first.click()
    assert page.get_by_role("row", name="applied").first.is_visible()
    watched.open("/admin/tenants/tenant/")
    for link in ("Sync runs", "acme"):
        assert page.get_by_role("link", name=link).first.is_visible()
    assert watched.take_problems() == []
    watched.context.close()


def test_success_an_id_is_copied_by_keyboard(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    watched.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tenant = sample_server.rows["tenants.tenant"][0]
    watched.open(f"/admin/tenants/tenant/{tenant}/")
    watched.page.get_by_role("button", name=f"Copy {tenant}").press("Enter")
    watched.page.get_by_role("status").get_by_text("Copied").wait_for()
    assert watched.page.evaluate("navigator.clipboard.readText()") == tenant
    assert watched.take_problems() == []


def test_success_an_id_is_selected_where_pages_may_not_copy(
    watched: WatchedPage, sample_server: SampleServer
) -> None:
    """As without HTTPS, where browsers have no `navigator.clipboard`."""
    watched.page.add_init_script(
        "Object.defineProperty(navigator, 'clipboard', {value: undefined})"
    )
    tenant = sample_server.rows["tenants.tenant"][0]
    watched.open(f"/admin/tenants/tenant/{tenant}/")
    watched.page.get_by_role("button", name=f"Copy {tenant}").click()
    watched.page.get_by_role("status").get_by_text("Selected").wait_for()
    assert watched.page.evaluate("getSelection().toString()") == tenant
    assert watched.take_problems() == []


def test_success_times_are_shown_in_the_zone_of_the_browser(
    browser: Browser, sample_server: SampleServer
) -> None:
    watched = WatchedPage(
        browser, sample_server.url, sample_server.session, timezone_id="Europe/Berlin"
    )
    watched.open("/admin/tenants/tenant/")
    times = watched.page.locator("#result_list time")
    shown = [
        (element.get_attribute("datetime"), element.inner_text(), element.get_attribute("title"))
        for element in times.all()
    ]
    assert shown
    for text, inner, title in shown:
        at = datetime.fromisoformat(str(text))
        local = at.astimezone(ZoneInfo("Europe/Berlin"))
        assert " ".join(inner.split()) == f"{local:%Y-%m-%d %H:%M:%S}"
        assert str(title).startswith(f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC, ")
        assert str(title).endswith(" ago")
    watched.context.close()
