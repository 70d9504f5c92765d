from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.databases import RawDatabase, copy_database, environment, prepared
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, ProcessResult, run_scaiwave
from tests.services.postgres import create_database

CREATE = (
    "Create the role with `createuser`, and the database with `createdb --owner --encoding=UTF8 "
    "--template=template0`."
)


@dataclass(frozen=True)
class BackupSite(RawDatabase):
    """A server with a room, in processes. `parent` is the directory of its backups, and `empty` the
    URL of an empty database."""

    home: Path
    parent: Path
    empty: str

    def run(self, *words: str, **changes: str) -> ProcessResult:
        return run_scaiwave("admin", *words, **changes)

    def back_up(self, *words: str) -> Path:
        """Create a backup, and return its directory."""
        ended = self.run("backup", "--output", str(self.parent), "--json", *words)
        assert ended.code == 0, ended.err
        return Path(json.loads(ended.out)["backup"]["directory"])

    def verify(self, backup: Path, *words: str, **changes: str) -> ProcessResult:
        """Verify in an empty database: it takes seconds to make a server."""
        server = ("--server", self.empty) if self.is_postgres else ()
        return self.run("verify-backup", str(backup), *server, *words, **changes)

    def restore(self, backup: Path, *words: str, **changes: str) -> ProcessResult:
        return self.run("restore", str(backup), "--into", self.empty, *words, **changes)

    @staticmethod
    def name_signer(backup: Path) -> str:
        """Return the option with the fingerprint that the operator of another host has noted."""
        return f"--fingerprint={json.loads((backup / 'manifest.json').read_text())['key_id']}"

    @property
    def restored(self) -> RawDatabase:
        return RawDatabase(self.empty)

    def assert_nothing_restored(self) -> None:
        if self.is_postgres:
            tables = "SELECT 1 FROM pg_tables WHERE schemaname = 'public'"
            functions = "SELECT 1 FROM pg_proc WHERE proname LIKE 'sw_%'"
            assert self.restored.rows(f"{tables} UNION ALL {functions}") == []
        else:
            assert not Path(self.empty.removeprefix("sqlite:///")).exists()


@pytest.fixture(scope="session")
def prepared_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """The home directory and the database of a server with a room, to copy."""
    home = tmp_path_factory.mktemp("backed-up")

    def fill(url: str) -> None:
        for command in (
            ("manage", "seed_rooms", "--tenant=acme", "--events=50", "--media=2"),
            ("admin", "federation", "key", "generate"),
        ):
            subprocess.run(
                [*SCRIPT, *command], env=environment(home, url), cwd=CHECKOUT, check=True
            )

    with prepared(request, home, fill=fill) as url:
        yield home, url


@pytest.fixture
def site(
    request: pytest.FixtureRequest,
    database_url: str,
    prepared_server: tuple[Path, str],
    home: Path,
    tmp_path: Path,
) -> Iterator[BackupSite]:
    source, url = prepared_server
    copy_database(url, database_url)
    shutil.copytree(source / "media", home / "media")
    (home / ".env").write_text("SCAIWAVE_LOG_LEVEL=WARNING\n")
    parent = tmp_path / "backups"
    parent.mkdir()
    with ExitStack() as stack:
        empty = f"sqlite:///{tmp_path / 'copy.sqlite3'}"
        if database_url.startswith("postgres"):
            postgres = request.getfixturevalue("postgres_url")
            empty = stack.enter_context(create_database(postgres))
        yield BackupSite(database_url, home, parent, empty)
