"""Damaged and hostile backups end with an error that names the fault, and restore nothing.

No SQL of a backup is executed, and nothing of it is restored but rows.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Container
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from federation.keys import ed25519
from tests.scaiwave.operations.backup.conftest import BackupSite
from tests.tools import require_tool

pytestmark = pytest.mark.once
DAMAGED = "SW_BACKUP_DAMAGED"
UNSIGNED = "--accept-unsigned"


def edit(backup: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a manifest, which is no longer signed then."""
    path = backup / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    manifest.pop("signature", None)
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


def refuses(site: BackupSite, backup: Path, *codes: str, named: str = "") -> None:
    for ended in (site.verify(backup, UNSIGNED), site.restore(backup, UNSIGNED)):
        assert "Traceback" not in ended.err
        assert any(f"[{code}]" in ended.err for code in codes), ended.err
        assert named in ended.err
        assert ended.code in {1, 2}
    site.assert_nothing_restored()


def in_database(name: str, value: object) -> Callable[[dict[str, Any]], object]:
    return lambda manifest: manifest["database"].update({name: value})


MANIFESTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "file without a name": lambda each: each["files"].update(
        {"": {"bytes": 1, "sha256": "0"}}
    ),
    "file beside attachments": lambda each: each["files"].update(
        {"attachments/evil/run.sh": {"bytes": 1, "sha256": "0"}}
    ),
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
    "time without a date": lambda each: each.update(created_at="0001-01-01T00:00:00+14:00"),
    "nesting": lambda each: each.update(name=json.loads("[" * 400 + "]" * 400)),
}  # fmt: skip


def test_fail_manifest(site: BackupSite, tmp_path: Path) -> None:
    backup = site.back_up()
    manifest = (backup / "manifest.json").read_bytes()
    for name, change in MANIFESTS.items():
        (backup / "manifest.json").write_bytes(manifest)
        edit(backup, change)
        ended = site.verify(backup, UNSIGNED)
        assert (ended.code, f"[{DAMAGED}]" in ended.err) == (1, True), (name, ended.err)
        assert "Traceback" not in ended.err, name
    refuses(site, backup, DAMAGED)
    (backup / "manifest.json").write_bytes(manifest[:100])
    refuses(site, backup, DAMAGED)
    os.truncate(backup / "manifest.json", 30 * 10**9)
    refuses(site, backup, DAMAGED, named="has more than 536,870,912 bytes.")
    (backup / "manifest.json").unlink()
    (backup / "manifest.json").symlink_to(tmp_path / "manifest")
    (tmp_path / "manifest").write_bytes(manifest)
    refuses(site, backup, "SW_BACKUP_NOT_FOUND")


def assert_left_out(site: BackupSite, backup: Path, media: Path, reason: str, copied: int) -> None:
    """The rest is restored, and the report has the reason."""
    verified = site.verify(backup)
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
    (backup / "manifest.json").unlink()
    os.mkfifo(backup / "manifest.json")
    assert "manifest.json can't be read: it is not a regular file." in site.verify(backup).err


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
        refuses(site, backup, DAMAGED)
    path.write_bytes(b"CREATE TABLE canary (canary text);\n" * 1000)
    list_again(backup, path.name)
    refuses(site, backup, DAMAGED)


def test_fail_migrations_of_another_suite(site: BackupSite) -> None:
    backup = site.back_up()
    edit(backup, in_database("migrations", ["\x1b[31m", "tenants"]))
    ended = site.restore(backup, UNSIGNED)
    assert (ended.code, "[SW_DATABASE_NEWER]" in ended.err) == (2, True), ended.err
    assert "\x1b" not in ended.err


def drop_migrations(database: dict[str, Any], names: Container[str]) -> None:
    database["migrations"] = [name for name in database["migrations"] if name not in names]


def test_fail_last_migrations_are_not_named(site: BackupSite) -> None:
    backup = site.back_up()
    last = {"tenants.0026_messages_erased", "tenants.0027_schema"}
    edit(backup, lambda each: drop_migrations(each["database"], last))
    reason = "No migration that the manifest names makes sw_participants.messages_erased_at."
    refuses(site, backup, DAMAGED, named=reason)


