"""The URLs of this suite."""

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

from scaiwave.operations import health
from scaiwave.operations.metrics import endpoint as metrics
from scaiwave.web import api

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("admin/", admin.site.urls),
    path("oidc/", include("tenants.urls")),
    path("", include("federation.urls")),
    path("v1/", include("rooms.urls")),
    path("v1/", include("identity_sync.urls")),
    path("health", health.health),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("metrics", metrics.metrics),
    path("v1/", api.not_found),
    path("v1/<path:rest>", api.not_found),
]

handler400 = "scaiwave.web.api.bad_request"
handler500 = "scaiwave.web.api.server_error"
