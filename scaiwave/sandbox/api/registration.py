"""Registration of applications (ScaiKey docs, reference/api/registration).

Exactly one status request after the approval returns the credentials. Registration requests are
kept in memory only; the credentials are derived from the seed and stay valid after a restart.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from scaiwave.sandbox.clients import APP_SCOPES, APP_TYPES, SCOPES
from scaiwave.sandbox.data.roster import Row
from scaiwave.sandbox.http.messages import (
    Request,
    Response,
    json_response,
    parse_json_body,
    validation_error,
)
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.state import SandboxState

BASE = "/api/v1/public/register/applications"
REQUIRED_STRINGS = ("name", "scope", "contact_email", "application_type")
URI_LISTS = ("redirect_uris", "post_logout_redirect_uris")


@route("POST", BASE)
def register(sandbox: SandboxState, request: Request) -> Response:
    body = parse_json_body(request)
    _check_body(body)
    client = sandbox.issue_client(
        name=body["name"],
        app_scope=body["scope"],
        app_type=body["application_type"],
        target=_find_target_id(sandbox, body),
        scopes=body.get("requested_scopes", ["admin:read"]),
        **{name: body.get(name, []) for name in URI_LISTS},
    )
    pending = sandbox.registrations.create(client)
    fields = ("request_id", "status", "status_token")
    return json_response({name: getattr(pending, name) for name in fields}, status=201)


def _check_body(body: Row) -> None:
    """Check the fields. assumption: they have the same names as in `scaicontrol setup register`."""
    for name in REQUIRED_STRINGS:
        if name not in body:
            raise validation_error(["body", name], "Field required", "missing", body)
        if not isinstance(body[name], str) or not body[name]:
            raise validation_error(["body", name], "Input should be a valid string", "string_type")
    _check_choices("scope", [body["scope"]], APP_SCOPES)
    _check_choices("application_type", [body["application_type"]], APP_TYPES)
    if "@" not in body["contact_email"]:
        raise validation_error(
            ["body", "contact_email"], "value is not a valid email address", "value_error"
        )
    for name in (*URI_LISTS, "requested_scopes"):
        if not isinstance(body.get(name, []), list):
            raise validation_error(["body", name], "Input should be a valid list", "list_type")
    for name in URI_LISTS:
        for uri in body.get(name, []):
            _check_redirect_uri(name, uri)
    if body["application_type"] == "WEB" and not body.get("redirect_uris"):
        raise validation_error(["body", "redirect_uris"], "Field required", "missing", body)
    _check_choices("requested_scopes", body.get("requested_scopes", []), SCOPES)


def _check_redirect_uri(name: str, uri: Any) -> None:
    """Require an absolute URI without a fragment (RFC 6749, 3.1.2)."""
    try:
        parts = urlsplit(uri) if isinstance(uri, str) else urlsplit("")
        is_valid = parts.scheme in ("http", "https") and bool(parts.hostname) and "#" not in uri
    except ValueError:
        is_valid = False
    if not is_valid:
        raise validation_error(["body", name], "Input should be a valid URL", "url_parsing", uri)


def _check_choices(name: str, values: list[object], choices: tuple[str, ...]) -> None:
    for value in values:
        if value not in choices:
            expected = " or ".join(f"'{choice}'" for choice in choices)
            raise validation_error(["body", name], f"Input should be {expected}", "enum", value)


def _find_target_id(sandbox: SandboxState, body: Row) -> str:
    """Return the ID of the partner or tenant that the app is for."""
    kind = body["scope"].lower()
    if kind == "global":
        return ""
    slug = body.get(f"{kind}_slug")
    if not isinstance(slug, str):
        raise validation_error(["body", f"{kind}_slug"], "Field required", "missing", body)
    return str(sandbox.directory.get_by_slug(kind, slug)["id"])


@route("GET", BASE + "/{request_id}/status")
def get_status(sandbox: SandboxState, request: Request) -> Response:
    pending = sandbox.registrations.get(request.params["request_id"], _get_status_token(request))
    first = sandbox.registrations.claim_credentials(pending)
    body: Row = {"request_id": pending.request_id, "status": pending.update_status()}
    if pending.reason:
        body["rejection_reason"] = pending.reason
    if first:
        client = pending.client
        body["credentials"] = {
            "client_id": client.client_id,
            "client_secret": sandbox.clients.get_secret(client),
            "application_id": client.application_id,
            "issuer": sandbox.get_issuer(client.tenant_id),
        }
    return json_response(body)


@route("DELETE", BASE + "/{request_id}")
def cancel(sandbox: SandboxState, request: Request) -> Response:
    pending = sandbox.registrations.get(request.params["request_id"], _get_status_token(request))
    sandbox.registrations.decide(pending.request_id, "CANCELLED")
    return Response(status=204)


def _get_status_token(request: Request) -> str:
    if "status_token" not in request.query:
        raise validation_error(["query", "status_token"], "Field required", "missing")
    return request.query["status_token"]
