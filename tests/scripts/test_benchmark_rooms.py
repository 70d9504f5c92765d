"""`scripts/bench rooms`, on rooms so small that only its workings are tested."""

from __future__ import annotations

import gzip
import json
import os
import sqlite3
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from rooms.seeding.events import COLUMNS
from scripts.benchmarks.processes import BenchmarkError, build_call, call, time_pipeline
from scripts.benchmarks.rooms_baseline import SQLite, zip_files
from tests.scripts.benchmarks import run_benchmark, run_successfully
from tests.tools import require_tool

pytestmark = [pytest.mark.ci, pytest.mark.once, pytest.mark.usefixtures("migrated_file")]

EXPORT, IMPORT = "scaiwave room export", "scaiwave room import"


def test_success_tables_and_single_runs(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "runs.json"
    sizes = ("--events", "200", "--media-gb", "0.02", "--rooms", "2", "--attachments", "3")
    words = ("--database", "sqlite", "--repeat", "1", *sizes)
    lines = run_successfully("rooms", *words, "--json", str(file), capfd=capfd)
    [report] = json.loads(file.read_text())
    blocks = report["blocks"]
    acts = [(block["act"], block["items"], block["unit"]) for block in blocks]
    assert acts == [
        (EXPORT, 200, "events"),
        (IMPORT, 200, "events"),
        (f"{EXPORT} --all", 2, "rooms of 200 events"),
        (EXPORT, 3, "attachments of 1,000 bytes"),
        (EXPORT, 24, "MB in files of 8 MB"),
        (IMPORT, 24, "MB in files of 8 MB"),
    ]
    for block in blocks:
        [own_run] = block["runs"].pop(block["act"])
        assert own_run["peak_memory"] > 0
        assert all(run["seconds"] > 0 for [run] in block["runs"].values())
    assert set(blocks[1]["runs"]) == {"bare executemany"}
    assert {"scaiwave admin list-tenants", "json_object | igzip -1"} < set(blocks[0]["runs"])
    assert set(blocks[2]["runs"]) == {"write and sync each file"}
    assert set(blocks[3]["runs"]) == {"zip -0"}
    assert set(blocks[4]["runs"]) == {"cat"}
    assert set(blocks[5]["runs"]) == {"cp, and sync of each file"}
    assert sum(line.startswith(f"{EXPORT}  ") for line in lines) == 3
    assert sum(line.startswith(f"{IMPORT}  ") for line in lines) == 2


def test_success_slow_disk(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    require_tool("strace")
    file = tmp_path / "runs.json"
    words = ("--events", "", "--rooms", "2", "--sync-ms", "150")
    options = (*words, "--database", "sqlite", "--repeat", "1", "--json", str(file))
    run_successfully("rooms", *options, capfd=capfd)
    [report] = json.loads(file.read_text())
    plain, slow = report["blocks"]
    assert plain["unit"] == "rooms of 200 events"
    assert slow["unit"] == "rooms of 200 events, each sync 150 ms longer"
    # The loop syncs two files, one after the other.
    assert slow["runs"]["write and sync each file"][0]["seconds"] > 0.3
    assert slow["runs"][f"{EXPORT} --all"][0]["peak_memory"] > 0


def test_fail_slow_disk_without_strace(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")
    exit_code, _, errors = run_benchmark("rooms", "--rooms", "2", "--sync-ms", "20", capfd=capfd)
    assert (exit_code, errors) == (
        1,
        "strace is not installed, which makes syncs slower.\n"
        "Install it, on Debian with `apt install strace`, or leave out --sync-ms.\n",
    )


def test_fail_slow_disk_without_rooms(capfd: pytest.CaptureFixture[str]) -> None:
    exit_code, output, errors = run_benchmark("rooms", "--sync-ms", "20", capfd=capfd)
    assert (exit_code, output, errors) == (1, "", "--sync-ms needs --rooms.\n")


def test_success_without_other_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python does what sqlite3, igzip and zip do."""
    environment = {**os.environ, "SCAIWAVE_HOME": str(tmp_path)}
    with closing(sqlite3.connect(tmp_path / "scaiwave.sqlite3")) as connection:
        connection.execute(f"CREATE TABLE sw_events ({', '.join(COLUMNS)})")
        connection.execute("INSERT INTO sw_events (id, room_id) VALUES ('event', '0')")
        connection.commit()
    monkeypatch.setattr("shutil.which", lambda name: None)
    baseline = SQLite(environment, tmp_path / "rows")
    output = tmp_path / "output"
    time_pipeline(
        *baseline.export_pipelines("0")["json_object | igzip -1"],
        environment=environment,
        target=output,
    )
    assert json.loads(gzip.decompress(output.read_bytes()))["id"] == "event"
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("content")
    command = build_call(zip_files, str(tmp_path / "files"))
    time_pipeline(command, environment=environment, target=output)
    with zipfile.ZipFile(output) as archive:
        [name] = archive.namelist()
        assert archive.read(name) == b"content"


def test_fail_a_command_of_a_pipeline() -> None:
    false, cat = [sys.executable, "-c", "raise SystemExit(3)"], ["cat"]
    for pipeline in ([false], [false, cat], [cat, false]):
        with pytest.raises(BenchmarkError) as error:
            time_pipeline(*pipeline, environment=dict(os.environ))
        assert str(error.value) == f"`{sys.executable}` failed; see above."


def test_fail_a_function_in_a_process_of_its_own() -> None:
    with pytest.raises(BenchmarkError, match=r"^`loads` failed; see above\.$"):
        call(json.loads, "{", environment=dict(os.environ))
