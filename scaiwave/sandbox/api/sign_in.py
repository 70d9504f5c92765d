"""Sign-in and sign-out in a browser: the authorisation and the end-session endpoint.

(RFC 6749, 4.1.1; RFC 7636; OpenID Connect Core, 3.1.2; OpenID Connect RP-Initiated Logout)

A request is answered with a redirect only once its client and redirect URI are known to belong
together; until then every error is a page.

The sandbox's own fields are `sandbox_person` (the ID of the chosen one), `sandbox_search` and
`sandbox_decision`; all others are parameters of OpenID Connect.
"""

from __future__ import annotations

import re
from dataclasses import replace
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import jwt

from scaiwave.sandbox.api.oauth import (
    NO_STORE,
    PLATFORM,
    TENANT,
    find_active_person,
    find_tenant,
    get_name,
)
from scaiwave.sandbox.clients import SCOPES, Client
from scaiwave.sandbox.data.population import ListFilter, decode_row
from scaiwave.sandbox.grants import Grant
from scaiwave.sandbox.http.messages import HTTPError, Request, Response
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.keys import Claims
from scaiwave.sandbox.state import SandboxState

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
    """Return an error whose response is a page, for people, in place of FastAPI's JSON."""
    body = f'<p class="problem">{escape(message)}</p>'
    return HTTPError(400, response=build_page("Sign-in refused", body, status=400))


MAX_PEOPLE = 50
"""How many people the sign-in page lists; a search finds the others."""
# The 32 bytes of a SHA-256 hash in base64url without padding (RFC 7636, 4.2).
_CHALLENGE = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")
_SECONDS = re.compile(r"\A[0-9]{1,10}\Z")
_PROMPTS = {"none", "login", "consent", "select_account"}
_NOT_SUPPORTED = {
    "request": "request_not_supported",
    "request_uri": "request_uri_not_supported",
    "registration": "registration_not_supported",
}


class _AuthorizationError(Exception):
    """An error that the client is sent, as a redirect."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(error)
        self.parameters = {"error": error, "error_description": description}


@route("GET POST", PLATFORM + "/oauth/authorize", TENANT + "/oauth/authorize")
def authorize(sandbox: SandboxState, request: Request) -> Response:
    """Show the sign-in page, and redirect with a code once a person was chosen on it."""
    tenant = find_tenant(sandbox, request)
    pairs = _read_pairs(request)
    values = dict(pairs)
    client = _find_client(sandbox, pairs, tenant)
    redirect_uri = _find_redirect_uri(client, pairs)
    issuer = sandbox.get_issuer(tenant["id"] if tenant else None)
    echoed = {"iss": issuer}  # RFC 9207, against mix-up of servers
    if "state" in values and "state" not in _get_repeated(pairs):
        echoed["state"] = values["state"]
    try:
        scopes = _check_request(client, pairs)
        if values.get("sandbox_decision") == "deny":
            raise _AuthorizationError("access_denied", "The person has declined.")
    except _AuthorizationError as error:
        return _redirect(redirect_uri, {**error.parameters, **echoed})
    people = ListFilter(
        kind="ACTIVE",  # the status
        scope_partner_id=client.partner_id,
        scope_tenant_id=tenant["id"] if tenant else client.tenant_id,
    )
    user_id = values.get("sandbox_person", "")
    if request.method != "POST" or not user_id:
        return _show_sign_in(sandbox, request, client, values, people)
    if find_active_person(sandbox, user_id) is None or not people.admits(
        sandbox.directory.get_tenant_of_user(user_id)
    ):
        problem = "This person can't sign in."
        return _show_sign_in(sandbox, request, client, values, people, problem=problem)
    grant = Grant(
        client_id=client.client_id,
        redirect_uri=redirect_uri,
        user_id=user_id,
        scopes=scopes,
        issuer=issuer,
        code_challenge=values["code_challenge"],
        nonce=values.get("nonce"),
    )
    return _redirect(redirect_uri, {"code": sandbox.grants.add(grant), **echoed})


def _read_pairs(request: Request) -> list[tuple[str, str]]:
    """Return the parameters of the query, or of a POST's form; empty ones count as omitted."""
    if request.method == "POST":
        return parse_qsl(request.body.decode("utf-8", "replace"))
    return parse_qsl(request.target.partition("?")[2])


