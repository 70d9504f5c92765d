"""One call for one step, with what came of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

from scaiwave.clients.scaicms import ScaiCmsClient
from scaiwave.errors import ScaiWaveError, UpstreamUnavailable, UpstreamUnreachable
from scaiwave.publishing.plan import WRITES, Action, PageAction, plan_page

Answer = TypeVar("Answer")


class PageExecutor:
    """The calls of one run. Once the server has used up our patience, each gets one try, until
    one succeeds: a hundred pages must not take a hundred times as long to fail."""

    def __init__(self, client: ScaiCmsClient) -> None:
        self._client = client
        self._patient = True

    def look(self, step: PageAction) -> PageAction | None:
        """The step, compared with what is live; None for a gone page that is not live any more."""
        if step.outgoing is None and step.action is not Action.GONE:
            return step
        try:
            live = self._try(self._client.read_page, step.path)
        except ScaiWaveError as error:
            return replace(step, action=Action.FAILED, outgoing=None, problems=(error,))
        if step.outgoing is not None:
            return plan_page(step.outgoing, live)
        return replace(step, rev=live.rev) if live else None

    def do(self, step: PageAction) -> PageAction:
        """The step as it came out; as it is, if there is nothing to do."""
        if not step.is_due:
            return step
        try:
            rev = self._write(step)
        except ScaiWaveError as error:
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

    def _try(self, call: Callable[..., Answer], path: str, **arguments: Any) -> Answer:
        try:
            answer = call(path, retry=self._patient, **arguments)
        except (UpstreamUnavailable, UpstreamUnreachable):
            self._patient = False
            raise
        self._patient = True
        return answer
