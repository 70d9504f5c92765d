"""Record how far a run is, so that its page shows it while it is in progress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection

from identity_sync.models import SyncRun
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback, ProgressFactory


class PhaseRecorder:
    """A factory of progress that also writes the phases of a run into its row.

    A row is written when a phase begins and ends, and not between: at that time the connection may
    be in the middle of a COPY. Within a transaction nothing is written, since no other process
    would see it.
    """

    def __init__(self, run: SyncRun, inner: ProgressFactory) -> None:
        self._run = run
        self.inner = inner
        self._phases: list[dict[str, object]] = []

    @contextmanager
    def __call__(
        self, label: str, kind: ColumnType = ColumnType.COUNT, /
    ) -> Iterator[ProgressCallback]:
        phase = self.begin(label)
        with self.inner(label, kind) as progress:

            def report(done: int, total: int | None) -> None:
                phase["done"], phase["total"] = done, total
                progress(done, total)

            yield report
        phase["has_ended"] = True
        self._write()

    def begin(self, label: str) -> dict[str, object]:
        """Begin a phase that ends when the next one begins."""
        for phase in self._phases:
            phase["has_ended"] = True
        phase = {"name": label, "done": None, "total": None, "has_ended": False}
        self._phases.append(phase)
        self._write()
        return phase

    def _write(self) -> None:
        if not connection.in_atomic_block:
            SyncRun.objects.filter(pk=self._run.pk).update(phases=self._phases)
