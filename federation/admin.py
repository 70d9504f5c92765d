"""Admin pages for keys, policy and peers. Private keys are not shown in any form."""

from __future__ import annotations

from django.contrib import admin

from federation.models import KnownPeer, Policy, ServerKey
from scaiwave.admin import ReadOnlyAdmin


@admin.register(ServerKey)
class ServerKeyAdmin(ReadOnlyAdmin):
    list_display = ("key_id", "signs_from", "retires_at", "revoked_at", "created_at")
    search_fields = ("key_id",)
    ordering = ("-signs_from", "-id")
    hidden_fields = ("private_key_encrypted",)


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    list_display = ("default_mode", "allowed_peers", "max_foreign_participants_per_room")


@admin.register(KnownPeer)
class KnownPeerAdmin(ReadOnlyAdmin):
    list_display = ("server_name", "public_key", "first_seen_at", "last_seen_at", "key_changed_at")
    search_fields = ("server_name",)
    ordering = ("server_name",)
