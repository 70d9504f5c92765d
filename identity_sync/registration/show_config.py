"""List the settings and the source of each value, with secrets masked."""

from __future__ import annotations

import re

from identity_sync.registration.credentials import find_waiting_credentials
from identity_sync.registration.redirects import find_redirect_problem
from scaiwave.config import SETTINGS, Configuration
from scaiwave.config.configuration import find_unknown_names
from scaiwave.config.definitions import SettingDefinition
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report

MASK = "****"
MIN_PARTLY_SHOWN_CHARS = 20
"""The ends of secrets of at least this length are shown, to distinguish two secrets."""

_USER_INFO = re.compile(r"\A([a-z0-9+.-]+://)([^:@]*)(?::(.*))?@", re.IGNORECASE | re.DOTALL)
_SECRET_PARAMETER = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


def show_config(*, operator: Operator, config: Configuration) -> Report:
    """Return every setting, and names that are set and look like a misspelt one.

    The warnings are about the registration. Raises `SettingInvalid` for a file that can't be read.
    """
    operator.require(Permission.VIEW_PLATFORM)
    views = []
    for setting in SETTINGS:
        value, source = config.get_raw(setting.name)
        row = {"name": setting.name, "value": mask_setting(setting, value)}
        views.append({**row, "source": source, "help": setting.help})
    warnings = []
    if waiting := find_waiting_credentials(config):
        warnings.append(
            f"ScaiKey has approved request {waiting.request_id}, and its credentials are saved but "
            "not configured: run `scaiwave sync register`."
        )
    if problem := find_redirect_problem(config):
        warnings.append(problem)
    figures = {
        "settings": views,
        "home": str(config.home),
        "env_file": str(config.env_file),
        "unknown": find_unknown_names(config),
        "warnings": warnings,
    }
    return Report(figures, warnings=warnings)


def mask_setting(setting: SettingDefinition, value: str) -> str:
    """Remove the password from a URL, and most of any other secret."""
    if setting.type == "url":
        return mask_url(value)
    return mask_secret(value) if setting.secret else value


def mask_secret(value: str) -> str:
    """Return `abcd****wxyz`, or only the mask for a short secret."""
    if not value:
        return ""
    return f"{value[:4]}{MASK}{value[-4:]}" if len(value) >= MIN_PARTLY_SHOWN_CHARS else MASK


def mask_url(url: str) -> str:
    """Mask the passwords in a URL, even if they should have been percent-encoded.

    A password may contain any character, so it extends to the last @.
    """
    if "://" not in url:
        return MASK if url else ""
    return _SECRET_PARAMETER.sub(rf"\1{MASK}", _USER_INFO.sub(_mask_user_info, url))


def _mask_user_info(match: re.Match[str]) -> str:
    scheme, user, password = match.groups()
    return f"{scheme}{user}@" if password is None else f"{scheme}{user}:{MASK}@"
