from __future__ import annotations

from typing import Any

import pytest

from scaiwave.clients.scaicms import LivePage
from scaiwave.publishing.publish import Action, PagePayload, build_index, parse_index, plan_page

FIELDS = {"title": "Roles", "path": "suite/roles", "audience": "operators"}
PAGE = PagePayload(file="roles.md", fields=FIELDS, body="# Roles\n\nText.\n")


def make_live_page(**changes: Any) -> LivePage:
    same: dict[str, Any] = {"title": "Roles", "body_md": PAGE.body, "frontmatter": FIELDS, "rev": 4}
    return LivePage(**{**same, **changes})


def test_success_created() -> None:
    step = plan_page(PAGE, None)
    assert (step.action, step.path, step.file, step.rev) == (
        "created",
        "suite/roles",
        "roles.md",
        None,
    )
    assert step.is_due


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"body_md": "# Roles\r\n\r\nText."},
        {"frontmatter": {**FIELDS, "imported_by": "the server"}},
        {"rev": None},
    ],
)
def test_success_unchanged(changes: dict[str, Any]) -> None:
    step = plan_page(PAGE, make_live_page(**changes))
    assert step.action is Action.UNCHANGED
    assert not step.is_due


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"title": "The roles"}, ("title",)),
        ({"body_md": "# Roles\n\nText"}, ("body",)),
        ({"body_md": "# Roles\n\n  Text.\n"}, ("body",)),
        ({"frontmatter": {**FIELDS, "audience": "developers"}}, ("front matter: audience",)),
        (
            {"frontmatter": None, "body_md": ""},
            ("body", "front matter: title", "front matter: path", "front matter: audience"),
        ),
    ],
)
def test_success_updated(changes: dict[str, Any], expected: tuple[str, ...]) -> None:
    step = plan_page(PAGE, make_live_page(**changes))
    assert (step.action, step.changes, step.rev) == (Action.UPDATED, expected, 4)
    assert step.is_due


def test_success_the_list_is_read_as_it_is_written() -> None:
    paths = {"suite/roles", "a", "suite/more/sync-2"}
    assert parse_index(build_index(paths).body) == paths
    assert parse_index(build_index(paths).body.replace("\n", "\r\n")) == paths
    assert parse_index(build_index([]).body) == set()
    assert parse_index("* `../a`\n* a\n* `b c`\n* `suite/a`") == {"suite/a"}
    assert build_index(sorted(paths)) == build_index(sorted(paths, reverse=True))
