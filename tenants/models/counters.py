"""Counts that only grow, for the metrics: rows that they count may be deleted one day."""

from __future__ import annotations

import json

from django.db import models

from scaiwave.ids import new_id


class Counter(models.Model):
    """One count; `labels` is a JSON object with sorted keys."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    name = models.CharField(max_length=64)
    labels = models.CharField(max_length=255, default="{}")
    value = models.BigIntegerField(default=0)

    class Meta:
        db_table = "sw_counters"
        constraints = [
            models.UniqueConstraint(fields=["name", "labels"], name="sw_counters_name_labels")
        ]

    def __str__(self) -> str:
        labels = self.format_labels()
        return f"{self.name} ({labels})" if labels else self.name

    def format_labels(self) -> str:
        """Return the labels as a reader would write them: "action: create-tenant"."""
        labels = json.loads(self.labels)
        return ", ".join(f"{name}: {value}" for name, value in labels.items())
