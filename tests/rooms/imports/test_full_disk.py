"""Full disks, for files or for rows: nothing remains, and with more space the import works."""

from __future__ import annotations

from pathlib import Path

import pytest

from rooms.bundle.format import MIB
from tests.rooms.imports.bundle_factories import Bundle, make_event
from tests.rooms.imports.conftest import EVENTS, FILES
from tests.rooms.imports.import_environment import ImportEnvironment

pytestmark = pytest.mark.once


def test_fail_no_room_for_media(site: ImportEnvironment, tmp_path: Path) -> None:
    bundle = Bundle([make_event(1)])
    bundle.add("small.bin", b"small")
    bundle.add("large.bin", b"large" * 2 * MIB)
    path = bundle.save(tmp_path / "bundle.zip")
    ended = site.run_import(path, largest_file=8 * MIB)
    assert (ended.code, ended.out, ended.err) == (
        1,
        "",
        "Error: Not enough space in the media store. [SW_DISK_FULL]\n"
        "  Fix: Nothing was imported. Free some space, then run the same command again.\n",
    )
    assert (site.count("rooms"), site.files()) == (0, {})
    site.assert_clean()
    assert site.run_import(path).code == 0
    site.assert_clean()


@pytest.mark.only_on("sqlite")
def test_fail_database_may_not_grow(site: ImportEnvironment, large: Path) -> None:
    """SQLite reports its own limit like a full disk."""
    pages = site.rows("PRAGMA page_count")[0][0] + 200
    limited = f"{site.url}?init_command=PRAGMA journal_mode=WAL; PRAGMA max_page_count={pages}"
    ended = site.run_import(large, SCAIWAVE_DB_URL=limited)
    assert (ended.code, "[SW_DISK_FULL]" in ended.err) == (1, True), ended.err
    assert "Traceback" not in ended.err
    _require_untouched(site)
    assert site.run_import(large).code == 0
    site.assert_complete(EVENTS)


@pytest.mark.only_on("sqlite")
def test_fail_no_room_for_the_database(site: ImportEnvironment, large: Path) -> None:
    """A file that may not grow is an I/O error to SQLite."""
    ended = site.run_import(large, largest_file=3 * MIB)
    assert (ended.code, "[SW_DISK_FULL]" in ended.err) == (1, True), ended.err
    assert "Traceback" not in ended.err
    assert site.rows("PRAGMA integrity_check") == [("ok",)]
    assert (site.count("rooms"), site.count("events")) == (0, 0)
    # To tidy up takes a row too, so that was left to the next.
    assert site.run_import(large).code == 0
    site.assert_complete(EVENTS)
    site.assert_clean()
    assert len(site.files()) == FILES


def _require_untouched(site: ImportEnvironment) -> None:
    assert site.rows("PRAGMA integrity_check") == [("ok",)]
    assert (site.count("rooms"), site.count("events"), site.files()) == (0, 0, {})
    site.assert_clean()
