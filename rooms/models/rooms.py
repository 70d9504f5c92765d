"""Workspaces, rooms and their members (ScaiWave docs, concepts/rooms-and-workspaces).

Every row has its tenant, because the code is responsible for isolation: a query that names the
tenant can't return rows of another one, whatever ids it is given.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from scaiwave.ids import new_id
from tenants.models import Participant, Tenant


class Workspace(models.Model):
    """A container of rooms; belongs to one tenant."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="workspaces", db_index=False)
    slug = models.CharField(max_length=200)
    name = models.CharField(max_length=500)
    description = models.TextField(blank=True)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        db_table = "sw_workspaces"
        constraints = [
            models.UniqueConstraint(fields=["tenant", "slug"], name="sw_workspaces_slug"),
        ]

    def __str__(self) -> str:
        return self.slug


class WorkspaceRole(models.TextChoices):
    OWNER = "owner"
    EDITOR = "editor"
    VIEWER = "viewer"


class WorkspaceMember(models.Model):
    """A participant in a workspace; owners and editors may create rooms in it."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="workspace_members")
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="members", db_index=False)
    participant = models.ForeignKey(
        Participant, models.CASCADE, related_name="workspace_memberships"
    )
    role = models.CharField(max_length=16, choices=WorkspaceRole, default=WorkspaceRole.VIEWER)
    created_at = models.DateTimeField()

    class Meta:
        db_table = "sw_workspace_members"
        constraints = [
            models.UniqueConstraint(
                fields=["workspace", "participant"], name="sw_workspace_members_once"
            ),
            models.CheckConstraint(
                condition=Q(role__in=WorkspaceRole.values), name="sw_workspace_members_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant} in {self.workspace}: {self.role}"


class RoomType(models.TextChoices):
    GROUP = "group"
    DM = "dm"
    INCOGNITO = "incognito"
    SIDEKICK = "sidekick"
    PUBLIC = "public"
    BRIDGE = "bridge"


class RoomState(models.TextChoices):
    OPEN = "open"
    ARCHIVED = "archived"
    CLOSED = "closed"


INCOGNITO_SCOPE = "incognito"


class PresentRooms(models.Manager["Room"]):
    """All rooms except deleted ones, which only wait for the end of their grace period."""

    def get_queryset(self) -> models.QuerySet[Room]:
        return super().get_queryset().filter(deleted_at=None)


class Room(models.Model):
    """One conversation, in one workspace. Its type never changes.

    A deleted room is hidden at once, and its rows are deleted after `purge_at`, unless it is
    brought back before. `Room.objects` has no such rooms; joins and SQL must leave them out
    themselves.

    The values of `visibility` are not documented, so it is stored as text (assumption: they are
    short words). A creator can't be deleted before the room.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="rooms", db_index=False)
    workspace = models.ForeignKey(Workspace, models.CASCADE, related_name="rooms")
    creator = models.ForeignKey(Participant, models.RESTRICT, related_name="created_rooms")
    room_type = models.CharField("type", max_length=16, choices=RoomType, default=RoomType.GROUP)
    state = models.CharField(max_length=16, choices=RoomState, default=RoomState.OPEN)
    name = models.CharField(max_length=1000, blank=True, help_text="empty for many direct messages")
    topic = models.TextField(blank=True)
    room_alias = models.CharField("alias", max_length=255, blank=True, default="")
    is_public = models.BooleanField(default=False)
    is_federated = models.BooleanField(default=False)
    scope_kind = models.CharField(
        "scope", max_length=16, null=True, blank=True, help_text="incognito, or nothing"
    )
    visibility = models.CharField(max_length=32, blank=True, default="")
    read_role_slugs = models.JSONField(
        "roles that may read", default=list, blank=True, help_text="slugs of roles"
    )
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()
    deleted_at = models.DateTimeField("deleted", null=True, blank=True)
    purge_at = models.DateTimeField("deleted for good", null=True, blank=True)
    deletion = models.JSONField(
        null=True, blank=True, help_text="reason, and counts once its rows are being deleted"
    )

    objects = PresentRooms()
    all_objects: models.Manager[Room] = models.Manager()

    class Meta:
        db_table = "sw_rooms"
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "room_alias"],
                condition=~Q(room_alias=""),
                name="sw_rooms_alias",
            ),
            models.CheckConstraint(
                condition=Q(room_type__in=RoomType.values), name="sw_rooms_type"
            ),
            models.CheckConstraint(condition=Q(state__in=RoomState.values), name="sw_rooms_state"),
            models.CheckConstraint(
                condition=Q(scope_kind=None) | Q(scope_kind=INCOGNITO_SCOPE),
                name="sw_rooms_scope_kind",
            ),
        ]
        permissions = [("view_content", "Can read the messages of rooms")]
        # For the rooms of a tenant, and for counting the rooms that are not closed.
        indexes = [
            models.Index(fields=["tenant", "state", "deleted_at"], name="sw_rooms_tenant_state"),
            models.Index(
                fields=["purge_at"],
                condition=Q(deleted_at__isnull=False),
                name="sw_rooms_deleted",
            ),
        ]

    def __str__(self) -> str:
        return self.name or self.room_alias or f"{self.room_type} {self.id}"


class DeletedRooms(models.Manager["DeletedRoom"]):
    def get_queryset(self) -> models.QuerySet[DeletedRoom]:
        return super().get_queryset().filter(deleted_at__isnull=False)


class DeletedRoom(Room):
    """A room that waits for its deletion, for the page of the admin site that lists them."""

    objects = DeletedRooms()  # type: ignore[assignment,misc]

    class Meta:
        proxy = True
        verbose_name = "deleted room"


class Membership(models.TextChoices):
    JOIN = "join"
    LEAVE = "leave"
    BAN = "ban"
    INVITE = "invite"
    KNOCK = "knock"


class RoomMember(models.Model):
    """The membership of a participant in a room, and the power level there."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="room_members")
    room = models.ForeignKey(Room, models.CASCADE, related_name="members", db_index=False)
    participant = models.ForeignKey(Participant, models.CASCADE, related_name="room_memberships")
    membership = models.CharField(max_length=16, choices=Membership, default=Membership.JOIN)
    power_level = models.PositiveSmallIntegerField(
        default=0, help_text="rights in the room, from 0 to 100"
    )
    joined_at = models.DateTimeField(null=True, blank=True)
    notification_mode = models.CharField(max_length=32, blank=True, default="")

    class Meta:
        db_table = "sw_room_members"
        constraints = [
            models.UniqueConstraint(fields=["room", "participant"], name="sw_room_members_once"),
            models.CheckConstraint(
                condition=Q(membership__in=Membership.values),
                name="sw_room_members_membership",
            ),
            models.CheckConstraint(
                condition=Q(power_level__gte=0, power_level__lte=100),
                name="sw_room_members_power_level",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.participant} in {self.room}: {self.membership}"
