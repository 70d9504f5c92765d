from __future__ import annotations

from django.db import models
from django.db.models import Q


class SchemaState(models.Model):
    """The oldest release that can work with the schema. One row, which migrations write."""

    number = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    oldest_served = models.CharField(max_length=32, help_text="such as 0.4.0")

    class Meta:
        db_table = "sw_schema"
        constraints = [
            models.CheckConstraint(condition=Q(number=1), name="sw_schema_only_one"),
        ]

    def __str__(self) -> str:
        return self.oldest_served
