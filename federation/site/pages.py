"""Admin pages for keys, policy and peers. Private keys are not shown in any form."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join

from federation.keys.lifecycle import OVERLAP_DAYS
from federation.keys.queries import (
    REMIND_AFTER,
    ROTATION_PERIOD,
    KeyState,
    build_key_row,
    find_signing_key,
    load_keys,
)
from federation.models import FederationMode, KnownPeer, Policy, ServerKey
from federation.policy.queries import describe_policy, evaluate_policy, get_policy
from federation.site import acts
from scaiwave.console.text import pluralize
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM
from scaiwave.site.formatting import (
    EMPTY_VALUE,
    FormattedValue,
    Tone,
    format_badge,
    format_id,
    format_remaining,
    format_time,
)
from scaiwave.site.terms import TermForm
from scaiwave.templatetags.scaiwave_admin import with_code

__all__ = ["acts"]


STATE_TONES = {
    KeyState.SIGNING: Tone.GOOD,
    KeyState.NEXT: Tone.INFO,
    KeyState.VERIFYING: Tone.INFO,
    KeyState.RETIRED: Tone.NEUTRAL,
    KeyState.REVOKED: Tone.BAD,
}
MODE_TONES = {
    FederationMode.OPEN: Tone.WARN,
    FederationMode.INVITE_ONLY: Tone.GOOD,
    FederationMode.CLOSED: Tone.NEUTRAL,
}
REMIND_DAYS = (ROTATION_PERIOD - REMIND_AFTER).days


class FederationAdmin(ReadOnlyAdmin):
    """Shows the policy in force above its list, which holds for every tenant, and how many peers
    this server knows; each to accounts that may see it."""

    scope = PLATFORM
    section = Section.FEDERATION

    def get_list_note(self, request: HttpRequest) -> str:
        sentences: list[str] = []
        if self._can_view(request, Policy):
            policy = get_policy()
            sentences.append(describe_policy(policy))
            if policy._state.adding:
                sentences.append("`scaiwave admin federation policy set` changes it.")
        if self._can_view(request, KnownPeer):
            sentences.append(format_html("This server knows {}.", self._link_to_peers()))
        return format_html_join(" ", "{}", ((with_code(each),) for each in sentences))

    def _link_to_peers(self) -> str:
        """Return how many other servers this one knows, with a link unless it is their list."""
        text = pluralize(KnownPeer.objects.count(), "other server")
        url = reverse("admin:federation_knownpeer_changelist")
        return text if self.model is KnownPeer else format_html('<a href="{}">{}</a>', url, text)


@admin.register(ServerKey)
class ServerKeyAdmin(FederationAdmin):
    searched_forms = frozenset({TermForm.TEXT})
    list_display = ("key_id", "state", "days_left", "signs_from", "retires_at", "revoked_at")
    search_fields = ("key_id",)
    search_help_text = "Search by key ID."
    ordering = ("-signs_from", "-id")
    more_fields = ("state", "days_left", "policy_in_force", "known_peers")
    hidden_fields = ("private_key_encrypted",)
    field_models: ClassVar = {"policy_in_force": (Policy,), "known_peers": (KnownPeer,)}

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
        text = "checks old signatures" if state is KeyState.VERIFYING else state.value
        return FormattedValue(format_badge(text, STATE_TONES[state]), state.value)

    @admin.display(description="days left")
    def days_left(self, key: ServerKey) -> str:
        """Days until the rotation of the signing key is due, or another key expires."""
        description = self._describe(key)
        days = description["days_left"]
        if days is None:
            return EMPTY_VALUE
        if description["state"] == KeyState.SIGNING.value:
            text = f"{pluralize(days, 'day')} until rotation" if days > 0 else "rotation is due"
            return format_remaining(days, ROTATION_PERIOD.days, text, warn_below=REMIND_DAYS)
        text = f"{pluralize(days, 'day')} until it expires"
        return format_remaining(days, max(days, OVERLAP_DAYS), text)

    @admin.display(description="policy in force")
    def policy_in_force(self, key: ServerKey) -> str:
        policy = get_policy()
        url = reverse("admin:federation_policy_changelist")
        link = format_html('<a href="{}">{}</a>', url, format_mode(policy))
        return format_html("{} {}", link, describe_policy(policy))

    @admin.display(description="known servers")
    def known_peers(self, key: ServerKey) -> str:
        return self._link_to_peers()


def format_mode(policy: Policy) -> str:
    mode = FederationMode(policy.default_mode)
    return format_badge(str(mode.label).lower(), MODE_TONES[mode])


@admin.register(Policy)
class PolicyAdmin(FederationAdmin):
    list_display = ("mode_badge", "servers", "foreign_limit", "updated_at")
    more_fields = ("servers", "foreign_limit")
    hidden_fields = ("number", "allowed_peers", "max_foreign_participants_per_room")

    def get_list_content(self, request: HttpRequest) -> str:
        policy = get_policy()
        is_stored = not policy._state.adding
        page = "admin:federation_policy_change"
        context = {
            "url": reverse(page, args=[policy.pk]) if is_stored else "",
            "values": (
                ("default mode", self.mode_badge(policy)),
                ("allowed servers", self.servers(policy)),
                ("max foreign participants per room", self.foreign_limit(policy)),
                ("changed", format_time(policy.updated_at) if is_stored else "never"),
            ),
        }
        return render_to_string("federation/admin/policy.html", context)

    @admin.display(description="default mode", ordering="default_mode")
    def mode_badge(self, policy: Policy) -> str:
        return format_mode(policy)

    @admin.display(description="allowed servers")
    def servers(self, policy: Policy) -> str:
        """The servers by name; they matter only in the mode invite only."""
        return ", ".join(policy.allowed_peers) or EMPTY_VALUE

    @admin.display(description="max foreign participants per room")
    def foreign_limit(self, policy: Policy) -> str:
        limit = policy.max_foreign_participants_per_room
        return "no limit" if limit is None else f"{limit:,}"


@admin.register(KnownPeer)
class KnownPeerAdmin(FederationAdmin):
    searched_forms = frozenset({TermForm.TEXT})
    list_display = (
        *("server_name", "policy_badge", "first_seen_at", "last_seen_at", "key_changed_at", "key"),
    )
    search_fields = ("server_name",)
    search_help_text = "Search by server name."
    ordering = ("server_name",)
    more_fields = ("policy_badge",)
    field_models: ClassVar = {"policy_badge": (Policy,)}

    def prefetch_columns(self, rows: list[Any]) -> None:
        policy = get_policy()
        for row in rows:
            row.decision = evaluate_policy(row.server_name, policy)

    @admin.display(description="policy")
    def policy_badge(self, peer: Any) -> str:
        """What the policy in force says about the server."""
        if not hasattr(peer, "decision"):
            self.prefetch_columns([peer])
        is_allowed = peer.decision.is_allowed
        text, tone = ("allowed", Tone.GOOD) if is_allowed else ("refused", Tone.NEUTRAL)
        return format_badge(text, tone, f"it {peer.decision.reason}")

    @admin.display(description="public key")
    def key(self, peer: KnownPeer) -> str:
        return format_id(peer.public_key)
