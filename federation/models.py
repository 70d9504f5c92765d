"""How servers trust each other (ScaiWave docs, concepts/federation)."""

from __future__ import annotations

from django.db import models

from scaiwave.ids import new_id


class ServerKey(models.Model):
    """One Ed25519 key pair of this server; the private half is encrypted at rest.

    A key signs from `signs_from` until its successor does, and verifies until `retires_at`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key_id = models.CharField(max_length=64, help_text="the RFC 7638 thumbprint")
    public_key = models.CharField(max_length=64, help_text="the raw 32 bytes in base64")
    private_key_encrypted = models.TextField()
    created_at = models.DateTimeField()
    signs_from = models.DateTimeField()
    retires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sw_server_keys"
        constraints = [models.UniqueConstraint(fields=["key_id"], name="sw_server_keys_key_id")]

    def __str__(self) -> str:
        return self.key_id
