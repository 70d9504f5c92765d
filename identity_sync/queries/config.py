"""What is configured and where it comes from, without what must stay secret."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

from identity_sync.services.registration.credentials import find_waiting_credentials
from scaiwave.auth.operators import Operator, Permission
from scaiwave.config import SETTINGS, Configuration
from scaiwave.config.configuration import unknown_names
from scaiwave.config.definitions import SettingDefinition

HIDDEN = "****"
LONG_ENOUGH = 20
"""Characters from which on the ends of a secret may be shown, to tell two apart."""

_USER_INFO = re.compile(r"\A([a-z0-9+.-]+://)([^:@]*)(?::(.*))?@", re.IGNORECASE | re.DOTALL)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


@dataclass(frozen=True)
class SettingView:
    """One setting as it may be shown; `source` is environment, file or default."""

    name: str
    value: str
    source: str
    help: str


@dataclass(frozen=True)
class ConfigReport:
    """`unknown` are names that are set and look like a misspelt one of ours: {name: meant}."""

    settings: list[SettingView]
    home: str
    env_file: str
    unknown: dict[str, str]
    waiting_request: str = ""
    """Id of an approved request whose credentials are saved but not configured yet."""

    def document(self) -> dict[str, Any]:
        document = asdict(self)
        del document["waiting_request"]
        return document


def show_config(*, operator: Operator, config: Configuration) -> ConfigReport:
    """Every setting there is. Raises `SettingInvalid` for a file that can't be read."""
    operator.require(Permission.VIEW_PLATFORM)
    waiting = find_waiting_credentials(config)
    return ConfigReport(
        settings=[_shown(setting, config) for setting in SETTINGS],
        home=str(config.home),
        env_file=str(config.env_file),
        unknown=unknown_names(config),
        waiting_request=waiting.request_id if waiting else "",
    )


def _shown(setting: SettingDefinition, config: Configuration) -> SettingView:
    value, source = config.raw(setting.name)
    return SettingView(setting.name, mask_setting(setting, value), source, setting.help)


def mask_setting(setting: SettingDefinition, value: str) -> str:
    """A URL without its password, another secret without most of it."""
    if setting.type == "url":
        return mask_url(value)
    return mask_secret(value) if setting.secret else value


def mask_secret(value: str) -> str:
    """`abcd****wxyz`; nothing of a short one, since little would be left to guess."""
    if not value:
        return ""
    return f"{value[:4]}{HIDDEN}{value[-4:]}" if len(value) >= LONG_ENOUGH else HIDDEN


def mask_url(url: str) -> str:
    """Everything but passwords, also in a URL whose password should have been quoted.

    A password may hold any character, so it reaches to the last @ whatever is in between.
    """
    if "://" not in url:
        return HIDDEN if url else ""
    return _SECRET_PARAMETER.sub(rf"\1{HIDDEN}", _USER_INFO.sub(_without_password, url))


def _without_password(found: re.Match[str]) -> str:
    scheme, user, password = found.groups()
    return f"{scheme}{user}@" if password is None else f"{scheme}{user}:{HIDDEN}@"
