"""The first page of the docs, then the wheel in its environment: pip gets the packages once.

Everything that an operator runs works without a checkout.
"""

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
from tests.docs_shell import PASSWORD, open_terminal
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.test_readme import STARTED, assert_page_runs

pytestmark = [pytest.mark.ci, pytest.mark.once]

INSTALL_SECONDS = 600
LOCK = "scripts/requirements/web.txt"
SANDBOX = (
    *("--port", "0", "--seed", "2026", "--partners", "3", "--tenants", "12", "--people", "200"),
    *("--groups", "15", "--auto-approve"),
)


class Installation:
    """A virtual environment with the wheel, and a directory without the checkout to run it in."""

    def __init__(self, directory: Path, environment: Path) -> None:
        self.directory = directory
        self.programs = environment / "bin"
        inherited = {name: value for name, value in os.environ.items() if name[:9] != "SCAIWAVE_"}
        del inherited["DJANGO_SETTINGS_MODULE"]
        self.environment = {
            **inherited,
            "HOME": str(directory),
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "SCAIWAVE_HOME": str(directory / "home"),
        }

    def install(self) -> None:
        """Build and install it as how-to/production.md describes, in place of the checkout's.

        The environment has the packages of the lock, which is also in the wheel.
        """
        build: list[str | Path]
        build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", self.directory]
        subprocess.run(build, cwd=CHECKOUT, check=True, timeout=INSTALL_SECONDS)
        (wheel,) = self.directory.glob("*.whl")
        lock = (CHECKOUT / LOCK).read_bytes()
        with zipfile.ZipFile(wheel) as archive:
            assert archive.read("scaiwave/requirements/web.txt") == lock
        pip: list[str | Path] = [self.programs / "python", "-m", "pip", "--quiet"]
        install: list[str | Path] = ["install", "--no-compile", "--no-deps", "--no-index", wheel]
        for words in (["uninstall", "--yes", "scaiwave"], install):
            subprocess.run([*pip, *words], cwd=self.directory, check=True, timeout=INSTALL_SECONDS)

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


def test_success_getting_started_and_the_wheel(tmp_path: Path) -> None:
    """The wheel has the demo and the web server."""
    # Compiling what is never imported would take longer than the rest.
    with open_terminal(tmp_path, {"PIP_NO_COMPILE": "1"}) as reader:
        reader.run(f"cd {CHECKOUT}")
        assert_page_runs(STARTED, reader)
        assert_signed_in(f"http://localhost:{reader.ports['']}/admin/")
    directory = tmp_path / "wheel"
    directory.mkdir()
    installation = Installation(directory, tmp_path / "scaiwave/venv")
    installation.install()
    assert_demo_and_web_server_run(installation)
    assert_server_of_0_2_0_is_upgraded(installation)


def assert_signed_in(address: str) -> None:
    """Sign in as the administrator of the page, and see the overview."""
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        browser.get(address)
        token = browser.cookies["csrftoken"]
        values = {"username": "anna", "password": PASSWORD, "csrfmiddlewaretoken": token}
        page = browser.post(f"{address}login/?next=/admin/", data=values)
        assert (page.status_code, str(page.url)) == (200, address)
        assert "Full syncs of the last 24 hours" in page.text
        assert "No full sync has succeeded yet" not in page.text


def assert_demo_and_web_server_run(installation: Installation) -> None:
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
