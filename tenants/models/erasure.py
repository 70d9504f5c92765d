from __future__ import annotations

from hashlib import sha256

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id


class ErasurePhase(models.TextChoices):
    """The phases of an erasure, in their order. Each continues where an earlier call has ended."""

    ROOMS = "rooms", "rooms with their files and search documents"
    RECORDS = "records", "records about the whole server that mention the tenant"
    TABLES = "tables", "all other rows of the tenant"
    FILES = "files", "what is left in the media store and the search server"
    DONE = "done", "nothing is left"


class TenantErasure(models.Model):
    """The erasure of a tenant, whose commands and pages no longer find it; stays as a tombstone.

    It has no reference and no names. `before` has the number of rows and files by place.
    `certificate` is the signed proof, once the erasure has ended. `error` is why an erasure that
    was started in the admin site has stopped.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant_id = models.UUIDField("tenant ID")
    scaikey_hash = models.CharField(
        "SHA-256 of the ScaiKey ID", max_length=64, blank=True, db_index=True
    )
    phase = models.CharField(max_length=16, choices=ErasurePhase, default=ErasurePhase.ROOMS)
    before = models.JSONField("counts before", default=dict)
    export = models.JSONField("verified export", null=True, blank=True)
    not_exported = models.PositiveIntegerField("rooms not exported", default=0)
    begun_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    certificate = models.JSONField(null=True, blank=True)
    error = models.JSONField(null=True, blank=True)

    class Meta:
        db_table = "sw_tenant_erasures"
        constraints = [
            models.CheckConstraint(
                condition=Q(phase__in=ErasurePhase.values), name="sw_tenant_erasures_phase"
            ),
            models.UniqueConstraint(
                fields=["tenant_id"],
                condition=Q(finished_at=None),
                name="sw_tenant_erasures_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return f"erasure {self.id}"

    @property
    def lock_name(self) -> str:
        """The process lock of the process that erases."""
        return f"erase-{self.tenant_id}"

    def is_certified_for(self, scaikey_tenant_id: str) -> bool:
        """Return whether the certificate is about this tenant of ScaiKey, by its salted hash."""
        proof = self.certificate or {}
        salted = f"{proof.get('salt')}:{scaikey_tenant_id}"
        return proof.get("scaikey_sha256") == sha256(salted.encode()).hexdigest()


def hash_scaikey_id(scaikey_tenant_id: str) -> str:
    return sha256(scaikey_tenant_id.encode()).hexdigest()