def replace_in_archive(backup: Path, begin: bytes, replacement: bytes) -> None:
    """Overwrite a text of the archive, whose length is written before it."""
    path = backup / "database.dump"
    content = path.read_bytes()
    assert content.count(begin) == 1, begin
    at = content.index(begin)
    path.write_bytes(content[:at] + replacement + content[at + len(replacement) :])
    list_again(backup, path.name)


FOREIGN_POSTGRESQL = """
CREATE TABLE canary (canary text); INSERT INTO canary VALUES ('canary');
CREATE VIEW canary_view AS SELECT * FROM canary;
CREATE TABLE canary_empty (); INSERT INTO canary_empty DEFAULT VALUES;
CREATE SCHEMA canary; CREATE TABLE canary.sw_rooms (id int); INSERT INTO canary.sw_rooms VALUES (1);
ALTER TABLE sw_rooms ADD canary text DEFAULT 'canary';
CREATE FUNCTION canary_trigger() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN DELETE FROM sw_restorations; RETURN NEW; END $$;
CREATE TRIGGER canary AFTER INSERT ON sw_audit_entries
    FOR EACH ROW EXECUTE FUNCTION canary_trigger();
DROP TRIGGER sw_audit_entries_no_update ON sw_audit_entries;
"""
FOREIGN_SQLITE = """
CREATE TABLE canary (canary text); INSERT INTO canary VALUES ('canary');
CREATE VIEW canary_view AS SELECT * FROM canary;
ALTER TABLE sw_rooms ADD canary text DEFAULT 'canary';
CREATE VIRTUAL TABLE canary_words USING fts5(body);
CREATE TRIGGER canary AFTER INSERT ON sw_audit_entries BEGIN DELETE FROM sw_restorations; END;
DROP TRIGGER sw_audit_entries_no_update;
"""
LEFT_OUT = "Warning: Tables and columns that are not of this suite are left out: "


def log_statements(programs: Path, log: Path) -> None:
    """Let the temporary server write every statement to a file."""
    programs.mkdir()
    log.touch(0o666)
    log.chmod(0o666)
    more = f'[ "$1" = start ] && set -- "$@" --options="-c log_statement=all" --log={log}'
    script = f'#!/bin/sh\n{more}\nexec {require_tool("pg_ctl")} "$@"\n'
    (programs / "pg_ctl").write_text(script)
    (programs / "pg_ctl").chmod(0o755)
    open_for_all(programs)


def open_for_all(directory: Path) -> None:
    """The temporary server of root runs as another user."""
    for path in (directory, *directory.parents):
        path.chmod(path.stat().st_mode | 0o011)


@pytest.mark.only_on("postgresql")
def test_success_no_statement_of_an_archive_is_executed(site: BackupSite, tmp_path: Path) -> None:
    """Not one that a table is defined with, nor any object of the database."""
    site.execute(FOREIGN_POSTGRESQL)
    backup = site.back_up()
    live = urlsplit(site.url).path[1:]
    attack = f"COMMIT; DROP DATABASE {live} WITH (FORCE); SELECT 'canary'; --".encode()
    replace_in_archive(backup, b"CREATE TABLE public.sw_rooms (", attack)
    programs, log = tmp_path / "programs", tmp_path / "statements"
    log_statements(programs, log)
    elsewhere = {"PGHOSTADDR": "127.0.0.1", "PGPORT": "1", "PGSERVICE": "live"}
    path = f"{programs}:{os.environ['PATH']}"
    temporary = Path(tempfile.mkdtemp())
    temporary.chmod(0o1777)  # The server runs as another user than root.
    elsewhere["TMPDIR"] = str(temporary)
    verified = site.run("verify-backup", str(backup), UNSIGNED, PATH=path, **elsewhere)
    assert (verified.code, LEFT_OUT in verified.err) == (0, True), verified.err
    assert 'COPY "sw_rooms"' in log.read_text()
    assert "canary" not in log.read_text()
    temporary.rmdir()  # It is empty.

    target = urlsplit(site.empty).path[1:]
    site.execute(f"ALTER DATABASE {target} SET log_statement = 'all'")
    server_log = Path(parse_qs(urlsplit(site.url).query)["host"][0], "postgres.log")
    before = server_log.stat().st_size
    restored = site.restore(backup, UNSIGNED)
    assert (restored.code, LEFT_OUT in restored.err) == (0, True), restored.err
    statements = server_log.read_bytes()[before:]
    assert b'COPY "sw_rooms"' in statements
    assert b"canary" not in statements
    assert site.rows("SELECT count(*) FROM sw_rooms") == site.restored.rows(
        "SELECT count(*) FROM sw_rooms"
    )
    query = "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    assert site.restored.rows(query) == [
        (f"sw_audit_entries_no_{act}",) for act in ("delete", "truncate", "update")
    ]
    assert site.restored.rows("SELECT count(*) FROM sw_restorations") == [(1,)]


