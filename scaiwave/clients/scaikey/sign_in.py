"""How ScaiKey signs people in: its discovery document (OpenID Connect Discovery, 4), the exchange
of a code for tokens (RFC 6749, 4.1.3), and the profile (OpenID Connect Core, 5.3)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Unpack
from urllib.parse import quote_plus

import msgspec

from scaiwave.clients.http.client import ClientOptions
from scaiwave.clients.scaikey.auth import DISCOVERY, check_endpoint, is_sendable
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.core.errors import UpstreamInvalidResponse


class SignInEndpoints(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses of the platform. An address that it does not have is empty.

    `sends_issuer` is whether each of its answers to a browser names the issuer (RFC 9207).
    """

    issuer: str
    authorization: str
    token: str
    userinfo: str = ""
    end_session: str = ""
    sends_issuer: bool = False


Text = Annotated[str, msgspec.Meta(min_length=1)]


class SignInTokens(msgspec.Struct):
    access_token: Text
    id_token: Text


class _Discovery(msgspec.Struct):
    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool | None = None


def fetch_sign_in_endpoints(
    base_url: str, issuer: str, **options: Unpack[ClientOptions]
) -> SignInEndpoints:
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
        names = ("authorization", "token", "userinfo", "end_session")
        fields = {name: f"{name}_endpoint" for name in names}
        found = {
            name: check_endpoint(client.http, getattr(document, field), field) or ""
            for name, field in fields.items()
        }
        return SignInEndpoints(
            issuer=document.issuer,
            sends_issuer=document.authorization_response_iss_parameter_supported is True,
            **found,
        )


def redeem_code(
    base_url: str,
    endpoint: str,
    form: Mapping[str, str],
    *,
    client_id: str,
    client_secret: str,
    **options: Unpack[ClientOptions],
) -> SignInTokens:
    """Exchange the code in `form` for tokens; `options` are the client's.

    Raises what `HttpClient.request` raises, and UpstreamInvalidResponse.
    """
    with ScaiKeyClient(base_url, **options) as client:
        response = client.http.request(
            "POST",
            endpoint,
            data=form,
            # By RFC 6749, 2.3.1, id and secret are form-encoded before they go into the header.
            auth=(quote_plus(client_id), quote_plus(client_secret)),
            retry=False,
        )
    return decode_response(response.content, SignInTokens, source="POST of a sign-in's code")


def fetch_profile(
    base_url: str, endpoint: str, access_token: str, **options: Unpack[ClientOptions]
) -> object:
    """Return the profile of the person. Raises as `redeem_code` does."""
    if not is_sendable(access_token):
        raise UpstreamInvalidResponse("ScaiKey's access token can't be sent back to it.")
    with ScaiKeyClient(base_url, **options) as client:
        response = client.http.request(
            "GET", endpoint, headers={"Authorization": f"Bearer {access_token}"}, retry=False
        )
    return decode_response(response.content, object, source="GET of a profile")
