"""The acts of keys, peers and the policy, as the commands of the same names do them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from federation.keys.check_keys import check_keys
from federation.keys.lifecycle import OVERLAP_DAYS, generate_key, revoke_key, rotate_key
from federation.models import FederationMode, KnownPeer, Policy, ServerKey
from federation.peers.check_peer import check_peer
from federation.peers.forget_peer import forget_peer
from federation.policy.queries import describe_policy, get_policy
from federation.policy.set_policy import set_policy
from scaiwave.core.change import ChangeResult
from scaiwave.site.acts import Act, ActCall, register_acts


class TypedKeyForm(forms.Form):
    """Rotating and revoking can't be undone, so the key ID must be typed."""

    key_id = forms.CharField(
        label="Key ID",
        help_text="Type the ID of this key, to be sure that it is the right one.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


class PolicyForm(forms.Form):
    """Empty fields leave their part of the policy as it is."""

    default_mode = forms.ChoiceField(
        required=False,
        choices=[
            ("", "unchanged"),
            (FederationMode.OPEN, "open: all servers"),
            (FederationMode.INVITE_ONLY, "invite only: allowed servers"),
            (FederationMode.CLOSED, "closed: none"),
        ],
        label="Servers to federate with",
    )
    allow_peers = forms.CharField(
        required=False,
        max_length=2000,
        label="Servers to allow",
        help_text="Server names to add, with a space between them.",
    )
    remove_peers = forms.CharField(
        required=False,
        max_length=2000,
        label="Servers to remove",
        help_text="Server names to remove from the allowed ones.",
    )
    max_foreign_participants = forms.RegexField(
        r"\A(?:none|\d{1,10})\Z",
        required=False,
        label="Maximum of participants from other servers in a room",
        help_text="A number, or none for no limit. Empty: unchanged.",
        error_messages={"invalid": "Enter a number, or none."},
    )


def _require_typed_id(call: ActCall) -> None:
    if call.values["key_id"] != call.row.key_id:
        raise ValidationError({"key_id": "This is not the ID of this key."})


def _rotate(call: ActCall) -> ChangeResult:
    _require_typed_id(call)
    return call.run(rotate_key)


def _revoke(call: ActCall) -> ChangeResult:
    _require_typed_id(call)
    return call.run(revoke_key, key_id=call.row.key_id)


def _verify(call: ActCall) -> str:
    """Check all keys, as the command does, and report this one."""
    result = call.run(check_keys)
    if problem := result.problems.get(call.row.key_id):
        raise problem
    others = [key_id for key_id in result.problems if key_id != call.row.key_id]
    also = f" Not so the keys {', '.join(others)}." if others else ""
    return f"Key {call.row.key_id} decrypts and signs.{also}"


def _check_peer(call: ActCall) -> str:
    name = call.row.server_name
    result = call.run(check_peer, server_name=name)
    if result.error is not None:
        raise result.error
    return " ".join([f"Federation with {name} would work.", *result.warnings])


def _set_policy(call: ActCall) -> ChangeResult:
    limit = call.values["max_foreign_participants"]
    return call.run(
        set_policy,
        default_mode=call.values["default_mode"] or None,
        allow_peers=call.values["allow_peers"].split(),
        remove_peers=call.values["remove_peers"].split(),
        max_foreign=int(limit) if limit.isdecimal() else limit or None,
    )


def _describe_present_policy(row: Any) -> str:
    policy = get_policy()
    servers = ", ".join(policy.allowed_peers) or "none"
    limit = policy.max_foreign_participants_per_room
    return (
        f"{describe_policy(policy)} Allowed servers: {servers}. Maximum of participants from other "
        f"servers in a room: {'none' if limit is None else limit}."
    )


register_acts(
    Act(
        "admin federation key generate",
        "Create a signing key",
        ServerKey,
        lambda call: call.run(generate_key),
        is_of_list=True,
        is_offered=lambda row: not ServerKey.objects.filter(revoked_at=None).exists(),
    ),
    Act(
        "admin federation key check",
        "Verify",
        ServerKey,
        _verify,
        is_offered=lambda key: bool(key.private_key_encrypted),
        get_note=lambda key: "Decrypts the private key, signs with it, and verifies the signature.",
    ),
    Act(
        "admin federation key rotate",
        "Rotate",
        ServerKey,
        _rotate,
        form=TypedKeyForm,
        is_offered=lambda key: key.revoked_at is None and key.retires_at is None,
        get_note=lambda key: (
            f"A new key signs from now on. This one verifies for {OVERLAP_DAYS} days, in which "
            "other servers fetch the new one."
        ),
    ),
    Act(
        "admin federation key revoke",
        "Revoke",
        ServerKey,
        _revoke,
        form=TypedKeyForm,
        is_offered=lambda key: key.revoked_at is None,
        is_destructive=True,
    ),
    Act(
        "admin federation check-peer",
        "Check",
        KnownPeer,
        _check_peer,
        get_note=lambda peer: "Calls the server, compares its key, and stores it if it is new.",
    ),
    Act(
        "admin federation peer forget",
        "Forget",
        KnownPeer,
        lambda call: call.run(forget_peer, server_name=call.row.server_name),
        is_destructive=True,
        removes_row=True,
    ),
    Act(
        "admin federation policy set",
        "Change the policy",
        Policy,
        _set_policy,
        form=PolicyForm,
        get_note=_describe_present_policy,
        is_of_list=True,
    ),
)
