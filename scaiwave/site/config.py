"""Has Django use our site as `admin.site`. A module of its own, since commands do without it."""

from __future__ import annotations

from django.contrib.admin.apps import AdminConfig


class OperatorAdminConfig(AdminConfig):
    default_site = "scaiwave.site.site.OperatorSite"
