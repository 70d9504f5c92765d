"""The process that forks those of `tests.forked_processes`. Run as a script, by a test process.

It has imported what every command of the suite imports, but has no settings: a forked process reads
its own environment and sets up Django, like one that Python has started. Django then finds the
classes of models and of admin pages, whose creation takes most of that time.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import io
import json
import os
import pkgutil
import runpy
import signal
import socket
import sys
import threading
import time
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TextIO

import django.conf
import django.db
from django.apps import AppConfig, apps
from django.utils.functional import empty
from django.utils.module_loading import module_has_submodule

MAX_DESCRIPTORS = 16

MODULES = (
    "boto3.s3.transfer",
    "cryptography.fernet",
    "cryptography.hazmat.primitives.asymmetric.ed25519",
    "cryptography.hazmat.primitives.asymmetric.rsa",
    "django.contrib.admin.options",
    "django.contrib.auth.hashers",
    "django.core.management.commands.migrate",
    "django.core.servers.basehttp",
    "django.db.backends.postgresql.base",
    "django.db.backends.sqlite3.base",
    "django.db.models.functions",
    "django.template.backends.django",
    "django.views.debug",
    "environ",
    "gunicorn.app.wsgiapp",
    "gunicorn.arbiter",
    "gunicorn.workers.gthread",
    "httpx",
    "isal.igzip",
    "isal.isal_zlib",
    "jwt",
    "msgspec.json",
    "pythonjsonlogger.json",
    "redis",
    "rich.progress",
    "rich.table",
    "rq",
    "storages.backends.s3",
    "tenacity",
    "uuid_utils",
    "scaiwave.site.acts",
    "scaiwave.site.list_export",
    "scaiwave.site.overview",
    "scaiwave.site.search",
    "scaiwave.site.tabs",
    "scaiwave.auth.identify",
    "scaiwave.clients.scaikey.client",
    "scaiwave.config.database",
    "scaiwave.config.secret_keys",
    "scaiwave.config.server_name",
    "scaiwave.storage.error_mapping",
    "scaiwave.queue.definitions",
    "scaiwave.core.log_formatter",
    "scaiwave.storage.media",
    "scaiwave.storage.postgresql.base",
    "scaiwave.storage.schema_version",
    "scaiwave.storage.sqlite.base",
)
# They need models. Commands are not among them: most processes run one of them.
PACKAGES = (
    "federation.keys",
    "federation.peers",
    "federation.policy",
    "identity_sync.registration",
    "identity_sync.reports",
    "identity_sync.sync",
    "identity_sync.webhooks",
    "rooms.bundle",
    "rooms.exports",
    "rooms.imports",
    "rooms.lifecycle",
    "rooms.lookup",
    "rooms.messages",
    "rooms.search",
    "rooms.seeding",
    "rooms.workspaces",
    "scaiwave.operations.doctor",
    "scaiwave.operations.overview",
    "tenants.accounts",
    "tenants.audit",
    "tenants.lookup",
    "tenants.people",
    "tenants.roles",
    "tenants.usage",
)


@dataclass(frozen=True)
class Request:
    """What a new process runs: `arguments` are those of Python.

    `descriptors` are the numbers that the descriptors sent with it must have.
    """

    arguments: list[str]
    descriptors: list[int]
    environment: dict[str, str]
    directory: str
    new_session: bool
    process_group: int
    ignores_sigint: bool


def serve(connection: socket.socket) -> Request | None:
    """Fork a process for each request. Returns in these, and at the end of the connection."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, MAX_DESCRIPTORS)
        if not data:
            return None
        request = Request(**json.loads(data))
        if _is_new_process(connection):
            _become(request, descriptors)
            return request
        for descriptor in descriptors:
            os.close(descriptor)


def _is_new_process(connection: socket.socket) -> bool:
    """Fork twice, and send the ID of the grandchild, in which this returns True.

    When the process between them has ended, the test process adopts the grandchild, and can wait
    for it as if it had started it. Only then may the grandchild run.
    """
    id_reader, id_writer = os.pipe()
    start_reader, start_writer = os.pipe()
    child = os.fork()
    if not child:
        grandchild = os.fork()
        if grandchild:
            os.write(id_writer, str(grandchild).encode())
            os._exit(0)
        os.close(start_writer)
        os.read(start_reader, 1)
        return True
    os.waitpid(child, 0)
    connection.send(os.read(id_reader, 32))
    os.write(start_writer, b"1")
    for descriptor in (id_reader, id_writer, start_reader, start_writer):
        os.close(descriptor)
    return False


def _become(request: Request, descriptors: list[int]) -> None:
    """Take on what a process that Python starts would have inherited or created."""
    first_free = max(request.descriptors) + 1
    copies = [fcntl.fcntl(each, fcntl.F_DUPFD, first_free) for each in descriptors]
    for number, copy in zip(request.descriptors, copies, strict=True):
        os.dup2(copy, number)
    ends = [*sorted(request.descriptors), os.sysconf("SC_OPEN_MAX")]
    for before, after in pairwise(ends):
        os.closerange(before + 1, after)
    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.dont_write_bytecode = bool(os.environ.get("PYTHONDONTWRITEBYTECODE"))
    time.tzset()
    entry: Any = sys.modules.get("scaiwave.cli.entry")
    if entry:
        entry.STARTED_AT = time.time()  # It is noted when a process imports the module.
    if request.new_session:
        os.setsid()
    elif request.process_group >= 0:
        os.setpgid(0, request.process_group)
    handler = signal.SIG_IGN if request.ignores_sigint else signal.default_int_handler
    signal.signal(signal.SIGINT, handler)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream = _open_text(number, getattr(sys, name))
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    gc.enable()


