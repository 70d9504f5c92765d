"""The acts of keys, as the commands of the same names do them."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.exceptions import ValidationError

from federation.models import ServerKey
from federation.services.keys import revoke_key, rotate_key
from scaiwave.admin.acts import Act, ActCall, register_act


class TypedKeyForm(forms.Form):
    """Revoking can't be undone, so the key ID must be typed."""

    key_id = forms.CharField(
        label="Key ID",
        help_text="Type the ID of this key, to be sure that it is the right one.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


def _rotate(call: ActCall) -> str:
    return rotate_key(operator=call.operator, now=call.now).sentence


def _revoke(call: ActCall) -> str:
    if call.values["key_id"] != call.row.key_id:
        raise ValidationError({"key_id": "This is not the ID of this key."})
    return revoke_key(
        operator=call.operator,
        key_id=call.row.key_id,
        confirm=call.confirm,
        now=call.now,
    ).sentence


def _is_current(key: Any) -> bool:
    return key.revoked_at is None and key.retires_at is None


def _is_not_revoked(key: Any) -> bool:
    return key.revoked_at is None


register_act(
    Act("admin federation key rotate", "Rotate", ServerKey, _rotate, is_offered=_is_current)
)
register_act(
    Act(
        "admin federation key revoke",
        "Revoke",
        ServerKey,
        _revoke,
        form=TypedKeyForm,
        is_offered=_is_not_revoked,
        is_destructive=True,
    )
)
