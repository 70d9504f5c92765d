"""What the start page of the admin site shows of this server's keys."""

from __future__ import annotations

from datetime import datetime

from django.urls import reverse

from federation.keys.queries import (
    find_signing_key,
    get_rotation_due_at,
    is_rotation_near,
    load_keys,
)
from scaiwave.console.text import pluralize
from scaiwave.site.formatting import Tone
from scaiwave.site.overview import Card, OverviewPart

ROTATE, GENERATE = "scaiwave admin federation key rotate", "scaiwave admin federation key generate"


def build_key_part(now: datetime) -> OverviewPart:
    key = find_signing_key(load_keys(), now)
    url, permission = reverse("admin:federation_serverkey_changelist"), "federation.view_serverkey"
    if key is None:
        card = Card("Signing key", "none", url, permission, Tone.WARN, command=GENERATE)
        return OverviewPart(cards=[card])
    due_at = get_rotation_due_at(key)
    is_near, is_overdue = is_rotation_near(key, now), now >= due_at
    days = max((now - due_at).days, 1) if is_overdue else (due_at - now).days
    return OverviewPart(
        cards=[
            Card(
                title="Signing key",
                value=f"overdue by {pluralize(days, 'day')}"
                if is_overdue
                else f"{pluralize(days, 'day')} left",
                url=url,
                permission=permission,
                tone=Tone.BAD if is_overdue else Tone.WARN if is_near else Tone.GOOD,
                details=[f"Its rotation {'was' if is_overdue else 'is'} due on {due_at:%Y-%m-%d}."],
                command=ROTATE if is_near else "",
            )
        ]
    )
