"""Read pages of the admin site as a person does: by the text in them."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import httpx
from django.test import Client
from django.urls import reverse

from scaiwave.web.security_headers import CONTENT_SECURITY_POLICY

POLICY = "; ".join(f"{name} {value}" for name, value in CONTENT_SECURITY_POLICY.items())


class InlineFinder(HTMLParser):
    """Collects what a browser refuses without `unsafe-inline`."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        is_data = given.get("type") in {"application/json", "text/template"}
        if tag == "style" or (tag == "script" and "src" not in given and not is_data):
            self.found.append(tag)
        self.found += [
            f"{tag} {name}" for name in given if name == "style" or name.startswith("on")
        ]
        for name in ("href", "src", "action"):
            if (given.get(name) or "").startswith(
                ("http:", "https:", "//", "data:", "javascript:")
            ):
                self.found.append(f"{tag} {given[name]}")


def read_column(client: Client, url_name: str, column: str) -> list[str]:
    """Return the texts of a column of a list, without markup."""
    page = client.get(reverse(url_name)).content.decode()
    cells = re.findall(
        rf'<t[dh] data-label="[^"]*"[^>]* class="field-{column}[^>]*>(.*?)</t[dh]>', page
    )
    return [strip_markup(cell) for cell in cells]


def strip_markup(html: str) -> str:
    text = re.sub(r"<meter.*?</meter>", "", html)
    return " ".join(re.sub(r"<[^>]+>", "", text).split())


def sign_in(browser: httpx.Client, username: str, password: str) -> None:
    """Sign in to a running server; the client must follow redirects."""
    answer = submit(browser, "/admin/login/", username=username, password=password)
    assert answer.url.path == "/admin/"


def submit(browser: httpx.Client, path: str, **values: str) -> httpx.Response:
    """Fill in and send the form of a page of a running server, as a browser does."""
    return browser.post(path, data=fill_in(browser, path, **values))


def fill_in(browser: httpx.Client, path: str, **values: str) -> dict[str, str]:
    """Return what a browser would send with the form of a page."""
    token = re.findall('name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(path).text)[-1]
    return {**values, "csrfmiddlewaretoken": token, "next": "/admin/"}
