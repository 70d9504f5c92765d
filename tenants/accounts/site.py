from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.models import Group as PermissionGroup
from django.db.models import Q
from django.template.loader import render_to_string
from django.utils import timezone

from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM
from scaiwave.site.formatting import Tone, format_badge, format_count, format_time
from scaiwave.site.terms import TermForm
from tenants.accounts.queries import build_administrator_row, may_sign_in
from tenants.accounts.sessions import AdminSession, find_sessions
from tenants.models import AdminUser
from tenants.people.site.filters import ConditionFilter

# Django's permission groups would be mistaken for the groups of people.
admin.site.unregister(PermissionGroup)


class SignInFilter(ConditionFilter):
    title = "signs in with"
    parameter_name = "by"
    conditions: ClassVar = {"scaikey": ~Q(scaikey_id=None), "password": Q(scaikey_id=None)}
    titles: ClassVar = {"scaikey": "ScaiKey", "password": "A password"}


@admin.register(AdminUser)
class AdminUserAdmin(ReadOnlyAdmin):
    """Accounts of the admin site. `scaiwave admin create-administrator` creates the first."""

    scope = PLATFORM
    section = Section.ADMINISTRATORS
    searched_forms = frozenset({TermForm.TEXT, TermForm.EMAIL})
    list_display = ("name", "email", "role", "sign_in", "status", "session_count", "last_login")
    list_filter = (SignInFilter, "is_active", "is_auditor")
    search_fields = ("username", "first_name", "email", "scaikey_id__exact")
    search_help_text = "Search by name, e-mail address or ScaiKey ID."
    number_columns = ("session_count",)
    sortable_by = ("name", "last_login")
    ordering = ("first_name", "username")
    more_fields = ("role", "sign_in", "status", "sessions")
    hidden_fields = (
        *("password", "first_name", "last_name", "groups", "user_permissions"),
        *("is_active", "is_staff", "is_superuser", "is_auditor"),
    )
    help_texts = {"username": ""}

    def prefetch_columns(self, rows: list[Any]) -> None:
        sessions = find_sessions(timezone.now()) if rows else {}
        for row in rows:
            row.sessions = sessions.get(str(row.pk), [])

    def _get_sessions(self, account: Any) -> list[AdminSession]:
        if not hasattr(account, "sessions"):
            self.prefetch_columns([account])
        return list(account.sessions)

    @admin.display(description="name", ordering="first_name")
    def name(self, account: AdminUser) -> str:
        return str(account)

    @admin.display(description="role")
    def role(self, account: AdminUser) -> str:
        """The role of someone who comes by ScaiKey is in the token of their last sign-in."""
        if account.scaikey_id is None:
            return build_administrator_row(account)["role"] or "viewer"
        roles = [session.role for session in self._get_sessions(account)]
        return roles[0].replace("_", " ") if roles and roles[0] else "as set in ScaiKey"

    @admin.display(description="signs in with")
    def sign_in(self, account: AdminUser) -> str:
        if account.scaikey_id is not None:
            return "ScaiKey"
        return "a password" if may_sign_in(account) else "nothing: it can't sign in"

    @admin.display(description="status")
    def status(self, account: AdminUser) -> str:
        if account.is_active:
            return format_badge("active", Tone.GOOD)
        return format_badge("disabled", Tone.NEUTRAL)

    @admin.display(description="sessions")
    def session_count(self, account: AdminUser) -> str:
        return format_count(len(self._get_sessions(account)))

    @admin.display(description="sessions")
    def sessions(self, account: AdminUser) -> str:
        rows = [
            (each.address or "unknown", format_time(each.signed_in_at))
            for each in self._get_sessions(account)
        ]
        context = {"titles": ["Address", "Signed in"], "rows": rows}
        return render_to_string("scaiwave/admin/table.html", context) if rows else "none"
