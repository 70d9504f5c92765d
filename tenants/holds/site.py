"""The list of holds, and the acts that place and lift them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import Model

from scaiwave.core.change import Change
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import by_tenant
from scaiwave.site.acts import Act, ActCall, ReasonForm, register_acts
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


def register_hold(
    model: type[Model], options: str, get_subject: Callable[[Any], dict[str, Any]], note: str
) -> None:
    """Offer to place a hold on the pages of a model."""

    def add(call: ActCall) -> Change:
        reason, subject = call.values["reason"], get_subject(call.row)
        return add_hold(operator=call.operator, reason=reason, now=call.now, **subject)

    register_acts(
        Act(
            "admin hold add",
            "Place a hold",
            model,
            add,
            form=ReasonForm,
            is_rare=True,
            options=options,
            get_note=lambda row: f"{note} are kept until the hold is lifted.",
        )
    )


register_hold(
    Tenant, "--tenant <slug>", lambda tenant: {"tenant": str(tenant.pk)}, "Its rooms and people"
)
register_hold(
    Participant,
    "--participant <person>",
    lambda person: {"participant": str(person.pk)},
    "Their data and messages",
)
register_acts(
    Act(
        "admin hold lift",
        "Lift",
        Hold,
        lambda call: lift_hold(
            operator=call.operator,
            hold=str(call.row.pk),
            reason=call.values["reason"],
            confirm=call.confirm,
            now=call.now,
        ),
        form=ReasonForm,
        is_offered=lambda hold: hold.lifted_at is None,
        is_destructive=True,
    )
)
