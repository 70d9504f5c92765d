"""Where the value of each field comes from, which decides what brings it back when it is lost.

A field without an origin fails `test_field_origins.py`, so that no bundle silently lacks a new one.
The other declarations are verified by exporting rooms and by syncing.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from django.apps import apps
from django.db.models import Field, Model

APPS = ("federation", "identity_sync", "rooms", "tenants")


class Origin(Enum):
    CARRIED = "in the bundle of a room"
    SCAIKEY = "written again by every full sync"
    KEY = "from ScaiKey: what a sync finds the row by"
    LOCAL = "only in this database, and in its backup"
    DERIVED = "computed from other rows or fetched again"


def _declare(**names: str) -> dict[str, Origin]:
    """Return the origin of each field, from space-separated names by origin."""
    return {name: Origin[origin.upper()] for origin, text in names.items() for name in text.split()}


_RECORD = "id created_at updated_at"

ORIGINS: dict[str, dict[str, Origin]] = {
    # A room. Rows of a bundle belong to the tenant and workspace that it is imported into.
    "rooms.Workspace": _declare(
        carried="id slug name", local="tenant description created_at updated_at"
    ),
    "rooms.WorkspaceMember": _declare(
        local="id tenant workspace participant role created_at"
    ),
    "rooms.Room": _declare(
        carried="id workspace creator room_type state name topic room_alias is_public "
        "is_federated scope_kind visibility read_role_slugs created_at",
        local="tenant updated_at deleted_at purge_at deletion",
    ),
    "rooms.RoomMember": _declare(
        local="id tenant room participant membership power_level joined_at notification_mode"
    ),
    "rooms.Event": _declare(
        carried="id sender event_type content original_content stream_position origin_ts "
        "event_uuid do_not_index created_at edited_at redacted_at",
        local="tenant room",
    ),
    "rooms.Media": _declare(
        carried="id sha256 size mime_type scan_status", local="tenant created_at"
    ),
    "rooms.RoomMedia": _declare(
        carried="media name", local="id tenant room source_media_id created_at"
    ),
    "rooms.RetentionPolicy": _declare(
        local="id scope tenant room days media_days content_only updated_at last_run_at"
    ),
    "rooms.StreamCounter": _declare(local="tenant last_position"),
    "rooms.ImportIntent": _declare(
        local="id tenant hashes operator origin started_at is_deletion"
    ),
    "rooms.RemovedFile": _declare(
        local="id tenant room media sha256 name source_media_id reason removed_at purge_at"
    ),
    "rooms.RoomImport": _declare(
        local="id tenant room manifest_sha256 source_room_id source_server_name operator "
        "created_at links tip_exported_at tip_events tip_room edited_here is_signed"
    ),
    "rooms.TenantImport": _declare(
        local="id tenant source_tenant_id source_server_name is_new people emptied_events "
        "index_sha256 exported_at operator started_at finished_at"
    ),
    "rooms.TenantTask": _declare(
        local="id tenant kind state directory result plan phases error requested_at started_at "
        "ended_at"
    ),
    "rooms.SearchDocument": _declare(
        derived="id tenant event stream_position body edited_at remote"
    ),
    "rooms.SearchBackfill": _declare(
        derived="id scope tenant room since rewrite operator started_at finished_at outcome"
    ),
    "rooms.SearchRange": _declare(
        derived="id backfill tenant first last done_through events written removed"
    ),
    # The directory.
    "tenants.Partner": _declare(
        key="scaikey_id",
        scaikey="slug name contact_email max_tenants max_users_per_tenant "
        "max_applications_per_tenant scaikey_status absent_since",
        local=f"{_RECORD} suspended_by_hand_at",
    ),
    "tenants.Tenant": _declare(
        key="scaikey_tenant_id",
        scaikey="partner slug name contact_email scaikey_status absent_since",
        local=f"{_RECORD} max_participants max_rooms max_storage_mb max_ai_tokens_month features "
        "sync_removals suspended_by_hand_at",
    ),
    "tenants.Participant": _declare(
        key="tenant scaikey_id",
        scaikey="display_name email avatar_url scaikey_status absent_since",
        local=f"{_RECORD} participant_type local_id server_name purged_at messages_erased_at "
        "suspended_by_hand_at",
    ),
    "tenants.Group": _declare(
        key="tenant scaikey_id",
        scaikey="name group_type absent_since",
        local=_RECORD,
    ),
    "tenants.GroupMembership": _declare(
        key="tenant group member_participant member_group",
        scaikey="absent_since",
        local=_RECORD,
    ),
    # Grants and roles of ScaiKey's administrators are made by syncs; all others are local.
    "tenants.Role": _declare(local="id tenant slug name description is_built_in created_at"),
    "tenants.RoleGrant": _declare(
        local="id tenant role participant group source granted_by created_at"
    ),
    "tenants.AuditEntry": _declare(
        local="id at operator operator_id operator_role origin action tenant_id tenant_slug "
        "subject_type subject_id subject_name details"
    ),
    "tenants.AuditChain": _declare(
        local="id number open_from seals sealed_through last_seal_sha256"
    ),
    "tenants.AuditSeal": _declare(
        local="id number day entries sealed_at key_id statement signature"
    ),
    "tenants.AuditSealPart": _declare(derived="id day number hashes"),
    "tenants.AuditPruning": _declare(
        local="id through entries pruned_at key_id statement signature"
    ),
    "tenants.TokenUsage": _declare(
        derived="id tenant month input_tokens output_tokens total_tokens fetched_at"
    ),
    "tenants.Counter": _declare(local="id name labels value"),
    "tenants.DailyFigures": _declare(local="day recorded_at tenants members rooms storage_bytes"),
    "tenants.DoctorRun": _declare(derived="id number ran_at operator is_healthy findings"),
    "tenants.Restoration": _declare(local="id number backup backup_at restored_at"),
    "tenants.Hold": _declare(
        local="id tenant participant room_id reason placed_by placed_at lift_reason lifted_by "
        "lifted_at"
    ),
    "tenants.TenantErasure": _declare(
        local="id tenant_id scaikey_hash phase before export not_exported begun_at finished_at "
        "certificate error"
    ),
    "tenants.Notice": _declare(
        local="id topic seen_at reported_at mark attempts attempted_at error"
    ),
    "tenants.StoredOverview": _declare(derived="id scope built_at document"),
    # Accounts of the admin site.
    "tenants.AdminUser": _declare(
        local="password last_login is_superuser username first_name last_name email is_staff "
        "is_active date_joined id scaikey_id is_auditor"
    ),
    # This server in the federation.
    "federation.ServerKey": _declare(
        local="id key_id public_key private_key_encrypted created_at signs_from retires_at "
        "revoked_at published_as"
    ),
    "federation.Policy": _declare(
        local="id number default_mode allowed_peers max_foreign_participants_per_room updated_at"
    ),
    "federation.KnownPeer": _declare(
        derived="id server_name public_key protocol_versions first_seen_at last_seen_at "
        "key_changed_at"
    ),
    # The registration and the history of syncs.
    "identity_sync.Registration": _declare(
        local="id scaikey_url request_id name scope scope_slug contact_email state "
        "rejection_reason client_id application_id requested_at decided_at"
    ),
    "identity_sync.SyncRun": _declare(
        local="id tenant trigger operator outcome counts requests started_at ended_at "
        "duration_seconds error_code error_message error_fix warnings losses phases "
        "fix_command applied_plan counted_losses is_dry_run"
    ),
    "identity_sync.PendingRemoval": _declare(
        local="id tenant kind subject_id subject_scaikey_id person_scaikey_id subject_name loss "
        "cause destination limit_code people roles memberships state first_seen_at last_seen_at "
        "runs decided_at decided_by decision_reason expires_at ended_at ended_by"
    ),
    "identity_sync.SyncChange": _declare(
        local="id run tenant kind action subject_id subject_scaikey_id subject_name fields "
        "reason_code detail"
    ),
    "identity_sync.SyncChangeValues": _declare(local="change values"),
    "identity_sync.SyncPlannedChange": _declare(
        local="id run tenant tenant_slug kind action is_removal subject_id subject_scaikey_id "
        "person_scaikey_id subject_name values reason_code detail"
    ),
    "identity_sync.SyncSkip": _declare(
        derived="id tenant kind subject_scaikey_id subject_name reason_code detail is_postponed "
        "runs first_skipped_at last_skipped_at"
    ),
    "identity_sync.WebhookEvent": _declare(
        local="id event_id event_type kind scaikey_id state occurred_at received_at attempts "
        "next_attempt_at ended_at run error_code error_message"
    ),
}  # fmt: skip


def iter_models() -> list[type[Model]]:
    """Return all models of the suite that have a table of their own."""
    models = [model for name in APPS for model in apps.get_app_config(name).get_models()]
    return [model for model in models if not model._meta.proxy]


def get_fields(model: type[Model]) -> dict[str, Field[Any, Any]]:
    return {field.name: field for field in model._meta.concrete_fields}


def get_names(model: type[Model], origin: Origin) -> list[str]:
    declared = ORIGINS[model._meta.label]
    return [name for name in get_fields(model) if declared.get(name) is origin]
