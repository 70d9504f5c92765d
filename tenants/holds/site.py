"""The list of holds, and the acts that place and lift them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin

from scaiwave.core.change import Change
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_tenant
from scaiwave.site.acts import Act, ActCall, ReasonForm, register_act
from scaiwave.site.tabs import register_tab
from tenants.holds.hold import add_hold, lift_hold
from tenants.models import Hold, Participant, Tenant

register_tab(Tenant, "Holds", Hold, "tenant", position=6)
register_tab(Participant, "Holds", Hold, "participant", position=6)


@admin.register(Hold)
class HoldAdmin(ReadOnlyAdmin):
    scope = by_tenant()
    section = Section.TENANTS
    list_display = ("placed_at", "tenant", "participant", "room_id", "reason", "lifted_at")
    list_select_related = ("tenant", "participant")
    search_fields = ("id", "room_id")
    search_help_text = "Search by ID of a hold, participant or room."
    id_fields = ("id", "participant", "room_id")


def add_hold_by(get_subject: Callable[[Any], dict[str, Any]]) -> Callable[[ActCall], Change]:
    return lambda call: add_hold(
        operator=call.operator,
        reason=call.values["reason"],
        now=call.now,
        **get_subject(call.row),
    )


register_act(
    Act(
        "admin hold add",
        "Hold",
        Tenant,
        add_hold_by(lambda tenant: {"tenant": str(tenant.pk)}),
        form=ReasonForm,
        options="--tenant <slug>",
        get_note=lambda tenant: "Its rooms and people are kept until the hold is lifted.",
    )
)
register_act(
    Act(
        "admin hold add",
        "Hold",
        Participant,
        add_hold_by(lambda person: {"participant": str(person.pk)}),
        form=ReasonForm,
        options="--participant <person>",
        get_note=lambda person: "Their data and messages are kept until the hold is lifted.",
    )
)
register_act(
    Act(
        "admin hold lift",
        "Lift",
        Hold,
        lambda call: lift_hold(
            operator=call.operator,
            hold=call.row.pk,
            reason=call.values["reason"],
            confirm=call.confirm,
            now=call.now,
        ),
        form=ReasonForm,
        is_offered=lambda hold: hold.lifted_at is None,
        is_destructive=True,
    )
)