@pytest.mark.only_on("postgresql")
def test_fail_statement_of_the_data(site: BackupSite, tmp_path: Path) -> None:
    """pg_restore writes it before the rows."""
    backup = site.back_up()
    content = (backup / "database.dump").read_bytes()
    made = tmp_path / "made"
    attacks = {
        f"TO PROGRAM 'touch {made}'; --".encode(): "has a table whose name can't be read",
        b"(id, name) FROM stdin; SELECT 1; --": "lacks the column",
        b'(id, "x); DROP TABLE sw_rooms; --", ': "lacks the column",
    }
    for attack, message in attacks.items():
        (backup / "database.dump").write_bytes(content)
        begin = b"COPY public.sw_rooms "
        replace_in_archive(backup, begin + b"(", begin + attack)
        refuses(site, backup, DAMAGED, named=message)
    assert not made.exists()


def get_triggers(path: Path) -> set[str]:
    with closing(sqlite3.connect(path)) as database:
        query = "SELECT name FROM sqlite_master WHERE type IN ('trigger', 'view')"
        return {name for (name,) in database.execute(query)}


@pytest.mark.only_on("sqlite")
def test_success_only_rows_of_a_file_are_used(site: BackupSite) -> None:
    """A foreign trigger would delete the mark that the server waits for its activation."""
    backup = site.back_up()
    with closing(sqlite3.connect(backup / "database.sqlite3")) as database:
        database.executescript(FOREIGN_SQLITE)
    list_again(backup, "database.sqlite3")
    verified, restored = site.verify(backup, UNSIGNED), site.restore(backup, UNSIGNED)
    for ended in (verified, restored):
        assert (ended.code, LEFT_OUT in ended.err) == (0, True), ended.err
    live = Path(site.url.removeprefix("sqlite:///"))
    assert get_triggers(Path(site.empty.removeprefix("sqlite:///"))) == get_triggers(live)
    assert site.restored.rows("SELECT count(*) FROM sw_restorations") == [(1,)]


SQLITE_ATTACKS = {
    "lacks the column: 'name'": 'ALTER TABLE sw_rooms RENAME COLUMN name TO "x"") FROM y; --"',
    "lacks the column: 'value'": "ALTER TABLE sw_counters DROP COLUMN value; "
    "ALTER TABLE sw_counters ADD COLUMN value GENERATED ALWAYS AS (upper(name))",
    "string or blob too big": "INSERT INTO sw_counters (id, name, labels, value) "
    "VALUES ('1', zeroblob(70000000), '{}', 1)",
    "SQLite can't read": "PRAGMA writable_schema = ON; UPDATE sqlite_master SET rootpage = 0, "
    "sql = 'CREATE VIEW sw_counters AS SELECT id, name, labels, value FROM sw_rooms' "
    "WHERE name = 'sw_counters'",
    "don't fit their tables": "PRAGMA foreign_keys = OFF; UPDATE sw_rooms SET workspace_id = id",
}  # fmt: skip


@pytest.mark.only_on("sqlite")
def test_fail_other_tables(site: BackupSite) -> None:
    backup = site.back_up()
    content = (backup / "database.sqlite3").read_bytes()
    for message, script in SQLITE_ATTACKS.items():
        (backup / "database.sqlite3").write_bytes(content)
        with closing(sqlite3.connect(backup / "database.sqlite3")) as database:
            database.executescript(script)
        list_again(backup, "database.sqlite3")
        refuses(site, backup, DAMAGED, named=message)


