"""Error responses of the OAuth endpoints (RFC 6749, 5.2; RFC 6750, 3)."""

from __future__ import annotations

from scaiwave.sandbox.http.routing import HTTPError, json_response

BASIC = {"WWW-Authenticate": 'Basic realm="scaikey"'}
# Intermediaries must not store a token response (RFC 6749, 5.1).
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


def build_oauth_error(
    error: str,
    description: str = "",
    *,
    status: int = 400,
    headers: dict[str, str] | None = None,
) -> HTTPError:
    """Return an error of the token endpoint."""
    body = {"error": error, **({"error_description": description} if description else {})}
    http_error = HTTPError(status, None)
    http_error.response = json_response(
        body, status=status, headers={**NO_STORE, **(headers or {})}
    )
    return http_error


def build_bearer_error(error: str, description: str, *, status: int) -> HTTPError:
    """Return an error of an endpoint that takes an access token; without `error` none was sent."""
    challenge = "Bearer"
    if error:
        challenge = f'Bearer error="{error}", error_description="{description}"'
    return build_oauth_error(
        error or "unauthorized", description, status=status, headers={"WWW-Authenticate": challenge}
    )
