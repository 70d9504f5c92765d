from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from identity_sync.registration.export_env import export_env, format_exports
from scaiwave.config import load
from scaiwave.core.errors import InsufficientPermission, NotRegistered
from scaiwave.core.operators import Operator, OperatorRole
from tenants.models import AuditEntry
from tests.databases import copy_database
from tests.identity_sync.registration.helpers import HOST_OPERATOR, NOW
from tests.tools import count_examples

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
def test_success_command(home: Path, settings: Any) -> None:
    settings.CONFIG = load({"SCAIWAVE_HOME": str(home), **VALUES})
    out = StringIO()
    call_command("sync_export_env", stdout=out, stderr=StringIO())
    assert out.getvalue() == (
        "export SCAIWAVE_SCAIKEY_URL='https://scaikey.example.com'\n"
        "export SCAIWAVE_SCAIKEY_CLIENT_ID='app-1'\n"
        "export SCAIWAVE_SCAIKEY_CLIENT_SECRET='it'\\''s $ecret'\n"
    )


@pytest.mark.django_db
def test_success_command_json(home: Path, settings: Any) -> None:
    settings.CONFIG = load({"SCAIWAVE_HOME": str(home), **VALUES})
    out = StringIO()
    call_command("sync_export_env", "--json", stdout=out, stderr=StringIO())
    assert json.loads(out.getvalue()) == {"environment": VALUES}


@pytest.mark.django_db
def test_fail_nothing_is_set(home: Path) -> None:
    with pytest.raises(NotRegistered) as caught:
        export_env(operator=HOST_OPERATOR, config=load({"SCAIWAVE_HOME": str(home)}), now=NOW)
    assert caught.value.message == "This server is not registered with ScaiKey."
    assert not AuditEntry.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize(
    "role",
    [
        OperatorRole.PARTNER_ADMIN,
        OperatorRole.TENANT_ADMIN,
        OperatorRole.PLATFORM_READ,
    ],
)
def test_fail_role(home: Path, role: OperatorRole) -> None:
    config = load({"SCAIWAVE_HOME": str(home), **VALUES})
    with pytest.raises(InsufficientPermission):
        export_env(operator=Operator("anna", role), config=config, now=NOW)


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
