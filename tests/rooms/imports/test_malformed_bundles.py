"""Bundles made to do harm: each is refused by its own code before anything is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from rooms.errors import BundleBadManifest, BundleDamaged, BundleNotZip
from scaiwave.core.errors import ScaiWaveError
from tests.rooms.bundle.archive_factories import make_zip
from tests.rooms.bundle.corpus_archives import ARCHIVES
from tests.rooms.bundle.corpus_events import CONTENTS, EVENTS
from tests.rooms.bundle.corpus_manifests import MANIFESTS
from tests.rooms.bundle.corpus_names import NAMES
from tests.rooms.bundle.factories import (
    encode_manifest,
    make_event,
    make_manifest,
    make_manifest_bundle,
    make_media_row,
    make_part,
)
from tests.rooms.bundle.malformed_bundles import REFUSALS
from tests.rooms.bundle.test_fuzz import LONG
from tests.rooms.bundle.test_manifest import TEXTS
from tests.rooms.imports.bundle_factories import Bundle
from tests.rooms.imports.factories import make_home
from tests.rooms.imports.test_import_room import import_bundle


def list_malformed_bundles() -> Iterator[tuple[str, bytes, str]]:
    """What it is, the bundle, and the code of its refusal."""
    for name, archive in {**ARCHIVES, **NAMES}.items():
        yield name, archive(), REFUSALS[name].code
    for name, bad in {**MANIFESTS, **EVENTS}.items():
        yield name, make_manifest_bundle(json.dumps(bad).encode()), REFUSALS[name].code
    for name, (content, _) in CONTENTS.items():
        raw = encode_manifest(make_manifest(make_event(1, content="mark"))).replace(
            b'"mark"', content.encode()
        )
        yield name, make_manifest_bundle(raw), BundleBadManifest.code
    for raw, message in TEXTS.items():
        yield f"{raw[-20:]!r}: {message}", make_manifest_bundle(raw), BundleBadManifest.code
    for size in range(1000, len(LONG), 1000):
        yield f"cut off at {size}", LONG[:size], BundleNotZip.code
    row = make_media_row(b"true")
    manifest_part = make_part("manifest.json", encode_manifest(make_manifest(media=[row])))
    changed = make_part(f"media/{row['sha256']}/photo.png", b"lies")
    yield "hash that lies", make_zip(manifest_part, changed), BundleDamaged.code


def only_read(execute: Callable[..., Any], sql: str, *others: Any) -> Any:
    assert sql.startswith("SELECT"), sql
    return execute(sql, *others)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_fail_malformed_bundle_writes_no_row(media_root: Path) -> None:
    home = make_home()
    found, expected = {}, {}
    for name, raw, code in list_malformed_bundles():
        expected[name] = code
        with connection.execute_wrapper(only_read), pytest.raises(ScaiWaveError) as caught:
            import_bundle(home, Bundle(), file=BytesIO(raw))
        found[name] = caught.value.code
    assert found == expected
    assert not media_root.exists()
