from __future__ import annotations

import io
import json
import os
import pty
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from scaiwave.core.errors import ConfirmationNeeded, UsageError
from tenants.accounts.create_administrator import create_administrator
from tenants.errors import AdministratorConflict, InvalidAdministrator, WeakPassword
from tenants.models import AdminUser, AuditEntry
from tests.databases import copy_database
from tests.refusals import refuses
from tests.scaiwave.cli_helpers import CHECKOUT, SCRIPT, run_scaiwave
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    run_command,
)

pytestmark = pytest.mark.django_db

PASSWORD = "correct horse battery"
END_OF_FILE = "\x04"


create = partial(
    create_administrator,
    operator=HOST_OPERATOR,
    username="anna",
    email="anna@example.com",
    password=lambda: PASSWORD,
    now=NOW,
)


def never() -> str:
    raise AssertionError("prompted for the password")


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.write_text(PASSWORD + "\n", encoding="utf-8")
    return file


def test_success_created_administrator_can_sign_in() -> None:
    result = create()
    user = AdminUser.objects.get()
    assert (user.is_staff, user.is_superuser, user.is_active) == (True, True, True)
    assert (user.email, user.date_joined) == ("anna@example.com", NOW)
    assert user.check_password(PASSWORD)
    assert result.document() == {
        "administrator": {
            "id": user.pk,
            "username": "anna",
            "email": "anna@example.com",
            "role": "administrator",
            "status": "active",
            "can_sign_in": True,
            "last_sign_in_at": None,
            "created_at": NOW,
        },
        "changed": True,
    }
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.operator, entry.at) == ("create-administrator", "root", NOW)
    assert (entry.subject_type, entry.subject_name) == ("adminuser", "anna")
    # Without the password.
    assert entry.details == {"email": "anna@example.com", "role": "administrator"}


def test_success_an_auditor(password_file: Path) -> None:
    words = ("otto", "--role", "auditor", "--password-file", str(password_file), "--json")
    document = json.loads(run_command("create_administrator", *words))
    assert document["administrator"]["role"] == "auditor"
    user = AdminUser.objects.get()
    assert (user.is_staff, user.is_superuser, user.is_auditor) == (True, False, True)
    allowed = ("tenants.view_tenant", "rooms.view_event", "axes.view_accessattempt")
    assert [user.has_perm(name) for name in allowed] == [True] * 3
    refused = ("rooms.view_content", "tenants.change_tenant", "tenants.view_nothing", "view", "")
    assert [user.has_perm(name) for name in refused] == [False] * 5
    entry = AuditEntry.objects.get()
    assert entry.details == {"email": "", "role": "auditor"}
    user.is_active = False
    assert not user.has_perm("tenants.view_tenant")
    with pytest.raises(IntegrityError), transaction.atomic():
        AdminUser.objects.update(is_superuser=True)


def test_fail_unknown_role() -> None:
    with pytest.raises(UsageError, match="superuser"):
        run_command("create_administrator", "otto", "--role", "superuser")


def test_success_dry_run_asks_for_no_password_and_writes_nothing() -> None:
    result = create(password=never, dry_run=True)
    assert (result.subject["id"], result.changed) == (None, False)
    assert not AdminUser.objects.exists()
    assert not AuditEntry.objects.exists()


def test_success_command(password_file: Path) -> None:
    words = ("create_administrator", "anna", "--password-file", str(password_file))
    assert run_command(*words, "--dry-run") == "Would create administrator anna.\n"
    document = json.loads(run_command(*words, "--json"))
    user = AdminUser.objects.get()
    assert document["administrator"]["id"] == str(user.pk)
    assert user.check_password(PASSWORD)


@pytest.mark.parametrize("username", ["anna", "Anna"])
def test_fail_administrator_exists(username: str) -> None:
    create()
    with pytest.raises(AdministratorConflict) as caught:
        create(username=username, password=never)
    assert caught.value.message == "An administrator named 'anna' already exists."
    assert caught.value.fix == (
        "Choose another name, or set a new password for the existing account with "
        "`scaiwave admin reset-administrator-password anna`."
    )


def test_fail_created_concurrently() -> None:
    def slow() -> str:
        create()
        return PASSWORD

    with pytest.raises(AdministratorConflict):
        create(password=slow)
    assert (AdminUser.objects.count(), AuditEntry.objects.count()) == (1, 1)