def _get_repeated(pairs: list[tuple[str, str]]) -> list[str]:
    names = [name for name, _ in pairs]
    return sorted({name for name in names if names.count(name) > 1})


def _find_client(
    sandbox: SandboxState, pairs: list[tuple[str, str]], tenant: dict[str, object] | None
) -> Client:
    """Return the client. Raises HTTPError with a page: no redirect URI can be trusted yet."""
    repeated = {"client_id", "redirect_uri"}.intersection(_get_repeated(pairs))
    if repeated:
        raise build_error(f"Repeated parameter: {', '.join(sorted(repeated))}.")
    client = sandbox.clients.find(dict(pairs).get("client_id", ""))
    if client is None:
        raise build_error("Unknown client_id.")
    if tenant is not None and client.target not in (tenant["id"], tenant["partner_id"]):
        raise build_error(f"The application does not belong to tenant {tenant['slug']}.")
    return client


def _find_redirect_uri(client: Client, pairs: list[tuple[str, str]]) -> str:
    """Return the redirect URI if it is exactly a registered one. Raises HTTPError with a page."""
    redirect_uri = dict(pairs).get("redirect_uri", "")
    if not client.redirect_uris:
        raise build_error(
            "No redirect URI is registered for this application. A sandbox that was restarted "
            "knows the earlier ones only with --state-dir."
        )
    if redirect_uri not in client.redirect_uris:
        raise build_error(
            f"redirect_uri is not registered: {redirect_uri or '(missing)'}. Registered: "
            f"{', '.join(client.redirect_uris)}."
        )
    return redirect_uri


def _check_request(client: Client, pairs: list[tuple[str, str]]) -> tuple[str, ...]:
    """Return the requested scopes. Raises `_AuthorizationError`."""
    values = dict(pairs)
    if repeated := _get_repeated(pairs):
        raise _AuthorizationError("invalid_request", f"Repeated parameter: {repeated[0]}.")
    for name, error in _NOT_SUPPORTED.items():
        if name in values:
            raise _AuthorizationError(error, f"The parameter {name} is not supported.")
    if "response_type" not in values:
        raise _AuthorizationError("invalid_request", "response_type is missing.")
    if values["response_type"] != "code":
        raise _AuthorizationError("unsupported_response_type", "Only code is supported.")
    if values.get("response_mode", "query") != "query":
        raise _AuthorizationError("invalid_request", "Only response_mode=query is supported.")
    if client.app_type != "WEB":
        raise _AuthorizationError("unauthorized_client", "Only WEB applications sign people in.")
    # Unknown scopes are ignored (OpenID Connect Core, 3.1.2.1).
    scopes = tuple(scope for scope in values.get("scope", "").split() if scope in SCOPES)
    if not scopes or not set(scopes) <= set(client.scopes):
        raise _AuthorizationError(
            "invalid_scope", f"The application may request: {' '.join(client.scopes)}."
        )
    _check_challenge(values)
    _check_prompt(values.get("prompt", "").split())
    # Any age is kept to: the sandbox keeps no sessions, so that every sign-in is new.
    if not _SECONDS.match(values.get("max_age", "0")):
        raise _AuthorizationError("invalid_request", "max_age is not a number of seconds.")
    return scopes


def _check_challenge(values: dict[str, str]) -> None:
    """Require PKCE with S256. Without a method a client means plain (RFC 7636, 4.3)."""
    if "code_challenge" not in values:
        raise _AuthorizationError("invalid_request", "code_challenge is missing.")
    if values.get("code_challenge_method", "plain") != "S256":
        raise _AuthorizationError("invalid_request", "code_challenge_method must be S256.")
    if not _CHALLENGE.match(values["code_challenge"]):
        raise _AuthorizationError("invalid_request", "code_challenge is not a SHA-256 hash.")