def import_models() -> None:
    """Import models and what needs them, and forget the settings with which that was done.

    The `ready` methods of apps are not called: a forked process does that.
    """
    with _default_environment():
        for entry in django.conf.settings.INSTALLED_APPS:
            if entry == "axes":  # It adds its defaults to the settings when it is imported.
                continue
            config = AppConfig.create(entry)
            apps.app_configs[config.label] = config
            config.apps = apps
        apps.apps_ready = True
        configs = list(apps.get_app_configs())
        for config in configs:
            config.import_models()
        apps.models_ready = True
        for config in configs:
            if module_has_submodule(config.module, "admin"):
                importlib.import_module(f"{config.name}.admin")
        for package in map(importlib.import_module, PACKAGES):
            for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
                if ".oidc" not in module.name:  # It needs the models of axes.
                    importlib.import_module(module.name)
    apps.app_configs.clear()
    apps.apps_ready = apps.models_ready = False
    apps.clear_cache()
    django.conf.settings._wrapped = empty
    del sys.modules["scaiwave.settings"]
    connections: Any = django.db.connections
    for connection in connections.all(initialized_only=True):
        assert connection.connection is None, "A module has connected to a database."
        del connections[connection.alias]
    connections._settings = None
    del connections.settings


@contextmanager
def _default_environment() -> Iterator[None]:
    """Set only what the settings need, instead of what a test has set."""
    before = dict(os.environ)
    for name in before:
        if name.startswith("SCAIWAVE_"):
            del os.environ[name]
    os.environ["SCAIWAVE_HOME"] = str(Path(__file__).parent / "no-home")
    os.environ["DJANGO_SETTINGS_MODULE"] = "scaiwave.settings"
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _open_text(number: int, like: TextIO) -> Any:
    """Open a standard stream as Python does at its start, with the encoding of the present one."""
    raw = io.FileIO(number, "r" if number == 0 else "w", closefd=False)
    raw.name = like.name
    stream = io.TextIOWrapper(
        io.BufferedReader(raw) if number == 0 else io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=like.errors,
        newline=None if number == 0 else "\n",
        line_buffering=number == 2 or raw.isatty(),
    )
    stream.mode = "r" if number == 0 else "w"  # type: ignore[misc]
    return stream


def run(arguments: list[str]) -> None:
    """Run `-c CODE …`, `-m MODULE …` or `FILE …` as the main module."""
    option, *rest = arguments
    if path := os.environ.get("PYTHONPATH"):
        sys.path.insert(0, path)
    if option == "-m":
        sys.path.insert(0, str(Path.cwd()))
        sys.argv = rest
        sys.modules.pop(rest[0], None)  # It must not seem to be imported twice.
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif option == "-c":
        sys.path.insert(0, "")
        sys.argv = ["-c", *rest[1:]]
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        exec(compile(rest[0], "<string>", "exec"), main.__dict__)  # noqa: S102 - as Python does
    else:
        sys.path.insert(0, os.path.dirname(os.path.realpath(option)))  # noqa: PTH120
        sys.argv = arguments
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        main.__file__ = option
        with io.open_code(os.path.abspath(option)) as file:  # noqa: PTH100
            code = compile(file.read(), option, "exec")
        exec(code, main.__dict__)  # noqa: S102


def run_and_exit(arguments: list[str]) -> None:
    """Run the main module, and end this process without taking the modules apart.

    For that it would copy all that it shares with the server, which takes as long as a short
    command. Threads end, functions of `atexit` run, databases are closed (which also moves what is
    in SQLite's write-ahead log into the file) and streams are flushed, as at the end of any Python
    process. Exceptions, and streams that can't be flushed, end it as usual.
    """
    try:
        run(arguments)
        code = 0
    except SystemExit as stop:
        if stop.code is not None and not isinstance(stop.code, int):
            raise
        code = stop.code or 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    if django.conf.settings.configured:
        django.db.connections.close_all()
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except OSError:
        sys.exit(code)
    os._exit(code & 0xFF)


def main(descriptor: int, recordings: str) -> None:
    """Migrations are recorded in the directory `recordings`, if there is one."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with the test process
    sys.path[0] = str(Path.cwd())
    gc.disable()
    for name in MODULES:
        importlib.import_module(name)
    import_models()
    if recordings:
        from tests.recorded_migrations import use_recorded_migrations

        use_recorded_migrations(Path(recordings))
    del sys.path[0]
    gc.freeze()
    connection = socket.socket(fileno=descriptor)
    connection.send(b"ready")
    request = serve(connection)
    if request is not None:
        connection.detach()
        run_and_exit(request.arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
