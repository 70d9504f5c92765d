"""`scripts/publish_docs.py` as a process, and the pages of this checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scaiwave.publishing.pages import read_pages
from scaiwave.publishing.publish import INDEX_PATH, plan_pages
from scaiwave.sandbox import Sandbox
from tests.scaiwave.publishing.factories import make_page, write_page

TOP = Path(__file__).resolve().parents[2]


def run_script(*options: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "scripts/publish_docs.py", *options],
        cwd=TOP,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    docs = tmp_path / "docs"
    write_page(docs, "a.md", make_page("A", "suite/a", text="[b](b.md)"))
    write_page(docs, "b.md", make_page("B", "suite/b"))
    return docs


@pytest.fixture
def cms(monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    with Sandbox(people=10, tenants=1, groups=1, partners=1) as running:
        monkeypatch.setenv("SCAIWAVE_SCAICMS_URL", running.url)
        monkeypatch.setenv("SCAIWAVE_SCAICMS_API_KEY", running.scaicms.api_key)
        yield running


def test_success_pages_of_the_checkout() -> None:
    docs = TOP / "docs"
    steps = plan_pages(read_pages(docs, reserved=INDEX_PATH), docs, "scaiwave")
    problems = [problem.message for step in steps for problem in step.problems]
    assert problems == []


def test_success(cms: Sandbox, docs: Path) -> None:
    planned = run_script("--docs", docs)
    assert planned.returncode == 0
    assert planned.stdout.splitlines() == [
        "Status   Page                  Source  Differences",
        "created  suite/a               a.md    -",
        "created  suite/b               b.md    -",
        "created  operator-suite/pages  -       -",
    ]
    assert planned.stderr == "No changes were made. With --execute, this will create 3 pages.\n"
    assert cms.scaicms.pages == {}

    written = run_script("--docs", docs, "--execute", "--json")
    assert (written.returncode, written.stderr) == (0, "")
    document = json.loads(written.stdout)
    assert document["counts"]["created"] == 3
    assert [step["done"] for step in document["pages"]] == [True, True, True]

    (docs / "b.md").unlink()
    write_page(docs, "a.md", make_page("A", "suite/a"))
    pruned = run_script("--docs", docs, "--execute", "--prune", "suite/b")
    assert pruned.returncode == 0
    assert pruned.stdout.splitlines()[1:] == [
        "updated  suite/a               a.md    body",
        "pruned   suite/b               -       -",
        "updated  operator-suite/pages  -       body",
    ]
    assert pruned.stderr == "Updated 2 pages, removed 1 page.\n"


@pytest.mark.parametrize("suffix", ["/api", "/api/v1/"])
def test_fail_an_address_with_a_path_is_configuration(
    cms: Sandbox, docs: Path, suffix: str
) -> None:
    process = run_script("--docs", docs, "--execute", SCAIWAVE_SCAICMS_URL=f"{cms.url}{suffix}")
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.count("Error: ") == 1
    assert "was not found (404), although ScaiCMS has it. [SW_UPSTREAM_NONSENSE]" in process.stderr
    assert "  Fix: Set SCAIWAVE_SCAICMS_URL to the address of ScaiCMS, without" in process.stderr


def test_fail_some_pages(cms: Sandbox, docs: Path) -> None:
    write_page(docs, "b.md", "# B\n")
    cms.faults.add("status", method="PUT", path="*/operator-suite/pages", status=403)
    write_page(docs, "c.md", make_page("C", "suite/c"))
    write_page(docs, "a.md", make_page("A", "suite/a"))
    process = run_script("--docs", docs, "--execute")
    assert process.returncode == 1
    assert process.stdout.splitlines()[1:] == [
        "created      suite/a               a.md    -",
        "failed       -                     b.md    -",
        "created      suite/c               c.md    -",
        "not created  operator-suite/pages  -       -",
    ]
    address = "/api/v1/docs/scaiwave/v1/operator-suite/pages"
    assert process.stderr.splitlines() == [
        "Error: Invalid page: b.md: no front matter. [SW_DOCS_BAD_PAGE]",
        "  Fix: Begin the page with a line ---, the fields title, path, audience, summary, status, "
        "and a line ---.",
        f"Error: ScaiCMS at {cms.url} does not allow PUT {address}: Fault 403. "
        "[SW_UPSTREAM_FORBIDDEN]",
        "  Fix: Ask the operator of ScaiCMS for the permission.",
        "Created 2 pages.",
        "Error: 2 of 4 pages could not be published. [SW_DOCS_FAILED]",
        "  Fix: Correct the errors above, then run the script again; unchanged pages are not sent "
        "again.",
    ]


def test_fail_as_json(cms: Sandbox, docs: Path) -> None:
    write_page(docs, "b.md", "# B\n")
    process = run_script("--docs", docs, "--json")
    assert process.returncode == 1
    assert json.loads(process.stdout)["counts"]["failed"] == 2
    assert json.loads(process.stderr)["error"]["code"] == "SW_DOCS_FAILED"


def test_fail_not_configured(docs: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE")  # It is set for tests only.
    process = run_script("--docs", docs)
    assert list(home.iterdir()) == []
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr.startswith("Error: SCAIWAVE_SCAICMS_URL is not set. [SW_CONFIG_MISSING]")


def test_fail_usage() -> None:
    process = run_script("--exec", "--json")
    assert (process.returncode, process.stdout) == (2, "")
    assert json.loads(process.stderr) == {
        "error": {
            "code": "SW_USAGE",
            "message": "Unknown option: --exec.",
            "fix": "Did you mean `--execute`? Use `scripts/publish_docs.py [options]`; `--help` "
            "lists the options.",
        }
    }


def test_fail_key_refused(cms: Sandbox, docs: Path) -> None:
    wrong = "scai_live_000000000000000000"
    process = run_script("--docs", docs, SCAIWAVE_SCAICMS_API_KEY=wrong)
    assert (process.returncode, process.stdout) == (3, "")
    assert "[SW_UPSTREAM_CREDENTIALS_REFUSED]" in process.stderr
    assert wrong not in process.stderr


def test_fail_operator_token_is_required(cms: Sandbox, docs: Path) -> None:
    ended = run_script("--docs", docs, SCAIWAVE_REQUIRE_ADMIN_TOKEN="true")
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "SW_AUTH_TOKEN_REQUIRED" in ended.stderr
    assert cms.requests.total == 0


def test_success_operator_token(cms: Sandbox, docs: Path) -> None:
    settings = {
        "SCAIWAVE_SCAIKEY_URL": cms.url,
        "SCAIWAVE_SCAIKEY_CLIENT_ID": cms.client_id,
        "SCAIWAVE_REQUIRE_ADMIN_TOKEN": "true",
    }
    token = cms.issue_token(role="super_admin")
    ended = run_script("--docs", docs, "--execute", SCAIWAVE_ADMIN_TOKEN=token, **settings)
    assert ended.returncode == 0, ended.stderr
    token = cms.issue_token(role="tenant_admin", tenant_id="tnt_1")
    ended = run_script("--docs", docs, SCAIWAVE_ADMIN_TOKEN=token, **settings)
    assert ended.returncode == 3