def _check_prompt(prompts: list[str]) -> None:
    """The sandbox keeps no sessions, so that it can't sign anyone in without a page."""
    if not _PROMPTS.issuperset(prompts):
        raise _AuthorizationError("invalid_request", "prompt has an unknown value.")
    if "none" in prompts and len(prompts) > 1:
        raise _AuthorizationError("invalid_request", "prompt=none excludes other values.")
    if "none" in prompts:
        raise _AuthorizationError("login_required", "No one is signed in.")


def _show_sign_in(
    sandbox: SandboxState,
    request: Request,
    client: Client,
    values: dict[str, str],
    people: ListFilter,
    *,
    problem: str = "",
) -> Response:
    """Return the page on which a person is chosen, without a password."""
    search = values.get("sandbox_search", values.get("login_hint", ""))
    rows, total = sandbox.directory.list_users(
        replace(people, search=search or None), 0, MAX_PEOPLE
    )
    # The forms repeat the request, but not the fields of this page; the hint is in the search.
    fields = "".join(
        f'<input type="hidden" name="{escape(name)}" value="{escape(value)}">'
        for name, value in values.items()
        if not name.startswith("sandbox_") and name != "login_hint"
    )
    start = f'<form method="post" action="{escape(request.path)}">{fields}'
    choices = []
    for person in map(decode_row, rows):
        details = ", ".join(filter(None, [person["email"], *(person.get("roles") or [])]))
        choices.append(
            f'<li><button name="sandbox_person" value="{escape(person["id"])}">'
            f"{escape(get_name(person))}</button> {escape(details)}</li>"
        )
    notice = f'<p class="problem">{escape(problem)}</p>' if problem else ""
    shown = f"<p>{len(rows)} of {total} people.</p>" if total > len(rows) else ""
    body = (
        f"<p>Sign in to <b>{escape(client.name)}</b>. This is a sandbox with sample people; it "
        f"asks for no password.</p>{notice}"
        f'{start}<input type="search" name="sandbox_search" aria-label="Name or e-mail address" '
        f'value="{escape(search)}"> <button>Search</button></form>'
        f"{start}<ul>{''.join(choices)}</ul>{shown}"
        '<button name="sandbox_decision" value="deny">Cancel</button></form>'
    )
    return build_page("ScaiKey sandbox", body, status=400 if problem else 200)


def _redirect(uri: str, parameters: dict[str, str]) -> Response:
    """Redirect, and append the parameters to those in the URI."""
    parts = urlsplit(uri)
    query = "&".join(filter(None, (parts.query, urlencode(parameters))))
    location = urlunsplit(parts._replace(query=query))
    return Response(status=303, headers={**NO_STORE, "Location": location})


@route("GET POST", PLATFORM + "/oauth/logout", TENANT + "/oauth/logout")
def end_session(sandbox: SandboxState, request: Request) -> Response:
    """Revoke the tokens of the sign-in, and redirect to a registered URI if one is given."""
    find_tenant(sandbox, request)  # 404 for an unknown tenant
    values = dict(_read_pairs(request))
    hint = _read_hint(sandbox, values.get("id_token_hint"))
    client_id = values.get("client_id", str(hint.get("aud", "")))
    if hint and hint.get("aud") != client_id:
        raise build_error("id_token_hint was issued to another client_id.")
    redirect_uri = values.get("post_logout_redirect_uri")
    client = sandbox.clients.find(client_id)
    if redirect_uri and (client is None or redirect_uri not in client.post_logout_redirect_uris):
        raise build_error(f"post_logout_redirect_uri is not registered: {redirect_uri}.")
    if "sid" in hint:
        sandbox.grants.revoke(str(hint["sid"]))
    if redirect_uri:
        return _redirect(redirect_uri, {"state": values["state"]} if "state" in values else {})
    return build_page("Signed out", "<p>You are signed out.</p>")


def _read_hint(sandbox: SandboxState, token: str | None) -> Claims:
    """Return the claims of an ID token, which may have expired. Raises HTTPError with a page."""
    if token is None:
        return {}
    try:
        claims = sandbox.keys.decode_expired(token)
    except jwt.InvalidTokenError:
        raise build_error("id_token_hint is not a token of this server.") from None
    if not sandbox.is_trusted_issuer(str(claims["iss"])):
        raise build_error("id_token_hint is not a token of this server.")
    return claims
