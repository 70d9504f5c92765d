from __future__ import annotations

from django.apps import AppConfig


class RoomsConfig(AppConfig):
    name = "rooms"

    def ready(self) -> None:
        from django.db.models.signals import post_migrate

        from rooms.search.schema import ensure_full_text

        post_migrate.connect(ensure_full_text, sender=self)
