"""All settings, with help, default and type: a line each in `settings.tsv`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

TABLE = Path(__file__).with_name("settings.tsv")
SettingType = Literal["str", "url", "int", "fraction", "bool", "choice", "networks"]
"""`Configuration.get_<type>` reads a setting of that type."""


@dataclass(frozen=True)
class SettingDefinition:
    """A setting. The values of `secret` settings are masked wherever they are shown."""

    name: str
    type: SettingType
    secret: bool
    default: str
    choices: tuple[str, ...]
    help: str


def _read_table() -> tuple[SettingDefinition, ...]:
    """Read a line for each setting, after the names of the columns. Choices have commas between."""
    settings = []
    for line in TABLE.read_text(encoding="utf-8").splitlines()[1:]:
        name, kind, secret, default, choices, text = line.split("\t")
        values: tuple[str, ...] = tuple(filter(None, choices.split(",")))
        settings.append(SettingDefinition(name, kind, bool(secret), default, values, text))  # type: ignore[arg-type]
    return tuple(settings)


SETTINGS = _read_table()
BY_NAME = {setting.name: setting for setting in SETTINGS}

# These locate the other settings, so they are not part of the table.
LOCATING_NAMES = ("SCAIWAVE_HOME", "SCAIWAVE_ENV_FILE")
