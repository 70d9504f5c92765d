"""The addresses that other servers know."""

from __future__ import annotations

from django.urls import path

from federation.queries.descriptor import PATH
from federation.views import server_descriptor

urlpatterns = [path(PATH.removeprefix("/"), server_descriptor, name="server-descriptor")]
