from __future__ import annotations

from django.db import models
from django.db.models.functions import Upper

from scaiwave.ids import new_id
from tenants.models.directory import Tenant


class TokenUsage(models.Model):
    """AI tokens that a tenant used in one UTC calendar month, as accounted by ScaiGrid."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="token_usage")
    month = models.DateField(help_text="first day of the month")
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    total_tokens = models.PositiveBigIntegerField()
    fetched_at = models.DateTimeField()

    class Meta:
        db_table = "sw_token_usage"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "month"], name="sw_token_usage_month")
        ]

    def __str__(self) -> str:
        return f"{self.tenant} {self.month:%Y-%m}"


class AuditEntry(models.Model):
    """An action of an operator. IDs and names are stored as text, so that an entry outlives its
    subject. Participants have an ID and no name in it. The name of an operator may change, or
    another may have the same; the ID is stable and unique."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    at = models.DateTimeField(db_index=True)
    operator = models.CharField(max_length=1000)
    operator_id = models.CharField(
        "ScaiKey ID of the operator",
        max_length=200,
        blank=True,
        default="",
        db_default="",
        help_text="empty if the operator did not sign in with ScaiKey",
    )
    operator_role = models.CharField(max_length=32)
    origin = models.CharField(
        max_length=255, blank=True, help_text="host or IP address of the operator"
    )
    action = models.CharField(max_length=100, help_text="command, such as create-tenant")
    tenant_id = models.CharField("tenant ID", max_length=64, blank=True)
    tenant_slug = models.CharField(max_length=200, blank=True)
    subject_type = models.CharField(max_length=64)
    subject_id = models.CharField("subject ID", max_length=200, db_index=True)
    subject_name = models.CharField(max_length=1000, blank=True)
    details = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "sw_audit_entries"
        verbose_name_plural = "audit entries"
        # One for each filter of the lists, in the order of the lists: IDs are in order of time.
        indexes = [
            models.Index(fields=["tenant_id", "id"], name="sw_audit_tenant"),
            models.Index(fields=["action", "id"], name="sw_audit_action"),
            models.Index(fields=["operator_role", "at", "id"], name="sw_audit_role"),
            models.Index(Upper("operator"), "id", name="sw_audit_operator"),
            models.Index(Upper("subject_name"), "id", name="sw_audit_subject_name"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.operator} {self.action} {self.subject_name}"
