"""Errors of ScaiCMS and of the connection to it during a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scaiwave.clients.scaicms import ScaiCmsClient
from scaiwave.core.errors import (
    ScaiWaveError,
    UpstreamForbidden,
    UpstreamInvalidResponse,
    UpstreamUnauthorized,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from scaiwave.publishing.publish import PublishReport
from scaiwave.sandbox import Sandbox
from scaiwave.sandbox.http.messages import Action
from tests.scaiwave.publishing.conftest import Publish
from tests.scaiwave.publishing.factories import make_page, write_page

ROLES = "/api/v1/docs/scaiwave/v1/suite/roles"
INDEX = "/api/v1/docs/scaiwave/v1/operator-suite/pages"
TEMPLATE = "/api/v1/docs/{namespace}/{version}/{path:path}"


def get_outcomes(report: PublishReport) -> dict[str, tuple[bool, list[str]]]:
    return {
        step.path: (step.done, [problem.code for problem in step.problems]) for step in report.steps
    }


@pytest.mark.parametrize(
    ("action", "settings"),
    [
        ("status", {"status": 429, "headers": {"Retry-After": "0"}}),
        ("status", {"status": 429}),
        ("status", {"status": 500}),
        ("status", {"status": 503}),
        ("drop", {}),
        ("cut", {}),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_success_retried_once(
    action: Action, settings: dict[str, Any], method: str, run: Publish, cms: Sandbox
) -> None:
    cms.faults.add(action, method=method, path=ROLES, times=1, **settings)
    report = run(execute=True)
    assert report.format_summary() == "Created 3 pages."
    assert report.problems == []
    assert cms.faults.list_rules()[0].fired == 1


@pytest.mark.parametrize(
    ("action", "settings", "code"),
    [
        ("status", {"status": 500}, "SW_UPSTREAM_UNAVAILABLE"),
        ("status", {"status": 429}, "SW_UPSTREAM_UNAVAILABLE"),
        ("status", {"status": 403}, "SW_UPSTREAM_FORBIDDEN"),
        ("status", {"status": 401}, "SW_UPSTREAM_CREDENTIALS_REFUSED"),
        ("status", {"status": 422}, "SW_UPSTREAM_REJECTED"),
        ("drop", {}, "SW_UPSTREAM_UNREACHABLE"),
        ("not_json", {}, "SW_UPSTREAM_NONSENSE"),
        ("wrong_shape", {"body": {"rev": "one", "title": 1}}, "SW_UPSTREAM_NONSENSE"),
        ("redirect", {"location": "https://example.org/"}, "SW_UPSTREAM_REDIRECT"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_success_the_rest_is_written(
    action: Action, settings: dict[str, Any], code: str, method: str, run: Publish, cms: Sandbox
) -> None:
    cms.faults.add(action, method=method, path=ROLES, **settings)
    assert get_outcomes(run(execute=True)) == {
        "suite/roles": (False, [code]),
        "suite/sync": (True, []),
        "operator-suite/pages": (True, []),
    }
    cms.faults.clear()
    assert run(execute=True).problems == []


def test_success_refusal_has_a_fix(run: Publish, cms: Sandbox) -> None:
    detail = {"code": "PERMISSION_DENIED", "message": "Permission docs.write required"}
    cms.faults.add("status", method="PUT", path=ROLES, status=403, body={"detail": detail})
    (problem,) = run(execute=True).problems
    assert problem.message == (
        f"ScaiCMS at {cms.url} does not allow PUT {ROLES}: PERMISSION_DENIED, Permission "
        "docs.write "
        "required."
    )
    assert problem.fix == (
        "Give the owner of the key of SCAIWAVE_SCAICMS_API_KEY the permission docs.write."
    )


def test_success_retries_are_used_up_once(run: Publish, cms: Sandbox, docs: Path) -> None:
    for number in range(5):
        write_page(docs, f"{number}.md", make_page(f"P{number}", f"suite/p{number}"))
    cms.faults.add("status", method="PUT", status=500)
    report = run(execute=True)
    assert len(report.failed) == 8
    # Several tries for the first page, one for each of the others.
    first = sum("pages" in line for line, _ in cms.requests.recent if line.startswith("PUT"))
    puts = sum(line.startswith("PUT") for line, _ in cms.requests.recent)
    assert first > 1
    assert puts == first + 7


def test_success_retries_start_over_after_a_success(run: Publish, cms: Sandbox) -> None:
    cms.faults.add("status", method="PUT", path=INDEX, status=500)
    cms.faults.add("status", method="PUT", path="*/suite/sync", status=500, times=1)
    assert get_outcomes(run(execute=True)) == {
        "suite/roles": (True, []),
        "suite/sync": (True, []),
        "operator-suite/pages": (False, ["SW_UPSTREAM_UNAVAILABLE"]),
    }


def test_success_a_failed_removal_stays_in_the_index(
    run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    (docs / "roles.md").unlink()
    cms.faults.add("status", method="DELETE", status=405)
    report = run("suite/roles", execute=True)
    assert get_outcomes(report)["suite/roles"] == (False, ["SW_UPSTREAM_NONSENSE"])
    assert report.rows()[1]["action"] == "not pruned"
    cms.faults.clear()
    assert run("suite/roles", execute=True).problems == []


def test_success_a_removal_whose_response_is_lost(run: Publish, cms: Sandbox, docs: Path) -> None:
    run(execute=True)
    (docs / "roles.md").unlink()
    cms.faults.add("cut", method="DELETE", times=1)
    assert run("suite/roles", execute=True).problems == []
    assert ("scaiwave", "v1", "suite/roles") not in cms.scaicms.pages


def test_success_an_unreadable_removed_page_stays_in_the_index(
    run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    (docs / "roles.md").unlink()
    cms.faults.add("not_json", path=ROLES)
    report = run(execute=True)
    assert get_outcomes(report)["suite/roles"] == (False, ["SW_UPSTREAM_NONSENSE"])
    assert "suite/roles" in cms.scaicms.pages["scaiwave", "v1", "operator-suite/pages"].body_md
    with pytest.raises(UpstreamInvalidResponse):
        run("suite/roles", execute=True)


@pytest.mark.parametrize(
    ("action", "settings", "error", "exit_code"),
    [
        ("status", {"status": 500}, UpstreamUnavailable, 2),
        ("drop", {}, UpstreamUnreachable, 2),
        ("not_json", {}, UpstreamInvalidResponse, 2),
        ("status", {"status": 401}, UpstreamUnauthorized, 3),
        ("status", {"status": 403}, UpstreamForbidden, 3),
    ],
)
def test_fail_index_cannot_be_read(
    action: Action,
    settings: dict[str, Any],
    error: type[ScaiWaveError],
    exit_code: int,
    run: Publish,
    cms: Sandbox,
) -> None:
    cms.faults.add(action, **settings)
    with pytest.raises(error) as caught:
        run(execute=True)
    assert caught.value.exit_code == exit_code
    assert cms.scaicms.pages == {}


def test_fail_key_without_the_scope(run: Publish, cms: Sandbox, client: ScaiCmsClient) -> None:
    cms.scaicms.keys[cms.scaicms.api_key].scopes = {"docs:write:other"}
    with pytest.raises(UpstreamForbidden) as caught:
        run()
    assert caught.value.fix == (
        "Give the key of SCAIWAVE_SCAICMS_API_KEY the scope docs:write:scaiwave."
    )
