"""The server's keys, to look at; the private halves are not shown in any form."""

from __future__ import annotations

from django.contrib import admin

from federation.models import ServerKey
from scaiwave.admin import ReadOnlyAdmin


@admin.register(ServerKey)
class ServerKeyAdmin(ReadOnlyAdmin):
    list_display = ("key_id", "signs_from", "retires_at", "revoked_at", "created_at")
    search_fields = ("key_id",)
    ordering = ("-signs_from", "-id")
    hidden_fields = ("private_key_encrypted",)
