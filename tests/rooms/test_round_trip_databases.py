"""A sample room from SQLite to PostgreSQL and back, each with its own home directory."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.databases import copy_database
from tests.rooms.round_trip import ReadBundle, Target, find_differences, read_bundle
from tests.scaiwave import cli_helpers
from tests.settings_env import own_settings

pytestmark = pytest.mark.only_on("postgresql")


@dataclass(frozen=True)
class Server:
    """A server whose commands run with these settings."""

    environment: dict[str, str]

    def run(self, *words: str) -> Any:
        ended = cli_helpers.run_scaiwave(*words, "--json", **self.environment)
        assert ended.code == 0, ended.err
        return json.loads(ended.out) if ended.out else None

    def seed(self, tenant: str, *words: str) -> dict[str, Any]:
        made: dict[str, Any] = self.run("manage", "seed_rooms", "--tenant", tenant, *words)
        return made

    def export(self, tenant: str, room: str, file: Path) -> ReadBundle:
        self.run("room", "export", room, "--tenant", tenant, "--output", str(file))
        return read_bundle(file.read_bytes())

    def save_descriptor(self, path: Path) -> Path:
        path.write_text(json.dumps(self.run("admin", "federation", "descriptor")))
        return path

    def import_room(self, tenant: str, owner: str, file: Path, descriptor: Path) -> str:
        words = ("--tenant", tenant, "--as", owner, "--input", str(file))
        signer = ("--descriptor", str(descriptor))
        return str(self.run("room", "import", "seeded", *words, *signer)["room"]["id"])


def make_server(home: Path, url: str) -> Server:
    home.mkdir(mode=0o700)
    name = f"{home.name}.example"
    environment = {
        **own_settings(home),
        "SCAIWAVE_DB_URL": url,
        "SCAIWAVE_SERVER_NAME": name,
    }
    ended = cli_helpers.run_scaiwave("manage", "migrate", "-v", "0", "--skip-checks", **environment)
    assert ended.code == 0, ended.err
    made = Server(environment)
    made.run("admin", "federation", "key", "generate")
    return made


@pytest.fixture
def on_sqlite(tmp_path: Path) -> Server:
    return make_server(tmp_path / "sqlite", "")


@pytest.fixture
def on_postgresql(tmp_path: Path, database_url: str, migrated: str) -> Server:
    copy_database(migrated, database_url)
    return make_server(tmp_path / "postgresql", database_url)


def test_success_from_sqlite_to_postgresql_and_back(
    on_sqlite: Server, on_postgresql: Server, tmp_path: Path
) -> None:
    sizes = ("--events", "600", "--media", "30", "--media-bytes", "100")
    room = on_sqlite.seed("acme", *sizes)["rooms"][0]["id"]
    file = tmp_path / "first.zip"
    before = on_sqlite.export("acme", room, file)
    assert len(before.events) == 600
    descriptor = on_sqlite.save_descriptor(tmp_path / "first.json")
    # Under another name: senders who claim to be of the importing server would be marked.
    renamed = Server({**on_sqlite.environment, "SCAIWAVE_SERVER_NAME": "renamed.example"})
    for number, there in enumerate((on_postgresql, renamed)):
        owner = there.seed("beta", "--rooms", "0")["owner_id"]
        room = there.import_room("beta", owner, file, descriptor)
        descriptor = there.save_descriptor(tmp_path / f"{number}.json")
        file = tmp_path / f"{number}.zip"
        after = there.export("beta", room, file)
        target = Target({"slug": "seeded", "name": "seeded"}, owner)
        assert list(find_differences(before, after, target)) == []
        before = after
