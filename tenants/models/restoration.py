from __future__ import annotations

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id


class Restoration(models.Model):
    """This server was restored from a backup and waits for `admin activate-restore`. One row.

    While it exists nothing is sent to ScaiKey and no job runs: the server may be a copy beside the
    live one.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.PositiveSmallIntegerField(default=1, editable=False)
    backup = models.CharField(max_length=255, help_text="name of the backup")
    backup_at = models.DateTimeField(help_text="time of the data in the backup")
    restored_at = models.DateTimeField()

    class Meta:
        db_table = "sw_restorations"
        constraints = [
            models.UniqueConstraint(fields=["number"], name="sw_restorations_number"),
            models.CheckConstraint(condition=Q(number=1), name="sw_restorations_only_one"),
        ]

    def __str__(self) -> str:
        return self.backup
