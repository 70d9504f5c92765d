"""django-rq's command, which has no other effect than `scaiwave worker`: see RQ in the settings."""

from __future__ import annotations

from django_rq.management.commands import rqworker

from scaiwave.queue.definitions import QUEUES
from tenants.lookup.restoration import require_activated


class Command(rqworker.Command):
    def handle(self, *queues: str, **options: object) -> None:
        require_activated()
        super().handle(*(queues or QUEUES), **options)  # type: ignore[no-untyped-call]
