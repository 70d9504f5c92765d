from __future__ import annotations

from pathlib import Path

import pytest

from scaiwave.publishing.publish import PagesFailed, PruneRefused, PublishReport
from scaiwave.sandbox import Sandbox
from tests.scaiwave.publishing.conftest import Publish
from tests.scaiwave.publishing.factories import make_page, write_page


def get_actions(report: PublishReport) -> dict[str, str]:
    """Return the action for each page, and for the list of pages."""
    return {step.path or step.file: step.action.value for step in report.steps}


def get_live_revisions(cms: Sandbox) -> dict[str, int]:
    return {key[2]: page.rev for key, page in cms.scaicms.list_pages()}


def list_writes(cms: Sandbox) -> list[str]:
    return [
        line.replace("/api/v1/docs/scaiwave/v1/", "")
        for line, _ in cms.requests.recent
        if not line.startswith("GET")
    ]


def test_success_plan_writes_nothing(run: Publish, cms: Sandbox) -> None:
    report = run()
    assert get_actions(report) == {
        "suite/roles": "created",
        "suite/sync": "created",
        "operator-suite/pages": "created",
    }
    assert (
        report.format_summary() == "No changes were made. With --execute, this will create 3 pages."
    )
    assert list_writes(cms) == []
    assert get_live_revisions(cms) == {}
    report.raise_failures()


def test_success_execute(run: Publish, cms: Sandbox) -> None:
    report = run(execute=True)
    assert report.format_summary() == "Created 3 pages."
    assert [step.done for step in report.steps] == [True, True, True]
    assert [step.rev for step in report.steps] == [1, 1, 1]
    sent = cms.scaicms.pages["scaiwave", "v1", "suite/roles"]
    assert sent.title == "Roles"
    assert sent.body_md == "# Roles\n\nSee [the sync](/docs/scaiwave/suite/sync#faults).\n"
    assert sent.frontmatter == {
        "title": "Roles",
        "path": "suite/roles",
        "audience": "operators",
        "summary": "A summary.",
        "status": "published",
    }


def test_success_only_what_differs_is_written(run: Publish, cms: Sandbox, docs: Path) -> None:
    run(execute=True)
    cms.requests.reset()
    again = run(execute=True)
    assert set(get_actions(again).values()) == {"unchanged"}
    assert again.format_summary() == "No changes were made."
    assert run().format_summary() == "No changes to make."
    write_page(
        docs, "sync.md", make_page("Sync", "suite/sync", text="## Faults", audience="developers")
    )
    report = run(execute=True)
    assert get_actions(report)["suite/sync"] == "updated"
    assert report.steps[1].changes == ("body", "front matter: audience")
    assert report.format_summary() == "Updated 1 page."
    assert list_writes(cms) == ["PUT suite/sync"]
    assert get_live_revisions(cms) == {"operator-suite/pages": 1, "suite/roles": 1, "suite/sync": 2}


def test_success_a_manual_change_is_overwritten(run: Publish, cms: Sandbox) -> None:
    run(execute=True)
    key = ("scaiwave", "v1", "suite/sync")
    before = cms.scaicms.pages[key]
    cms.scaicms.write(key, type(before)(title="X", body_md="", path="suite/sync", rev=0))
    assert get_actions(run(execute=True))["suite/sync"] == "updated"
    assert cms.scaicms.pages[key].body_md == before.body_md


def test_success_drafts_are_not_sent(run: Publish, cms: Sandbox, docs: Path) -> None:
    write_page(docs, "plan.md", make_page("Plan", "suite/plan", status="draft"))
    assert get_actions(run(execute=True))["suite/plan"] == "draft"
    assert "suite/plan" not in get_live_revisions(cms)


