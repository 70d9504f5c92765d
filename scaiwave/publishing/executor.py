"""Requests to ScaiCMS for one page at a time, with their outcome."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from scaiwave.clients.scaicms import ScaiCmsClient
from scaiwave.core.errors import ScaiWaveError, UpstreamUnavailable, UpstreamUnreachable
from scaiwave.publishing.plan import WRITES, Action, PageAction, plan_page

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

    def _try(self, call: Callable[..., T], path: str, **arguments: Any) -> T:
        try:
            answer = call(path, retry=self._should_retry, **arguments)
        except (UpstreamUnavailable, UpstreamUnreachable):
            self._should_retry = False
            raise
        self._should_retry = True
        return answer
