"""What ScaiKey wants to know of an application: given as flags, or asked at a terminal."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from identity_sync.errors import InsecureAddress, InvalidAnswer, RegistrationConflict
from identity_sync.services.registration.receipt import PendingRegistration
from scaiwave.auth.operators import Operator
from scaiwave.config import Configuration
from scaiwave.errors import UsageError

SCOPES = ("GLOBAL", "PARTNER", "TENANT")
TRIES = 3
LONGEST = 200

_FLAGS = {
    "url": "--url",
    "name": "--name",
    "scope": "--scope",
    "scope_slug": "--partner-slug or --tenant-slug",
    "contact_email": "--contact-email",
}


class Prompt(Protocol):
    """Asks one question. Raises `ConfirmationNeeded` naming the flag when nobody is there."""

    def __call__(self, question: str, *, flag: str, default: str = "") -> str: ...


@dataclass(frozen=True, kw_only=True)
class Console:
    """How to reach whoever runs this; nobody is `interactive` in a script."""

    ask: Prompt
    say: Callable[[str], None]
    interactive: bool


@dataclass(frozen=True, kw_only=True)
class RegistrationFlags:
    """The answers that came as flags; None is not given."""

    url: str | None = None
    name: str | None = None
    scope: str | None = None
    partner_slug: str | None = None
    tenant_slug: str | None = None
    contact_email: str | None = None
    allow_http: bool = False


@dataclass(frozen=True, kw_only=True)
class RegistrationRequest:
    url: str
    name: str
    scope: str
    scope_slug: str
    contact_email: str


def collect_answers(
    *, given: RegistrationFlags, talk: Console, config: Configuration, operator: Operator
) -> RegistrationRequest:
    """Every answer, checked. Raises `InvalidAnswer`, `InsecureAddress` or `ConfirmationNeeded`."""

    def answer(
        value: str | None, question: str, flag: str, default: str, check: Callable[[str], str]
    ) -> str:
        return check(value) if value is not None else _asked(talk, question, flag, default, check)

    def guess(text: str) -> str:
        """A default is a proposal to a person; a script has to say what it means."""
        return text if talk.interactive else ""

    url = answer(
        given.url,
        "URL of ScaiKey",
        "--url",
        config.get_str("SCAIWAVE_SCAIKEY_URL"),
        lambda text: check_url(text, allow_http=given.allow_http),
    )
    server = guess(config.get_str("SCAIWAVE_SERVER_NAME"))
    name = answer(given.name, "Name of this server in ScaiKey", "--name", server, _text("--name"))
    reach = guess("GLOBAL")
    scope = answer(given.scope, "Scope (GLOBAL, PARTNER or TENANT)", "--scope", reach, _scope)
    check_slugs(given, scope)
    slug = _slug(given, scope, answer)
    contact = guess(operator.name if "@" in operator.name else "")
    email = answer(given.contact_email, "Contact e-mail", "--contact-email", contact, _email)
    return RegistrationRequest(
        url=url, name=name, scope=scope, scope_slug=slug, contact_email=email
    )


def _slug(given: RegistrationFlags, scope: str, answer: Callable[..., str]) -> str:
    if scope == "GLOBAL":
        return ""
    kind = scope.lower()
    value = given.partner_slug if scope == "PARTNER" else given.tenant_slug
    flag = f"--{kind}-slug"
    return answer(value, f"Slug of the {kind} in ScaiKey", flag, "", _text(flag))


def _asked(
    talk: Console, question: str, flag: str, default: str, check: Callable[[str], str]
) -> str:
    """Ask again after an answer that can't be used, a few times: input may have ended."""
    for _ in range(TRIES - 1):
        try:
            return check(talk.ask(question, flag=flag, default=default))
        except (InvalidAnswer, InsecureAddress) as error:
            if not talk.interactive:
                raise
            talk.say(f"{error.message} {error.fix}")
    return check(talk.ask(question, flag=flag, default=default))


def check_slugs(given: RegistrationFlags, scope: str) -> None:
    """Raise `UsageError` when a slug was given that the scope has no use for."""
    for flag, value, wanted in (
        ("--partner-slug", given.partner_slug, "PARTNER"),
        ("--tenant-slug", given.tenant_slug, "TENANT"),
    ):
        if value is not None and scope != wanted:
            raise UsageError(
                f"{flag} does not go with the scope {scope}.",
                fix=f"Leave {flag} out, or pass --scope {wanted}.",
            )


def check_url(text: str, *, allow_http: bool) -> str:
    """The address without its trailing slash; the client secret must not travel unencrypted."""
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable():
        raise InvalidAnswer(
            "That is not the address of a ScaiKey.",
            fix="Pass --url as something like https://scaikey.example.com.",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidAnswer(
            "The address of ScaiKey holds more than scheme, host and path.",
            fix="Pass --url without a user name, a query or a fragment.",
        )
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise InsecureAddress(
            f"{url} is not encrypted, and the client secret would travel over it.",
            fix="Use https://, or pass --allow-http if the network between is trusted.",
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _scope(text: str) -> str:
    scope = text.strip().upper()
    if scope not in SCOPES:
        raise InvalidAnswer(
            "There is no such scope.", fix=f"Pass --scope as {' or '.join(SCOPES)}."
        )
    return scope


def _email(text: str) -> str:
    try:
        validate_email(text.strip())
    except ValidationError:
        problem = InvalidAnswer(
            "That is not an e-mail address.",
            fix="Pass --contact-email as something like ops@example.com.",
        )
    else:
        return text.strip()
    raise problem


def _text(flag: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        text = text.strip()
        if not text or len(text) > LONGEST or not text.isprintable():
            raise InvalidAnswer(
                f"{flag} is empty, too long or holds control characters.",
                fix=f"Pass {flag} as 1 to {LONGEST} printable characters.",
            )
        return text

    return check


def ensure_matches(given: RegistrationFlags, receipt: PendingRegistration) -> None:
    """Raise `RegistrationConflict` when a flag differs from what a pending request says."""
    pairs = {
        "url": re.sub(r"/+\Z", "", given.url.strip()) if given.url else None,
        "name": given.name.strip() if given.name else None,
        "scope": given.scope.strip().upper() if given.scope else None,
        "scope_slug": given.partner_slug or given.tenant_slug,
        "contact_email": given.contact_email.strip() if given.contact_email else None,
    }
    for name, value in pairs.items():
        if value is not None and value != getattr(receipt, name):
            raise RegistrationConflict(
                f"A request with another {_FLAGS[name]} is pending: {getattr(receipt, name)!r}.",
                fix="Run `scaiwave sync register` without flags to go on with it, or with "
                "--restart to cancel it and begin again.",
            )
