"""Publish the pages of a directory: read, plan, and write what differs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

from scaiwave.clients.scaicms import LivePage, ScaiCmsClient
from scaiwave.console.columns import Column, Part
from scaiwave.console.progress import ProgressCallback
from scaiwave.console.text import pluralize
from scaiwave.core.errors import (
    NotFoundError,
    RefusedError,
    ScaiWaveError,
    UpstreamUnavailable,
    UpstreamUnreachable,
)
from scaiwave.core.operators import Operator, Permission
from scaiwave.publishing.pages import PATH_PATTERN, SiteIndex, SourcePage, read_pages, rewrite_links


class PruneRefused(NotFoundError):
    """`--prune` names a page that is not gone, or may not be gone."""

    code = "SW_DOCS_NOT_GONE"
    remedy = "Nothing was written. Run it without `--prune` to see which pages are obsolete."


class PagesFailed(RefusedError):
    """Some pages are invalid or were refused; the others were published."""

    code = "SW_DOCS_FAILED"
    fix = "Correct the errors above, then run the script again; unchanged pages are not sent again."


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

    def document(self) -> dict[str, object]:
        return {
            "action": self.action.value,
            "path": self.path or None,
            "file": self.file or None,
            "changes": list(self.changes),
            "rev": self.rev,
            "done": self.done,
            "problems": [
                {"code": error.code, "message": error.message, "fix": error.fix}
                for error in self.problems
            ],
        }


def plan_page(outgoing: PagePayload, live: LivePage | None) -> PageAction:
    """Compare the page with the live one, and return the action that makes them equal."""
    step = PageAction(
        action=Action.CREATED, path=outgoing.path, file=outgoing.file, outgoing=outgoing
    )
    if live is None:
        return step
    # Line endings are no difference, and fields that ScaiCMS adds.
    differences = {
        "title": live.title != outgoing.title,
        "body": _normalize_body(live.body_md) != _normalize_body(outgoing.body),
    }
    fields = live.frontmatter or {}
    for name, value in outgoing.fields.items():
        differences[f"front matter: {name}"] = fields.get(name) != value
    changes = tuple(name for name, is_different in differences.items() if is_different)
    action = Action.UPDATED if changes else Action.UNCHANGED
    return replace(step, action=action, changes=changes, rev=live.rev)


def _normalize_body(body: str) -> str:
    return body.replace("\r\n", "\n").strip("\n")


INDEX_PATH = "operator-suite/pages"
_TITLE = "Published pages"
_TEXT = f"""# {_TITLE}

`scripts/publish_docs.py` writes this list, and reads it to find pages whose source was removed.
Don't edit it.

