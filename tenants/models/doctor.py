from __future__ import annotations

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id


class DoctorRun(models.Model):
    """The last run of `scaiwave doctor`: time, operator and findings. One row."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.PositiveSmallIntegerField(default=1, editable=False)
    ran_at = models.DateTimeField()
    operator = models.CharField(max_length=1000)
    is_healthy = models.BooleanField()
    findings = models.JSONField(
        default=list, help_text="check, state, message, fix and code of each, in their order"
    )

    class Meta:
        db_table = "sw_doctor_runs"
        constraints = [
            models.UniqueConstraint(fields=["number"], name="sw_doctor_runs_number"),
            models.CheckConstraint(condition=Q(number=1), name="sw_doctor_runs_only_one"),
        ]

    def __str__(self) -> str:
        return f"{self.ran_at:%Y-%m-%d %H:%M}"
