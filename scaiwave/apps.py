from django.apps import AppConfig
from django.db import connection


class ScaiwaveConfig(AppConfig):
    name = "scaiwave"
    verbose_name = "ScaiWave kernel"

    def ready(self) -> None:
        from django.conf import settings

        from scaiwave.config.database import is_missing_file

        if is_missing_file(connection.settings_dict):
            # System checks would open the database to find out.
            connection.features.supports_json_field = True
        if settings.PROFILE != "cli":  # commands run no checks, and cryptography is slow to import
            from scaiwave.config import checks  # noqa: F401