"""
_ENTRY = re.compile(r"^\* `([^`\s]+)`\s*$", re.MULTILINE)


def build_index(paths: Iterable[str]) -> PagePayload:
    fields = {
        "title": _TITLE,
        "path": INDEX_PATH,
        "audience": "developers",
        "summary": "The pages that are published from the operator suite's sources.",
        "status": "published",
    }
    entries = "".join(f"* `{path}`\n" for path in sorted(paths))
    return PagePayload(file="", fields=fields, body=_TEXT + entries)


def parse_index(body: str) -> set[str]:
    return {path for path in _ENTRY.findall(body) if PATH_PATTERN.fullmatch(path)}


T = TypeVar("T")


class PageExecutor:
    """The requests of one run.

    After retries have failed for one page, each further page is tried only once, until one
    succeeds: a hundred pages must not take a hundred times as long to fail.
    """

    def __init__(self, client: ScaiCmsClient) -> None:
        self._client = client
        self._should_retry = True

    def fetch_live(self, step: PageAction) -> PageAction | None:
        """Compare with the live page; return None for a gone page that is no longer live.

        Raises UpstreamInvalidResponse if the address of ScaiCMS is wrong.
        """
        if step.outgoing is None and step.action is not Action.GONE:
            return step
        try:
            live = self._try(self._client.read_page, step.path)
        except ScaiWaveError as error:
            if error.details.get("wrong_path"):
                raise
            return replace(step, action=Action.FAILED, outgoing=None, problems=(error,))
        if step.outgoing is not None:
            return plan_page(step.outgoing, live)
        return replace(step, rev=live.rev) if live else None

    def execute(self, step: PageAction) -> PageAction:
        """Write or delete the page, and return the step with its outcome.

        Raises UpstreamInvalidResponse if the address of ScaiCMS is wrong.
        """
        if not step.is_due:
            return step
        try:
            rev = self._write(step)
        except ScaiWaveError as error:
            if error.details.get("wrong_path"):
                raise  # It is not the page's fault, and the others would fail as well.
            return replace(step, problems=(error,))
        return replace(step, rev=rev, done=True)

    def _write(self, step: PageAction) -> int | None:
        page = step.outgoing
        if page is None or step.action not in WRITES:
            self._try(self._client.delete_page, step.path)
            return None
        written = self._try(
            self._client.write_page,
            page.path,
            title=page.title,
            body_md=page.body,
            frontmatter=page.fields,
        )
        return written.rev

    def _try(self, call: Callable[..., T], path: str, **arguments: object) -> T:
        try:
            answer = call(path, retry=self._should_retry, **arguments)
        except (UpstreamUnavailable, UpstreamUnreachable):
            self._should_retry = False
            raise
        self._should_retry = True
        return answer


COLUMNS = (
    Column("action", "Status", part=Part.STATUS),
    Column("path", "Page", part=Part.KEY),
    Column("file", "Source"),
    Column("changes", "Differences"),
)
_PAST_TENSE = {Action.CREATED: "created", Action.UPDATED: "updated", Action.PRUNED: "removed"}
_INFINITIVE = {Action.CREATED: "create", Action.UPDATED: "update", Action.PRUNED: "remove"}


@dataclass(frozen=True, kw_only=True)
class PublishReport:
    steps: tuple[PageAction, ...]
    executed: bool

    @property
    def failed(self) -> list[PageAction]:
        return [step for step in self.steps if step.problems]

    @property
    def problems(self) -> list[ScaiWaveError]:
        return [problem for step in self.steps for problem in step.problems]

    def rows(self) -> list[dict[str, object]]:
        return [
            {
                "action": f"not {step.action}"
                if step.problems and step.action in CHANGES
                else step.action,
                "path": step.path,
                "file": step.file,
                "changes": step.changes,
            }
            for step in self.steps
        ]

    def document(self) -> dict[str, Any]:
        return {
            "executed": self.executed,
            "counts": self._counts(),
            "pages": [step.document() for step in self.steps],
        }

    def _counts(self) -> dict[str, int]:
        """Count the steps by action; those with problems count as failed."""
        counts = Counter(Action.FAILED if step.problems else step.action for step in self.steps)
        return {action.value: counts[action] for action in Action}

    def format_summary(self) -> str:
        words = _PAST_TENSE if self.executed else _INFINITIVE
        counts = self._counts()
        parts = [
            f"{word} {pluralize(counts[action], 'page')}"
            for action, word in words.items()
            if counts[action]
        ]
        changes = ", ".join(parts)
        if self.executed:
            return f"{changes.capitalize()}." if changes else "No changes were made."
        if changes:
            return f"No changes were made. With --execute, this will {changes}."
        return "No changes to make."

    def raise_failures(self) -> None:
        """Raise PagesFailed if any page has problems."""
        if self.failed:
            verb = "could not" if self.executed else "can't"
            raise PagesFailed(f"{len(self.failed)} of {len(self.steps)} pages {verb} be published.")


def publish(
    *,
    operator: Operator,
    docs: Path,
    client: ScaiCmsClient,
    execute: bool,
    prune: Collection[str],
    progress: ProgressCallback,
) -> PublishReport:
    """Make the live pages equal to the sources, or without `execute` only report what differs.

    An error with one page is in the report and does not stop the others. Raises
    InsufficientPermission, PagesNotFound, PruneRefused, and the errors of the first request, which
    shows whether ScaiCMS can be reached.
    """
    operator.require(Permission.MANAGE_PLATFORM if execute else Permission.VIEW_PLATFORM)
    pages = read_pages(docs, reserved=INDEX_PATH)
    live = client.read_page(INDEX_PATH)
    published = parse_index(live.body_md) if live else set()
    executor = PageExecutor(client)
    planned = [*plan_pages(pages, docs, client.namespace), *_plan_gone_pages(pages, published)]
    compared = [executor.fetch_live(step) for step in _report_progress(planned, progress)]
    steps = _mark_pruned([step for step in compared if step is not None], prune)
    if not execute:
        return PublishReport(steps=(*steps, *_plan_index(steps, published, live)), executed=False)
    steps = [executor.execute(step) if step.action is Action.PRUNED else step for step in steps]
    # The list is written after removals and before writes: it may name a page that is not live,
    # but every live page is in it.
    index_steps = [executor.execute(step) for step in _plan_index(steps, published, live)]
    due = [step for step in steps if step.is_due]
    done = {step.path: executor.execute(step) for step in _report_progress(due, progress)}
    steps = [done[step.path] if step.is_due else step for step in steps]
    return PublishReport(steps=(*steps, *index_steps), executed=True)


def _report_progress(steps: list[PageAction], progress: ProgressCallback) -> Iterator[PageAction]:
    for done, step in enumerate(steps):
        progress(done, len(steps))
        yield step
    progress(len(steps), len(steps))


def plan_pages(pages: list[SourcePage], docs: Path, namespace: str) -> Iterator[PageAction]:
    """Yield one step for each file: failed, draft, or created (not yet compared)."""
    site = SiteIndex(pages, docs=docs, namespace=namespace)
    for page in pages:
        body, dead = rewrite_links(page, site)
        problems = (*page.problems, *dead)
        step = PageAction(action=Action.FAILED, path=page.path, file=page.file, problems=problems)
        if not problems and page.is_draft:
            step = replace(step, action=Action.DRAFT)
        elif not problems:
            outgoing = PagePayload(file=page.file, fields=page.fields, body=body)
            step = replace(step, action=Action.CREATED, outgoing=outgoing)
        yield step


def _plan_gone_pages(pages: list[SourcePage], published: set[str]) -> Iterator[PageAction]:
    """Yield the published pages without a source; none while a path can't be read."""
    if all(page.path for page in pages):
        for path in sorted(published - {page.path for page in pages if not page.is_draft}):
            drafts = [page.file for page in pages if page.path == path]
            yield PageAction(action=Action.GONE, path=path, file=drafts[0] if drafts else "")


