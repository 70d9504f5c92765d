"""The errors that responses of ScaiKey stand for, and whether it or a gateway sent them."""

from __future__ import annotations

import httpx
import msgspec

from scaiwave.clients.http.exceptions import TranslatedError, UpstreamServer
from scaiwave.clients.http.responses import (
    error_from_response,
    response_detail,
    wrong_path_error,
)
from scaiwave.clients.scaikey.auth import JWKS, TOKEN
from scaiwave.clients.scaikey.registration import REGISTER
from scaiwave.clients.scaikey.schemas import (
    BaseRecord,
    GroupRecord,
    PartnerRecord,
    ScaiKeyTenantRecord,
    UserRecord,
)
from scaiwave.core.errors import UpstreamForbidden, UpstreamInvalidResponse, UpstreamNotFound

ADMIN = "/api/v1/admin"
RECORDS: dict[str, type[BaseRecord]] = {
    "partners": PartnerRecord,
    "tenants": ScaiKeyTenantRecord,
    "users": UserRecord,
    "groups": GroupRecord,
}


def error_from_scaikey_response(response: httpx.Response, peer: UpstreamServer) -> TranslatedError:
    """Return the error for a response outside 200–299.

    A 404 is ScaiKey's own only if its body is JSON with the `detail` of FastAPI. A 404 of a gateway
    in front of it proves nothing about a record. A 404 of a route that ScaiKey always has means
    that the configured address is wrong.
    """
    translated = error_from_response(response, peer)
    # FastAPI's response to an unknown route, for a path that has no ID in it.
    lists = tuple(f"{ADMIN}/{name}/" for name in RECORDS)
    is_list = response.request.url.path.endswith(lists)
    is_known = is_list or response.request.url.path.endswith((TOKEN, JWKS, REGISTER))
    if response.status_code == 404 and is_known and response_detail(response) == "Not Found":
        return TranslatedError(error=wrong_path_error(response, peer))
    if isinstance(translated.error, UpstreamNotFound) and is_list:
        translated.error.fix = f"Check that {peer.setting} is the address of ScaiKey."
    if isinstance(translated.error, UpstreamForbidden) and not _is_own_error(response):
        translated.error.details["from_gateway"] = True
    if isinstance(translated.error, UpstreamNotFound) and not _is_own_error(response):
        return TranslatedError(
            error=UpstreamInvalidResponse(
                f"{peer.name} responded to {response.request.method} {response.request.url.path} "
                "with a 404 that is not ScaiKey's.",
                fix=f"Check that {peer.setting} is the address of ScaiKey.",
            )
        )
    return translated


def _is_own_error(response: httpx.Response) -> bool:
    """Return whether an error response has the form of ScaiKey's own, not of a gateway's."""
    if response.headers.get("Content-Type", "").startswith("application/problem+json"):
        return False
    try:
        document = msgspec.json.decode(response.content)
    except (ValueError, RecursionError):
        return False
    detail = document.get("detail") if isinstance(document, dict) else None
    return isinstance(detail, str) and bool(detail.strip())
