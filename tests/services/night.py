"""The parts of the night: what takes too long for each merge, in pieces of at most an hour.

`scripts/test --night PART` runs one, `scripts/test --night` lists them.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

BOTH = "sqlite,postgresql"
LONG = {"SCAIWAVE_TEST_NIGHTLY": "1", "SCAIWAVE_TEST_KILLS": "20"}


@dataclass(frozen=True)
class Part:
    """Without `paths`, all tests that no other part has.

    `minutes` are those of a run beside other work: see docs/CONTRIBUTING.md.
    `shard` is a share of the cases, such as 1/2, and processes share the cases of a file if it
    `splits_files`.
    """

    what: str
    minutes: int
    paths: tuple[str, ...] = ()
    databases: str = BOTH
    shard: str = "1/1"
    splits_files: bool = False
    environment: Mapping[str, str] = field(default_factory=lambda: LONG)

    @property
    def settings(self) -> dict[str, str]:
        return {
            "SCAIWAVE_TEST_PAIRS": "all",
            "SCAIWAVE_TEST_DATABASES": self.databases,
            "SCAIWAVE_TEST_SHARD": self.shard,
            "SCAIWAVE_REQUIRE_SERVICES": "1",
            **self.environment,
        }

    @property
    def is_long(self) -> bool:
        return "SCAIWAVE_TEST_NIGHTLY" in self.environment

    def list_arguments(self) -> list[str]:
        """Return pytest's arguments, besides the number of processes."""
        if self.paths:
            return [*self.paths, "--dist", "load" if self.splits_files else "loadfile"]
        return [f"--ignore={path}" for path in list_paths() if self.is_long]

    def has(self, test: str, database: str) -> bool:
        is_named = test.startswith(self.paths or list_paths())
        is_selected = is_named is bool(self.paths) and is_in_shard(test, self.shard)
        return self.is_long and is_selected and database in self.databases.split(",")


def is_in_shard(test: str, shard: str) -> bool:
    number, shards = map(int, shard.split("/"))
    return zlib.crc32(test.encode()) % shards == number - 1


def list_paths() -> tuple[str, ...]:
    """Return the paths that parts of their own have."""
    return tuple(sorted({path for part in PARTS.values() for path in part.paths}))


def _at(moment: str, pairs: str) -> Part:
    """Return the whole suite at another time, each test on one of the two databases.

    Under two of the clocks each test runs on both.
    """
    environment = {"SCAIWAVE_TEST_CLOCK": moment, "SCAIWAVE_TEST_PAIRS": pairs}
    return Part(f"the suite at {moment}", 40, environment=environment)


REMOVALS = (
    "tests/identity_sync/removals/test_property.py",
    "tests/identity_sync/removals/test_broken_scopes.py",
    "tests/identity_sync/sync/fetch/test_random_faults.py",
)
LISTS = ("tests/identity_sync/sync/confirm/test_never_removes.py",)
PARTS: Mapping[str, Part] = {
    "suite-sqlite": Part("the suite with more examples, on SQLite", 35, databases="sqlite"),
    "suite-postgresql": Part("the same on PostgreSQL", 35, databases="postgresql"),
    "clock-leap-day": _at("2028-02-29T12:00:00", "half-and-ci"),
    "clock-year-end": _at("2027-12-31T23:45:00", "half-and-ci"),
    "clock-summer-time": _at("2027-03-28T01:45:00/Europe/Berlin", "swapped-and-ci"),
    "browser": Part("pages, tasks and 10,000 tenants in a browser", 20, ("tests/browser",)),
    "faults-1": Part(
        "half of the faults of connections", 45, ("tests/faults",), shard="1/2", splits_files=True
    ),
    "faults-2": Part("the others", 45, ("tests/faults",), shard="2/2", splits_files=True),
    "removals": Part("mixes of losses, decisions and failures", 45, REMOVALS, splits_files=True),
    "lists-sqlite": Part(
        "syncs of lists that omit rows", 15, LISTS, databases="sqlite", splits_files=True
    ),
    "lists-postgresql": Part(
        "the same on PostgreSQL", 40, LISTS, databases="postgresql", splits_files=True
    ),
    "container": Part("the page about Docker", 12, ("tests/deploy/test_container.py",)),
}


def list_parts() -> Iterator[str]:
    yield "Parts, each with its minutes on two busy cores:"
    for name, part in PARTS.items():
        yield f"  {name:<17} {part.minutes:>3}  {part.what}"
