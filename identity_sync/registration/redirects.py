"""The redirect URI of sign-ins to this server at ScaiKey."""

from __future__ import annotations

from scaiwave.config import Configuration
from scaiwave.web.scaikey_sign_in import build_redirect_uri


def find_redirect_problem(config: Configuration) -> str | None:
    """Return a warning if the configured registration lacks the present redirect URI.

    It also lacks it if a release registered it as a SERVICE application, or if it was made before
    SCAIWAVE_PUBLIC_URL was changed. None if no credentials are configured.
    """
    if not config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID"):
        return None
    expected = build_redirect_uri(config)
    registered = config.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI")
    if registered == expected:
        return None
    present = f"only {registered}" if registered else "no redirect URI"
    return (
        f"ScaiKey can't sign people in to this server: its registration has {present}, not "
        f"{expected}. Run `scaiwave sync register --replace`; syncs do not need it."
    )
