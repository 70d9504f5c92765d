"""The HTML pages of the sandbox: sign-in, sign-out, and errors that may not be redirected."""

from __future__ import annotations

from html import escape
from typing import Any

from scaiwave.sandbox.api.oauth_errors import NO_STORE
from scaiwave.sandbox.api.sessions import get_name
from scaiwave.sandbox.http.messages import HTTPError, Response

HTML = "text/html; charset=utf-8"
HEADERS = {
    **NO_STORE,
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
}
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:40em;margin:2em auto;padding:0 1em}"
    "button{font:inherit}li{margin:.3em 0}.problem{color:#a00}"
)


def build_page(title: str, body: str, *, status: int = 200) -> Response:
    """Return a page; `body` is HTML."""
    html = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body><h1>{escape(title)}</h1>{body}</body></html>"
    )
    return Response(status=status, body=html.encode(), content_type=HTML, headers=dict(HEADERS))


def build_error(message: str) -> HTTPError:
    error = HTTPError(400, None)
    error.response = build_page(
        "Sign-in refused", f'<p class="problem">{escape(message)}</p>', status=400
    )
    return error


def build_sign_in(
    *,
    action: str,
    application: str,
    hidden: dict[str, str],
    people: list[dict[str, Any]],
    total: int,
    search: str,
    problem: str,
) -> Response:
    """Return the page on which a person is chosen, without a password.

    Its forms repeat the request in `hidden` fields.
    """
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in hidden.items()
    )
    start = f'<form method="post" action="{escape(action)}">{fields}'
    notice = f'<p class="problem">{escape(problem)}</p>' if problem else ""
    shown = f"<p>{len(people)} of {total} people.</p>" if total > len(people) else ""
    body = (
        f"<p>Sign in to <b>{escape(application)}</b>. This is a sandbox with sample people; it "
        f"asks for no password.</p>{notice}"
        f'{start}<input type="search" name="sandbox_search" aria-label="Name or e-mail address" '
        f'value="{escape(search)}"> <button>Search</button></form>'
        f"{start}<ul>{''.join(map(_build_choice, people))}</ul>{shown}"
        '<button name="sandbox_decision" value="deny">Cancel</button></form>'
    )
    return build_page("ScaiKey sandbox", body, status=400 if problem else 200)


def _build_choice(person: dict[str, Any]) -> str:
    details = ", ".join(filter(None, [person["email"], *(person.get("roles") or [])]))
    return (
        f'<li><button name="sandbox_person" value="{escape(person["id"])}">'
        f"{escape(get_name(person))}</button> {escape(details)}</li>"
    )
