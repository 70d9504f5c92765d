"""Commands whose connections are slow, break or corrupt bytes: an error with a fix, or success.

Each ends with the state before it or with that of success, and succeeds without the fault. With
SCAIWAVE_TEST_NIGHTLY=1 each connection of each command fails at several moments.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.databases import RawDatabase
from tests.faults.commands import COMMANDS, COMMIT, CUTS, ERRORS, STALLED, Command
from tests.faults.matrix import Matrix
from tests.faults.site import POSTGRESQL, REDIS, S3, SCAIKEY, Site
from tests.scaiwave.cli_helpers import ProcessResult
from tests.services.faulty_proxy import Fault, FaultKind
from tests.tools import NIGHTLY

pytestmark = [
    pytest.mark.once,
    pytest.mark.only_on("postgresql"),
    pytest.mark.redis,
    pytest.mark.seaweedfs,
]

OUTAGE_SECONDS = 2.0
CREATE = "admin create-tenant --local --slug new --name New"
DATABASE = re.compile(r"The database test_\w+ on 127\.0\.0\.1:\d+")
ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        pytest.param(name, kind, id=f"{name}-{kind.value}")
        for name, command in COMMANDS.items()
        for kind in command.outcomes
    ],
)
def test_fault(matrix: Matrix, name: str, kind: FaultKind) -> None:
    """The connection that a command uses most fails at the moment that matters most."""
    command = COMMANDS[name]
    via = command.connections[0]
    clean = matrix.get_clean_run(name, via)
    exchanges = clean.find_exchanges(command.requests)
    is_commit = command.requests == COMMIT
    exchange = exchanges[-1 if is_commit else len(exchanges) // 2]
    fault = replace(
        clean.make_fault(kind, exchange, via),
        to_request=kind is FaultKind.CORRUPT and command.corrupts_requests,
        times=command.cuts if kind is FaultKind.CUT else 1,
        kept=0 if is_commit else 0.5,
    )
    matrix.assert_handled(name, via, fault, [command.outcomes[kind]])


def run_with_fault(
    matrix: Matrix, kind: FaultKind, *, to_request: bool = False, seconds: float = 0
) -> ProcessResult:
    """Create a tenant, with a fault at the only COMMIT."""
    clean = matrix.get_clean_run("admin create-tenant", POSTGRESQL)
    matrix.site.reset(with_jobs=False)
    fault = Fault(
        kind,
        clean.find_exchanges(COMMIT)[-1],
        to_request=to_request,
        kept=0,
        seconds=seconds,
    )
    matrix.site.proxies[POSTGRESQL].expect(fault)
    return matrix.site.run(CREATE, via=POSTGRESQL)


def count_tenants(site: Site) -> int:
    return len(RawDatabase(site.url).rows("SELECT id FROM sw_tenants WHERE slug = 'new'"))


def mask_names(text: str) -> str:
    return ID.sub("ID", DATABASE.sub("DATABASE", text))


@pytest.mark.parametrize("kind", [FaultKind.CUT, FaultKind.RESET, FaultKind.CORRUPT])
def test_fail_response_is_lost(matrix: Matrix, kind: FaultKind) -> None:
    ended = run_with_fault(matrix, kind)
    assert (ended.code, ended.out, count_tenants(matrix.site)) == (2, "", 1)
    assert mask_names(ended.err) == (
        "Error: DATABASE saved the changes, but its response was lost: "
        "create-tenant: tenant new (ID). [SW_DATABASE_LOST_AFTER_COMMIT]\n"
        "  Fix: Run `scaiwave admin show-tenant ID` to see the result, and this command again only "
        "if some of it is missing.\n"
    )


def test_fail_request_is_lost(matrix: Matrix) -> None:
    """The server never got the COMMIT."""
    ended = run_with_fault(matrix, FaultKind.CUT, to_request=True)
    assert (ended.code, ended.out, count_tenants(matrix.site)) == (2, "", 0)
    assert "[SW_DATABASE_UNREACHABLE]" in ended.err
    matrix.site.proxies[POSTGRESQL].expect(None)
    assert matrix.site.run(CREATE, via=POSTGRESQL).code == 0


def test_fail_server_is_restarted(matrix: Matrix) -> None:
    """It is asked until it answers."""
    ended = run_with_fault(matrix, FaultKind.OUTAGE, seconds=1)
    assert (ended.code, count_tenants(matrix.site)) == (2, 1)
    assert "[SW_DATABASE_LOST_AFTER_COMMIT]" in ended.err


def test_fail_server_is_gone(matrix: Matrix) -> None:
    """Whether the changes were saved is not known."""
    ended = run_with_fault(matrix, FaultKind.OUTAGE, seconds=60)
    assert (ended.code, ended.out) == (2, "")
    assert mask_names(ended.err) == (
        "Error: DATABASE was lost before it confirmed that it saved the changes: "
        "create-tenant: tenant new (ID). [SW_DATABASE_COMMIT_UNKNOWN]\n"
        "  Fix: Run `scaiwave admin show-tenant ID` to see whether they were saved, before you run "
        "this command again.\n"
    )


def test_fail_pooler_has_no_server(matrix: Matrix) -> None:
    """It accepts clients, and lets their queries wait: without a deadline, for ever."""
    ended = run_with_fault(matrix, FaultKind.SILENCE, seconds=3600)
    assert (ended.code, ended.out) == (2, "")
    assert "[SW_DATABASE_COMMIT_UNKNOWN]" in ended.err


def test_fail_sync_is_recorded_as_applied(matrix: Matrix) -> None:
    """What the history shows is what was done, although the command has failed."""
    clean = matrix.get_clean_run("sync", POSTGRESQL)
    matrix.site.reset(with_jobs=False)
    fault = Fault(FaultKind.CUT, clean.choose_exchange("commit-before"), kept=0)
    matrix.site.proxies[POSTGRESQL].expect(fault)
    ended = matrix.site.run(COMMANDS["sync"].words, via=POSTGRESQL)
    assert ended.code == 2
    assert "SW_DATABASE_LOST_AFTER_COMMIT" in ended.err
    rows = RawDatabase(matrix.site.url).rows(
        "SELECT outcome, error_code, counts->'participants'->>'deactivated' FROM sw_sync_runs "
        "ORDER BY started_at DESC LIMIT 1"
    )
    assert rows == [("applied", "SW_DATABASE_LOST_AFTER_COMMIT", "1")]


MOMENTS = ("first", "middle", "last", "commit-before", "commit")
FAULTS: Mapping[str, Mapping[str, Any]] = {
    "delay": {"kind": FaultKind.DELAY},
    "outage": {"kind": FaultKind.OUTAGE, "seconds": OUTAGE_SECONDS},
    "cuts": {"kind": FaultKind.CUT, "times": CUTS},
    "reset": {"kind": FaultKind.RESET, "kept": 0},
    "cut-answer": {"kind": FaultKind.CUT, "kept": 0},
    "cut-in-answer": {"kind": FaultKind.CUT},
    "cut-request": {"kind": FaultKind.CUT, "kept": 0, "to_request": True},
    "cut-in-request": {"kind": FaultKind.CUT, "to_request": True},
    "corrupt-answer": {"kind": FaultKind.CORRUPT},
    "corrupt-request": {"kind": FaultKind.CORRUPT, "to_request": True},
    "stall": {"kind": FaultKind.FREEZE, "to_request": True},
}


def list_every_case() -> Iterator[tuple[str, str, str, str]]:
    """Each fault of each connection at several moments; throttling goes on from the first."""
    for name, command in COMMANDS.items():
        for via in command.connections:
            yield name, via, "first", "throttle"
            for moment in MOMENTS:
                if moment.startswith("commit") and not (via == POSTGRESQL and command.commits):
                    continue
                for fault in FAULTS:
                    if is_noticed(command, via, moment, fault):
                        yield name, via, moment, fault


def is_noticed(command: Command, via: str, moment: str, fault: str) -> bool:
    """Return whether there is something whose change is noticed: most of HTTP has no body.

    What Redis takes a changed request for depends on its other bytes.
    """
    if fault == "stall":
        return via == POSTGRESQL
    if fault.startswith("corrupt") and FaultKind.CORRUPT not in command.outcomes:
        return False
    if fault == "corrupt-request" and via in {REDIS, SCAIKEY}:
        return False
    if fault.startswith("corrupt") and via == S3:
        is_request = fault == "corrupt-request"
        return moment != "last" and is_request is command.corrupts_requests
    return True


@pytest.mark.skipif(not NIGHTLY, reason="SCAIWAVE_TEST_NIGHTLY is not set.")
@pytest.mark.parametrize(
    ("name", "via", "moment", "fault"),
    [pytest.param(*case, id=" ".join(case)) for case in list_every_case()] if NIGHTLY else [],
)
def test_every_fault(matrix: Matrix, name: str, via: str, moment: str, fault: str) -> None:
    clean = matrix.get_clean_run(name, via)
    # Most answers about sizes have no body to corrupt.
    has_body = via == S3 and fault.startswith("corrupt")
    exchange = clean.choose_exchange(moment, COMMANDS[name].requests if has_body else b"")
    basic = clean.make_fault(FaultKind.THROTTLE, exchange, via)
    expected = (*(STALLED if fault == "stall" else ERRORS[via]), *COMMANDS[name].other_errors)
    matrix.assert_handled(name, via, replace(basic, **FAULTS.get(fault, {})), expected)
