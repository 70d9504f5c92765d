"""Measure the drift: the changes that a sync would make now."""

from __future__ import annotations

from contextlib import suppress

from django.conf import settings

from identity_sync.errors import LastSuperAdminLost, SyncPartial
from identity_sync.report import SyncReport
from identity_sync.sync.fetch.scope import authorise_sync, resolve_linked_tenant
from identity_sync.sync.options import SyncOptions
from identity_sync.sync.record.run_record import RunRecord
from identity_sync.sync.run import sync
from identity_sync.sync.session import OpenRun, build_limits, build_rules
from scaiwave.console.progress import ProgressFactory
from scaiwave.core.operators import Operator, Permission
from tenants.lookup.restoration import require_activated


def compute_drift(
    *,
    operator: Operator,
    progress_factory: ProgressFactory,
    tenant: str | None = None,
    before_activation: bool = False,
) -> SyncReport:
    """Return the changes of a sync now; nothing is written and no run is recorded.

    It takes the permission for that sync, or to view the platform. `before_activation` permits it
    on a restored server, to whose operator it is shown first.
    """
    if not before_activation:
        require_activated()
    if not operator.has_permission(Permission.VIEW_PLATFORM):
        row = authorise_sync(operator, tenant)
    else:
        row = None if tenant is None else resolve_linked_tenant(operator, tenant)
    options = SyncOptions(operator, dry_run=True, progress_factory=progress_factory)
    record = RunRecord(None, SyncReport(run_id=None), progress_factory, progress_factory)
    limits = build_limits(None)
    with (
        limits.enforce(),
        options.connect(settings.CONFIG) as client,
        suppress(SyncPartial, LastSuperAdminLost),  # The report has these counts.
    ):
        sync(OpenRun(options, row, client, limits, build_rules(options, row), record))
    return record.report
