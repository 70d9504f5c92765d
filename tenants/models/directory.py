"""Partners, tenants, participants, groups and memberships.

Three fields decide whether a record is active: its status in ScaiKey (`scaikey_status`), whether
ScaiKey still has it (`absent_since`), and whether an operator suspended it manually
(`suspended_by_hand_at`). A sync writes the first two. It never changes the third, but
copies it to the new row of a person who moves to another tenant.
"""

from __future__ import annotations

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from scaiwave.ids import new_id

# An empty status means that ScaiKey sent none. Unknown statuses count as inactive: it is safer to
# block a person who may sign in than to admit one who may not.
ACTIVE_STATUSES = ("", "ACTIVE")

# An indexed value must fit in a third of a PostgreSQL page (2.7 KB) in any script.
MAX_NAME_CHARS = 300
MAX_EMAIL_CHARS = 320

DELETED_NAME = "Deleted user"
"""The name of a person whose personal data was erased."""


def active_q(prefix: str = "") -> Q:
    """Match active records; the prefix, such as `tenant__`, selects a related record."""
    conditions = {
        "scaikey_status__in": ACTIVE_STATUSES,
        "absent_since": None,
        "suspended_by_hand_at": None,
    }
    return Q(**{prefix + name: value for name, value in conditions.items()})


ACTIVE = active_q()
FOUND_HERE = ~Q(absent_since__lte=F("created_at"))
DECIDED_HERE = FOUND_HERE | Q(suspended_by_hand_at__gt=F("created_at"))
"""Match people whom a sync found here, or an operator of this server suspended.

Others came as removed, by the import of a tenant. They decide about no one of another tenant.
"""


def format_removal(removed_at: datetime) -> str:
    """Return the reason of a record that ScaiKey no longer has, with the local date."""
    return f"removed from ScaiKey on {removed_at.astimezone(settings.LOCAL_ZONE):%Y-%m-%d}"


