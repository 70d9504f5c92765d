from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group as PermissionGroup
from django.db.models import QuerySet
from django.http import HttpRequest

from scaiwave.admin import ReadOnlyAdmin
from tenants.models import AdminUser

# Django's groups of administrators would stand beside the groups of people and be taken for them.
admin.site.unregister(PermissionGroup)


@admin.register(AdminUser)
class AdminUserAdmin(ReadOnlyAdmin):
    """Who may sign in here. The first one comes by `scaiwave admin create-administrator`."""

    list_display = ("username", "email", "is_active", "is_staff", "is_superuser", "last_login")
    list_filter = ("is_active", "is_superuser")
    search_fields = ("username", "email")
    sortable_by = ("username", "last_login")
    ordering = ("username",)
    hidden_fields = ("password",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        # A permission's name needs its content type; without this each would be a query.
        return super().get_queryset(request).prefetch_related("user_permissions__content_type")
