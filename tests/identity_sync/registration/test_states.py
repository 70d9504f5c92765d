"""A registration from its request to each of its ends, by the command line and over HTTP.

Each command is a process of its own, as days may lie between them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from scaiwave.config.configuration import read_env_file
from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.scaiwave.cli_helpers import ProcessResult, run_scaiwave

pytestmark = pytest.mark.sandbox(partners=2, tenants=3, people=10, groups=2)

REGISTER = ("sync", "register")


@pytest.fixture(autouse=True)
def server(home: Path, database_url: str, migrated: str) -> None:
    """A server whose tables are prepared."""
    copy_database(migrated, database_url)


def apply(sandbox: Sandbox, *options: str) -> ProcessResult:
    answers = ("--scope=GLOBAL", "--name=chat", "--contact-email=ops@example.com")
    return run_scaiwave(*REGISTER, f"--url={sandbox.url}", *answers, *options)


def get_fields(result: ProcessResult) -> dict[str, str]:
    assert result.code == 0, result.err
    pairs = (line.split("  ", maxsplit=1) for line in result.out.splitlines())
    return {name: value.strip() for name, value in pairs}


def get_request_id(result: ProcessResult) -> str:
    return get_fields(result)["Request"]


def decide(sandbox: Sandbox, request_id: str, decision: str, **body: str) -> None:
    path = f"{sandbox.url}/sandbox/registrations/{request_id}/{decision}"
    httpx.post(path, json=body, trust_env=False).raise_for_status()


def read_status() -> tuple[dict[str, Any], str]:
    """Return the document of `sync status`, and its error."""
    result = run_scaiwave("sync", "status", "--no-drift", "--json")
    assert result.code == 2
    document: dict[str, Any] = json.loads(result.out)
    return document, f"{json.loads(result.err)['error']['message']}"


def test_success_pending_until_it_is_approved(sandbox: Sandbox, home: Path) -> None:
    request_id = get_request_id(apply(sandbox))
    for _ in range(2):
        again = run_scaiwave(*REGISTER)
        assert get_request_id(again) == request_id
        assert get_fields(again)["Outcome"] == "pending"
        assert get_fields(again)["Requested"].startswith("2")
        assert f"Next: approve request {request_id} in ScaiKey, then run" in again.err
    waited = run_scaiwave(*REGISTER, "--wait", "--timeout=0")
    assert waited.code == 1
    assert waited.err.splitlines()[-2:] == [
        f"Error: Request {request_id} was not approved or rejected within 0 s. "
        "[SW_REGISTRATION_PENDING]",
        "  Fix: Approve the request in ScaiKey, then run `scaiwave sync register` again to "
        "continue.",
    ]
    status, message = read_status()
    waiting = f"This server is not registered yet: waiting for approval of request {request_id}."
    assert message == waiting
    for words in ("sync", "sync export-env"):
        ended = run_scaiwave(*words.split())
        assert ended.code == 2
        assert f"{waiting} [SW_SYNC_NOT_REGISTERED]\n  Fix: Approve" in ended.err, words
    assert (status["registration"]["state"], status["registration"]["request_id"]) == (
        "PENDING",
        request_id,
    )
    assert f"request {request_id} in ScaiKey" in run_scaiwave("doctor").out

    decide(sandbox, request_id, "approve")
    approved = run_scaiwave(*REGISTER)
    assert approved.code == 0
    assert "Next: run `scaiwave sync`." in approved.err
    assert read_env_file(home / ".env")["SCAIWAVE_SCAIKEY_CLIENT_ID"] in approved.out
    assert run_scaiwave("sync").code == 0


APPLY = "Run `scaiwave sync register` to apply again with the same answers."
RESOLVE = (
    "Resolve the reason with a ScaiKey administrator, then run `scaiwave sync register` to apply "
    "again; other answers are flags, such as `--name`."
)
Ending = tuple[str, dict[str, str], str, str, str]
ENDINGS: dict[str, Ending] = {
    "REJECTED": (
        "reject",
        {"reason": "Use your work address."},
        "ScaiKey rejected request {id}: Use your work address. [SW_REGISTRATION_REJECTED]",
        RESOLVE,
        "This server is not registered: ScaiKey rejected request {id}: Use your work address.",
    ),
    "EXPIRED": (
        "expire",
        {},
        "Request {id} has expired in ScaiKey. [SW_REGISTRATION_OVER]",
        APPLY,
        "This server is not registered: request {id} has expired.",
    ),
    "CANCELLED": (
        "cancel",
        {},
        "Request {id} was cancelled in ScaiKey. [SW_REGISTRATION_OVER]",
        APPLY,
        "This server is not registered: request {id} was cancelled.",
    ),
}


@pytest.mark.parametrize("state", ENDINGS)
def test_fail_then_apply_again(sandbox: Sandbox, home: Path, state: str) -> None:
    decision, body, error, fix, summary = ENDINGS[state]
    request_id = get_request_id(apply(sandbox))
    decide(sandbox, request_id, decision, **body)
    ended = run_scaiwave(*REGISTER)
    assert ended.code == 1
    assert f"Error: {error.format(id=request_id)}\n  Fix: {fix}\n" in ended.err
    assert list(home.glob("*scaikey-registration*")) == []
    status, message = read_status()
    assert message == summary.format(id=request_id)
    assert status["registration"]["state"] == state
    assert status["registration"]["rejection_reason"] == body.get("reason")
    sync = run_scaiwave("sync")
    assert sync.code == 2
    assert "`scaiwave sync register`" in sync.err

    # Again, with one answer changed and the others as they were.
    second = run_scaiwave(*REGISTER, "--contact-email=anna@example.com", "--json")
    assert second.code == 0, second.err
    registration = json.loads(second.out)["registration"]
    assert registration["request_id"] != request_id
    assert (registration["name"], registration["contact_email"]) == ("chat", "anna@example.com")
    decide(sandbox, registration["request_id"], "approve")
    assert run_scaiwave(*REGISTER).code == 0


@pytest.mark.parametrize("scope", ["GLOBAL", "PARTNER", "TENANT"])
def test_success_each_scope(sandbox: Sandbox, scope: str) -> None:
    """Register, approve, sync and look at it, with each scope."""
    tenant = next(iter(sandbox.directory.tenants.values()))
    partner = sandbox.directory.partners[tenant["partner_id"]]
    slug = {"GLOBAL": None, "PARTNER": partner["slug"], "TENANT": tenant["slug"]}[scope]
    options = [f"--{scope.lower()}-slug={slug}"] if slug else []
    request_id = get_request_id(apply(sandbox, f"--scope={scope}", *options))
    decide(sandbox, request_id, "approve")
    registered = json.loads(run_scaiwave(*REGISTER, "--json").out)["registration"]
    assert (registered["scope"], registered["scope_slug"]) == (scope, slug)
    assert registered["token_scope"] == scope

    assert run_scaiwave("sync").code == 0
    tenants = json.loads(run_scaiwave("admin", "list-tenants", "--json").out)["tenants"]
    assert {row["slug"] for row in tenants} == get_expected_slugs(sandbox, scope)
    status = json.loads(run_scaiwave("sync", "status", "--json").out)
    assert (status["registration"]["scope"], status["registration"]["scope_slug"]) == (scope, slug)
    assert status["credentials"] == {"accepted": True, "token_scope": scope, "error": None}
    assert {
        sum(kind[name] for name in ("added", "updated")) for kind in status["drift"].values()
    } == {0}
    assert status["warnings"] == ["No scheduler detected: no scheduled sync has run yet."]

    issuer = sandbox.get_issuer(tenant["id"] if scope == "TENANT" else None)
    config = json.loads(run_scaiwave("sync", "show-config", "--json").out)
    values = {row["name"]: row["value"] for row in config["settings"]}
    assert values["SCAIWAVE_SCAIKEY_ISSUER"] == issuer
    assert "****" in values["SCAIWAVE_SCAIKEY_CLIENT_SECRET"]
    assert config["warnings"] == []
    exported = json.loads(run_scaiwave("sync", "export-env", "--json").out)["environment"]
    assert exported["SCAIWAVE_SCAIKEY_ISSUER"] == issuer
    assert exported["SCAIWAVE_SCAIKEY_CLIENT_ID"] == registered["client_id"]


def get_expected_slugs(sandbox: Sandbox, scope: str) -> set[str]:
    rows = list(sandbox.directory.tenants.values())
    is_visible: dict[str, Callable[[dict[str, Any]], bool]] = {
        "GLOBAL": lambda row: True,
        "PARTNER": lambda row: row["partner_id"] == rows[0]["partner_id"],
        "TENANT": lambda row: row is rows[0],
    }
    return {row["slug"] for row in rows if is_visible[scope](row)}


@pytest.mark.parametrize("kind", ["partner", "tenant"])
def test_fail_unknown_slug_is_named(sandbox: Sandbox, home: Path, kind: str) -> None:
    options = (f"--scope={kind.upper()}", f"--{kind}-slug=acmee")
    result = apply(sandbox, *options)
    assert result.code == 1
    assert result.err.splitlines() == [
        f"Error: {kind.capitalize()} not found in ScaiKey: acmee. [SW_UPSTREAM_NOT_FOUND]",
        f"  Fix: Check --{kind}-slug: it is the slug in ScaiKey.",
    ]
    assert list(home.glob("*scaikey-registration*")) == []

    # ScaiKey may as well reject the field, or return a 404 like that of an unknown path.
    sandbox.faults.add(
        "status", status=422, body={"detail": f"Unknown {kind}"}, method="POST", times=1
    )
    result = apply(sandbox, *options)
    assert result.code == 1
    assert f"Error: {kind.capitalize()} not accepted by ScaiKey: acmee. " in result.err
    sandbox.faults.add("status", status=404, body={"detail": "Not Found"}, method="POST", times=1)
    result = apply(sandbox, *options)
    assert result.code == 2
    assert f"If it is correct, check --{kind}-slug acmee." in result.err
