"""Damaged and hostile backups end with an error that names the fault, and restore nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from tests.scaiwave.operations.backup.conftest import BackupSite

pytestmark = pytest.mark.once
DAMAGED = "SW_BACKUP_DAMAGED"


def edit(backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def list_again(backup: Path, name: str) -> None:
    """Let the manifest say that a file is as it is now."""
    content = (backup / name).read_bytes()
    digest = sha256(content).hexdigest()
    edit(
        backup, lambda each: each["files"].update({name: {"bytes": len(content), "sha256": digest}})
    )


def find_attachment(backup: Path) -> Path:
    return next(path for path in sorted(backup.glob("attachments/tenant/*/*")))


def assert_refused(site: BackupSite, backup: Path, *codes: str, named: str = "") -> None:
    for ended in (site.run("verify-backup", str(backup)), site.restore(backup)):
        assert "Traceback" not in ended.err
        assert any(f"[{code}]" in ended.err for code in codes), ended.err
        assert named in ended.err
        assert ended.code in {1, 2}
    if site.is_postgres:
        assert site.restored.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    else:
        assert not Path(site.empty.removeprefix("sqlite:///")).exists()


def in_database(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["database"].update({name: value})


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "file above": lambda each: each["files"].update({"a/../../x": {"bytes": 1, "sha256": "0"}}),
    "absolute file": lambda each: each["files"].update({"/etc/x": {"bytes": 1, "sha256": "0"}}),
    "NUL in a name": lambda each: each["files"].update({"a\0": {"bytes": 1, "sha256": "0"}}),
    "long name": lambda each: each["files"].update({"a" * 300: {"bytes": 1, "sha256": "0"}}),
    "directory": lambda each: each["files"].update({"secrets": {"bytes": 1, "sha256": "0"}}),
    "database is not listed": lambda each: each["files"].pop(each["database"]["file"]),
    "negative size": lambda each: each["files"].update({"a": {"bytes": -1, "sha256": "0"}}),
    "negative rows": lambda each: each["database"]["tables"]["sw_rooms"].update(rows=-1),
    "absurd rows": lambda each: each["database"]["tables"]["sw_rooms"].update(rows=10**30),
    "absurd attachments": lambda each: each["attachments"].update(count=-5),
    "version of the server": in_database("server_version", "new"),
    "version of the tool": in_database("tool_version", "new"),
    "name": lambda each: each.update(name="x" * 1000),
    "name of an escape sequence": lambda each: each.update(name="\x1b[31m"),
    "time without a zone": lambda each: each.update(created_at="2026-11-29T00:00:00"),
    "nesting": lambda each: each.update(name=json.loads("[" * 400 + "]" * 400)),
}  # fmt: skip


def test_fail_manifest(site: BackupSite) -> None:
    backup = site.back_up()
    manifest = (backup / "manifest.json").read_bytes()
    for name, change in MANIFESTS.items():
        (backup / "manifest.json").write_bytes(manifest)
        edit(backup, change)
        ended = site.run("verify-backup", str(backup))
        assert (ended.code, f"[{DAMAGED}]" in ended.err) == (1, True), (name, ended.err)
        assert "Traceback" not in ended.err, name
    assert_refused(site, backup, DAMAGED)
    (backup / "manifest.json").write_bytes(manifest[:100])
    assert_refused(site, backup, DAMAGED)


def assert_left_out(site: BackupSite, backup: Path, media: Path, reason: str, copied: int) -> None:
    """The rest is restored, and the report has the reason."""
    verified = site.run("verify-backup", str(backup))
    assert (verified.code, f"[{DAMAGED}]" in verified.err) == (1, True), verified.err
    assert reason in verified.err
    restored = site.restore(backup, "--attachments", str(media), "--json")
    assert restored.code == 1, restored.err
    document = json.loads(restored.out)
    (failed,) = [check for check in document["checks"] if check["state"] == "fail"]
    assert (failed["check"], failed["code"]) == ("attachments", DAMAGED)
    assert reason in failed["message"]
    assert document["attachments_copied"] == copied == len(list(media.glob("tenant/*/*")))
    assert site.restored.rows("SELECT 1 FROM sw_rooms")


@pytest.mark.parametrize(("place", "copied"), [("file", 1), ("directory", 0)])
def test_fail_symbolic_link(place: str, copied: int, site: BackupSite, tmp_path: Path) -> None:
    """Otherwise it brings files of the host into the restored server."""
    backup = site.back_up()
    path = find_attachment(backup) if place == "file" else backup / "attachments"
    path.symlink_to(path.rename(tmp_path / "elsewhere"))
    assert_left_out(site, backup, tmp_path / "media", "is reached by a symbolic link", copied)


def test_fail_pipe(site: BackupSite, tmp_path: Path) -> None:
    """Reading it would wait without end."""
    backup = site.back_up()
    path = find_attachment(backup)
    path.unlink()
    os.mkfifo(path)
    assert_left_out(site, backup, tmp_path / "media", "is not a regular file", 1)


def test_fail_swapped_files(site: BackupSite, tmp_path: Path) -> None:
    backup = site.back_up()
    one, two = sorted(backup.glob("attachments/tenant/*/*"))[:2]
    spare = one.rename(backup / "spare")
    two.rename(one)
    spare.rename(two)
    assert_left_out(site, backup, tmp_path / "media", "was changed", 0)


@pytest.mark.parametrize("damage", ["removed", "changed"])
def test_fail_damaged_attachment(damage: str, site: BackupSite, tmp_path: Path) -> None:
    """On the worst day, a server without one file is better than none."""
    backup = site.back_up()
    path = find_attachment(backup)
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(b"")
    reason = "No such file" if damage == "removed" else "was changed"
    assert_left_out(site, backup, tmp_path / "media", reason, 1)


def test_fail_truncated_database_of_the_listed_size(site: BackupSite) -> None:
    backup = site.back_up()
    path = next(backup.glob("database.*"))
    for kept in (5000, 20, 0):
        os.truncate(path, kept)
        list_again(backup, path.name)
        assert_refused(site, backup, DAMAGED, "SW_DATABASE_TOOL_FAILED")


def test_fail_migrations_of_another_suite(site: BackupSite) -> None:
    backup = site.back_up()
    edit(backup, in_database("migrations", ["\x1b[31m", "tenants"]))
    ended = site.restore(backup)
    assert (ended.code, "[SW_DATABASE_NEWER]" in ended.err) == (2, True), ended.err
    assert "\x1b" not in ended.err
