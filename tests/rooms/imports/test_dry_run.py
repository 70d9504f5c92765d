"""A dry run accepts and refuses exactly the bundles that an import accepts and refuses."""

from __future__ import annotations

from dataclasses import asdict
from io import BytesIO
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given
from hypothesis import settings as property_settings

from rooms.errors import BundleBadName, BundleDamaged, BundleNotZip, BundleTooLarge
from rooms.models import Room, RoomImport
from scaiwave.core.errors import ScaiWaveError
from tests.rooms.bundle.factories import make_manifest_bundle
from tests.rooms.bundle.golden import GOLDEN
from tests.rooms.bundle.mutations import Json, changed_bytes, changed_manifests
from tests.rooms.bundle.test_fuzz import LONG
from tests.rooms.imports.bundle_factories import Bundle
from tests.rooms.imports.factories import ImportTargetRows, make_home
from tests.rooms.imports.test_import_room import import_bundle
from tests.rooms.imports.test_malformed_bundles import list_malformed_bundles, only_read
from tests.rooms.random_rooms import Drawn, create_room, rooms
from tests.rooms.test_round_trip import a_home, export_bytes

pytestmark = pytest.mark.django_db(transaction=True)

_NUMBERS = count()
with_few_checks = property_settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
DIFFERENT = {"room_id", "imported", "dry_run"}
"""What a result says of the room that only an import creates."""
OF_THE_ARCHIVE = {
    error.code for error in (BundleNotZip, BundleDamaged, BundleTooLarge, BundleBadName)
}
"""Refusals that may be about no single entry."""


def get_verdict(home: ImportTargetRows, raw: bytes, **options: Any) -> Any:
    """Return the refusal with its fix and position, or what was or would be imported."""
    try:
        result = import_bundle(home, Bundle(), file=BytesIO(raw), **options)
    except ScaiWaveError as error:
        return error.code, error.message, error.fix, error.details
    return {name: value for name, value in asdict(result).items() if name not in DIFFERENT}


def assert_same_verdict(raw: bytes, home: ImportTargetRows | None = None) -> Any:
    home = home or make_home(f"target{next(_NUMBERS)}")
    with connection.execute_wrapper(only_read):
        expected = get_verdict(home, raw, dry_run=True)
    assert get_verdict(home, raw) == expected
    return expected


@pytest.mark.slow
def test_success_malformed_bundles_are_refused_alike(media_root: Path) -> None:
    home = make_home()
    for name, raw, code in list_malformed_bundles():
        verdict = assert_same_verdict(raw, home)
        assert verdict[0] == code, name
        assert code in OF_THE_ARCHIVE or verdict[3].keys() & {"entry", "event"}, name


def test_success_valid_bundles_are_accepted_alike(media_root: Path) -> None:
    for raw in (GOLDEN.read_bytes(), LONG):
        assert assert_same_verdict(raw)["events"]
    assert Room.objects.count() == RoomImport.objects.count() == 2


@with_few_checks
@given(drawn=rooms)
def test_success_rooms(drawn: Drawn, media_root: Path) -> None:
    home = a_home()
    raw = export_bytes(home, str(create_room(drawn, home).pk))
    assert_same_verdict(raw)


@with_few_checks
@given(raw=changed_bytes(GOLDEN.read_bytes()))
def test_success_changed_bytes(raw: bytes, media_root: Path) -> None:
    assert_same_verdict(raw)


@with_few_checks
@given(changed=changed_manifests())
def test_success_changed_values(changed: tuple[Json, bytes], media_root: Path) -> None:
    assert_same_verdict(make_manifest_bundle(changed[1]))
