"""The mail server and the addresses of notifications."""

from __future__ import annotations

from dataclasses import dataclass, field
from email.utils import parseaddr
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured, ValidationError
from django.core.validators import validate_email

from scaiwave.config.configuration import Configuration
from scaiwave.config.server_name import get_server_name
from scaiwave.core.errors import SettingInvalid

RECIPIENTS, SENDER, SERVER = "SCAIWAVE_NOTIFY_EMAIL", "SCAIWAVE_EMAIL_FROM", "SCAIWAVE_EMAIL_URL"
PORTS = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
"""The ports by the scheme of the URL: without encryption, with STARTTLS, and with TLS."""


@dataclass(frozen=True)
class MailSettings:
    """`server` has the options of Django's backend. `address` is its host and port."""

    server: dict[str, Any] = field(repr=False)
    address: str
    sender: str
    recipients: tuple[str, ...]


def load_mail_settings(config: Configuration) -> MailSettings:
    """Raises SettingMissing without recipients, and SettingInvalid."""
    config.get_required(RECIPIENTS)
    sender = config.get_str(SENDER) or f"scaiwave@{get_server_name(config).host}"
    recipients = tuple(config.get_list(RECIPIENTS))
    for name, address in ((SENDER, sender), *((RECIPIENTS, each) for each in recipients)):
        try:
            if not address.isprintable():
                raise ValidationError("control characters")
            validate_email(parseaddr(address)[1])
        except ValidationError:
            raise SettingInvalid(
                f"{name} contains {address!r}, which is not an e-mail address.",
                fix=f"Set {name} to an address such as ops@example.com.",
            ) from None
    server = _parse_server(config.get_str(SERVER))
    return MailSettings(server, f"{server['host']}:{server['port']}", sender, recipients)


def _parse_server(url: str) -> dict[str, object]:
    scheme = url.partition("://")[0]
    try:
        parsed = environ.Env.email_url_config(url)
    except (ImproperlyConfigured, ValueError):  # an invalid scheme, an invalid port
        parsed = {}
    if scheme not in PORTS or not parsed.get("EMAIL_HOST"):
        # The message omits the value: it may contain a password.
        raise SettingInvalid(
            f"{SERVER} is not the URL of a mail server.",
            fix=f"Set {SERVER} to a URL such as smtp+tls://user:password@mail.example.com:587.",
        )
    return {
        "host": parsed["EMAIL_HOST"],
        "port": parsed["EMAIL_PORT"] or PORTS[scheme],
        "username": parsed["EMAIL_HOST_USER"] or "",
        "password": parsed["EMAIL_HOST_PASSWORD"] or "",
        "use_tls": scheme == "smtp+tls",
        "use_ssl": scheme == "smtp+ssl",
    }
