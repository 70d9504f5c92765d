"""Collect the details of a registration request, from flags or by prompting at a terminal."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from identity_sync.errors import InsecureAddress, InvalidAnswer, RegistrationConflict
from identity_sync.models import Registration
from identity_sync.registration.receipt import PendingRegistration
from scaiwave.config import Configuration
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator

SCOPES = ("GLOBAL", "PARTNER", "TENANT")
SCOPE_LIST = "GLOBAL, PARTNER or TENANT"
MAX_PROMPTS = 3
"""How often one question is asked; the input may have ended."""

MAX_ANSWER_CHARS = 200

_FLAGS = {
    "url": "--url",
    "name": "--name",
    "scope": "--scope",
    "scope_slug": "--partner-slug or --tenant-slug",
    "contact_email": "--contact-email",
}


class Prompt(Protocol):
    """Asks one question. Raises `ConfirmationNeeded`, naming the flag, without a terminal."""

    def __call__(self, question: str, *, flag: str, default: str = "") -> str: ...


@dataclass(frozen=True, kw_only=True)
class Console:
    """How to reach the person who runs the command; a script is not `interactive`."""

    prompt: Prompt
    log: Callable[[str], None]
    interactive: bool


@dataclass(frozen=True, kw_only=True)
class RegistrationContext:
    """What all steps of one `sync register` share; with `wait_seconds` None it asks once."""

    operator: Operator
    config: Configuration
    console: Console
    clock: Callable[[], datetime]
    wait_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class RegistrationFlags:
    """The answers that were passed as flags; None means that the flag was not passed."""

    url: str | None = None
    name: str | None = None
    scope: str | None = None
    partner_slug: str | None = None
    tenant_slug: str | None = None
    contact_email: str | None = None
    allow_http: bool = False


@dataclass(frozen=True, kw_only=True)
class RegistrationRequest:
    """Everything that is sent to ScaiKey, checked."""

    url: str
    name: str
    scope: str
    scope_slug: str
    contact_email: str


Check = Callable[[str], str]
"""Returns the cleaned answer. Raises `InvalidAnswer` or `InsecureAddress`."""


def collect_answers(context: RegistrationContext, flags: RegistrationFlags) -> RegistrationRequest:
    """Return every answer, checked; an answer that is not passed defaults to the last request.

    Raises `InvalidAnswer`, `InsecureAddress`, `UsageError` or `ConfirmationNeeded`.
    """
    console, config, operator = context.console, context.config, context.operator

    def get_answer(value: str | None, question: str, flag: str, default: str, check: Check) -> str:
        if value is not None:
            return check(value)
        return _prompt(console, question, flag, default, check)

    def suggest(text: str) -> str:
        """Return a default for a prompt; a script has to state such a value."""
        return text if console.interactive else ""

    default_url = config.get_str("SCAIWAVE_SCAIKEY_URL")

    def check(text: str) -> str:
        is_setting = flags.url is None and bool(default_url) and text == default_url
        name = "SCAIWAVE_SCAIKEY_URL" if is_setting else "--url"
        return check_url(text, name=name, allow_http=flags.allow_http)

    newest = Registration.objects.newest_first().first()
    last_url = newest.scaikey_url if newest else ""
    url = get_answer(flags.url, "URL of ScaiKey", "--url", default_url or last_url, check)
    last = Registration.objects.filter(scaikey_url=url).newest_first().first()
    server_name = last.name if last else suggest(config.get_str("SCAIWAVE_SERVER_NAME"))
    name = get_answer(
        flags.name,
        "Name of this server in ScaiKey",
        "--name",
        server_name,
        _build_text_check("--name"),
    )
    last_scope = last.scope if last else suggest("GLOBAL")
    scope = get_answer(flags.scope, f"Scope ({SCOPE_LIST})", "--scope", last_scope, _check_scope)
    check_slugs(flags, scope)
    last_slug = last.scope_slug if last and last.scope == scope else ""
    scope_slug = _collect_slug(flags, scope, last_slug, get_answer)
    own_email = suggest(operator.name if "@" in operator.name else "")
    contact = last.contact_email if last else own_email
    email = get_answer(
        flags.contact_email, "Contact e-mail", "--contact-email", contact, _check_email
    )
    return RegistrationRequest(
        url=url, name=name, scope=scope, scope_slug=scope_slug, contact_email=email
    )


def _collect_slug(
    flags: RegistrationFlags, scope: str, default: str, get_answer: Callable[..., str]
) -> str:
    if scope == "GLOBAL":
        return ""
    entity = scope.lower()
    flag = f"--{entity}-slug"
    value = flags.partner_slug if scope == "PARTNER" else flags.tenant_slug
    question = f"Slug of the {entity} in ScaiKey"
    return get_answer(value, question, flag, default, _build_text_check(flag))


def _prompt(console: Console, question: str, flag: str, default: str, check: Check) -> str:
    """Ask, and ask again after an answer that can't be used."""
    for _ in range(MAX_PROMPTS - 1):
        try:
            return check(console.prompt(question, flag=flag, default=default))
        except (InvalidAnswer, InsecureAddress) as error:
            if not console.interactive:
                raise
            console.log(f"{error.message} {error.fix}")
    return check(console.prompt(question, flag=flag, default=default))


