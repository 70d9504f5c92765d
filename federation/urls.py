"""URLs that other servers fetch."""

from __future__ import annotations

from django.urls import path

from federation.keys.descriptor import DESCRIPTOR_PATH
from federation.views import server_descriptor

urlpatterns = [path(DESCRIPTOR_PATH.removeprefix("/"), server_descriptor, name="server-descriptor")]
