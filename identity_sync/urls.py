"""URLs of the HTTP API for ScaiKey, below /v1/."""

from django.urls import path

from identity_sync.views import scaikey_webhook_view

urlpatterns = [
    path("webhooks/scaikey", scaikey_webhook_view),
]
