"""The wheel in an empty environment: everything an operator runs works without a checkout."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from scaiwave.operations.deploy_files import DEPLOY_FILES
from tests.scaiwave.cli_helpers import CHECKOUT

pytestmark = [pytest.mark.ci, pytest.mark.once]

INSTALL_SECONDS = 600
SANDBOX = (
    *("--port", "0", "--seed", "2026", "--partners", "3", "--tenants", "12", "--people", "200"),
    *("--groups", "15", "--auto-approve"),
)


class Installation:
    """A virtual environment with the wheel, and a directory without the checkout to run it in."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.programs = directory / "venv/bin"
        inherited = {name: value for name, value in os.environ.items() if name[:9] != "SCAIWAVE_"}
        del inherited["DJANGO_SETTINGS_MODULE"]
        self.environment = {
            **inherited,
            "HOME": str(directory),
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "SCAIWAVE_HOME": str(directory / "home"),
        }

    def install(self) -> None:
        """Build and install it as how-to/production.md describes."""
        build: list[str | Path]
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", self.directory]
        subprocess.run(build, cwd=CHECKOUT, check=True, timeout=INSTALL_SECONDS)
        (wheel,) = self.directory.glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            lock = archive.extract("scaiwave/requirements/web.txt", self.directory)
        # Compiling what is never imported would take longer than the rest.
        python = self.programs / "python"
        pip: list[str | Path] = [python, "-m", "pip", "install", "--quiet", "--no-compile"]
        commands: list[list[str | Path]] = [
            [sys.executable, "-m", "venv", self.directory / "venv"],
            [*pip, "--require-hashes", "-r", lock],
            [*pip, "--no-deps", "--no-index", wheel],
        ]
        for command in commands:
            subprocess.run(command, cwd=self.directory, check=True, timeout=INSTALL_SECONDS)

    def run(self, *words: str, code: int = 0) -> str:
        ended = subprocess.run(
            [self.programs / "scaiwave", *words],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=INSTALL_SECONDS,
            check=False,
        )
        assert ended.returncode == code, (words, ended.stdout, ended.stderr)
        return ended.stdout

    @contextmanager
    def start(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        with (self.directory / "log").open("a") as log:
            process = subprocess.Popen(
                [self.programs / command[0], *command[1:]],
                cwd=self.directory,
                env=self.environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        with process:
            try:
                yield process
            finally:
                process.terminate()


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    installation = Installation(tmp_path)
    installation.install()
    return installation


def test_success_the_demo_and_the_web_server_from_the_wheel(installation: Installation) -> None:
    run = installation.run
    for name in DEPLOY_FILES:
        source = (CHECKOUT / "scripts/deploy" / name).read_text(encoding="utf-8")
        assert run("admin", "show-deploy-file", name) == source
    assert "complete -F" in run("completion", "bash")
    run("manage", "migrate", "--verbosity", "0")
    with installation.start("scaiwave", "manage", "sandbox", *SANDBOX) as sandbox:
        assert sandbox.stdout is not None
        match = re.search(r"http://127\.0\.0\.1:\d+", sandbox.stdout.readline())
        assert match
        url = match[0]
        registration = ("--url", url, "--scope", "GLOBAL", "--name", "chat-demo")
        run("sync", "register", *registration, "--contact-email", "ops@chat.example.com", "--wait")
        run("sync")
        again = json.loads(run("sync", "--json"))
        assert {kind["added"] for kind in again["kinds"].values()} == {0}
        mutation = {"op": "add_tenant", "slug": "aurora-labs", "name": "Aurora Labs"}
        key = httpx.post(f"{url}/sandbox/mutate", json=mutation, trust_env=False).json()["result"]
        tenant = ("--slug", "aurora-labs", "--name", "Aurora Labs", "--scaikey-tenant-id", key)
        run("admin", "create-tenant", *tenant)
        assert "aurora-labs" in run("admin", "list-tenants")
        # What used to be scripts of the checkout.
        slug = json.loads(run("admin", "list-tenants", "--json"))["tenants"][0]["slug"]
        run("manage", "seed_rooms", "--tenant", slug, "--events", "50", "--verbosity", "0")
        assert slug in run("room", "search-index", "--inline")
        installation.environment["SCAIWAVE_SCAIGRID_URL"] = url
        assert "none failed" in run("scaigrid", "check")
        assert_web_server_answers(installation)
    assert_server_of_0_2_0_is_upgraded(installation)


def assert_server_of_0_2_0_is_upgraded(installation: Installation) -> None:
    """No file of the checkout is needed."""
    home = installation.directory / "old"
    with tarfile.open(CHECKOUT / "tests/upgrade/v0_2_0/home-sqlite.tar.gz") as archive:
        archive.extractall(home, filter="data")
    home.chmod(0o700)
    installation.environment["SCAIWAVE_HOME"] = str(home)
    installation.run("admin", "backup", "--output", str(installation.directory))
    installation.run("manage", "migrate", "--verbosity", "0")
    assert "locally" in installation.run("admin", "list-tenants")


def assert_web_server_answers(installation: Installation) -> None:
    """Templates and static files are part of the wheel."""
    options = ("--config", "python:scaiwave.web.gunicorn_config", "--bind", "127.0.0.1:0")
    with installation.start("gunicorn", *options, "--workers", "1"):
        log = installation.directory / "log"
        deadline = time.monotonic() + 60
        while not (match := re.search(r"Listening at: (http://[\d.:]+)", log.read_text())):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        with httpx.Client(base_url=match[1], trust_env=False, timeout=60) as client:
            page = client.get("/admin/login/").text
            assert "ScaiWave" in page
            styles = re.findall(r'href="(/static/[^"]+\.css)"', page)
            own = CHECKOUT / "scaiwave/static"
            styles += [f"/static/{path.relative_to(own)}" for path in own.rglob("*.css")]
            assert {client.get(path).status_code for path in styles} == {200}
            assert client.get("/health/live").status_code == 200