def test_success_removed_page_stays_until_it_is_pruned(
    run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    (docs / "roles.md").unlink()
    report = run(execute=True)
    assert get_actions(report) == {
        "suite/sync": "unchanged",
        "suite/roles": "gone",
        "operator-suite/pages": "unchanged",
    }
    planned = run("suite/roles")
    assert get_actions(planned)["suite/roles"] == "pruned"
    assert planned.format_summary() == (
        "No changes were made. With --execute, this will update 1 page, remove 1 page."
    )
    assert "suite/roles" in get_live_revisions(cms)
    assert run("suite/roles", execute=True).format_summary() == "Updated 1 page, removed 1 page."
    assert get_live_revisions(cms) == {"operator-suite/pages": 2, "suite/sync": 1}
    assert set(get_actions(run()).values()) == {"unchanged"}


def test_success_a_page_that_became_a_draft_counts_as_removed(run: Publish, docs: Path) -> None:
    run(execute=True)
    write_page(docs, "roles.md", make_page("Roles", "suite/roles", status="draft"))
    report = run()
    assert [(step.action.value, step.file) for step in report.steps[:3]] == [
        ("draft", "roles.md"),
        ("unchanged", "sync.md"),
        ("gone", "roles.md"),
    ]


def test_success_manually_removed_page_leaves_the_index(
    run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    (docs / "roles.md").unlink()
    cms.scaicms.remove(("scaiwave", "v1", "suite/roles"))
    assert get_actions(run(execute=True)) == {
        "suite/sync": "unchanged",
        "operator-suite/pages": "updated",
    }


def test_success_one_bad_page_does_not_stop_the_rest(
    run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    write_page(
        docs, "roles.md", make_page("Roles", "suite/roles", text="[a](gone.md) [b](gone.md)")
    )
    write_page(docs, "sync.md", make_page("Sync", "suite/sync", text="## Faults\n\nMany."))
    report = run(execute=True)
    assert get_actions(report)["suite/roles"] == "failed"
    assert get_live_revisions(cms) == {"operator-suite/pages": 1, "suite/roles": 1, "suite/sync": 2}
    assert len(report.problems) == 2
    with pytest.raises(PagesFailed) as caught:
        report.raise_failures()
    assert caught.value.message == "1 of 3 pages could not be published."


@pytest.mark.parametrize("path", ["suite/sync", "suite/never", "/suite/roles"])
def test_fail_prune_a_page_that_still_exists(
    path: str, run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    (docs / "roles.md").unlink()
    cms.requests.reset()
    with pytest.raises(PruneRefused) as caught:
        run("suite/roles", path, execute=True)
    assert caught.value.message == (
        f"Page not removed: {path}: it is not gone. No changes were made."
    )
    assert caught.value.fix == (
        "Run the script without --prune to list the pages that are gone; remove any other page in "
        "ScaiCMS."
    )
    assert list_writes(cms) == []


@pytest.mark.parametrize("content", ["# Roles\n", make_page("Roles", "/suite/roles")])
def test_fail_prune_while_a_path_is_unknown(
    content: str, run: Publish, cms: Sandbox, docs: Path
) -> None:
    run(execute=True)
    write_page(docs, "roles.md", content)
    report = run(execute=True)
    assert get_actions(report)["operator-suite/pages"] == "unchanged"
    assert "suite/roles" not in get_actions(report)
    with pytest.raises(PruneRefused) as caught:
        run("suite/roles", execute=True)
    assert caught.value.message == (
        "Page not removed: suite/roles: it may be the page of roles.md, which has no path. "
        "No changes were made."
    )
    assert caught.value.fix == ("Correct the front matter of roles.md, then run the script again.")
    assert "suite/roles" in get_live_revisions(cms)


def test_success_document(run: Publish, docs: Path) -> None:
    write_page(docs, "roles.md", "# Roles\n")
    document = run(execute=True).document()
    assert document["executed"] is True
    assert document["counts"] == {
        "created": 2,
        "updated": 0,
        "unchanged": 0,
        "draft": 0,
        "gone": 0,
        "pruned": 0,
        "failed": 1,
    }
    bad, good, _ = document["pages"]
    assert (bad["action"], bad["path"], bad["file"], bad["done"]) == (
        "failed",
        None,
        "roles.md",
        False,
    )
    assert bad["problems"][0]["code"] == "SW_DOCS_BAD_PAGE"
    assert good == {
        "action": "created",
        "path": "suite/sync",
        "file": "sync.md",
        "changes": [],
        "rev": 1,
        "done": True,
        "problems": [],
    }
