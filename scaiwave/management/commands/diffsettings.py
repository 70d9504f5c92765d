"""Django's `diffsettings` with secrets masked."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.commands import diffsettings
from django.views.debug import SafeExceptionReporterFilter

_PLAIN_TYPES = (str, bytes, int, float, bool, type(None))


class Command(diffsettings.Command):
    """Mask by the name of a setting, as Django does on its error pages, and by value.

    Plain values and collections are shown. Of other values, such as the configuration of the
    suite, only the type is shown.
    """

    def output_hash(
        self, user_settings: dict[str, str], default_settings: dict[str, str], **options: Any
    ) -> list[str]:
        return _mask(super().output_hash(*_cleanse(user_settings, default_settings), **options))

    def output_unified(
        self, user_settings: dict[str, str], default_settings: dict[str, str], **options: Any
    ) -> list[str]:
        return _mask(super().output_unified(*_cleanse(user_settings, default_settings), **options))


def _mask(lines: list[str]) -> list[str]:
    return [settings.CONFIG.mask_secrets(line) for line in lines]


def _cleanse(
    user_settings: dict[str, str], default_settings: dict[str, str]
) -> tuple[dict[str, str], dict[str, str]]:
    """Return both with secrets masked. Values that differ, still do."""
    cleanse = SafeExceptionReporterFilter().cleanse_setting
    user = {name: repr(cleanse(name, _simplify(_read(name)))) for name in user_settings}
    default = {name: str(cleanse(name, text)) for name, text in default_settings.items()}
    for name in user.keys() & default.keys():
        if user_settings[name] == default_settings[name]:
            default[name] = user[name]
        elif user[name] == default[name]:
            default[name] += " (another)"
    return user, default


def _read(name: str) -> object:
    """Return a setting; a secret key that was not created yet is empty."""
    try:
        return getattr(settings, name)
    except ImproperlyConfigured:
        return ""


def _simplify(value: object) -> object:
    if isinstance(value, dict):
        return {key: _simplify(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_simplify(item) for item in value)
    return value if isinstance(value, _PLAIN_TYPES) else _Opaque(value)


class _Opaque:
    """A value that is shown by its type alone."""

    def __init__(self, value: object) -> None:
        self._type = type(value).__name__

    def __repr__(self) -> str:
        return f"<{self._type}>"
