"""Keys, policy and peers of federation (ScaiWave docs, concepts/federation)."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id


class ServerKey(models.Model):
    """An Ed25519 key pair of this server. The private key is encrypted at rest.

    A key signs from `signs_from` until its successor does, and verifies until `retires_at`.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    key_id = models.CharField(
        "key ID", max_length=64, help_text="RFC 7638 thumbprint of the public key"
    )
    public_key = models.CharField(max_length=64, help_text="raw 32 bytes, in base64")
    private_key_encrypted = models.TextField()
    created_at = models.DateTimeField()
    signs_from = models.DateTimeField()
    retires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    published_as = models.CharField(
        max_length=255, blank=True, help_text="server name under which peers first fetched it"
    )

    class Meta:
        db_table = "sw_server_keys"
        constraints = [models.UniqueConstraint(fields=["key_id"], name="sw_server_keys_key_id")]

    def __str__(self) -> str:
        return self.key_id


class FederationMode(models.TextChoices):
    OPEN = "open", "Open"
    INVITE_ONLY = "invite_only", "Invite only"
    CLOSED = "closed", "Closed"


class Policy(models.Model):
    """Which servers this server federates with. One row, created by the first change.

    `allowed_peers` are server names; they apply only in mode `invite_only`. Without a row the mode
    is `closed`, so that federation must be opened on purpose (assumption).
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    number = models.PositiveSmallIntegerField(default=1, editable=False)
    default_mode = models.CharField(
        max_length=16, choices=FederationMode, default=FederationMode.CLOSED
    )
    allowed_peers = models.JSONField(default=list, blank=True)
    max_foreign_participants_per_room = models.PositiveIntegerField(null=True, blank=True)
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "sw_federation_policies"
        verbose_name_plural = "policies"
        constraints = [
            models.UniqueConstraint(fields=["number"], name="sw_federation_policies_number"),
            models.CheckConstraint(condition=Q(number=1), name="sw_federation_policies_only_one"),
            models.CheckConstraint(
                condition=Q(default_mode__in=FederationMode.values),
                name="sw_federation_policies_mode",
            ),
        ]

    def __str__(self) -> str:
        return self.default_mode


class KnownPeer(models.Model):
    """Another server, as of its last valid descriptor."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    server_name = models.CharField(max_length=255)
    public_key = models.CharField(max_length=64, help_text="raw 32 bytes, in base64")
    protocol_versions = models.JSONField(default=list)
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    key_changed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        db_table = "sw_known_peers"
        constraints = [
            models.UniqueConstraint(fields=["server_name"], name="sw_known_peers_server_name")
        ]

    def __str__(self) -> str:
        return self.server_name
