"""`scripts/bench cli`: measure the start-up time of the console script.

Compares, in the same environment and alternately,

    scaiwave --help               with   python -c pass
    scaiwave room export --help   with   python -c pass
    scaiwave admin list-tenants   with   a django.setup() with the same applications, and with one
                                         that has only contenttypes and auth

on a database with 12 tenants.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from scripts.benchmarks.harness import RUN_TITLES, Database, Rounds, empty_home, print_table
from scripts.benchmarks.large_server import ServerSize, fill_server
from scripts.benchmarks.processes import time_pipeline

SIZE = ServerSize(tenants=12, people=12, rooms=1, audit_entries=1)
# The console script next to the interpreter.
SCRIPT = str(Path(sys.executable).with_name("scaiwave"))
BARE_SETUP = """
from django.conf import settings
settings.configure(
    INSTALLED_APPS=[
        "django.contrib.contenttypes", "django.contrib.auth",
        "scaiwave", "tenants", "federation", "rooms", "identity_sync",
    ],
    AUTH_USER_MODEL="tenants.AdminUser",
    PROFILE="cli",
)
import django
django.setup()
"""
LEAST_SETUP = """
from django.conf import settings
settings.configure(INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth"])
import django
django.setup()
"""
COMMANDS = {
    "scaiwave --help": [SCRIPT, "--help"],
    "scaiwave room export --help": [SCRIPT, "room", "export", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
    "scaiwave admin list-tenants": [SCRIPT, "admin", "list-tenants", "--quiet"],
    "django.setup() with our apps": [sys.executable, "-c", BARE_SETUP],
    "django.setup() with two apps": [sys.executable, "-c", LEAST_SETUP],
}
PAIRS = (
    # A command, its baseline, and the target.
    ("scaiwave --help", "python -c pass", "≤ 3"),
    ("scaiwave room export --help", "python -c pass", "≤ 3"),
    ("scaiwave admin list-tenants", "django.setup() with our apps", "≤ 1.3"),
    ("scaiwave admin list-tenants", "django.setup() with two apps", "≤ 1.5"),
)


def add_options(add: Callable[..., Any]) -> None:
    add("--runs", type=int, default=21, help="runs of each command")


def choose_database(options: argparse.Namespace) -> str:
    return "sqlite"


def measure(database: Database, options: argparse.Namespace) -> Rounds:
    rounds = Rounds()
    with empty_home(database) as environment:
        fill_server(environment, SIZE)
        for run in range(options.runs + 1):
            for name, command in COMMANDS.items():
                measured = time_pipeline(command, environment=environment)
                if run:  # the first one reads from the disk and compiles
                    rounds.add(name, measured)
    print_table(("", *RUN_TITLES), [rounds.build_row(*pair) for pair in PAIRS])
    return rounds