class StatusFields(models.Model):
    """The three fields that decide the status, and when the row was created and changed."""

    scaikey_status = models.CharField("ScaiKey status", max_length=200, blank=True, default="")
    absent_since = models.DateTimeField("removed from ScaiKey", null=True, blank=True)
    suspended_by_hand_at = models.DateTimeField("suspended manually", null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        abstract = True

    @property
    def is_active(self) -> bool:
        return self.inactive_reason is None

    @property
    def inactive_reason(self) -> str | None:
        """Return why the record is inactive, or None: both reasons, if they end separately."""
        manual = None if self.suspended_by_hand_at is None else "suspended manually"
        return " and ".join(filter(None, (manual, self.reason_in_scaikey))) or None

    @property
    def reason_in_scaikey(self) -> str | None:
        if self.absent_since is not None:
            return format_removal(self.absent_since)
        if self.scaikey_status not in ACTIVE_STATUSES:
            return f"{self.scaikey_status.lower()} in ScaiKey"
        return None

    @property
    def status(self) -> str:
        """Return active, suspended (manually or in ScaiKey), or deactivated (not in ScaiKey)."""
        if self.suspended_by_hand_at is None and self.absent_since is not None:
            return "deactivated"
        return "active" if self.is_active else "suspended"


class Partner(StatusFields):
    """A reseller or organisation that owns tenants (ScaiKey docs, reference/api/partners)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scaikey_id = models.CharField("ScaiKey ID", max_length=200, null=True, blank=True)
    slug = models.CharField(max_length=200, blank=True)
    name = models.CharField(max_length=1000)
    contact_email = models.CharField("contact e-mail", max_length=1000, blank=True)
    max_tenants = models.PositiveIntegerField(null=True, blank=True)
    max_users_per_tenant = models.PositiveIntegerField(null=True, blank=True)
    max_applications_per_tenant = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        db_table = "sw_partners"
        constraints = [
            models.UniqueConstraint(fields=["scaikey_id"], name="sw_partners_scaikey_id"),
        ]

    def __str__(self) -> str:
        """Return the slug, or what else commands accept: ScaiKey may have sent no slug."""
        return self.slug or self.scaikey_id or self.name


class Tenant(StatusFields):
    """One customer of the platform. Nearly every other row belongs to a tenant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    partner = models.ForeignKey(
        Partner, models.PROTECT, null=True, blank=True, related_name="tenants"
    )
    scaikey_tenant_id = models.CharField("ScaiKey ID", max_length=200, null=True, blank=True)
    slug = models.CharField(max_length=200)
    name = models.CharField(max_length=1000)
    contact_email = models.CharField("contact e-mail", max_length=1000, blank=True)
    max_participants = models.PositiveIntegerField(null=True, blank=True)
    max_rooms = models.PositiveIntegerField(null=True, blank=True)
    max_storage_mb = models.PositiveIntegerField("max storage in MiB", null=True, blank=True)
    max_ai_tokens_month = models.PositiveBigIntegerField(
        "max AI tokens a month", null=True, blank=True
    )
    features = models.JSONField(
        default=dict,
        blank=True,
        help_text="settings of this tenant alone",
    )
    sync_removals = models.BooleanField(
        default=True,
        db_default=True,
        help_text="whether syncs may take access from people of this tenant",
    )

    class Meta:
        db_table = "sw_tenants"
        constraints = [
            models.UniqueConstraint(fields=["slug"], name="sw_tenants_slug"),
            models.UniqueConstraint(
                fields=["scaikey_tenant_id"], name="sw_tenants_scaikey_tenant_id"
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class ParticipantType(models.TextChoices):
    HUMAN = "human"
    MODEL = "model"
    AGENT = "agent"
    HELPER = "helper"
    BRIDGE = "bridge"
    FEDERATED = "federated"


class Participant(StatusFields):
    """A person, AI or bridge shadow that can speak in rooms, of this server or of another one.

    `local_id` is set at creation and never changes. `server_name` is empty for participants of
    this server, so that renaming the server changes no rows. `purged_at` is when the personal data
    of a person was erased; a sync clears it when ScaiKey has the person again, but not
    `messages_erased_at`: what they wrote until then is imported without content.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="participants")
    participant_type = models.CharField(
        "type", max_length=16, choices=ParticipantType, default=ParticipantType.HUMAN
    )
    scaikey_id = models.CharField("ScaiKey ID", max_length=200, null=True, blank=True)
    local_id = models.CharField(
        "ID on its server", max_length=255, help_text="what stands before the colon in the address"
    )
    server_name = models.CharField("server", max_length=255, blank=True, default="")
    display_name = models.CharField("name", max_length=MAX_NAME_CHARS, blank=True)
    email = models.CharField("e-mail", max_length=MAX_EMAIL_CHARS, blank=True)
    avatar_url = models.CharField("avatar URL", max_length=1000, blank=True)
    purged_at = models.DateTimeField("personal data erased", null=True, blank=True)
    messages_erased_at = models.DateTimeField("messages erased", null=True, blank=True)

    class Meta:
        db_table = "sw_participants"
        verbose_name_plural = "people"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "scaikey_id"],
                name="sw_participants_tenant_scaikey_id",
            ),
            models.UniqueConstraint(
                fields=["scaikey_id"],
                condition=Q(absent_since=None),
                name="sw_participants_one_present",
            ),
            models.UniqueConstraint(
                fields=["local_id", "server_name"], name="sw_participants_fqid"
            ),
            models.CheckConstraint(
                condition=Q(participant_type__in=ParticipantType.values),
                name="sw_participants_type",
            ),
        ]
        indexes = [
            models.Index(Lower("email"), name="sw_participants_email"),
            models.Index(fields=["tenant", "display_name"], name="sw_participants_name"),
            models.Index(
                fields=["tenant"],
                condition=Q(participant_type=ParticipantType.HUMAN) & ACTIVE,
                name="sw_participants_members",
            ),
            models.Index(
                fields=["absent_since"],
                condition=Q(absent_since__isnull=False, purged_at=None),
                name="sw_participants_removed",
            ),
            models.Index(
                fields=["scaikey_id"],
                condition=Q(suspended_by_hand_at__isnull=False),
                name="sw_participants_suspended",
            ),
        ]

    def __str__(self) -> str:
        return self.display_name or self.email or self.local_id

    def fqid(self, own_server_name: str) -> str:
        """@local_id:server_name (ScaiWave docs, concepts/participants)."""
        return f"@{self.local_id}:{self.server_name or own_server_name}"


class Group(models.Model):
    """A group of people or groups, synced from ScaiKey (ScaiKey docs, reference/api/groups)."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="groups")
    scaikey_id = models.CharField("ScaiKey ID", max_length=200, null=True, blank=True)
    name = models.CharField(max_length=MAX_NAME_CHARS)
    group_type = models.CharField("type", max_length=200, blank=True)
    absent_since = models.DateTimeField("removed from ScaiKey", null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "sw_groups"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "scaikey_id"], name="sw_groups_tenant_scaikey_id"
            ),
            models.UniqueConstraint(
                fields=["scaikey_id"],
                condition=Q(absent_since=None),
                name="sw_groups_one_present",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "name"], name="sw_groups_name")]

    def __str__(self) -> str:
        return self.name

    @property
    def inactive_reason(self) -> str | None:
        return None if self.absent_since is None else format_removal(self.absent_since)

    @property
    def status(self) -> str:
        """Return active or deactivated (removed from ScaiKey)."""
        return "active" if self.absent_since is None else "deactivated"


class GroupMembership(models.Model):
    """A participant or a group that is a direct member of a group.

    Indirect members are found by recursive queries. Cycles end.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="group_memberships")
    group = models.ForeignKey(Group, models.CASCADE, related_name="memberships")
    member_participant = models.ForeignKey(
        Participant,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="group_memberships",
    )
    member_group = models.ForeignKey(
        Group, models.CASCADE, null=True, blank=True, related_name="memberships_of_it"
    )
    absent_since = models.DateTimeField("removed from ScaiKey", null=True, blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "sw_group_memberships"
        constraints = [
            models.CheckConstraint(
                condition=Q(member_participant=None) ^ Q(member_group=None),
                name="sw_group_memberships_one_member",
            ),
            models.UniqueConstraint(
                fields=["group", "member_participant"],
                name="sw_group_memberships_participant",
            ),
            models.UniqueConstraint(
                fields=["group", "member_group"], name="sw_group_memberships_group"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.member_participant or self.member_group} in {self.group}"