def _mark_pruned(steps: list[PageAction], prune: Collection[str]) -> list[PageAction]:
    """Return the steps, with the pages of `prune` marked as pruned.

    Raises PruneRefused, or the error that leaves it unknown, before any write.
    """
    gone = {step.path for step in steps if step.action is Action.GONE and not step.problems}
    for path in prune:
        if path not in gone:
            raise _build_prune_refusal(path, steps)
    return [
        replace(step, action=Action.PRUNED)
        if step.action is Action.GONE and step.path in prune
        else step
        for step in steps
    ]


def _build_prune_refusal(path: str, steps: list[PageAction]) -> ScaiWaveError:
    for step in steps:
        if step.path == path and step.problems:
            return step.problems[0]
    if unread := [step.file for step in steps if not step.path]:
        return PruneRefused(
            f"Page not removed: {path}: it may be the page of {unread[0]}, which has no path. "
            "No changes were made.",
            fix=f"Correct the front matter of {unread[0]}, then run the script again.",
        )
    return PruneRefused(
        f"Page not removed: {path}: it is not gone. No changes were made.",
        fix="Run the script without --prune to list the pages that are gone; remove any other page "
        "in ScaiCMS.",
    )


def _plan_index(
    steps: list[PageAction], published: set[str], live: LivePage | None
) -> list[PageAction]:
    """Return the step for the list, unless the list is empty and not published."""
    # All published pages that are or will be live. A page whose path can't be read may be any of
    # the published ones, so all of them are kept.
    paths = {step.path for step in steps if step.outgoing or step.action is Action.GONE}
    paths |= {step.path for step in steps if step.action is Action.PRUNED and step.problems}
    paths |= {step.path for step in steps if step.action is Action.FAILED} & published
    paths = paths if all(step.path for step in steps) else paths | published
    return [plan_page(build_index(paths), live)] if paths or live else []