def check_slugs(flags: RegistrationFlags, scope: str) -> None:
    """Raise `UsageError` for a slug that the scope has no use for."""
    for flag, value, required_scope in (
        ("--partner-slug", flags.partner_slug, "PARTNER"),
        ("--tenant-slug", flags.tenant_slug, "TENANT"),
    ):
        if value is not None and scope != required_scope:
            raise UsageError(
                f"{flag} can't be used with scope {scope}.",
                fix=f"Leave {flag} out, or pass --scope {required_scope}.",
            )


def check_url(text: str, *, name: str = "--url", allow_http: bool) -> str:
    """Return the URL without its trailing slash. `name` is the option or setting it comes from.

    Raises `InvalidAnswer`, and `InsecureAddress` where the client secret would be sent unencrypted.
    """
    url = text.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in {"http", "https"} or not host or not url.isprintable():
        raise InvalidAnswer(
            f"Invalid {name}: it needs a scheme and a host.",
            fix=f"Write {name} as something like https://scaikey.example.com.",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidAnswer(
            f"Invalid {name}: only scheme, host and path are allowed.",
            fix=f"Write {name} without a user name, query or fragment.",
        )
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise InsecureAddress(
            f"Insecure {name}: {url} would receive the client secret unencrypted.",
            fix="Use https://, or pass --allow-http if you trust the network between.",
        )
    return url


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _check_scope(text: str) -> str:
    scope = text.strip().upper()
    if scope not in SCOPES:
        raise InvalidAnswer(f"Invalid scope: {text.strip()!r}.", fix=f"Pass --scope {SCOPE_LIST}.")
    return scope


def _check_email(text: str) -> str:
    try:
        validate_email(text.strip())
    except ValidationError:
        problem = InvalidAnswer(
            f"Invalid e-mail address: {text.strip()!r}.",
            fix="Pass --contact-email as something like ops@example.com.",
        )
    else:
        return text.strip()
    raise problem


def _build_text_check(flag: str) -> Check:
    def check(text: str) -> str:
        text = text.strip()
        if not text or len(text) > MAX_ANSWER_CHARS or not text.isprintable():
            raise InvalidAnswer(
                f"Invalid {flag}: it is empty, too long or contains control characters.",
                fix=f"Pass {flag} as 1 to {MAX_ANSWER_CHARS} printable characters.",
            )
        return text

    return check


def ensure_matches(flags: RegistrationFlags, receipt: PendingRegistration) -> None:
    """Raise `RegistrationConflict` if a flag differs from the pending request."""
    passed = {
        "url": re.sub(r"/+\Z", "", flags.url.strip()) if flags.url else None,
        "name": flags.name.strip() if flags.name else None,
        "scope": flags.scope.strip().upper() if flags.scope else None,
        "scope_slug": flags.partner_slug or flags.tenant_slug,
        "contact_email": flags.contact_email.strip() if flags.contact_email else None,
    }
    for field, value in passed.items():
        pending = getattr(receipt, field)
        if value is not None and value != pending:
            raise RegistrationConflict(
                f"A request with a different {_FLAGS[field]} is pending: {pending!r}.",
                fix="Run `scaiwave sync register` without flags to continue it, or with --restart "
                "to cancel it and start again.",
            )
