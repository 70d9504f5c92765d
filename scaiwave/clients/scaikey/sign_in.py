"""Where ScaiKey signs people in: its discovery document (OpenID Connect Discovery, 4)."""

from __future__ import annotations

from typing import Any

import msgspec

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.scaikey.auth import DISCOVERY, check_endpoint
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.errors import UpstreamInvalidResponse


class SignInEndpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of the platform; those that it does not have are empty.

    `sends_issuer` is whether each of its answers to a browser names the issuer (RFC 9207).
    """

    issuer: str
    authorization: str
    token: str
    userinfo: str = ""
    end_session: str = ""
    sends_issuer: bool = False


class _Discovery(msgspec.Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool | None = None


def fetch_sign_in_endpoints(base_url: str, issuer: str, **options: Any) -> SignInEndpoints:
    """Fetch the addresses of the platform whose issuer this is; `options` are the client's.

    Raises UpstreamInvalidResponse if the document is of another issuer, or has an endpoint on
    another server, and an UpstreamError if it can't be fetched.
    """
    with ScaiKeyClient(base_url, **options) as client:
        response = client.http.request("GET", DISCOVERY, retry=False)
        document = decode_response(response.content, _Discovery, source=f"GET {DISCOVERY}")
        if document.issuer.rstrip("/") != issuer.rstrip("/"):
            raise UpstreamInvalidResponse(
                f"ScaiKey's discovery document is of the issuer {document.issuer}, not {issuer}.",
                fix="Check SCAIWAVE_SCAIKEY_ISSUER and SCAIWAVE_SCAIKEY_URL.",
            )
        return _build_endpoints(client.http, document)


def _build_endpoints(http: HttpClient, document: _Discovery) -> SignInEndpoints:
    found = {
        name: check_endpoint(http, getattr(document, f"{name}_endpoint"), f"{name}_endpoint") or ""
        for name in ("authorization", "token", "userinfo", "end_session")
    }
    return SignInEndpoints(
        issuer=document.issuer,
        sends_issuer=document.authorization_response_iss_parameter_supported is True,
        **found,
    )
