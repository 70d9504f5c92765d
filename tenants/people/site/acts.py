"""The acts of tenants, partners, people, roles and accounts, as the commands do them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms

from scaiwave.console.text import pluralize
from scaiwave.core.bulk import BulkResult
from scaiwave.core.change import Change
from scaiwave.site.acts import Act, ActCall, ReasonedSelectionForm, ReasonForm, register_act
from tenants.audit.field_changes import UpdateResult
from tenants.models import Participant, Partner, Tenant
from tenants.people.suspension import (
    PARTICIPANT,
    PARTNER,
    TENANT,
    SuspensionRules,
    resume,
    resume_many,
    suspend,
    suspend_many,
)
from tenants.people.update_partner import PartnerUpdate, update_partner
from tenants.people.update_tenant import TenantUpdate, update_tenant


class LimitsForm(forms.Form):
    """Empty fields leave their limit as it is; `none` removes one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for field in self.fields.values():
            field.help_text = "A number, or none for no limit. Empty: unchanged."

    def clean(self) -> dict[str, Any]:
        limits: dict[str, int | None] = {}
        for name, text in list(self.cleaned_data.items()):
            if text == "none":
                limits[name] = None
            elif text.isdecimal() and len(text) < 19:
                limits[name] = int(text)
            elif text:
                self.add_error(name, "Enter a number, or none.")
        return {"limits": limits}


_LIMITED = {
    "max_participants": "active participants",
    "max_rooms": "rooms",
    "max_storage_mb": "storage in MiB",
    "max_ai_tokens_month": "AI tokens a month",
    "max_tenants": "tenants",
    "max_users_per_tenant": "users per tenant",
    "max_applications_per_tenant": "applications per tenant",
}


def _limit(name: str) -> forms.CharField:
    return forms.CharField(required=False, label=f"Maximum of {_LIMITED[name]}")


class TenantLimitsForm(LimitsForm):
    max_participants = _limit("max_participants")
    max_rooms = _limit("max_rooms")
    max_storage_mb = _limit("max_storage_mb")
    max_ai_tokens_month = _limit("max_ai_tokens_month")


class PartnerLimitsForm(LimitsForm):
    max_tenants = _limit("max_tenants")
    max_users_per_tenant = _limit("max_users_per_tenant")
    max_applications_per_tenant = _limit("max_applications_per_tenant")


def _describe_limits_by(form: type[forms.Form]) -> Callable[[Any], str]:
    """Return the note of a form with the present values of its fields, as they are typed."""

    def describe_limits(row: Any) -> str:
        values = {name: getattr(row, name) for name in form.base_fields}
        present = ", ".join(
            f"{_LIMITED[name]} {'none' if value is None else value}"
            for name, value in values.items()
        )
        return f"Present limits: {present}."

    return describe_limits


def _suspend_by(rules: SuspensionRules, call: ActCall) -> Change:
    return suspend(
        rules,
        operator=call.operator,
        name=str(call.row.pk),
        reason=call.values["reason"],
        confirm=call.confirm,
        now=call.now,
    )


def _resume_by(rules: SuspensionRules, call: ActCall) -> Change:
    return resume(
        rules,
        operator=call.operator,
        name=str(call.row.pk),
        reason=call.values["reason"],
        now=call.now,
    )


def _update_tenant(call: ActCall, **changes: Any) -> UpdateResult:
    return update_tenant(
        operator=call.operator,
        tenant=str(call.row.pk),
        update=TenantUpdate(**(changes or call.values)),
        now=call.now,
    )


def _change_partner_limits(call: ActCall) -> UpdateResult:
    return update_partner(
        operator=call.operator,
        partner=str(call.row.pk),
        update=PartnerUpdate(limits=call.values["limits"]),
        now=call.now,
    )


def _change_selected(
    change: Callable[..., BulkResult], rules: SuspensionRules, call: ActCall
) -> str:
    """Suspend or resume the selected people: all of them, or none."""
    result = change(
        rules,
        operator=call.operator,
        names=call.values["rows"],
        reason=call.values["reason"],
        confirm=call.confirm,
        now=call.now,
    )
    result.require_complete()
    past = "suspended" if change is suspend_many else "resumed"
    return f"{pluralize(len(result.rows), 'person', 'people')} {past}."


for verb, change in (("suspend", suspend_many), ("resume", resume_many)):
    register_act(
        Act(
            f"admin {verb}-participant",
            f"{verb.capitalize()} selected",
            Participant,
            partial(_change_selected, change, PARTICIPANT),
            form=ReasonedSelectionForm,
            options="<names>",
            is_of_list=True,
            of_selection=True,
            is_destructive=verb == "suspend",
        )
    )
for model, rules in ((Tenant, TENANT), (Partner, PARTNER), (Participant, PARTICIPANT)):
    register_act(
        Act(
            f"admin suspend-{rules.kind}",
            "Suspend",
            model,
            partial(_suspend_by, rules),
            form=ReasonForm,
            is_offered=lambda row: row.suspended_by_hand_at is None,
            is_destructive=True,
        )
    )
    register_act(
        Act(
            f"admin resume-{rules.kind}",
            "Resume",
            model,
            partial(_resume_by, rules),
            form=ReasonForm,
            is_offered=lambda row: row.suspended_by_hand_at is not None,
        )
    )
register_act(
    Act(
        "admin update-tenant",
        "Change limits",
        Tenant,
        _update_tenant,
        TenantLimitsForm,
        get_note=_describe_limits_by(TenantLimitsForm),
    )
)
register_act(
    Act(
        "admin update-tenant",
        "Turn removals off",
        Tenant,
        partial(_update_tenant, sync_removals=False),
        is_offered=lambda tenant: tenant.scaikey_tenant_id is not None and tenant.sync_removals,
        options="--sync-removals off",
        get_note=lambda tenant: (
            "Until they are on again, syncs take no access from its people, "
            "also from those whom ScaiKey has removed."
        ),
    )
)
register_act(
    Act(
        "admin update-tenant",
        "Turn removals on",
        Tenant,
        partial(_update_tenant, sync_removals=True),
        is_offered=lambda tenant: not tenant.sync_removals,
        options="--sync-removals on",
        get_note=lambda tenant: "The next sync takes the access that ScaiKey has taken until then.",
    )
)
register_act(
    Act(
        "admin update-partner",
        "Change limits",
        Partner,
        _change_partner_limits,
        PartnerLimitsForm,
        get_note=_describe_limits_by(PartnerLimitsForm),
        is_offered=lambda partner: partner.scaikey_id is None,
    )
)
