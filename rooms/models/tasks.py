from __future__ import annotations

from django.db import models
from django.utils.text import capfirst

from scaiwave.ids import new_id
from tenants.models import Tenant


class TaskKind(models.TextChoices):
    EXPORT = "export", "export"
    PLAN = "plan", "erasure plan"
    ERASURE = "erasure", "erasure"


class TaskState(models.TextChoices):
    WAITING = "waiting", "waiting"
    RUNNING = "running", "running"
    FINISHED = "finished", "finished"
    FAILED = "failed", "failed"


class TenantTask(models.Model):
    """An export or erasure that was started in the admin site; deleted with the tenant.

    A plan that is applied becomes the erasure. The audit log has who asked for it, and how.
    `result` has figures, and `plan` is the content of the signed file.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tasks")
    kind = models.CharField(max_length=16, choices=TaskKind)
    state = models.CharField(max_length=16, choices=TaskState, default=TaskState.WAITING)
    directory = models.TextField("directory of the export")
    result = models.JSONField(default=dict, blank=True)
    plan = models.JSONField(null=True, blank=True)
    phases = models.JSONField(default=list, blank=True)
    error = models.JSONField(null=True, blank=True)
    requested_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sw_tenant_tasks"
        verbose_name = "export or erasure"
        verbose_name_plural = "exports and erasures"

    def __str__(self) -> str:
        return capfirst(f"{self.get_kind_display()} of {self.tenant.slug}")