def test_fail_weak_password() -> None:
    with pytest.raises(WeakPassword) as caught:
        create(password=lambda: "12345")
    assert caught.value.message == "Password rejected. No changes were made."
    assert caught.value.fix == (
        "This password is too short. It must contain at least 8 characters. This password is too "
        "common. This password is entirely numeric."
    )
    with pytest.raises(WeakPassword, match="Password rejected"):
        create(password=lambda: "anna@example.com")
    assert not AdminUser.objects.exists()


@pytest.mark.parametrize(
    ("changes", "message", "fix"),
    [
        (
            {"username": "a b", "email": ""},
            "Invalid user name or e-mail address: 'a b'.",
            "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ "
            "characters.",
        ),
        (
            {"email": "nope"},
            "Invalid user name or e-mail address: 'anna', 'nope'.",
            "Enter a valid email address.",
        ),
        (
            {"username": "\ud800", "email": ""},
            "Invalid user name or e-mail address: '\\ud800'.",
            "The name contains characters that can't be stored.",
        ),
    ],
)
def test_fail_bad_name(changes: dict[str, Any], message: str, fix: str) -> None:
    with refuses(InvalidAdministrator, message, fix):
        create(**changes, password=never)


def test_fail_password_prompt_without_a_terminal() -> None:
    with pytest.raises(ConfirmationNeeded) as caught:
        run_command("create_administrator", "anna")
    assert caught.value.message == "A password is required."
    assert caught.value.fix == (
        "Pass --password-file FILE, or --password-file - to read it from stdin."
    )


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "it must contain exactly one line"),
        (b"one\ntwo\n", "it must contain exactly one line"),
        (b"a" * 5000, "it must contain exactly one line"),
        (b"\xff", "it is not UTF-8"),
        (None, "no such file or directory"),
    ],
)
def test_fail_password_file(tmp_path: Path, content: bytes | None, why: str) -> None:
    file = tmp_path / "password"
    if content is not None:
        file.write_bytes(content)
    with refuses(UsageError, f"Can't read the password from {file}: {why}."):
        run_command("create_administrator", "anna", "--password-file", str(file))


def test_success_password_from_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(PASSWORD.encode())))
    run_command("create_administrator", "anna", "--password-file", "-")
    assert AdminUser.objects.get().check_password(PASSWORD)


def test_success_typed_twice_at_a_terminal_and_not_shown(database_url: str, migrated: str) -> None:
    copy_database(migrated, database_url)
    closed = (
        "Password: \nError: Cancelled: no password was entered. No changes were made. "
        "[SW_DECLINED]\n  Fix: Run the command again and enter one, or pass --password-file FILE.\n"
    )
    assert typing(END_OF_FILE) == (closed, 1)
    cancelled = closed.removeprefix("Password: \n")
    weak = "Password: \nWarning: Password rejected. "
    shown, code = typing("short", "short", "short")
    assert (shown.count(weak), shown.endswith(cancelled), code) == (3, True, 1)
    assert typing("first try 12", "second try 12", PASSWORD, PASSWORD) == (
        "Password: \nRepeat password: \nWarning: The passwords do not match. Try again.\n"
        "Password: \nRepeat password: \nAdministrator anna created.\n",
        0,
    )
    ended = run_scaiwave("admin", "audit", "--json")
    actions = [row["action"] for row in json.loads(ended.out)["audit_entries"]]
    assert actions == ["create-administrator"]


def typing(*answers: str) -> tuple[str, int]:
    """Run the command at a terminal with these answers. Returns its output and exit code."""
    ours, theirs = pty.openpty()
    words = ("admin", "create-administrator", "anna")
    process = subprocess.Popen(
        [*SCRIPT, *words],
        cwd=CHECKOUT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        close_fds=True,
        start_new_session=True,
    )
    os.close(theirs)
    shown, left = "", list(answers)
    with process:
        while chunk := read(ours):
            shown += chunk
            if left and shown.endswith(": "):
                os.write(ours, f"{left.pop(0)}\n".encode())
    os.close(ours)
    assert left == []
    return shown.replace("\r\n", "\n"), process.returncode


def read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode()
    except OSError:  # the other end is closed
        return ""
