from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from django.core.checks import CheckMessage, run_checks
from pytest_django.fixtures import Settings

from scaiwave.config import load
from scaiwave.config.checks import check_configuration
from tests.scaiwave.cli_helpers import run_scaiwave

Check = Callable[..., list[CheckMessage]]
KEY = Fernet.generate_key().decode()
GOOD = {
    "SCAIWAVE_SECRET_KEY": "q7Xh1vPz0Lk4Rn8Ts2Wb6Yd5Gf3Jm9CcAeUi",
    "SCAIWAVE_ENCRYPTION_KEYS": KEY,
}
POSTGRES = {"SCAIWAVE_DB_URL": "postgres://user:password@host/name"}
PRODUCTION = {
    "SCAIWAVE_DB_URL": "postgres://user:x7-pw-9@host/name",
    "SCAIWAVE_SERVER_NAME": "chat.example.com",
}
PUBLIC = {"SCAIWAVE_PUBLIC_URL": "https://chat.example.com"}


@pytest.fixture
def check(home: Path, settings: Settings) -> Check:
    def run(**environment: str) -> list[CheckMessage]:
        config = load({"SCAIWAVE_HOME": str(home), **GOOD, **environment})
        settings.CONFIG = config
        return check_configuration(None)

    return run


CASES = [
    (
        {"SCAIWAVE_SYNC_REMOVAL_SHARE": "2"},
        "scaiwave.E001",
        "SCAIWAVE_SYNC_REMOVAL_SHARE is not a number between 0 and 1.",
        "Set SCAIWAVE_SYNC_REMOVAL_SHARE to a number between 0 and 1.",
    ),
    (
        {"SCAIWAVE_ENCRYPTION_KEYS": f"{KEY},s3cret"},
        "scaiwave.E002",
        "SCAIWAVE_ENCRYPTION_KEYS contains a value that is not a Fernet key.",
        "Create a key with `openssl rand -base64 32 | tr '+/' '-_'`.",
    ),
    (
        {"SCAIWAVE_SCAIKY_URL": "https://scaikey.example.com"},
        "scaiwave.W001",
        "Unknown setting: SCAIWAVE_SCAIKY_URL.",
        "Write SCAIWAVE_SCAIKEY_URL.",
    ),
    (
        {"SCAIWAVE_PUBLIC_URL": "http://chat.example.com"},
        "scaiwave.W002",
        "SCAIWAVE_PUBLIC_URL begins with http://, which sends administrators' passwords "
        "unencrypted.",
        "Use https:// unless the host is this server.",
    ),
    (
        {"SCAIWAVE_SCAIKEY_URL": "http://scaikey.example.com"},
        "scaiwave.W002",
        "SCAIWAVE_SCAIKEY_URL begins with http://, which sends credentials and tokens unencrypted.",
        "Use https:// unless the host is this server.",
    ),
    (
        {"SCAIWAVE_SCAIGRID_EMBEDDING_MODEL": "small # the cheap one"},
        "scaiwave.W003",
        "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL seems to have a comment behind its value.",
        "Write the comment on a line of its own: a value extends to the end of its line.",
    ),
    *(
        (
            {**environment, "SCAIWAVE_SECRET_KEY": secret},
            "scaiwave.E003",
            f"SCAIWAVE_SECRET_KEY {problem}.",
            "Create one with `openssl rand -base64 32`.",
        )
        for environment in (PUBLIC, PRODUCTION)
        for secret, problem in (
            ("…", "has an example as its secret"),
            ("change-me-change-me-change-me-please", "has an example as its secret"),
            ("q7Xh1vPz0", "has fewer than 32 characters"),
        )
    ),
    (
        {**PRODUCTION, **POSTGRES},
        "scaiwave.E003",
        "SCAIWAVE_DB_URL has an example as its secret.",
        "Set it to the secret of that server.",
    ),
    (
        {"SCAIWAVE_DB_URL": PRODUCTION["SCAIWAVE_DB_URL"]},
        "scaiwave.W005",
        "SCAIWAVE_SERVER_NAME is not set, so all participants are @name:localhost.",
        "Set it to the public name of this server.",
    ),
    (
        {"SCAIWAVE_SCAIKEY_URL": "https://x.example", "SCAIWAVE_SCAIKEY_CLIENT_ID": "x"},
        "scaiwave.W006",
        "ScaiKey is only partly configured: SCAIWAVE_SCAIKEY_CLIENT_SECRET missing.",
        "Run `scaiwave sync register`, or set the missing settings.",
    ),
]


@pytest.mark.parametrize(("environment", "id_", "message", "hint"), CASES)
def test_success_problems_are_found(
    environment: dict[str, str], id_: str, message: str, hint: str, check: Check
) -> None:
    (found,) = check(**environment)
    assert (found.id, found.msg, found.hint) == (id_, message, hint)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"SCAIWAVE_SCAIKEY_URL": "https://scaikey.example.com"},
        {"SCAIWAVE_PUBLIC_URL": "http://127.0.0.1:8000", "SCAIWAVE_SCAIKEY_URL": "http://[::1]:1"},
        PRODUCTION,
        {**PUBLIC, "SCAIWAVE_SCAIGRID_API_KEY": "sgk_4f8a"},
        {"SCAIWAVE_SECRET_KEY": "password"},
        {f"SCAIWAVE_SCAIKEY_{part}": "https://x.example" for part in ("URL", "CLIENT_ID")}
        | {"SCAIWAVE_SCAIKEY_CLIENT_SECRET": "x"},
    ],
)
def test_success_no_problems(environment: dict[str, str], check: Check) -> None:
    assert check(**environment) == []


def test_success_files_of_others(home: Path, check: Check) -> None:
    (home / ".env").write_text("")
    (home / ".env").chmod(0o640)
    (found,) = check()
    assert (found.id, found.hint) == ("scaiwave.W004", f"Run `chmod 600 {home / '.env'}`.")
    (home / ".env").chmod(0o600)
    assert check() == []


def test_success_registered() -> None:
    assert run_checks(tags=["scaiwave"]) == []


def test_success_reported_by_manage_check(home: Path) -> None:
    ended = run_scaiwave("manage", "check", SCAIWAVE_SCAIKY_URL="x")
    assert ended.code == 0
    assert "(scaiwave.W001) Unknown setting: SCAIWAVE_SCAIKY_URL." in ended.err


@pytest.mark.parametrize(
    ("url", "ids"),
    [
        ("", set()),
        ("redis://localhost:6379/0", set()),
        ("redis://127.0.0.53/0", set()),
        ("redis://[::1]:6379", set()),
        ("redis://", set()),
        ("unix:///run/redis/redis.sock?db=2", set()),
        ("redis://redis.example.com", {"W007", "W008"}),
        ("redis://user@10.0.0.5/0", {"W007", "W008"}),
        ("redis://:s3cret-password@10.0.0.5/0", {"W008"}),
        ("redis://10.0.0.5/0?password=s3cret-password", {"W008"}),
        ("rediss://redis.example.com/0", {"W007"}),
        ("rediss://scaiwave:s3cret-password@redis.example.com/0", set()),
        ("redis://127.0.0.1.example.com", {"W007", "W008"}),
    ],
)
def test_success_redis_across_a_network_needs_a_password_and_tls(
    check: Check, url: str, ids: set[str]
) -> None:
    messages = check(SCAIWAVE_REDIS_URL=url)
    assert {message.id for message in messages} == {f"scaiwave.{id_}" for id_ in ids}
    assert "s3cret" not in str(messages)
