from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group as PermissionGroup
from django.db.models import QuerySet
from django.http import HttpRequest

from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import PLATFORM
from scaiwave.site.terms import TermForm
from tenants.models import AdminUser

# Django's permission groups would be mistaken for the groups of people.
admin.site.unregister(PermissionGroup)


@admin.register(AdminUser)
class AdminUserAdmin(ReadOnlyAdmin):
    """Accounts of the admin site. `scaiwave admin create-administrator` creates the first."""

    scope = PLATFORM
    section = Section.ADMINISTRATORS
    searched_forms = frozenset({TermForm.TEXT, TermForm.EMAIL})
    list_display = (
        "username",
        "email",
        "is_active",
        "is_staff",
        "is_superuser",
        "is_auditor",
        "last_login",
    )
    list_filter = ("is_active", "is_superuser", "is_auditor")
    search_fields = ("username", "email")
    search_help_text = "Search by name or e-mail address."
    sortable_by = ("username", "last_login")
    ordering = ("username",)
    hidden_fields = ("password",)
    help_texts = {
        "username": "",
        "is_active": "whether the account may sign in",
        "is_staff": "whether the account may enter this site with its password",
        "is_superuser": "sees and does everything",
        "groups": "",
        "user_permissions": "the rights of the account, if it does not see everything",
    }

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # The name of a permission includes its content type, which would be a query for each.
        return super().get_queryset(request).prefetch_related("user_permissions__content_type")
