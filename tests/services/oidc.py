"""A temporary server of OpenID Connect issuers: `oidc-provider`, which runs in Node."""

from __future__ import annotations

import fcntl
import hashlib
import json
import re
import shutil
import signal
import subprocess
from pathlib import Path

from tests.services import clock
from tests.services.base import Server, choose_ports, is_ready
from tests.services.unprivileged_user import ServiceUnavailable, ServiceUser, format_reason

MIN_RELEASE = 18
"""The oldest release of Node that oidc-provider 8 supports."""
PACKAGE = Path(__file__).parent / "oidc_provider"
"""Our server around it, and the pinned packages, which are installed there."""
_INSTALL_SECONDS = 300


def start_oidc_provider(directory: Path, user: ServiceUser) -> Server:
    """Start a server without an issuer: tests start their own. Raises `ServiceUnavailable`."""
    node, npm = _find_programs(directory, user)
    install_packages(npm, PACKAGE)
    log = directory / "oidc-provider.log"
    (port,) = choose_ports(1)
    server = Server(
        name="oidc-provider",
        version=_get_version(PACKAGE),
        url=f"http://127.0.0.1:{port}",
        process=user.start([node, PACKAGE / "server.js", str(port)], log=log),
        log=log,
        stop_signal=signal.SIGTERM,
    )
    server.wait_until(lambda: is_ready(server.url))
    return server


def _find_programs(directory: Path, user: ServiceUser) -> tuple[str, str]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise ServiceUnavailable("Node and npm, which run oidc-provider, were not found on PATH.")
    try:
        output = user.run([node, "--version"], directory=directory)
    except (OSError, subprocess.SubprocessError) as error:
        raise ServiceUnavailable(f"{node} does not work: {format_reason(error)}.") from None
    match = re.match(r"v(\d+)\.", output)
    if match is None or int(match[1]) < MIN_RELEASE:
        raise ServiceUnavailable(
            f"oidc-provider needs Node {MIN_RELEASE} or newer; {node} is {output.strip()!r}."
        )
    return node, npm


def install_packages(npm: str, package: Path) -> None:
    """Install the packages of the lock file unless they are installed. Raises `ServiceUnavailable`.

    npm removes what it has installed before it begins, so that only one process may do it.
    """
    stamp = package / "node_modules" / "set-up-finished"
    digest = hashlib.sha256((package / "package-lock.json").read_bytes()).hexdigest()
    with (package / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if stamp.exists() and stamp.read_text() == digest:
            return
        try:
            subprocess.run(
                [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
                cwd=package,
                env={**clock.get_real_environment(), "NO_UPDATE_NOTIFIER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                check=True,
                timeout=_INSTALL_SECONDS,
            )
        except subprocess.CalledProcessError as error:
            raise ServiceUnavailable(
                f"npm could not install oidc-provider:\n{error.stdout.strip()}"
            ) from None
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ServiceUnavailable(
                f"npm could not install oidc-provider: {format_reason(error)}."
            ) from None
        stamp.write_text(digest)


def _get_version(package: Path) -> str:
    installed = package / "node_modules" / "oidc-provider" / "package.json"
    return str(json.loads(installed.read_text(encoding="utf-8"))["version"])
