"""From the folder to the live pages: read, plan, and write what differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from scaiwave.clients.scaicms import LivePage, ScaiCmsClient
from scaiwave.console.progress import ProgressCallback
from scaiwave.errors import ScaiWaveError
from scaiwave.publishing.errors import PruneRefused
from scaiwave.publishing.executor import PageExecutor
from scaiwave.publishing.index_page import PATH as RECORD
from scaiwave.publishing.index_page import build_index, parse_index
from scaiwave.publishing.links import SiteIndex, rewrite_links
from scaiwave.publishing.pages import Page, read_pages
from scaiwave.publishing.plan import Action, PageAction, PagePayload, plan_page
from scaiwave.publishing.report import Report


def publish(
    *,
    docs: Path,
    client: ScaiCmsClient,
    execute: bool,
    prune: Collection[str],
    progress: ProgressCallback,
) -> Report:
    """Make the live pages equal to the folder's, or, without `execute`, find out what differs.

    What goes wrong with one page is in the report and stops no other. Raises PagesNotFound,
    PruneRefused, and what the first call to the server raises: until then nobody knows that it is
    there.
    """
    pages = read_pages(docs, reserved=RECORD)
    live = client.read_page(RECORD)
    known = parse_index(live.body_md) if live else set()
    calls = PageExecutor(client)
    todo = [*plan_pages(pages, docs, client.namespace), *_without_source(pages, known)]
    seen = [calls.look(step) for step in _counted(todo, progress)]
    steps = _pruning([step for step in seen if step is not None], prune)
    if not execute:
        return Report(steps=(*steps, *_record(steps, known, live)), executed=False)
    steps = [calls.do(step) if step.action is Action.PRUNED else step for step in steps]
    # Between removals and writes: the list may name a page that is not live, and never lacks one.
    record = [calls.do(step) for step in _record(steps, known, live)]
    steps = _written(calls, steps, progress)
    return Report(steps=(*steps, *record), executed=True)


def _counted(steps: list[PageAction], progress: ProgressCallback) -> Iterator[PageAction]:
    for done, step in enumerate(steps):
        progress(done, len(steps))
        yield step
    progress(len(steps), len(steps))


def plan_pages(pages: list[Page], docs: Path, namespace: str) -> Iterator[PageAction]:
    """One step for each file: failed, a draft, or still to be compared (as created)."""
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


def _without_source(pages: list[Page], known: set[str]) -> Iterator[PageAction]:
    """What may be gone. Nothing, while a page's path can't be read: it may be any of them."""
    if all(page.path for page in pages):
        for path in sorted(known - {page.path for page in pages if not page.is_draft}):
            drafts = [page.file for page in pages if page.path == path]
            yield PageAction(action=Action.GONE, path=path, file=drafts[0] if drafts else "")


def _pruning(steps: list[PageAction], prune: Collection[str]) -> list[PageAction]:
    """Raises PruneRefused, or why that can't be told, before anything is written."""
    gone = {step.path for step in steps if step.action is Action.GONE and not step.problems}
    for path in prune:
        if path not in gone:
            raise _not_gone(path, steps)
    return [
        replace(step, action=Action.PRUNED)
        if step.action is Action.GONE and step.path in prune
        else step
        for step in steps
    ]


def _not_gone(path: str, steps: list[PageAction]) -> ScaiWaveError:
    for step in steps:
        if step.path == path and step.problems:
            return step.problems[0]
    if unread := [step.file for step in steps if not step.path]:
        return PruneRefused(
            f"Whether {path} is gone can't be told while {unread[0]} has no path.",
            fix="Nothing was written. Mend the front matter first.",
        )
    return PruneRefused(
        f"{path} is not among the pages that are gone.",
        fix="Nothing was written. Run it without --prune to see which are; a page that this "
        "script did not publish has to be removed in ScaiCMS.",
    )


def _kept(steps: list[PageAction], known: set[str]) -> set[str]:
    """What the list is to name: all that is live, or will be, and was published from here.

    A page whose path can't be read is somewhere in what was known, so all of that stays.
    """
    ours = {step.path for step in steps if step.outgoing or step.action is Action.GONE}
    ours |= {step.path for step in steps if step.action is Action.PRUNED and step.problems}
    ours |= {step.path for step in steps if step.action is Action.FAILED} & known
    return ours if all(step.path for step in steps) else ours | known


def _record(steps: list[PageAction], known: set[str], live: LivePage | None) -> list[PageAction]:
    """The step for the list, if there is anything to name or a list to change."""
    kept = _kept(steps, known)
    return [plan_page(build_index(kept), live)] if kept or live else []


def _written(
    calls: PageExecutor, steps: list[PageAction], progress: ProgressCallback
) -> list[PageAction]:
    due = [step for step in steps if step.is_due]
    done = {step.path: calls.do(step) for step in _counted(due, progress)}
    return [done[step.path] if step.is_due else step for step in steps]
