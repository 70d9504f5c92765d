"""An increment whose import is killed, or runs out of space, is imported whole or not at all."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec
import pytest

from rooms.bundle.format import MIB
from tests.rooms.imports.bundle_factories import make_attachment, make_event, make_event_id
from tests.rooms.imports.conftest import EVENTS
from tests.rooms.imports.import_environment import ImportEnvironment
from tests.rooms.increments.made_increments import make_increment

pytestmark = pytest.mark.once
ADDED, CHANGED, DELETED = 3000, 2000, 500


@pytest.fixture(scope="module")
def link(large: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An increment of the large room, with a new file."""
    data = b"new" * 50_000
    row = msgspec.to_builtins(make_attachment("new.bin", data))
    kinds = {
        **dict.fromkeys(range(1, CHANGED + 1), "changed"),
        **dict.fromkeys(range(EVENTS + 1, EVENTS + ADDED + 1), "added"),
    }
    events = [
        {"change": kind, **make_event(number, content={"body": f"{kind} {number}"})}
        for number, kind in kinds.items()
    ]
    deleted = [make_event_id(CHANGED + number) for number in range(1, DELETED + 1)]
    path = tmp_path_factory.mktemp("links") / "link.zip"
    path.write_bytes(make_increment(large.read_bytes(), events, (row, data), deleted=deleted))
    return path


def count_changed(site: ImportEnvironment) -> int:
    (row,) = site.rows(
        "SELECT count(*) FROM sw_events WHERE CAST(content AS text) LIKE '%changed %'"
    )
    return int(row[0])


def require_all_or_nothing(site: ImportEnvironment) -> bool:
    state = (site.count("events"), count_changed(site), site.count("media"))
    assert state in {(EVENTS, 0, 30), (EVENTS + ADDED - DELETED, CHANGED, 31)}
    return state[0] != EVENTS


@pytest.mark.parametrize("delay", [0.5, 1.0, 1.5, 2.0, 3.0])
def test_fail_killed(site: ImportEnvironment, large: Path, link: Path, delay: float) -> None:
    assert site.run_import(large).code == 0
    with site.start_import(link, "--append") as process:
        time.sleep(delay)
        process.kill()
    site.wait_until_released()
    require_all_or_nothing(site)
    ended = site.run_import(link, "--append")
    assert ended.code == 0, ended.err
    assert require_all_or_nothing(site)
    site.assert_clean()
    assert "was already imported" in site.run_import(link, "--append").out


@pytest.mark.only_on("sqlite")
def test_fail_full_disk(site: ImportEnvironment, large: Path, link: Path) -> None:
    assert site.run_import(large).code == 0
    pages = site.rows("PRAGMA page_count")[0][0] + 50
    limited = f"{site.url}?init_command=PRAGMA journal_mode=WAL; PRAGMA max_page_count={pages}"
    ended = site.run_import(link, "--append", SCAIWAVE_DB_URL=limited)
    assert (ended.code, "[SW_DISK_FULL]" in ended.err) == (1, True), ended.err
    assert not require_all_or_nothing(site)
    assert site.run_import(link, "--append").code == 0
    assert require_all_or_nothing(site)
    site.assert_clean()


def test_fail_no_room_for_media(site: ImportEnvironment, large: Path, link: Path) -> None:
    assert site.run_import(large).code == 0
    ended = site.run_import(link, "--append", largest_file=MIB // 10)
    assert ended.code == 1, ended.out
    assert not require_all_or_nothing(site)
    assert site.run_import(link, "--append").code == 0
    site.assert_clean()
