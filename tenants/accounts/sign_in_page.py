"""The forms of the admin site that take a password."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm, AdminPasswordChangeForm
from django.contrib.auth import authenticate
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.utils import timezone

from scaiwave.auth.bearer import get_client_address
from scaiwave.site.acts import identify_account
from tenants.accounts.administrators import change_own_password
from tenants.accounts.record_sign_in import SignInOutcome, record_sign_in
from tenants.models import AdminUser


class SignInForm(AdminAuthenticationForm):
    """The form of the sign-in page. Every attempt is recorded, except those during a lock."""

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if not username or not self.cleaned_data.get("password"):
            return super().clean()
        if is_locked(self.request, username):
            return super().clean()
        try:
            cleaned = super().clean()
        except ValidationError:
            locked = getattr(self.request, "axes_locked_out", False)
            outcome = SignInOutcome.LOCKED if locked else SignInOutcome.FAILED
            record(self.request, outcome, username)
            raise
        record(self.request, SignInOutcome.SUCCEEDED, username)
        return cleaned


def is_locked(request: HttpRequest | None, username: str) -> bool:
    from axes.handlers.proxy import AxesProxyHandler

    return not AxesProxyHandler.is_allowed(request, {"username": username})


def record(request: HttpRequest | None, outcome: SignInOutcome, username: str) -> None:
    record_sign_in(
        outcome=outcome,
        username=username,
        address=get_client_address(request) if request else "",
        now=timezone.now(),
    )


class OwnPasswordForm(AdminPasswordChangeForm):
    """The form to change one's own password.

    A wrong old password counts as a failed sign-in, since a stolen session could be used to guess
    it.
    """

    def __init__(self, request: HttpRequest, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._request = request

    def clean_old_password(self) -> str:
        old_password: str = self.cleaned_data["old_password"]
        name = self.user.get_username()
        was_locked = is_locked(self._request, name)
        if authenticate(self._request, username=name, password=old_password) is not None:
            return old_password
        if not was_locked:
            has_locked = getattr(self._request, "axes_locked_out", False)
            outcome = SignInOutcome.LOCKED if has_locked else SignInOutcome.FAILED
            record(self._request, outcome, name)
        raise ValidationError(self.error_messages["password_incorrect"], code="password_incorrect")

    def save(self, commit: bool = True) -> AdminUser:
        return change_own_password(
            operator=identify_account(self._request),
            account=self.user,
            password=self.cleaned_data["new_password1"],
            now=timezone.now(),
        )


admin.site.login_form = SignInForm
admin.site.password_change_form = OwnPasswordForm
