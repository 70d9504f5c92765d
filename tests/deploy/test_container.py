"""The commands of how-to/container.md, with Docker, and without a registry.

Images of Debian's packages have the names of the published ones. Needs root, at night.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import httpx
import pytest
import yaml

from scaiwave.sandbox import Sandbox
from tests.docs_shell import PASSWORD, Reader, find_blocks, open_terminal
from tests.queue_helpers import wait_until
from tests.scaiwave.cli_helpers import CHECKOUT
from tests.services.unprivileged_user import DISK
from tests.tools import NIGHTLY, leave_untested, require_tool

pytestmark = [
    pytest.mark.once,
    pytest.mark.ci,
    pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set."),
]
PAGE = "docs/how-to/container.md"
BASE = "debian:13-slim"
COMPOSE = "docker compose run --rm worker scaiwave"
ADMINISTRATOR = f"{COMPOSE} admin create-administrator anna --email anna@example.com"
"""Docker gives it a terminal, to ask for a password, only if stdout is a terminal."""
WRITABLE = {
    *("/etc/scaiwave", "/var/backups/scaiwave", "/var/lib/scaiwave"),
    "/var/tmp",  # noqa: S108
    "/run/postgresql",  # of PostgreSQL's image, which lets everyone create sockets
}
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What the published image of PostgreSQL does with its settings, as far as compose.yaml uses them.
ENTRYPOINT = """#!/bin/sh
set -e
[ "$1" = postgres ] || exec "$@"
shift
run() { setpriv --reuid=postgres --regid=postgres --clear-groups "$@"; }
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
    [ "$POSTGRES_HOST_AUTH_METHOD" = trust ]
    chown postgres $data
    run initdb $data
    run pg_ctl --pgdata=$data --options=-clisten_addresses= --wait start
    for script in /docker-entrypoint-initdb.d/*; do PGDATA=$data run sh -e "$script"; done
    run pg_ctl --pgdata=$data --wait stop
fi
exec setpriv --reuid=postgres --regid=postgres --clear-groups postgres -D $data "$@"
"""
SERVERS = f"""FROM {BASE}
RUN apt-get update && apt-get install --yes --no-install-recommends postgresql redis-server
RUN ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/ && install -d -o postgres -m 3777 \
    /var/run/postgresql && install -d -o redis /data && mkdir -p /var/lib/postgresql/data
COPY entrypoint /
WORKDIR /data
ENTRYPOINT ["/entrypoint"]
"""


@dataclass(frozen=True)
class Docker:
    """A Docker of this test, with its files in `directory`."""

    directory: Path

    @property
    def host(self) -> str:
        return f"unix://{self.directory}/docker.sock"

    def run(self, *words: str | Path, stdin: bytes | None = None) -> bytes:
        ended = subprocess.run(
            ["docker", *words],
            env={**os.environ, "DOCKER_HOST": self.host},
            input=stdin,
            capture_output=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr.decode()
        return ended.stdout

    def is_ready(self) -> bool:
        return (self.directory / "docker.sock").exists() and bool(self.run("version"))

    def read_files(self, image: str) -> dict[str, tuple[object, ...]]:
        """Return what the files of an image are, without their times."""
        container = self.run("create", image).decode().strip()
        exported = self.run("export", container)
        self.run("rm", container)
        with tarfile.open(fileobj=io.BytesIO(exported)) as archive:
            return {
                member.name: (
                    *(member.type, member.mode, member.uid, member.gid, member.linkname),
                    digest(archive, member),
                )
                for member in archive
            }


def digest(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member) if member.isfile() else None
    return sha256(file.read()).hexdigest() if file else ""


@pytest.fixture(scope="module")
def docker() -> Iterator[Docker]:
    """Run Docker in a mount namespace, which ends with it. It changes no rules of the firewall."""
    if os.geteuid():
        leave_untested("Docker needs root.")
    for name in ("docker", "docker-compose", "debootstrap"):
        require_tool(name)
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(prefix="scaiwave-docker-", dir=DISK)
        docker = Docker(Path(stack.enter_context(temporary)))
        command = ["unshare", "--mount", require_tool("dockerd"), "--bridge=none"]
        command += ["--iptables=false", "--ip6tables=false", "--ip-forward=false"]
        for name in ("data-root", "exec-root", "pidfile"):
            command.append(f"--{name}={docker.directory / name}")
        with (docker.directory / "log").open("wb") as log:
            process = subprocess.Popen([*command, f"--host={docker.host}"], stderr=log)
        try:
            wait_until(docker.is_ready, seconds=60)
            create_images(docker)
            yield docker
        finally:
            process.terminate()
            process.wait(60)


def create_images(docker: Docker) -> None:
    root = docker.directory / "base"
    subprocess.run(
        ["debootstrap", "--variant=minbase", "trixie", root],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    # What leads this host to its package index leads the image there.
    shutil.copy(CERTIFICATES, root / "usr/local/share/this-host.crt")
    (root / "etc/pip.conf").write_text("[global]\ncert = /usr/local/share/this-host.crt\n")
    packed = subprocess.run(["tar", "-C", root, "-c", "."], check=True, capture_output=True)
    docker.run("import", "-", BASE, stdin=packed.stdout)
    shutil.rmtree(root)
    context = docker.directory / "servers"
    context.mkdir()
    (context / "Dockerfile").write_text(SERVERS)
    (context / "entrypoint").write_text(ENTRYPOINT)
    (context / "entrypoint").chmod(0o755)
    build = ("build", "--network=host", "--tag=postgres:17", "--tag=redis:8")
    docker.run(*build, context)


@pytest.fixture
def reader(docker: Docker, tmp_path: Path) -> Iterator[Reader]:
    """Return a reader with a wheel. Containers use the network of the host, as ScaiKey is there."""
    build: list[str | Path]
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path]
    subprocess.run(build, cwd=CHECKOUT, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = tmp_path.glob("*.whl")
    root = tmp_path / "srv"
    replaced = {
        "/srv/scaiwave": str(root),
        "~/scaiwave-*.whl": str(wheel),
        ADMINISTRATOR: f"echo '{PASSWORD}' | {ADMINISTRATOR} --password-file -",
        "chat.example.com": "127.0.0.1",
    }
    environment = {"DOCKER_HOST": docker.host, "SOURCE_DATE_EPOCH": "1796000000"}
    environment["COMPOSE_PROGRESS"] = "quiet"
    with open_terminal(tmp_path, environment, replaced) as reader:
        root.mkdir()
        (root / "compose.override.yaml").write_text(build_override(reader.ports[""]))
        try:
            yield reader
        finally:
            reader.run(f"cd {root} && docker compose down --volumes")


def build_override(port: int) -> str:
    """Another port, and the network of the host."""
    compose = yaml.safe_load((CHECKOUT / "scripts/deploy/compose.yaml").read_text())
    check = json.dumps(compose["services"]["web"]["healthcheck"]["test"])
    web = {
        "build": {"network": "host", "args": ["SOURCE_DATE_EPOCH"]},
        "environment": {"GUNICORN_CMD_ARGS": f"--bind=127.0.0.1:{port}"},
        "healthcheck": {"test": json.loads(check.replace("8000", str(port)))},
    }
    others = {name: {"network_mode": "host"} for name in ("worker", "scheduler", "migrate")}
    return json.dumps({"services": {"web": web, **others}})


def test_success_the_page(docker: Docker, reader: Reader) -> None:
    with Sandbox(partners=2, tenants=3, people=20, groups=3, auto_approve=True) as sandbox:
        for block in find_blocks(PAGE):
            if "sync register" in block.text:
                words = f"--url {sandbox.url} --scope GLOBAL --name chat --allow-http --wait"
                reader.run(f"{COMPOSE} sync register {words} --contact-email ops@example.com")
            if not block.marker:
                for command, _ in block.find_sessions():
                    reader.run(command)
                    if "doctor" in command:
                        assert_processes_are_limited(reader)
        with httpx.Client(base_url=f"http://127.0.0.1:{reader.ports['']}") as web:
            answer = web.get("/health").json()
            assert answer["checks"]["redis"] == answer["checks"]["database"] == "ok"
            assert web.get("/admin/login/", headers={"X-Forwarded-Proto": "https"}).is_success
    backups = reader.run("ls -d backups/scaiwave-*").split()
    assert len(backups) == 2
    inside = backups[0].replace("backups/", "/var/backups/scaiwave/")
    reader.replaced["/var/backups/scaiwave/scaiwave-20261129T020000Z"] = inside
    for block in find_blocks(PAGE):
        if "verify-backup" in block.text:
            reader.run(block.text)
    as_superuser = "docker compose exec -T worker psql --host=/run/postgresql --username=postgres"
    assert "Peer authentication failed" in reader.run(f"{as_superuser} scaiwave 2>&1", code=2)
    roles = "SELECT rolname FROM pg_roles WHERE rolsuper"
    postgres = "docker compose exec -T --user postgres postgres psql --tuples-only"
    assert reader.run(f'{postgres} --command "{roles}"').split() == ["postgres"]
    assert_no_secrets(docker, reader)


def assert_processes_are_limited(reader: Reader) -> None:
    for service in ("web", "worker", "scheduler"):
        inside = f"docker compose exec -T {service}"
        status = reader.run(
            f"{inside} sh -c 'grep -E ^CapBnd /proc/1/status; id -u; touch /x || :'"
        )
        assert status.split() == ["CapBnd:", "0" * 16, "10001"]
        find = "find / -xdev -writable ! -type l ! -path '/dev/*' ! -path '/proc/*' 2>/dev/null"
        assert set(reader.run(f'{inside} sh -c "{find} || :"').split()) == WRITABLE


def assert_no_secrets(docker: Docker, reader: Reader) -> None:
    """The image was built beside the configuration."""
    described = docker.run("image", "inspect", "scaiwave") + docker.run(
        "history", "--no-trunc", "scaiwave"
    )
    containers = docker.run("ps", "--all", "--quiet").decode().split()
    described += docker.run("inspect", *containers)
    saved = docker.run("save", "scaiwave")
    secrets = re.findall(r"(?:KEYS?|SECRET)=(.{20,})", reader.run("cat config/env"))
    assert len(secrets) == 3
    for secret in secrets:
        assert secret.encode() not in described
        assert secret.encode() not in saved


def test_success_two_builds_have_the_same_files(docker: Docker, reader: Reader) -> None:
    first = find_blocks(PAGE)[0]
    reader.run(first.text)
    builds = []
    for _ in range(2):
        reader.run("docker compose build --no-cache")
        builds.append(docker.read_files("scaiwave"))
    one, two = builds
    assert [name for name in one.keys() | two.keys() if one.get(name) != two.get(name)] == []
    assert len(one) > 5000
