"""The flags of `sync register`, and how its answer is laid out."""

from __future__ import annotations

import math
from argparse import ArgumentParser, ArgumentTypeError

from identity_sync.services.registration.answers import SCOPES
from scaiwave.console.output import Column

ANSWERS = ("url", "name", "scope", "partner_slug", "tenant_slug", "contact_email", "allow_http")
_TITLES = {
    "outcome": "Outcome",
    "state": "State",
    "url": "ScaiKey",
    "request_id": "Request",
    "name": "Name",
    "scope": "Scope",
    "scope_slug": "Slug",
    "contact_email": "Contact",
    "client_id": "Client id",
    "client_secret": "Client secret",
    "application_id": "Application id",
    "reach": "Token reaches",
    "env_file": "Configuration file",
    "receipt": "Status token kept in",
}
COLUMNS = tuple(Column(key, title) for key, title in _TITLES.items())


def add_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--url", help="ScaiKey's address; default is SCAIWAVE_SCAIKEY_URL")
    add("--name", help="what ScaiKey's administrators will see")
    add("--scope", metavar="SCOPE", help=" or ".join(SCOPES))
    add("--partner-slug", help="with --scope PARTNER: which")
    add("--tenant-slug", help="with --scope TENANT: which")
    add("--contact-email", help="whom ScaiKey's administrators can ask")
    add("--allow-http", action="store_true", help="register without encryption")
    add("--wait", action="store_true", help="wait until somebody has decided")
    add("--timeout", type=_seconds, default=3600, help="seconds to --wait (default 3600)")
    add("--force", action="store_true", help="begin although credentials are configured")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--restart", action="store_true", help="cancel the pending, begin anew")
    group.add_argument("--cancel", action="store_true", help="cancel the pending request")


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise ArgumentTypeError(f"{text!r} is not a number of seconds")
    return seconds
