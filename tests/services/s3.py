"""Temporary S3 servers on loopback: SeaweedFS, and `rclone serve s3` as a second opinion."""

from __future__ import annotations

import json
import shutil
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.services.base import Server, choose_ports, is_ready
from tests.services.unprivileged_user import ServiceUnavailable, ServiceUser

ADMIN_KEYS = ("administrator", "secret-of-the-administrator")
"""Access key and secret key that may create buckets."""
KEYS = ("suite", "secret-of-the-suite")
"""Access key and secret key of the suite."""
FULL_BYTES = 8 * 1024 * 1024
"""About what fits into the small server before it is full."""
_IDENTITIES = {
    "identities": [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, (key, secret), actions in (
            ("administrator", ADMIN_KEYS, ["Admin"]),
            ("suite", KEYS, ["Read", "Write", "List"]),
        )
    ]
}


def start_seaweedfs(directory: Path, user: ServiceUser, *, is_small: bool = False) -> Server:
    """Start master, volumes, filer and S3 in one process. Raises `ServiceUnavailable`.

    A small server is full after `FULL_BYTES`, which SeaweedFS allows to exceed by a file for each
    of its volumes of a megabyte.
    """
    program = _find_program("weed")
    version = user.run([program, "version"], directory=directory).split()[2]
    s3, *others = choose_ports(8)
    parts = ("master", "volume", "filer")
    names = ["s3.port.grpc", *(f"{part}.port{kind}" for part in parts for kind in ("", ".grpc"))]
    (directory / "identities.json").write_text(json.dumps(_IDENTITIES))
    (directory / "data").mkdir()
    options = {
        "dir": directory / "data",
        "ip": "127.0.0.1",
        "ip.bind": "127.0.0.1",
        "s3.port": s3,
        **dict(zip(names, others, strict=True)),
        "s3.port.iceberg": 0,
        "s3.port.lance": 0,
        "s3.config": directory / "identities.json",
        "s3.autoCreateBucket": "false",
        "s3.localSocket": directory / "s3.sock",
        "filer.localSocket": directory / "filer.sock",
        "master.telemetry": "false",
        "master.volumeSizeLimitMB": 1 if is_small else 1024,
        "volume.max": 8 if is_small else 1000,
    }
    arguments = [f"-{name}={value}" for name, value in options.items()]
    # It also listens on sockets whose names can't be chosen. SIGTERM takes it ten seconds.
    return _start(
        "SeaweedFS",
        version,
        [program, f"-logdir={directory}", "server", "-filer", "-s3", *arguments],
        s3,
        directory / "seaweedfs.log",
        user,
        stop_signal=signal.SIGKILL,
        sockets=[
            Path(f"/tmp/seaweedfs-{part}-grpc-{options[f'{part}.port.grpc']}.sock")  # noqa: S108
            for part in ("s3", *parts)
        ],
    )


def start_rclone(directory: Path, user: ServiceUser, *, port: int | None = None) -> Server:
    """Serve a directory in which each directory is a bucket. Raises `ServiceUnavailable`.

    Start it again with its old directory and port to continue with the same files.
    """
    program = _find_program("rclone")
    version = user.run([program, "version"], directory=directory).split()[1].removeprefix("v")
    port = port or choose_ports(1)[0]
    (directory / "data").mkdir(exist_ok=True)
    keys: list[str | Path] = [f"--auth-key={key},{secret}" for key, secret in (ADMIN_KEYS, KEYS)]
    command: list[str | Path] = [
        program,
        "serve",
        "s3",
        "--config",
        "/dev/null",
        "--addr",
        f"127.0.0.1:{port}",
    ]
    log = directory / "rclone.log"
    return _start("rclone", version, [*command, *keys, directory / "data"], port, log, user)


def _start(
    name: str,
    version: str,
    command: Sequence[str | Path],
    port: int,
    log: Path,
    user: ServiceUser,
    *,
    stop_signal: signal.Signals = signal.SIGTERM,
    sockets: Sequence[Path] = (),
) -> Server:
    server = Server(
        name=name,
        version=version,
        url=f"http://127.0.0.1:{port}",
        process=user.start(command, log=log),
        log=log,
        stop_signal=stop_signal,
        sockets=sockets,
    )
    server.wait_until(lambda: is_ready(server.url))
    return server


def _find_program(name: str) -> Path:
    """Return the program of the Python package, or else one on PATH."""
    own = Path(sys.executable).parent / name
    if own.exists():
        return own
    if path := shutil.which(name):
        return Path(path)
    raise ServiceUnavailable(
        f"The program {name} was not found. Install scripts/requirements/dev.txt again."
    )
