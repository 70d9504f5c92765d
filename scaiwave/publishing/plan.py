"""The action for each page, from the comparison of the source with the live page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from scaiwave.clients.scaicms import LivePage
from scaiwave.core.errors import ScaiWaveError


class Action(StrEnum):
    """The action for a page.

    `gone`: listed as published, and now without a source. `pruned`: gone, and to be removed.
    `failed`: the source is invalid, or the live page can't be read.
    """

    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    DRAFT = "draft"
    GONE = "gone"
    PRUNED = "pruned"
    FAILED = "failed"


WRITES = (Action.CREATED, Action.UPDATED)
CHANGES = (*WRITES, Action.PRUNED)


@dataclass(frozen=True, kw_only=True)
class PagePayload:
    """A page as it is sent, with its complete front matter."""

    file: str
    fields: dict[str, str]
    body: str

    @property
    def path(self) -> str:
        return self.fields["path"]

    @property
    def title(self) -> str:
        return self.fields["title"]


@dataclass(frozen=True, kw_only=True)
class PageAction:
    """The action for one page. `changes` lists what differs; `rev` is the live revision, if known.

    `problems` are the reasons why it was not or can't be executed; `done` is true once it was.
    """

    action: Action
    path: str
    file: str = ""
    outgoing: PagePayload | None = None
    changes: tuple[str, ...] = ()
    rev: int | None = None
    problems: tuple[ScaiWaveError, ...] = ()
    done: bool = False

    @property
    def is_due(self) -> bool:
        return self.action in CHANGES and not self.problems and not self.done

    def document(self) -> dict[str, Any]:
        return {
            "action": self.action.value,
            "path": self.path or None,
            "file": self.file or None,
            "changes": list(self.changes),
            "rev": self.rev,
            "done": self.done,
            "problems": [_build_problem(error) for error in self.problems],
        }


def _build_problem(error: ScaiWaveError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "fix": error.fix}


def plan_page(outgoing: PagePayload, live: LivePage | None) -> PageAction:
    """Compare the page with the live one, and return the action that makes them equal."""
    step = PageAction(
        action=Action.CREATED, path=outgoing.path, file=outgoing.file, outgoing=outgoing
    )
    if live is None:
        return step
    changes = tuple(_find_differences(outgoing, live))
    action = Action.UPDATED if changes else Action.UNCHANGED
    return replace(step, action=action, changes=changes, rev=live.rev)


def _find_differences(outgoing: PagePayload, live: LivePage) -> Iterator[str]:
    """Yield what differs, except for line endings and fields that ScaiCMS adds."""
    if live.title != outgoing.title:
        yield "title"
    if _normalize_body(live.body_md) != _normalize_body(outgoing.body):
        yield "body"
    fields = live.frontmatter or {}
    for name, value in outgoing.fields.items():
        if fields.get(name) != value:
            yield f"front matter: {name}"


def _normalize_body(body: str) -> str:
    return body.replace("\r\n", "\n").strip("\n")
