"""Register this server with ScaiKey (ScaiKey docs, reference/api/registration).

Registration needs no credentials. The new credentials can be fetched exactly once, so the
caller of `registration_status` must save them to disk before anything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated
from urllib.parse import quote

import httpx
import msgspec

from scaiwave.clients.http.client import HttpClient
from scaiwave.clients.http.recording import ResponseRecorder
from scaiwave.clients.scaikey.decoding import decode_response
from scaiwave.core.errors import UpstreamForbidden, UpstreamNotFound, UpstreamUnauthorized
from scaiwave.core.json_types import JsonObject

REGISTER = "/api/v1/public/register/applications"

APPLICATION_TYPE = "WEB"
"""Only a WEB application signs people in. assumption: it needs no more fields than a SERVICE
application, and its client credentials are accepted by the admin API. ScaiKey's docs name
SERVICE applications for it."""

REQUESTED_SCOPES = ("admin:read", "openid", "profile", "email")
"""To sync, and to sign people in. assumption: scopes of a sign-in must be registered too."""


class RegistrationTicket(msgspec.Struct, frozen=True):
    """`status_token` is shown once, and is the only way to get the decision."""

    request_id: str
    status_token: str

    def __repr__(self) -> str:
        return f"RegistrationTicket(request_id={self.request_id!r}, status_token=[hidden])"


class Credentials(msgspec.Struct, frozen=True):
    client_id: str
    client_secret: str
    application_id: str = ""
    issuer: str = ""

    def __repr__(self) -> str:
        return f"Credentials(client_id={self.client_id!r}, client_secret=[hidden])"


class RegistrationStatus(msgspec.Struct, frozen=True):
    """`status` is PENDING, APPROVED, REJECTED, CANCELLED or EXPIRED.

    APPROVED without `credentials` means that they were fetched before.
    assumption: the names of these fields follow ScaiControl's.
    """

    status: str
    request_id: str = ""
    rejection_reason: str | None = None
    credentials: Credentials | None = None


class _DecodedCredentials(msgspec.Struct, frozen=True):
    """Credentials as ScaiKey sends them; unknown values may be null."""

    client_id: Annotated[str, msgspec.Meta(min_length=1)]
    client_secret: Annotated[str, msgspec.Meta(min_length=1)]
    application_id: str | None = None
    issuer: str | None = None


class _DecodedStatus(msgspec.Struct, frozen=True):
    status: str
    request_id: str | None = None
    rejection_reason: str | None = None
    credentials: _DecodedCredentials | None = None


class RegistrationCalls:
    """The part of ScaiKeyClient that registers."""

    http: HttpClient

    def register_application(
        self,
        *,
        name: str,
        scope: str,
        contact_email: str,
        redirect_uris: Sequence[str],
        requested_scopes: Sequence[str] = REQUESTED_SCOPES,
        application_type: str = APPLICATION_TYPE,
        partner_slug: str | None = None,
        tenant_slug: str | None = None,
    ) -> RegistrationTicket:
        """Request an application; `scope` is GLOBAL, PARTNER or TENANT.

        The request is never retried, since that would create a second application. Raises
        UpstreamRejected, with ScaiKey's message, for an invalid field.
        assumption: the names of the fields follow `scaicontrol setup register`.
        """
        body: JsonObject = {
            "name": name,
            "scope": scope,
            "contact_email": contact_email,
            "application_type": application_type,
            "redirect_uris": list(redirect_uris),
            "requested_scopes": list(requested_scopes),
        }
        if partner_slug is not None:
            body["partner_slug"] = partner_slug
        if tenant_slug is not None:
            body["tenant_slug"] = tenant_slug
        response = self.http.request("POST", REGISTER, json=body)
        return decode_response(response.content, RegistrationTicket, source=f"POST {REGISTER}")

    def registration_status(
        self, request_id: str, status_token: str, *, recorder: ResponseRecorder | None = None
    ) -> RegistrationStatus:
        """Return the decision, and the credentials the first time after an approval.

        Raises UpstreamNotFound or UpstreamUnauthorized for a wrong id or token.
        """
        response = self._call("GET", f"{_path(request_id)}/status", status_token, recorder)
        return decode_status(response.content)

    def cancel_registration(self, request_id: str, status_token: str) -> None:
        """Cancel a pending request. Raises UpstreamConflict if it has been decided."""
        self._call("DELETE", _path(request_id), status_token)

    def _call(
        self, method: str, path: str, status_token: str, recorder: ResponseRecorder | None = None
    ) -> httpx.Response:
        headers = trace = None
        if recorder is not None:
            # A recorded response is read as it came, so it must not be compressed.
            headers, trace = {"Accept-Encoding": "identity"}, recorder.trace
        try:
            return self.http.request(
                method, path, params={"status_token": status_token}, headers=headers, trace=trace
            )
        except (UpstreamUnauthorized, UpstreamForbidden, UpstreamNotFound) as error:
            error.fix = (
                "Check the request ID and the status token; if they are lost, register again."
            )
            raise


def decode_status(body: bytes) -> RegistrationStatus:
    """Decode the body of a response about a request. Raises UpstreamInvalidResponse."""
    decoded = decode_response(body, _DecodedStatus, source=f"GET {REGISTER}/…/status")
    credentials = None
    if (sent := decoded.credentials) is not None:
        credentials = Credentials(
            sent.client_id, sent.client_secret, sent.application_id or "", sent.issuer or ""
        )
    return RegistrationStatus(
        status=decoded.status.strip().upper(),
        request_id=decoded.request_id or "",
        rejection_reason=decoded.rejection_reason,
        credentials=credentials,
    )


def _path(request_id: str) -> str:
    return f"{REGISTER}/{quote(request_id, safe='')}"
