"""Admin pages for keys, policy and peers. Private keys are not shown in any form."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from federation import acts
from federation.models import KnownPeer, Policy, ServerKey
from federation.queries.keys import KeyState, build_key_row, find_signing_key, load_keys
from federation.queries.overview import build_key_part
from scaiwave.admin import ReadOnlyAdmin, Section
from scaiwave.admin.access import PLATFORM
from scaiwave.admin.formatting import EMPTY_VALUE, Tone, format_badge
from scaiwave.admin.overview import register_overview_part

__all__ = ["acts"]

register_overview_part("keys", build_key_part, position=3)

STATE_TONES = {
    KeyState.SIGNING: Tone.GOOD,
    KeyState.NEXT: Tone.INFO,
    KeyState.VERIFYING: Tone.INFO,
    KeyState.RETIRED: Tone.NEUTRAL,
    KeyState.REVOKED: Tone.BAD,
}
NO_POLICY = (
    "No policy has been set, so the mode is closed: this server federates with no one. "
    "`scaiwave admin federation policy set` changes it."
)


@admin.register(ServerKey)
class ServerKeyAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.FEDERATION
    is_searched = True
    list_display = ("key_id", "state", "days_left", "signs_from", "retires_at", "revoked_at")
    search_fields = ("key_id",)
    search_help_text = "Search by key ID."
    ordering = ("-signs_from", "-id")
    more_fields = ("state", "days_left")
    hidden_fields = ("private_key_encrypted",)

    def prefetch_columns(self, rows: list[Any]) -> None:
        """Compute the state of each key, which depends on all of them."""
        now = timezone.now()
        signing = find_signing_key(load_keys(), now)
        for row in rows:
            row.description = build_key_row(row, signing, now)

    def _describe(self, key: Any) -> dict[str, Any]:
        if not hasattr(key, "description"):
            self.prefetch_columns([key])
        description: dict[str, Any] = key.description
        return description

    @admin.display(description="state")
    def state(self, key: ServerKey) -> str:
        state = KeyState(self._describe(key)["state"])
        return format_badge(state.value, STATE_TONES[state])

    @admin.display(description="days left")
    def days_left(self, key: ServerKey) -> str:
        """Days until the rotation of the signing key is due, or another key expires."""
        days = self._describe(key)["days_left"]
        return EMPTY_VALUE if days is None else f"{days:,}"


@admin.register(Policy)
class PolicyAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.FEDERATION
    list_display = (
        "default_mode",
        "allowed_peers",
        "max_foreign_participants_per_room",
        "updated_at",
    )
    hidden_fields = ("number",)

    def get_list_note(self, request: HttpRequest) -> str:
        return "" if Policy.objects.exists() else NO_POLICY


@admin.register(KnownPeer)
class KnownPeerAdmin(ReadOnlyAdmin):
    scope = PLATFORM
    section = Section.FEDERATION
    is_searched = True
    list_display = ("server_name", "public_key", "first_seen_at", "last_seen_at", "key_changed_at")
    search_fields = ("server_name",)
    search_help_text = "Search by server name."
    ordering = ("server_name",)
