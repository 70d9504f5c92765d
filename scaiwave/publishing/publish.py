"""Publish the pages of a directory: read, plan, and write what differs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from scaiwave.clients.scaicms import LivePage, ScaiCmsClient
from scaiwave.console.progress import ProgressCallback
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission
from scaiwave.publishing.errors import PruneRefused
from scaiwave.publishing.executor import PageExecutor
from scaiwave.publishing.index_page import INDEX_PATH, build_index, parse_index
from scaiwave.publishing.links import SiteIndex, rewrite_links
from scaiwave.publishing.pages import SourcePage, read_pages
from scaiwave.publishing.plan import Action, PageAction, PagePayload, plan_page
from scaiwave.publishing.report import PublishReport


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
    steps = _write_pages(executor, steps, progress)
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


def _list_index_paths(steps: list[PageAction], published: set[str]) -> set[str]:
    """Return the paths for the list: all published pages that are or will be live.

    A page whose path can't be read may be any of the published ones, so all of them are kept.
    """
    paths = {step.path for step in steps if step.outgoing or step.action is Action.GONE}
    paths |= {step.path for step in steps if step.action is Action.PRUNED and step.problems}
    paths |= {step.path for step in steps if step.action is Action.FAILED} & published
    return paths if all(step.path for step in steps) else paths | published


def _plan_index(
    steps: list[PageAction], published: set[str], live: LivePage | None
) -> list[PageAction]:
    """Return the step for the list, unless the list is empty and not published."""
    paths = _list_index_paths(steps, published)
    return [plan_page(build_index(paths), live)] if paths or live else []


def _write_pages(
    executor: PageExecutor, steps: list[PageAction], progress: ProgressCallback
) -> list[PageAction]:
    due = [step for step in steps if step.is_due]
    done = {step.path: executor.execute(step) for step in _report_progress(due, progress)}
    return [done[step.path] if step.is_due else step for step in steps]