def sign(backup: Path, key: Ed25519PrivateKey, **fields: str) -> None:
    """Sign a manifest as its server does."""
    path = backup / "manifest.json"
    public = key.public_key().public_bytes_raw()
    manifest = json.loads(path.read_text())
    manifest["public_key"] = ed25519.format_public_key(public)
    manifest |= {"key_id": ed25519.compute_thumbprint(public), **fields}
    del manifest["signature"]
    signature = base64.b64encode(key.sign(rfc8785.dumps(manifest))).decode()
    path.write_text(json.dumps({**manifest, "signature": signature}))


@pytest.mark.only_on("sqlite")
def test_fail_signature(site: BackupSite, tmp_path: Path) -> None:
    """The key of someone else never vouches, whatever the backup says of it."""
    backup = site.back_up()
    path = backup / "manifest.json"
    text, own = path.read_text(), json.loads(path.read_text())["key_id"]
    stranger = Ed25519PrivateKey.generate()
    other = ed25519.compute_thumbprint(stranger.public_key().public_bytes_raw())
    untrusted, noted = "[SW_BACKUP_UNTRUSTED]", f"--fingerprint={own}"

    def refuse(message: str, *words: str, **changes: str) -> None:
        for ended in (site.verify(backup, *words, **changes), site.restore(backup, *words)):
            assert (ended.code, message in ended.err) == (1, True), (message, ended.err)

    path.write_text(text.replace('"has_secrets": true', '"has_secrets": false'))
    refuse(f"manifest.json was changed after it was signed with the key {own}. [{DAMAGED}]")
    sign(backup, stranger)
    refuse(f"is signed with the key '{other}', which is not known here. {untrusted}", UNSIGNED)
    refuse(f"is not signed with the key '{own}' of --fingerprint. {untrusted}", noted)
    refuse(f"is not signed with the key '' of --fingerprint. {untrusted}", "--fingerprint=")
    sign(backup, stranger, key_id=own)
    refuse(f"manifest.json was changed after it was signed with the key {own}. [{DAMAGED}]")
    sign(backup, stranger, format="scaiwave-tenant-export")
    refuse("Invalid enum value 'scaiwave-tenant-export'", f"--fingerprint={other}")
    path.write_text(text)
    edit(backup, lambda manifest: manifest)
    refuse(f"is not signed, so anyone who could write there may have changed it. {untrusted}")
    refuse(untrusted, noted)
    shutil.rmtree(backup / "secrets")
    (backup / "more").touch()
    ended = site.verify(backup, UNSIGNED, "--json")
    facts = json.loads(ended.out)["backup"]
    assert (facts["fingerprint"], facts["secrets_included"]) == (None, False)
    ended = site.verify(backup, UNSIGNED)
    assert "The backup is not signed, so nothing proves that no one has changed it." in ended.err
    assert "Files that manifest.json does not list are not used: more." in ended.err
    path.write_text(text)
    home = tmp_path / "other"
    shutil.copytree(site.home, home, ignore=shutil.ignore_patterns("*.sqlite3*", "media"))
    elsewhere = {"SCAIWAVE_HOME": str(home), "SCAIWAVE_DB_URL": site.empty}
    ended = site.restore(backup, **elsewhere)
    unknown = (
        "known here. The database of this server can't be read, or has no key that it can use. "
        f"{untrusted}"
    )
    assert (ended.code, unknown in ended.err) == (1, True), ended.err
    (tmp_path / "keyless").mkdir(mode=0o700)
    keyless = {"SCAIWAVE_HOME": str(tmp_path / "keyless"), "SCAIWAVE_ENCRYPTION_KEYS": ""}
    ended = site.verify(backup, **keyless)
    assert (ended.code, unknown in ended.err) == (1, True), ended.err
    ended = site.restore(backup, noted, **elsewhere)
    assert ended.code == 0, ended.out + ended.err
    revoked = site.run("federation", "key", "revoke", "--yes", "--", own)
    assert revoked.code == 0, revoked.err
    ended = site.verify(backup)
    assert (ended.code, untrusted in ended.err) == (1, True), ended.err
