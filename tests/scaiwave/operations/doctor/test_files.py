from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from scaiwave.config import Configuration, load
from scaiwave.core.draft_journal import announce_drafts
from scaiwave.operations.doctor.files import check_files, fix_files
from scaiwave.operations.doctor.findings import State
from tests.scaiwave.row_factories import NOW

pytestmark = pytest.mark.django_db
DRAFT = ".room.zip.0123456789abcdef.draft"
CLEAN = "Only their owner may read the files with secrets. No leftovers."


@pytest.fixture
def config(home: Path, settings: Settings) -> Configuration:
    settings.HOME = home
    config = load({"SCAIWAVE_HOME": str(home)})
    settings.CONFIG = config
    return config


def messages(config: Configuration) -> list[str]:
    return [finding.message for finding in check_files(config, NOW)]


def test_success_nothing_to_repair(config: Configuration) -> None:
    assert messages(config) == [CLEAN]
    assert list(fix_files(config, NOW)) == []
    assert list(config.home.iterdir()) == []


def test_success_open_files_are_closed(config: Configuration) -> None:
    for name in (".env", "secret-keys.env", "scaikey-registration.json"):
        (config.home / name).write_text("")
        (config.home / name).chmod(0o644)
    config.home.chmod(0o775)
    found = list(check_files(config, NOW))
    assert {finding.state for finding in found} == {State.WARN}
    assert {finding.fix for finding in found} == {"Run `scaiwave doctor --fix`."}
    assert [finding.message for finding in found] == [
        f"Users other than its owner have access to {config.home}/.env.",
        f"Users other than its owner have access to {config.home}/secret-keys.env.",
        f"Users other than its owner have access to {config.home}/scaikey-registration.json.",
        f"Users other than its owner may write to {config.home}.",
    ]
    assert len(list(fix_files(config, NOW))) == 4
    assert messages(config) == [CLEAN]
    assert (config.home / ".env").stat().st_mode & 0o777 == 0o600
    assert config.home.stat().st_mode & 0o777 == 0o755


def test_success_leftovers_are_removed(config: Configuration, tmp_path: Path) -> None:
    bundles = tmp_path / "bundles"
    bundles.mkdir()
    lock = config.home / "locks" / "import-1.lock"
    lock.parent.mkdir()
    lock.touch()
    os.utime(lock, (time.time() - 7200,) * 2)
    (config.home / DRAFT).touch()
    with announce_drafts(config.home, bundles):
        (bundles / DRAFT).touch()
        assert messages(config) == [
            "Killed processes left 2 unfinished files.",
            "Killed processes left 1 lock file.",
        ]
        assert [finding.message for finding in fix_files(config, NOW)] == [
            "Removed 2 unfinished files.",
            "Removed 1 lock file.",
        ]
    assert messages(config) == [CLEAN]
    assert list(bundles.iterdir()) == []
