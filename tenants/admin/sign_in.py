from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.core.exceptions import ValidationError
from django.utils import timezone

from scaiwave.auth.bearer import get_client_address
from tenants.services.record_sign_in import SignInOutcome, record_sign_in


class SignInForm(AdminAuthenticationForm):
    """The form of the sign-in page. Every attempt is recorded, except those during a lock."""

    def clean(self) -> dict[str, Any]:
        username = self.cleaned_data.get("username")
        if not username or not self.cleaned_data.get("password"):
            return super().clean()
        if self._is_locked(username):
            return super().clean()
        try:
            cleaned = super().clean()
        except ValidationError:
            locked = getattr(self.request, "axes_locked_out", False)
            self._record(SignInOutcome.LOCKED if locked else SignInOutcome.FAILED, username)
            raise
        self._record(SignInOutcome.SUCCEEDED, username)
        return cleaned

    def _is_locked(self, username: str) -> bool:
        from axes.handlers.proxy import AxesProxyHandler

        return not AxesProxyHandler.is_allowed(self.request, {"username": username})

    def _record(self, outcome: SignInOutcome, username: str) -> None:
        record_sign_in(
            outcome=outcome,
            username=username,
            address=get_client_address(self.request) if self.request else "",
            now=timezone.now(),
        )


admin.site.login_form = SignInForm
