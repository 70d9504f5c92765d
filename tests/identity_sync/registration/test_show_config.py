from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from identity_sync.registration.export_env import export_env, format_exports
from identity_sync.registration.show_config import mask_secret, mask_url, show_config
from scaiwave.config import SETTINGS, load
from scaiwave.core.errors import NotRegistered
from tenants.models import AuditEntry
from tests.databases import copy_database
from tests.identity_sync.registration.helpers import HOST_OPERATOR, NOW
from tests.tenants.factories import read_outputs, run_command
from tests.tools import count_examples

SECRET = "sk-0123456789abcdefghij"


def show_settings(home: Path, **environment: str) -> dict[str, tuple[str, str]]:
    config = load({"SCAIWAVE_HOME": str(home), **environment})
    report = show_config(operator=HOST_OPERATOR, config=config)
    return {each["name"]: (each["value"], each["source"]) for each in report.figures["settings"]}


def test_success_every_setting_with_its_source(home: Path) -> None:
    (home / ".env").write_text(
        "SCAIWAVE_SERVER_NAME=file.example\nSCAIWAVE_SCAIKEY_CLIENT_ID=beaten\n"
    )
    values = show_settings(
        home, SCAIWAVE_SCAIKEY_CLIENT_ID="app-1", SCAIWAVE_SCAIKEY_CLIENT_SECRET=SECRET
    )
    assert list(values) == [setting.name for setting in SETTINGS]
    assert values["SCAIWAVE_SERVER_NAME"] == ("file.example", "file")
    assert values["SCAIWAVE_SCAIKEY_CLIENT_ID"] == ("app-1", "environment")
    assert values["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] == ("sk-0****ghij", "environment")
    assert values["SCAIWAVE_SYNC_REMOVAL_LIMIT"] == ("20", "default")
    assert values["SCAIWAVE_ADMIN_TOKEN"] == ("", "default")


def test_success_secret_from_a_file_of_its_own_is_masked(home: Path) -> None:
    (home / "secret").write_text(f"{SECRET}\n")
    values = show_settings(home, SCAIWAVE_SCAIKEY_CLIENT_SECRET_FILE=str(home / "secret"))
    assert values["SCAIWAVE_SCAIKEY_CLIENT_SECRET"] == ("sk-0****ghij", "environment")


@pytest.mark.parametrize(
    ("value", "masked"),
    [("", ""), ("x", "****"), ("x" * 19, "****"), ("abcd" + "x" * 12 + "wxyz", "abcd****wxyz")],
)
def test_success_secrets_are_masked(value: str, masked: str) -> None:
    assert mask_secret(value) == masked


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("", ""),
        ("postgres://me:pw@host:5432/name", "postgres://me:****@host:5432/name"),
        ("postgres://me@host/name", "postgres://me@host/name"),
        ("redis://:pw@host:6379/0", "redis://:****@host:6379/0"),
        ("redis://host:6379/0", "redis://host:6379/0"),
        ("postgres://me:p@w/o#r?d@host/name", "postgres://me:****@host/name"),
        (
            "postgres://host/name?sslmode=require&password=pw",
            "postgres://host/name?sslmode=require&password=****",
        ),
        ("sqlite:////data/scaiwave.sqlite3", "sqlite:////data/scaiwave.sqlite3"),
        ("just-a-password", "****"),
    ],
)
def test_success_urls_show_all_but_the_password(url: str, masked: str) -> None:
    assert mask_url(url) == masked


@given(st.text(min_size=1).map(lambda text: f"<{text}>"))
def test_success_no_password_is_ever_shown(password: str) -> None:
    assert password not in mask_url(f"postgres://me:{password}@host/name")


def test_success_command(home: Path, settings: Any) -> None:
    settings.CONFIG = load({"SCAIWAVE_HOME": str(home), "SCAIWAVE_SERVER_NAM": "typo"})
    out, err = read_outputs("sync_show_config")
    lines = out.splitlines()
    assert lines[0].split() == ["Name", "Value", "Source"]
    assert lines[-2:] == [f"Home directory:      {home}", f"Configuration file:  {home}/.env"]
    assert err == (
        "Warning: SCAIWAVE_SERVER_NAM is not a setting. Did you mean SCAIWAVE_SERVER_NAME?\n"
    )


