"""The command as it is typed."""

from __future__ import annotations

import json
import os
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from scaiwave.core.errors import UsageError
from scaiwave.core.times import TIME_FORMATS
from tests.rooms.exports.processes import EVENTS, EXPORT, NOW, ROOM, TENANT, Server, start_export
from tests.scaiwave.cli_helpers import SUITE, run_at_terminal, run_scaiwave
from tests.tenants.factories import run_command


@pytest.mark.usefixtures("server")
def test_success_to_stdout() -> None:
    with start_export() as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    with zipfile.ZipFile(BytesIO(out)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["manifest.json", "signature.json"]
    first, second = err.decode().splitlines()
    assert first.startswith(
        f"Exported room 'Lobby': {EVENTS:,} events from 1 sender, 0 attachments, "
    )
    assert second == "Not signed: this server has no signing key."


@pytest.mark.usefixtures("server")
def test_success_quiet_prints_nothing() -> None:
    with start_export(*EXPORT, "--quiet") as process:
        out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"PK")


@pytest.mark.usefixtures("server")
def test_success_to_a_file(tmp_path: Path) -> None:
    target = tmp_path / "room.zip"
    ended = run_scaiwave(*EXPORT, "--output", str(target), "--json")
    assert (ended.code, ended.err) == (0, "")
    document = json.loads(ended.out)
    assert document.pop("manifest_sha256")
    assert document == {
        "room": {"id": str(ROOM), "name": "Lobby"},
        "window": None,
        "events": EVENTS,
        "senders": 1,
        "media": 0,
        "missing_media": {"infected": 0, "lost": 0, "left_out": 0},
        "size_bytes": target.stat().st_size,
        "key_id": None,
        "file": str(target),
    }
    refused = run_scaiwave(*EXPORT, "--output", str(target))
    assert (refused.code, "[SW_FILE_EXISTS]" in refused.err) == (1, True)
    exported = run_scaiwave(*EXPORT, "--output", str(target), "--force")
    assert exported.out.startswith("Exported room 'Lobby': ")
    assert (exported.code, exported.err) == (0, "")


@pytest.mark.usefixtures("server")
def test_success_all(tmp_path: Path) -> None:
    words = ("room", "export", "--all", "--tenant", "acme", "--output-dir", str(tmp_path))
    ended = run_scaiwave(*words)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.splitlines()[-1] == "1 room: 1 exported."
    document = json.loads(run_scaiwave(*words, "--json").out)
    assert [row["outcome"] for row in document["rooms"]] == ["kept"]
    assert (document["kept"], document["exported"], document["failed"]) == (1, 0, 0)


def test_fail_all_if_one_room_failed(server: Server, tmp_path: Path) -> None:
    """An attachment has other bytes than it should, or can't be read."""
    tenant, room, now = server.key(TENANT), server.key(ROOM), f"'{NOW}'"
    media, digest = room, "0" * 64
    server.execute(
        "INSERT INTO sw_media (id, tenant_id, sha256, size, mime_type, scan_status, created_at) "
        f"VALUES ({media}, {tenant}, '{digest}', 5, 'a/b', 'clean', {now})"
    )
    server.execute(
        "INSERT INTO sw_room_media (id, tenant_id, room_id, media_id, name, created_at) "
        f"VALUES ({media}, {tenant}, {room}, {media}, 'a', {now})"
    )
    file = Path(os.environ["SCAIWAVE_HOME"], "media", "tenant", str(TENANT), digest)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"other")
    words = ("room", "export", "--all", "--tenant", "acme", "--output-dir", str(tmp_path), "--json")
    one = ("room", "export", str(ROOM), "--tenant", "acme", "--output", str(tmp_path / "one"))
    for ended in (run_scaiwave(*words), run_scaiwave(*one, "--json")):
        assert ended.code == 1
        error = json.loads(ended.err)["error"]
        assert (error["code"], error["message"]) == (
            "SW_MEDIA_FILES_MISSING",
            "1 file is damaged in the media store, and listed as lost: a.",
        )
    (bundle,) = tmp_path.glob("*.zip*")
    assert run_scaiwave("room", "verify", str(bundle)).code == 0
    bundle.unlink()
    file.unlink()
    file.mkdir()
    server.execute(f"UPDATE sw_media SET size = {file.stat().st_size}")
    ended = run_scaiwave(*words)
    assert ended.code == 1
    assert json.loads(ended.out)["failed"] == 1
    assert json.loads(ended.err)["error"]["code"] == "SW_ROOM_EXPORT_INCOMPLETE"
    assert json.loads(ended.err)["error"]["message"] == "Export failed for 1 of 1 room."
    assert list(tmp_path.glob("*.zip*")) == []


@pytest.mark.usefixtures("server")
def test_fail_terminal() -> None:
    ended = run_at_terminal(*EXPORT, **SUITE)
    assert ended.code == 2
    assert ended.out == (
        "Error: Can't write a ZIP file to a terminal. [SW_USAGE]\n"
        "  Fix: Append `> room.zip` to the command, or pass --output room.zip.\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("lobby", "--json"), "Can't write both the bundle and JSON to stdout."),
        (
            ("lobby", "--since", "tomorrow", "--output", "f"),
            f"Invalid --since: 'tomorrow' is not {TIME_FORMATS}.",
        ),
    ],
)
def test_fail_usage(words: tuple[str, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        run_command("export_room", *words, "--tenant", "acme")
    assert caught.value.message == message


@pytest.mark.usefixtures("server")
def test_fail_no_such_room() -> None:
    ended = run_scaiwave("room", "export", "attic", "--tenant", "acme")
    assert (ended.code, ended.out) == (1, "")
    assert ended.err.startswith(
        "Error: Room not found in tenant acme: attic. [SW_ROOM_NOT_FOUND]\n"
    )
