"""Acts of the admin site on its administrators."""

from __future__ import annotations

from typing import Any

from django import forms
from django.utils import timezone

from scaiwave.core.change import ChangeResult
from scaiwave.core.operators import Operator
from scaiwave.site.acts import Act, ActCall, RowForm, register_acts
from tenants.accounts.administrators import (
    disable_administrator,
    enable_administrator,
    reset_administrator_password,
)
from tenants.accounts.create_administrator import create_administrator
from tenants.accounts.sessions import end_sessions, find_sessions
from tenants.models import AdminUser

EMERGENCY_NOTE = (
    "People sign in with ScaiKey, which has their roles and second factors. An account with a "
    "password is for emergencies, such as while ScaiKey is down."
)


class PasswordForm(forms.Form):
    password = forms.CharField(
        strip=False, widget=forms.PasswordInput(attrs={"autocomplete": "new-password"})
    )
    repeated = forms.CharField(
        strip=False,
        label="The same password",
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean_repeated(self) -> None:
        if self.cleaned_data["repeated"] != self.cleaned_data.get("password"):
            raise forms.ValidationError("The two passwords differ.")


class AccountForm(PasswordForm):
    username = forms.CharField(max_length=150, label="Name to sign in with")
    email = forms.EmailField(required=False, label="E-mail address")
    role = forms.ChoiceField(
        choices=(
            ("administrator", "Administrator: sees and does everything"),
            ("auditor", "Auditor: sees everything but messages, and changes nothing"),
        )
    )
    field_order = ("username", "email", "role")


class SessionsField(forms.MultipleChoiceField):
    def valid_value(self, value: str) -> bool:
        """Accept sessions that have ended since the form was shown."""
        return True


class SessionsForm(RowForm):
    sessions = SessionsField(widget=forms.CheckboxSelectMultiple)

    def fit(self, operator: Operator, row: Any) -> None:
        sessions = find_sessions(timezone.now())[str(row.pk)]
        self.fields["sessions"].choices = [(each.id, each.text) for each in sessions]  # type: ignore[attr-defined]
        self.initial["sessions"] = [each.id for each in sessions]


def _create(call: ActCall) -> ChangeResult:
    values = call.values
    return call.run(
        create_administrator,
        username=values["username"],
        email=values["email"],
        password=lambda: str(values["password"]),
        is_auditor=values["role"] == "auditor",
    )


register_acts(
    Act(
        "admin create-administrator",
        "Create an account",
        AdminUser,
        _create,
        form=AccountForm,
        is_of_list=True,
        get_note=lambda row: EMERGENCY_NOTE,
    ),
    Act(
        "admin end-sessions",
        "End sessions",
        AdminUser,
        lambda call: call.run(
            end_sessions,
            username=call.row.username,
            session_ids=call.values["sessions"],
            confirm=lambda question: None,  # The form names them already.
        ),
        form=SessionsForm,
        is_offered=lambda account: bool(find_sessions(timezone.now())[str(account.pk)]),
    ),
    Act(
        "admin reset-administrator-password",
        "Reset password",
        AdminUser,
        lambda call: call.run(
            reset_administrator_password,
            username=call.row.username,
            password=lambda: str(call.values["password"]),
        ),
        form=PasswordForm,
        is_offered=lambda account: account.scaikey_id is None,
        get_note=lambda account: f"This ends the sessions of the account. {EMERGENCY_NOTE}",
    ),
    Act(
        "admin disable-administrator",
        "Disable",
        AdminUser,
        lambda call: call.run(disable_administrator, username=call.row.username),
        is_offered=lambda account: account.is_active,
        is_destructive=True,
    ),
    Act(
        "admin enable-administrator",
        "Enable",
        AdminUser,
        lambda call: call.run(enable_administrator, username=call.row.username),
        is_offered=lambda account: not account.is_active,
    ),
)