def test_success_command_json(home: Path, settings: Any) -> None:
    settings.CONFIG = load({"SCAIWAVE_HOME": str(home)})
    out = run_command("sync_show_config", "--json")
    document = json.loads(out)
    assert set(document) == {"settings", "home", "env_file", "unknown", "warnings"}
    assert document["settings"][0].keys() == {"name", "value", "source", "help"}


SHELLS = [shell for shell in ("sh", "bash", "dash") if shutil.which(shell)]
VALUES = {
    "SCAIWAVE_SCAIKEY_URL": "https://scaikey.example.com",
    "SCAIWAVE_SCAIKEY_CLIENT_ID": "app-1",
    "SCAIWAVE_SCAIKEY_CLIENT_SECRET": "it's $ecret",
}


@pytest.mark.parametrize("shell", SHELLS)
@hypothesis_settings(max_examples=count_examples(30))
@given(value=st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_success_eval_restores_exactly(shell: str, value: str) -> None:
    lines = format_exports({"FIRST": value, "SECOND": "x"})
    script = 'eval "$(cat)"; printf "%s|" "$FIRST" "$SECOND"'
    completed = subprocess.run(
        [shell, "-c", script], input=lines.encode(), capture_output=True, check=True
    )
    assert completed.stdout.decode() == f"{value}|x|"
    assert completed.stderr == b""


@pytest.mark.django_db
def test_success_set_variables_and_an_audit_entry(home: Path) -> None:
    config = load({"SCAIWAVE_HOME": str(home), "SCAIWAVE_SERVER_NAME": "chat", **VALUES})
    assert export_env(operator=HOST_OPERATOR, config=config, now=NOW) == VALUES
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.at) == ("export-env", "ops@example.com", NOW)
    assert entry.details == {"names": list(VALUES)}


@pytest.mark.django_db
def test_success_export_command(home: Path, settings: Any) -> None:
    settings.CONFIG = load({"SCAIWAVE_HOME": str(home), **VALUES})
    out = run_command("sync_export_env")
    assert out == (
        "export SCAIWAVE_SCAIKEY_URL='https://scaikey.example.com'\n"
        "export SCAIWAVE_SCAIKEY_CLIENT_ID='app-1'\n"
        "export SCAIWAVE_SCAIKEY_CLIENT_SECRET='it'\\''s $ecret'\n"
    )
    out = run_command("sync_export_env", "--json")
    assert json.loads(out) == {"environment": VALUES}


@pytest.mark.django_db
def test_fail_nothing_is_set(home: Path) -> None:
    with pytest.raises(NotRegistered) as caught:
        export_env(operator=HOST_OPERATOR, config=load({"SCAIWAVE_HOME": str(home)}), now=NOW)
    assert caught.value.message == "This server is not registered with ScaiKey."
    assert not AuditEntry.objects.exists()


CONSOLE = [sys.executable, "-m", "scaiwave.cli"]


def test_success_through_a_real_shell_in_another_locale(
    home: Path, database_url: str, migrated: str
) -> None:
    """The file is UTF-8 with any locale of the terminal, and `eval` must not change a byte."""
    secret = 'wörd \'n "quotes" $HOME `id` \\ 日本'
    (home / ".env").write_text(f"SCAIWAVE_SCAIKEY_CLIENT_SECRET={secret}\n", encoding="utf-8")
    copy_database(migrated, database_url)
    script = (
        f'eval "$({" ".join(CONSOLE)} export-env)"; printf %s "$SCAIWAVE_SCAIKEY_CLIENT_SECRET"'
    )
    environment = {**os.environ, "PYTHONIOENCODING": "latin-1"}
    completed = subprocess.run(
        ["sh", "-c", script], capture_output=True, env=environment, check=True
    )
    assert completed.stdout.decode() == secret
    assert completed.stderr == b""
