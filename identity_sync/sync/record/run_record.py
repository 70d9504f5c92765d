"""The record of a run in the history, from its first row to its end, with its phases."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from django.conf import settings
from django.db import connection
from django.utils import timezone

from identity_sync.errors import SyncStopped
from identity_sync.models import WRITTEN, SyncRun
from identity_sync.report import SyncReport
from identity_sync.sync.record import history
from scaiwave.console.columns import ColumnType
from scaiwave.console.progress import ProgressCallback, ProgressFactory
from scaiwave.core.limits import RunLimits
from scaiwave.core.unconfirmed_commits import find_unconfirmed_commit


class PhaseRecorder:
    """A factory of progress that also writes the phases of a run into its row.

    A row is written when a phase begins and ends, and not between: at that time the connection may
    be in the middle of a COPY. Within a transaction nothing is written, since no other process
    would see it. `inner` shows the parts of one phase.
    """

    def __init__(self, run: SyncRun | None, inner: ProgressFactory) -> None:
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
        if self._run is not None and not connection.in_atomic_block:
            SyncRun.objects.filter(pk=self._run.pk).update(phases=self._phases)


@dataclass
class RunRecord:
    """A run in progress: its report, and its row, which is None while drift is measured.

    `is_committed` is true once the plan is written and saved.
    """

    row: SyncRun | None
    report: SyncReport
    phases: PhaseRecorder
    is_committed: bool = False

    @property
    def keeps_values(self) -> bool:
        return self.row is not None and get_value_days() > 0

    def record_plan(self) -> None:
        """Record the first planned changes of a run that makes none, while its tables exist."""
        if self.row is not None and self.keeps_values:
            history.record_plan(self.row, self.report.outcome)


@contextmanager
def record_run(
    row: SyncRun, progress: ProgressFactory, limits: RunLimits, *, covers_events: bool
) -> Iterator[RunRecord]:
    """Save the row of a run that has the lock, and in any case the run's end.

    With `covers_events` the run reads everything: webhooks that wait are handled by it.
    """
    history.close_interrupted(timezone.now())
    # The lists contain everything that was announced before they are read.
    covered = history.list_unhandled_events() if covers_events else []
    row.save(force_insert=True)
    report = SyncReport(run_id=row.pk)
    record = RunRecord(row, report, PhaseRecorder(row, progress))
    try:
        with limits.translate():
            yield record
    except SyncStopped as error:
        history.finish_run(row, report, now=timezone.now(), error=error)
        raise
    except BaseException as error:
        # The plan may be applied, and only the database's response was lost.
        lost = find_unconfirmed_commit(error)
        is_saved = report.outcome in WRITTEN and lost is not None and lost.is_saved is True
        if not (record.is_committed or is_saved):
            report.fail()
        history.fail_run(row, report, now=timezone.now(), error=error)
        raise
    else:
        history.finish_run(row, report, now=timezone.now())
    finally:
        if row.outcome in WRITTEN:
            history.mark_events_handled(covered, run=row, now=timezone.now())
        if not row.is_dry_run:
            history.delete_expired_values(timezone.now(), days=get_value_days())


def record_failed_start(row: SyncRun, error: BaseException) -> None:
    """Record a run that has not got the lock."""
    row.save(force_insert=True)
    report = SyncReport(run_id=row.pk)
    report.fail()
    history.fail_run(row, report, now=timezone.now(), error=error)


def get_value_days() -> int:
    return settings.CONFIG.get_int("SCAIWAVE_SYNC_VALUES_RETENTION_DAYS")
