from __future__ import annotations

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id
from tenants.models.directory import Group, Participant, Tenant


class Role(models.Model):
    """A role of a tenant. Rooms and the platform's servers refer to it by its slug."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="roles")
    slug = models.CharField(max_length=200)
    name = models.CharField(max_length=1000)
    description = models.CharField(max_length=1000, blank=True, default="", db_default="")
    is_built_in = models.BooleanField(default=False)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_roles"
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="sw_roles_slug")]

    def __str__(self) -> str:
        return self.slug


class RoleSource(models.TextChoices):
    MANUAL = "manual", "manual"
    SCAIKEY = "scaikey", "ScaiKey"


class RoleGrant(models.Model):
    """A role that was granted to a participant, or to all members of a group."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="role_grants")
    role = models.ForeignKey(Role, models.CASCADE, related_name="grants")
    participant = models.ForeignKey(
        Participant, models.CASCADE, null=True, blank=True, related_name="role_grants"
    )
    group = models.ForeignKey(
        Group, models.CASCADE, null=True, blank=True, related_name="role_grants"
    )
    source = models.CharField(max_length=16, choices=RoleSource, default=RoleSource.MANUAL)
    granted_by = models.CharField(max_length=1000)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_role_grants"
        constraints = [
            models.CheckConstraint(
                condition=Q(participant=None) ^ Q(group=None),
                name="sw_role_grants_one_holder",
            ),
            models.CheckConstraint(
                condition=Q(source__in=RoleSource.values), name="sw_role_grants_source"
            ),
            models.UniqueConstraint(
                fields=["role", "participant"], name="sw_role_grants_participant"
            ),
            models.UniqueConstraint(fields=["role", "group"], name="sw_role_grants_group"),
        ]

    def __str__(self) -> str:
        return f"{self.role} to {self.participant or self.group}"
