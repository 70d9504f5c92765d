"""System checks of the settings, which `scaiwave manage check` runs.

E… are settings that will fail, W… settings that are probably a mistake.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator, Sequence
from shlex import quote
from urllib.parse import urlsplit

from cryptography.fernet import Fernet
from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register  # noqa: A004

from scaiwave.config import SETTINGS, Configuration
from scaiwave.config.configuration import find_secret_parts, find_unknown_names, has_comment
from scaiwave.config.database import parse_redis_address, uses_sqlite
from scaiwave.config.mail import RECIPIENTS, load_mail_settings
from scaiwave.config.secret_keys import find_encryption_keys, list_secret_files
from scaiwave.core.errors import SettingInvalid

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
SCAIKEY_SETTINGS = ("URL", "CLIENT_ID", "CLIENT_SECRET")
OWN_SECRETS = ("SCAIWAVE_SECRET_KEY", "SCAIWAVE_METRICS_TOKEN")
"""Secrets that operators choose themselves; others come from another server."""

MIN_SECRET_CHARS = 32
_WORDS = re.compile(r"[^\W_\d]+")
RANDOM_HINT = "Create one with `openssl rand -base64 32`."
EXAMPLE_WORDS = frozenset(
    (
        *("admin", "change", "changeme", "changethis", "default", "django", "dummy", "example"),
        *("foo", "here", "insecure", "key", "me", "my", "password", "placeholder", "please"),
        *("postgres", "replace", "replaceme", "sample", "scaiwave", "secret", "test", "the"),
        *("this", "todo", "token", "xxx", "xxxx", "xxxxx", "your"),
    )
)
"""A secret of nothing but these words, digits and punctuation is an example."""


@register("scaiwave")
def check_configuration(
    app_configs: Sequence[AppConfig] | None, **kwargs: object
) -> list[CheckMessage]:
    config: Configuration = settings.CONFIG
    return [message for check in CHECKS for message in check(config)]


def _check_values(config: Configuration) -> Iterator[CheckMessage]:
    for setting in SETTINGS:
        try:
            # As its type, except URLs with passwords, which have checks of their own.
            if setting.type == "url" and not setting.secret:
                config.get_url(setting.name)
            elif setting.type in {"int", "fraction", "bool", "choice", "networks"}:
                getattr(config, f"get_{setting.type}")(setting.name)
        except SettingInvalid as error:
            yield Error(error.message, hint=error.fix, id="scaiwave.E001")


def _check_encryption_keys(config: Configuration) -> Iterator[CheckMessage]:
    for key in find_encryption_keys(config):
        try:
            Fernet(key)
        except ValueError:
            yield Error(
                "SCAIWAVE_ENCRYPTION_KEYS contains a value that is not a Fernet key.",
                hint="Create a key with `openssl rand -base64 32 | tr '+/' '-_'`.",
                id="scaiwave.E002",
            )


def _check_unknown_names(config: Configuration) -> Iterator[CheckMessage]:
    for name, suggestion in find_unknown_names(config).items():
        yield Warning(f"Unknown setting: {name}.", hint=f"Write {suggestion}.", id="scaiwave.W001")


def _check_plain_http(config: Configuration) -> Iterator[CheckMessage]:
    for name, secrets in (
        ("SCAIWAVE_PUBLIC_URL", "administrators' passwords"),
        ("SCAIWAVE_SCAIKEY_URL", "credentials and tokens"),
    ):
        address = urlsplit(config.get_url(name))
        if address.scheme == "http" and address.hostname not in LOOPBACK:
            yield Warning(
                f"{name} begins with http://, which sends {secrets} unencrypted.",
                hint="Use https:// unless the host is this server.",
                id="scaiwave.W002",
            )


def _check_comments(config: Configuration) -> Iterator[CheckMessage]:
    for setting in SETTINGS:
        if not setting.secret and has_comment(config.get_str(setting.name)):
            yield Warning(
                f"{setting.name} seems to have a comment behind its value.",
                hint="Write the comment on a line of its own: a value extends to the end of its "
                "line.",
                id="scaiwave.W003",
            )


def _check_example_secrets(config: Configuration) -> Iterator[CheckMessage]:
    """Report secrets that were copied from documentation, or can be guessed, in production."""
    # Other people depend on this server if it has PostgreSQL, or a public https address.
    public_url = urlsplit(config.get_url("SCAIWAVE_PUBLIC_URL"))
    is_public = public_url.scheme == "https" and public_url.hostname not in LOOPBACK
    if not is_public and uses_sqlite(config):
        return
    for setting in SETTINGS:
        if not setting.secret or config.is_default(setting.name):
            continue
        value = config.get_str(setting.name)
        own = setting.name in OWN_SECRETS
        parts = find_secret_parts(setting.name, value)
        if any(
            "…" in part or "..." in part or EXAMPLE_WORDS.issuperset(_WORDS.findall(part.lower()))
            for part in parts
        ):
            problem = f"{setting.name} has an example as its secret."
        elif own and len(value) < MIN_SECRET_CHARS:
            problem = f"{setting.name} has fewer than {MIN_SECRET_CHARS} characters."
        else:
            continue
        hint = RANDOM_HINT if own else "Set it to the secret of that server."
        yield Error(problem, hint=hint, id="scaiwave.E003")


def _check_file_permissions(config: Configuration) -> Iterator[CheckMessage]:
    for path in list_secret_files(config):
        if path.exists() and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            yield Warning(
                f"{path} contains secrets, but users other than its owner have access.",
                hint=f"Run `chmod 600 {quote(str(path))}`.",
                id="scaiwave.W004",
            )


def _check_server_name(config: Configuration) -> Iterator[CheckMessage]:
    if not uses_sqlite(config) and config.is_default("SCAIWAVE_SERVER_NAME"):
        yield Warning(
            "SCAIWAVE_SERVER_NAME is not set, so all participants are @name:localhost.",
            hint="Set it to the public name of this server.",
            id="scaiwave.W005",
        )


def _check_registration(config: Configuration) -> Iterator[CheckMessage]:
    names = [f"SCAIWAVE_SCAIKEY_{part}" for part in SCAIKEY_SETTINGS]
    missing = [name for name in names if not config.get_str(name)]
    # The URL is set first; registration fills in the rest.
    if missing and missing not in (names, names[1:]):
        yield Warning(
            f"ScaiKey is only partly configured: {' and '.join(missing)} missing.",
            hint="Run `scaiwave sync register`, or set the missing settings.",
            id="scaiwave.W006",
        )


def _check_redis(config: Configuration) -> Iterator[CheckMessage]:
    """Warn of a Redis that others can use, or whose traffic others can read or change."""
    address = parse_redis_address(config.get_str("SCAIWAVE_REDIS_URL"))
    if address is None or address.is_local:
        return
    if not address.has_password:
        yield Warning(
            f"Redis on {address.host} has no password: anyone who reaches it can start, delay "
            "and delete jobs.",
            hint="Set requirepass or an ACL user in Redis, and write the password into "
            "SCAIWAVE_REDIS_URL: rediss://:<password>@<host>:6379/0.",
            id="scaiwave.W007",
        )
    if not address.is_encrypted:
        yield Warning(
            f"The connection to Redis on {address.host} is not encrypted: its password and jobs "
            "can be read and changed on the way.",
            hint="Turn on TLS in Redis, and write rediss:// in SCAIWAVE_REDIS_URL.",
            id="scaiwave.W008",
        )


def _check_mail(config: Configuration) -> Iterator[CheckMessage]:
    if not config.get_str(RECIPIENTS):
        return
    try:
        load_mail_settings(config)
    except SettingInvalid as error:
        yield Error(error.message, hint=error.fix, id="scaiwave.E001")


CHECKS = (
    _check_values,
    _check_mail,
    _check_encryption_keys,
    _check_unknown_names,
    _check_plain_http,
    _check_comments,
    _check_example_secrets,
    _check_file_permissions,
    _check_server_name,
    _check_registration,
    _check_redis,
)
