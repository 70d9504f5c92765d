"""Django's `migrate`, which creates the files of a new SQLite installation."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management.commands import migrate
from django.db import connections

from scaiwave.config import secret_keys
from scaiwave.config.database import create_private_file, is_missing_file


class Command(migrate.Command):
    """Create the home directory, its secrets and the database first: no other command does."""

    def execute(self, *args: Any, **options: Any) -> str | None:
        if not (options["plan"] or options["check_unapplied"]):
            database = connections[options["database"]].settings_dict
            settings.SECRET_KEY = secret_keys.get_secret_key(settings.CONFIG)
            if is_missing_file(database):
                create_private_file(database)
        return super().execute(*args, **options)
