"""Error responses of the OAuth endpoints (RFC 6749, 5.2; RFC 6750, 3)."""

from __future__ import annotations

from scaiwave.sandbox.http.messages import HTTPError, json_response

REALM = "scaikey"
BASIC = {"WWW-Authenticate": f'Basic realm="{REALM}"'}
# Intermediaries must not store a token response (RFC 6749, 5.1).
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build_oauth_error(
    error: str,
    description: str,
    *,
    status: int = 400,
    headers: dict[str, str] | None = None,
) -> HTTPError:
    """Return an error of the token endpoint."""
    body = {"error": error, "error_description": description}
    http_error = HTTPError(status, None)
    http_error.response = json_response(
        body, status=status, headers={**NO_STORE, **(headers or {})}
    )
    return http_error


def build_client_error() -> HTTPError:
    """Return the error for a client that is unknown, or that has not proven who it is."""
    return build_oauth_error(
        "invalid_client", "Client authentication failed.", status=401, headers=BASIC
    )


def build_bearer_error(error: str, description: str, *, status: int, scope: str = "") -> HTTPError:
    """Return an error of an endpoint that takes an access token; without `error` none was sent.

    The challenge always has a parameter, and no error if no token was sent (RFC 6750, 3).
    """
    parameters = {"realm": REALM}
    if error:
        parameters |= {"error": error, "error_description": description}
    if scope:
        parameters["scope"] = scope
    challenge = ", ".join(f'{name}="{value}"' for name, value in parameters.items())
    return build_oauth_error(
        error or "unauthorized",
        description,
        status=status,
        headers={"WWW-Authenticate": f"Bearer {challenge}"},
    )
