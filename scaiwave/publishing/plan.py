"""What is to be done for each page, from what is in the folder and what is live."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from scaiwave.clients.scaicms import LivePage
from scaiwave.errors import ScaiWaveError


class Action(StrEnum):
    """`gone`: live, published from here, and without a source; `pruned`: that, and to be removed.

    `failed`: what was to be done could not be found out.
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
    """A page as it is sent; the front matter goes along whole."""

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
    """One page. `changes` are what differs; `rev` is the live revision, where it is known.

    `problems` are why it was not, or will not be, done. `done` is for what has been written.
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
            "problems": [_problem(error) for error in self.problems],
        }


def _problem(error: ScaiWaveError) -> dict[str, str]:
    return {"code": error.code, "message": error.message, "fix": error.fix}


def plan_page(outgoing: PagePayload, live: LivePage | None) -> PageAction:
    """What is to be done to make the live page equal to ours."""
    step = PageAction(
        action=Action.CREATED, path=outgoing.path, file=outgoing.file, outgoing=outgoing
    )
    if live is None:
        return step
    changes = tuple(_differences(outgoing, live))
    action = Action.UPDATED if changes else Action.UNCHANGED
    return replace(step, action=action, changes=changes, rev=live.rev)


def _differences(outgoing: PagePayload, live: LivePage) -> Iterator[str]:
    """Line ends and what ScaiCMS adds to the front matter are no difference."""
    if live.title != outgoing.title:
        yield "title"
    if _plain(live.body_md) != _plain(outgoing.body):
        yield "body"
    fields = live.frontmatter or {}
    for name, value in outgoing.fields.items():
        if fields.get(name) != value:
            yield f"front matter: {name}"


def _plain(body: str) -> str:
    return body.replace("\r\n", "\n").strip("\n")
