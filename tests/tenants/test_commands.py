"""Commands as separate processes, each with a database that it has to find."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from scaiwave.sandbox import Sandbox
from tests.databases import copy_database
from tests.scaiwave.cli_helpers import CHECKOUT, ProcessResult, run_scaiwave, start_example
from tests.tenants.fake_scaikey import get_credentials

CREATE = ("admin", "create-tenant", "--slug", "zenith", "--name", "Zenith Corp")


@pytest.fixture
def tables(database_url: str, migrated: str) -> str:
    """The processes' database, with all tables and nothing in them."""
    copy_database(migrated, database_url)
    return database_url


def error_of(ended: ProcessResult) -> dict[str, str]:
    assert ended.out == ""
    error: dict[str, str] = json.loads(ended.err)["error"]
    return error


@pytest.mark.sandbox(partners=1, tenants=1, people=2, groups=0)
def test_success_a_tenant_from_creation_to_the_list(tables: str, sandbox: Sandbox) -> None:
    key = sandbox.directory.add_tenant(name="Zenith Corp", slug="zenith")
    environment = get_credentials(sandbox)
    created = run_scaiwave(*CREATE, "--scaikey-tenant-id", key, "--json", **environment)
    assert (created.code, created.err) == (0, "")
    listed = run_scaiwave("admin", "list-tenants", "--json", **environment)
    assert [row["slug"] for row in json.loads(listed.out)["tenants"]] == ["zenith"]
    shown = run_scaiwave("admin", "show-tenant", key, **environment)
    assert (shown.code, shown.err) == (0, "")
    assert shown.out.startswith("Slug        zenith\n")


# More than a pipe can buffer.
FILL = """
import django
django.setup()
from tenants.models import Participant
from tests.tenants.factories import NOW, make_tenant
tenant = make_tenant()
Participant.objects.bulk_create(
    Participant(tenant=tenant, local_id=f"p{number}", created_at=NOW, updated_at=NOW)
    for number in range(5000)
)
"""


def test_success_reader_closes_the_pipe(tables: str) -> None:
    filled = {**os.environ, "DJANGO_SETTINGS_MODULE": "scaiwave.settings"}
    subprocess.run([sys.executable, "-c", FILL], cwd=CHECKOUT, env=filled, check=True)
    with start_example("admin", "list-participants", "--tenant", "acme", "--jsonl") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline())["type"] == "human"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_success_tenant_created_by_several_processes_at_once(tables: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: run_scaiwave(*CREATE, "--local", "--json"), range(4)))
    assert [(ended.code, ended.err) for ended in ends] == [(0, "")] * 4
    documents = [json.loads(ended.out) for ended in ends]
    assert sorted(document["changed"] for document in documents) == [False, False, False, True]
    assert len({document["tenant"]["id"] for document in documents}) == 1


def test_success_roles_created_by_several_processes_at_once(tables: str) -> None:
    assert run_scaiwave(*CREATE, "--local").code == 0
    words = ("role", "create", "--tenant", "zenith", "--slug", "editors", "--name", "Ed", "--json")
    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(lambda _: run_scaiwave(*words), range(4)))
    assert [(ended.code, ended.err) for ended in ends] == [(0, "")] * 4
    created = [json.loads(ended.out)["changed"] for ended in ends]
    assert sorted(created) == [False, False, False, True]
    listed = json.loads(run_scaiwave("role", "list", "--tenant", "zenith", "--json").out)
    assert listed["roles"][0]["slug"] == "editors"


@pytest.mark.sandbox(partners=1, tenants=1, people=2, groups=0)
def test_fail_operators_cannot_elevate_themselves_by_token(tables: str, sandbox: Sandbox) -> None:
    environment = get_credentials(sandbox)
    assert run_scaiwave("sync", **environment).code == 0
    tenant = next(iter(sandbox.directory.tenants.values()))["slug"]
    people = json.loads(
        run_scaiwave("admin", "list-participants", "--tenant", tenant, "--json", **environment).out
    )["participants"]
    me, other = (person["scaikey_id"] for person in people)
    environment["SCAIWAVE_ADMIN_TOKEN"] = sandbox.issue_token(role="super_admin", sub=me)
    words = ("role", "grant", "tenant_admin", "--tenant", tenant, "--json", "--yes", "--to")
    refused = run_scaiwave(*words, me, **environment)
    assert (refused.code, error_of(refused)["code"]) == (3, "SW_ROLE_SELF_ELEVATION")
    assert run_scaiwave(*words, other, **environment).code == 0


def test_fail_codes_and_exit_codes(tables: str) -> None:
    unknown = run_scaiwave("admin", "show-tenant", "nope", "--json")
    assert (unknown.code, error_of(unknown)["code"]) == (1, "SW_TENANT_NOT_FOUND")
    bad = run_scaiwave("admin", "create-tenant", "--slug=A", "--name=A", "--local", "--json")
    assert (bad.code, error_of(bad)["code"]) == (1, "SW_TENANT_BAD_SLUG")
    unset = run_scaiwave(*CREATE, "--scaikey-tenant-id", "tnt_1", "--json")
    assert (unset.code, error_of(unset)["code"]) == (2, "SW_SYNC_NOT_REGISTERED")
    usage = run_scaiwave(*CREATE, "--json")
    assert (usage.code, error_of(usage)["code"]) == (2, "SW_USAGE")
    barred = run_scaiwave("admin", "list-tenants", "--json", SCAIWAVE_REQUIRE_ADMIN_TOKEN="true")
    assert (barred.code, error_of(barred)["code"]) == (3, "SW_AUTH_TOKEN_REQUIRED")


def test_fail_unmigrated(database_url: str) -> None:
    ended = run_scaiwave("admin", "list-tenants", "--json")
    assert (ended.code, error_of(ended)["code"]) == (2, "SW_DATABASE_UNMIGRATED")
