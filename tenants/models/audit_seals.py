"""The chain of seals over the audit log. docs/explanation/audit-proof.md describes it."""

from __future__ import annotations

from django.db import models

from scaiwave.ids import new_id


class AuditChain(models.Model):
    """How far the audit log is closed and sealed. One row, created by the first seal.

    Entries get IDs from `open_from` on, so that no day before it gets another entry. The last seal
    is remembered beside the seals, so that its removal is found.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.PositiveSmallIntegerField(default=1, editable=False)
    open_from = models.UUIDField(help_text="lowest ID that a new entry can have")
    seals = models.PositiveBigIntegerField(default=0)
    sealed_through = models.DateField("last sealed day", null=True, blank=True)
    last_seal_sha256 = models.CharField("SHA-256 of the last seal", max_length=64, blank=True)

    class Meta:
        db_table = "sw_audit_chain"
        verbose_name = "state of audit seals"
        verbose_name_plural = "state of audit seals"
        constraints = [
            models.UniqueConstraint(fields=["number"], name="sw_audit_chain_number"),
            models.CheckConstraint(condition=models.Q(number=1), name="sw_audit_chain_only_one"),
        ]

    def __str__(self) -> str:
        return f"sealed through {self.sealed_through}"


class AuditSeal(models.Model):
    """The seal over the audit entries of one day (UTC). `statement` is the signed text."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.PositiveBigIntegerField(unique=True)
    day = models.DateField("day (UTC)", unique=True)
    entries = models.PositiveBigIntegerField()
    sealed_at = models.DateTimeField()
    key_id = models.CharField("key ID", max_length=64)
    statement = models.TextField("signed statement")
    signature = models.CharField("signature", max_length=88, help_text="Ed25519, in base64")

    class Meta:
        db_table = "sw_audit_seals"
        verbose_name = "audit seal"

    def __str__(self) -> str:
        return f"{self.number}: {self.day}"


class AuditSealPart(models.Model):
    """IDs and hashes of up to a thousand sealed entries, which identify a changed one.

    48 bytes an entry: the ID, then the SHA-256 of its canonical form.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    day = models.DateField("day (UTC)")
    number = models.PositiveIntegerField()
    hashes = models.BinaryField()

    class Meta:
        db_table = "sw_audit_seal_parts"
        verbose_name = "part of an audit seal"
        verbose_name_plural = "parts of audit seals"
        constraints = [
            models.UniqueConstraint(fields=["day", "number"], name="sw_audit_seal_parts_number")
        ]

    def __str__(self) -> str:
        return f"{self.day}, part {self.number}"


class AuditPruning(models.Model):
    """The signed record that the entries of all days through one were deleted by retention."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    through = models.DateField("last deleted day (UTC)")
    entries = models.PositiveBigIntegerField("deleted entries")
    pruned_at = models.DateTimeField()
    key_id = models.CharField("key ID", max_length=64)
    statement = models.TextField("signed statement")
    signature = models.CharField("signature", max_length=88, help_text="Ed25519, in base64")

    class Meta:
        db_table = "sw_audit_prunings"
        verbose_name = "pruning of the audit log"
        verbose_name_plural = "prunings of the audit log"

    def __str__(self) -> str:
        return f"through {self.through}"
