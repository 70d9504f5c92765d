"""The golden increment: what version 2 is, for every later release."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from federation.keys.signing import key_from_text
from rooms.bundle.chain import open_chain
from rooms.bundle.signature import VerificationStatus, verify_signature
from rooms.models import Event
from tests.rooms.bundle.golden import (
    ANNA,
    GOLDEN,
    GOLDEN_INCREMENT,
    PUBLIC_KEY,
    make_golden_increment,
)
from tests.rooms.imports.factories import make_home
from tests.rooms.increments.histories import append, import_whole, merge


def read(data: bytes) -> Any:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return json.loads(archive.read("manifest.json"))


def test_success_chain() -> None:
    files = [(path.name, io.BytesIO(path.read_bytes())) for path in (GOLDEN, GOLDEN_INCREMENT)]
    with open_chain(files, max_bytes=2**24) as chain:
        assert chain.state.room.topic == "Changed"
        assert chain.state.senders[ANNA].display_name == "Deleted user"
        assert [totals.events for totals in chain.totals] == [19, 19]
        key = replace(key_from_text(PUBLIC_KEY), is_own=True)
        for link in chain.bundles:
            found = verify_signature(link.bundle.signature, {key.key_id: key})
            assert found.status is VerificationStatus.VALID


def test_success_made_as_before() -> None:
    assert read(make_golden_increment()) == read(GOLDEN_INCREMENT.read_bytes())


def test_success_merge() -> None:
    base, link = read(GOLDEN.read_bytes()), read(GOLDEN_INCREMENT.read_bytes())
    merged = read(merge([GOLDEN, GOLDEN_INCREMENT]))
    plain = [{key: value for key, value in e.items() if key != "change"} for e in link["events"]]
    assert merged["events"] == [plain[0], *base["events"][1:-1], plain[1]]
    # What a reader does not know is left out.
    assert merged["room"].items() <= link["room"].items()


@pytest.mark.django_db(transaction=True)
def test_success_import(media_root: Path) -> None:
    home = make_home()
    room = import_whole(home, GOLDEN.read_bytes(), key=PUBLIC_KEY)
    done = append(home, GOLDEN_INCREMENT, key=PUBLIC_KEY, cut_references=True)
    assert (done.applied, done.signature) == (True, "valid")
    assert (done.added, done.changed) == (1, 1)
    bodies = [event.content.get("body") for event in Event.objects.filter(room=room)]
    assert "changed" in bodies
