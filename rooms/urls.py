"""URLs of the HTTP API for rooms, below /v1/."""

from django.urls import path

from rooms.views.export_room import export_room_view
from rooms.views.import_room import import_room_view

urlpatterns = [
    path("rooms/import", import_room_view),
    path("rooms/<str:room>/export", export_room_view),
]
