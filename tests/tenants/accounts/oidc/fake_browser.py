"""A browser without JavaScript: cookies, redirects, and the sandbox's sign-in form, over HTTP."""

from __future__ import annotations

import html
import re
from typing import Any

import httpx

FORM = re.compile(r'<input type="hidden" name="([^"]*)" value="([^"]*)">')


def read_hidden(page: httpx.Response) -> dict[str, str]:
    """Return everything that is hidden in the form of the sandbox's sign-in page."""
    form = page.text.partition("<ul>")[0].rpartition("<form")[2]
    return {name: html.unescape(value) for name, value in FORM.findall(form)}


def choose_person(url: str, **choice: str) -> str:
    """Open the sandbox's sign-in page, send its form, and return where it redirects to."""
    with httpx.Client(trust_env=False) as http:
        page = http.get(url)
        answer = http.post(page.url.copy_with(query=None), data={**read_hidden(page), **choice})
        return answer.headers["Location"]


class FakeBrowser:
    def __init__(self, server: str) -> None:
        self.server = server
        # Each response ends its connection, so that no thread of the server outlives the test.
        self.http = httpx.Client(
            follow_redirects=True, trust_env=False, headers={"Connection": "close"}, timeout=60
        )

    def open(self, path: str) -> httpx.Response:
        return self.http.get(self.server + path if path.startswith("/") else path)

    def click(self, page: httpx.Response, text: str) -> httpx.Response:
        """Follow the link with this text."""
        found = re.search(rf'<a[^>]*href="([^"]*)"[^>]*>\s*{re.escape(text)}', page.text)
        assert found, f"{page.url} has no link {text!r}"
        return self.http.get(page.url.join(html.unescape(found[1])))

    def choose(self, page: httpx.Response, **choice: str) -> httpx.Response:
        """Send the form of the sandbox's sign-in page."""
        return self.http.post(page.url.copy_with(query=None), data={**read_hidden(page), **choice})

    def leave(self, page: httpx.Response) -> httpx.Response:
        """Send the form of the page after signing out, which is not for this server."""
        form = page.text.partition('id="scaikey-sign-out"')[2].partition("</form>")[0]
        action = re.search(r'action="([^"]*)"', form)
        assert action
        fields = {name: html.unescape(value) for name, value in FORM.findall(form)}
        return self.http.post(html.unescape(action[1]), data=fields)

    def submit(self, page: httpx.Response, form_id: str, **values: str) -> httpx.Response:
        """Send a form of the admin site, with its token against forged requests."""
        found = re.search(rf'<form[^>]*id="{form_id}".*?</form>', page.text, re.DOTALL)
        assert found, f"{page.url} has no form {form_id}"
        action = re.search(r'action="([^"]*)"', found[0])
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]*)"', found[0])
        assert token
        data: dict[str, Any] = {"csrfmiddlewaretoken": token[1], **values}
        url = page.url.join(action[1] if action else "")
        return self.http.post(url, data=data, headers={"Referer": str(page.url)})

    def get_session_key(self) -> str | None:
        return self.http.cookies.get("sessionid")
