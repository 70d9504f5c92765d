from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from scaiwave.config import Configuration, load
from scaiwave.config.encryption import load_fernets
from scaiwave.config.secret_keys import (
    find_encryption_keys,
    find_secret_key,
    get_encryption_keys,
    get_secret_key,
    require_own_files,
)
from scaiwave.core.errors import SettingInvalid, SettingMissing
from tests.scaiwave.cli_helpers import run_scaiwave

POSTGRES = "postgres://user:password@host/name"


def configured(home: Path, **environment: str) -> Configuration:
    return load({"SCAIWAVE_HOME": str(home), **environment})


def test_success_created_once(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    first = get_secret_key(configured(home)), get_encryption_keys(configured(home))
    assert (get_secret_key(configured(home)), get_encryption_keys(configured(home))) == first
    assert Fernet(first[1][0]).decrypt(Fernet(first[1][0]).encrypt(b"text")) == b"text"
    assert len(first[0]) >= 50  # required by Django's deployment check
    path = home / "secret-keys.env"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert list(home.iterdir()) == [path]


def test_success_created_once_by_concurrent_processes(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = set(pool.map(lambda _: get_secret_key(configured(tmp_path)), range(32)))
    assert len(made) == 1


def test_success_looking_for_secrets_creates_none(tmp_path: Path) -> None:
    home = tmp_path / "new"
    assert find_secret_key(configured(home)) == ""
    assert find_encryption_keys(configured(home)) == []
    assert not home.exists()
    created = get_secret_key(configured(home)), get_encryption_keys(configured(home))
    assert (find_secret_key(configured(home)), find_encryption_keys(configured(home))) == created


def test_success_configured(tmp_path: Path) -> None:
    config = configured(
        tmp_path,
        SCAIWAVE_DB_URL=POSTGRES,
        SCAIWAVE_SECRET_KEY="secret",
        SCAIWAVE_ENCRYPTION_KEYS="new, old",
    )
    assert get_secret_key(config) == "secret"
    assert get_encryption_keys(config) == ["new", "old"]
    assert not (tmp_path / "secret-keys.env").exists()


def test_fail_missing_if_hosts_share_a_database(tmp_path: Path) -> None:
    with pytest.raises(SettingMissing) as caught:
        get_secret_key(configured(tmp_path, SCAIWAVE_DB_URL=POSTGRES))
    assert caught.value.message == (
        "SCAIWAVE_SECRET_KEY is not set, which PostgreSQL installations need."
    )
    assert caught.value.fix == (
        "Create a key with `openssl rand -base64 32 | tr '+/' '-_'` and set SCAIWAVE_SECRET_KEY "
        "to it, the same on each host."
    )


def test_fail_file_lacks_a_name(tmp_path: Path) -> None:
    path = tmp_path / "secret-keys.env"
    path.write_text("SCAIWAVE_SECRET_KEY=x\n")
    with pytest.raises(SettingInvalid) as caught:
        get_encryption_keys(configured(tmp_path))
    assert caught.value.message == f"{path} has no SCAIWAVE_ENCRYPTION_KEYS."
    assert caught.value.fix == "Restore the file from a backup, or set SCAIWAVE_ENCRYPTION_KEYS."


@pytest.mark.parametrize("name", [".env", "secret-keys.env"])
def test_fail_others_may_change_a_file_of_secrets(name: str, home: Path) -> None:
    path = home / name
    path.write_text("")
    path.chmod(0o620)
    ended = run_scaiwave("sync", "show-config")
    assert (ended.code, ended.err) == (
        2,
        f"Error: {path} contains secrets, and other users may change it. [SW_CONFIG_INVALID]\n"
        f"  Fix: Check its content, then run `chmod 600 {path}`.\n",
    )
    assert run_scaiwave("sync", "--help").code == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="changing owners needs root")
def test_fail_a_file_of_secrets_belongs_to_another_user(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("")
    path.chmod(0o600)
    os.chown(path, 65534, -1)
    with pytest.raises(SettingInvalid) as caught:
        require_own_files(configured(tmp_path))
    assert "belongs to another user" in caught.value.message
    os.chown(tmp_path, 65534, -1)  # Root acts for the owner of the home directory.
    require_own_files(configured(tmp_path))


def test_fail_home_is_a_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCAIWAVE_SECRET_KEY")
    (home / "file").write_text("")
    ended = run_scaiwave("sync", "show-config", SCAIWAVE_HOME=str(home / "file" / "home"))
    assert ended.code == 2
    assert ended.err.startswith("Error: The ")
    assert ended.err.endswith(".\n")
    assert "Not a directory. [SW_CONFIG_INVALID]\n" in ended.err


def test_success_each_purpose_has_keys_of_its_own(tmp_path: Path) -> None:
    old, new = (Fernet.generate_key().decode() for _ in range(2))
    before = configured(tmp_path, SCAIWAVE_ENCRYPTION_KEYS=old)
    rotated = configured(tmp_path, SCAIWAVE_ENCRYPTION_KEYS=f"{new},{old}")
    text = load_fernets(before, purpose="a")[0].encrypt(b"text")
    assert MultiFernet(load_fernets(rotated, purpose="a")).decrypt(text) == b"text"
    for others in (load_fernets(rotated), load_fernets(rotated, purpose="b")):
        with pytest.raises(InvalidToken):
            MultiFernet(others).decrypt(text)
    assert load_fernets(before)[0].decrypt(Fernet(old).encrypt(b"key")) == b"key"


@pytest.mark.parametrize("purpose", ["", "a"])
def test_fail_a_value_that_is_not_a_fernet_key(tmp_path: Path, purpose: str) -> None:
    config = configured(tmp_path, SCAIWAVE_ENCRYPTION_KEYS="x")
    with pytest.raises(SettingInvalid, match="a value that is not a Fernet key"):
        load_fernets(config, purpose=purpose)
