"""What a process imports, and so how fast it begins; and that it keeps its secrets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from scaiwave.config import SETTINGS
from tests.scaiwave.cli_helpers import ProcessResult, run_example, run_scaiwave

SLOW = {
    "django.contrib.admin",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "django_rq",
    "redis",
    "rq",
    "httpx",
    "rich",
    "psycopg",
    "whitenoise",
    "axes",
    "prometheus_client",
    "cryptography",
    "jwt",
}
MARKER = "h1dden-marker"


@pytest.mark.fresh_interpreter
@pytest.mark.parametrize("words", [["--help"], ["room", "export", "--help"]])
def test_success_help_imports_no_django(words: list[str]) -> None:
    source = (
        f"import sys; from scaiwave.cli import main; main({words})\n"
        "sys.stderr.write(' '.join(sys.modules))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    )
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert not loaded & {"django", "environ", "argparse", "dataclasses", "json", "rich"}


@pytest.mark.fresh_interpreter
@pytest.mark.parametrize("redis", ["", "redis://127.0.0.1:1/0"])
def test_success_a_command_imports_no_slow_module(redis: str, home: Path) -> None:
    ended = run_example(
        "admin", "list-tenants", "--act", "modules", "--quiet", SCAIWAVE_REDIS_URL=redis
    )
    assert ended.code == 0
    loaded = set(ended.err.split())
    assert "tenants.models" in loaded
    assert loaded & SLOW == set()


FAULTS = {
    "no table": (("admin", "list-tenants"), {}),
    "token": (("sync", "show-config"), {"SCAIWAVE_SCAIKEY_URL": "http://127.0.0.1:1"}),
    "database": (
        ("admin", "list-tenants"),
        {"SCAIWAVE_DB_URL": f"postgres://anna:{MARKER}@127.0.0.1:1/chat"},
    ),
    "database option": (
        ("admin", "list-tenants"),
        {"SCAIWAVE_DB_URL": f"postgres://anna:{MARKER}@127.0.0.1:1/chat?password2={MARKER}"},
    ),
    "redis": (("manage", "check"), {"SCAIWAVE_REDIS_URL": f"http://:{MARKER}@127.0.0.1:1"}),
    "url": (
        ("manage", "check"),
        {"SCAIWAVE_PUBLIC_URL": f"http://anna:{MARKER}@127.0.0.1:1"},
    ),
    "check": (("manage", "check"), {}),
    "deploy check": (("manage", "check", "--deploy"), {}),
    "settings of django": (("manage", "diffsettings"), {}),
    "sync": (("sync",), {"SCAIWAVE_SCAIKEY_URL": "http://127.0.0.1:1"}),
    "usage": (("sync", "--nonsense"), {}),
}


@pytest.mark.parametrize(
    ("fault", "source"),
    [
        *((fault, "environment") for fault in FAULTS),
        *((fault, source) for fault in ("token", "check") for source in ("file", "named file")),
    ],
)
def test_fail_error_hides_secrets(fault: str, source: str, home: Path) -> None:
    words, broken = FAULTS[fault]
    secrets = {
        setting.name: f"{MARKER}-of-{setting.name.lower()}"
        for setting in SETTINGS
        if setting.secret and setting.name not in {"SCAIWAVE_DB_URL", "SCAIWAVE_REDIS_URL"}
    }
    ended = run_with(secrets, source, home, words, broken)
    assert MARKER not in ended.out + ended.err
    assert "Traceback" not in ended.err


def run_with(
    secrets: dict[str, str], source: str, home: Path, words: tuple[str, ...], broken: dict[str, str]
) -> ProcessResult:
    if source == "environment":
        return run_scaiwave(*words, **{**secrets, **broken})
    cleared = dict.fromkeys(secrets, "")
    lines = []
    for name, value in secrets.items():
        if source == "file":
            lines.append(f"{name}={value}")
        else:
            (home / name).write_text(value)
            lines.append(f"{name}_FILE={home / name}")
    (home / ".env").write_text("\n".join(lines))
    return run_scaiwave(*words, **{**cleared, **broken})
