"""Every field of every model has an origin: a bundle, ScaiKey, this database or other rows."""

from __future__ import annotations

from tests.field_origins import ORIGINS, Origin, get_fields, iter_models


def test_success_every_field_of_every_model_is_declared() -> None:
    found = {model._meta.label: set(get_fields(model)) for model in iter_models()}
    assert {label: set(fields) for label, fields in ORIGINS.items()} == found


def test_success_models_with_a_bundle_or_a_sync_are_those_of_rooms_and_of_the_directory() -> None:
    """So that a new origin comes with a test that verifies it, as these models have."""
    labels = {
        origin: {label for label, fields in ORIGINS.items() if origin in fields.values()}
        for origin in (Origin.CARRIED, Origin.SCAIKEY)
    }
    assert labels == {
        Origin.CARRIED: {
            "rooms.Event", "rooms.Media", "rooms.Room", "rooms.RoomMedia", "rooms.Workspace",
        },
        Origin.SCAIKEY: {
            "tenants.Group", "tenants.GroupMembership", "tenants.Participant", "tenants.Partner",
            "tenants.Tenant",
        },
    }  # fmt: skip
