"""The configuration of this server: possible settings, and their values.

`definitions` is the table of all settings, `configuration` reads them from the environment and the
env file, `secret_keys` makes the keys that SQLite installations need, `database` turns the database
URL into Django's settings.
"""

from __future__ import annotations

from scaiwave.config.configuration import Configuration, load
from scaiwave.config.definitions import SETTINGS

__all__ = ["SETTINGS", "Configuration", "load"]
