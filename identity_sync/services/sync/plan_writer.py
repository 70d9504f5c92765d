"""Write the plan of a run to a plan file, while the run can read it."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from django.conf import settings

from identity_sync.services.sync import plan_file, reviewed_losses
from identity_sync.services.sync.changes import ChangeSection, PlannedChange, iter_sections
from identity_sync.services.sync.plan_file import PlanHead
from identity_sync.services.sync.report import SyncReport
from tenants.models import Tenant


@dataclass(frozen=True)
class PlanWriter:
    """Writes a plan to an open file; `path` is its name."""

    file: BinaryIO
    path: Path

    def write(
        self, report: SyncReport, *, tenant: Tenant | None, removals: bool, now: datetime
    ) -> None:
        """Write the plan, and describe the file in the report. Raises `DiskFull` and
        `FileUnwritable`."""
        config = settings.CONFIG
        if report.run_id is None:
            raise RuntimeError("A sync that writes a plan has a run.")
        with reviewed_losses.list_losses():
            head = PlanHead(
                format=plan_file.FORMAT,
                version=plan_file.VERSION,
                created_at=now,
                server_name=config.get_str("SCAIWAVE_SERVER_NAME"),
                scaikey_url=config.get_url("SCAIWAVE_SCAIKEY_URL"),
                run_id=report.run_id,
                tenant_id=tenant.pk if tenant else None,
                tenant=tenant.slug if tenant else None,
                removals=removals,
                kinds=report.counts(),
                losses=report.losses,
                digest=reviewed_losses.compute_digest(),
                warnings=report.warnings,
            )
            plan_file.write_plan(
                self.file,
                self.path,
                head,
                losses=reviewed_losses.iter_losses(),
                changes=_iter_rows(),
            )
        report.plan = describe_plan(self.path, head)


def describe_plan(path: Path, head: PlanHead) -> dict[str, Any]:
    """Return what a report says about a plan file."""
    return {"path": str(path), "digest": head.digest, "expires_at": head.expires_at}


def format_apply_command(path: Path) -> str:
    """Return the command that applies a plan."""
    return f"scaiwave sync --apply {shlex.quote(str(path))}"


def _iter_rows() -> Iterator[dict[str, Any]]:
    for section in iter_sections():
        for changes in section.batches:
            for change in changes:
                yield _build_row(section, change)


def _build_row(section: ChangeSection, change: PlannedChange) -> dict[str, Any]:
    """Return a change with the keys that `sync show-run` prints."""
    return {
        "kind": change.kind,
        "action": change.action,
        "tenant_id": change.tenant_id,
        "tenant": section.tenant,
        "subject_id": change.row_id,
        "subject": change.name,
        "scaikey_id": change.scaikey_id,
        "fields": change.fields,
        "values": change.list_values(),
        "reason": change.reason,
    }
