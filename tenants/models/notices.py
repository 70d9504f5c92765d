from __future__ import annotations

from django.db import models

from scaiwave.ids import new_id


class Notice(models.Model):
    """A problem of this server that is reported by e-mail, until its end was reported too."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    topic = models.CharField(max_length=50)
    seen_at = models.DateTimeField(help_text="when it was seen first")
    reported_at = models.DateTimeField(
        null=True, blank=True, help_text="when an e-mail about it was accepted"
    )
    mark = models.CharField(
        max_length=50, blank=True, help_text="the newest part of it that was reported"
    )
    attempts = models.PositiveIntegerField(default=0, help_text="failed e-mails in a row")
    attempted_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=1000, blank=True, help_text="of the last e-mail")

    class Meta:
        db_table = "sw_notices"
        constraints = [models.UniqueConstraint(fields=["topic"], name="sw_notices_topic")]

    def __str__(self) -> str:
        return self.topic
