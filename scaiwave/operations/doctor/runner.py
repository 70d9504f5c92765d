"""Run all checks and summarise them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from scaiwave.config import Configuration
from scaiwave.console.progress import ProgressFactory, null_progress_factory
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission
from scaiwave.operations.doctor import host, keys, rooms, sync, tenants
from scaiwave.operations.doctor.audit_seals import check_audit_seals
from scaiwave.operations.doctor.files import check_files, fix_files
from scaiwave.operations.doctor.findings import Check, Finding, State, failed
from scaiwave.operations.doctor.media import NAME, MediaDepth, check_media_files
from scaiwave.operations.doctor.proxy import check_proxy
from scaiwave.operations.doctor.stored_report import store_health_report
from scaiwave.storage.error_mapping import translate_errors

DATABASE = ("database", "migrations")
HOST_CHECKS = (
    Check("configuration", host.check_configuration, needs_database=False),
    Check("database", host.check_database, needs_database=False),
    Check("disk", host.check_disks, needs_database=False),
    Check("files", check_files, needs_database=False, fix=fix_files),
    Check("proxy", check_proxy, needs_database=False),
    Check("redis", host.check_redis, needs_database=False),
)
"""Whether the others can run depends on these."""
CHECKS: Sequence[Check] = (
    Check("retention", tenants.check_retention),
    Check("erasures", tenants.check_erasures),
    Check("audit", tenants.check_audit),
    Check("audit_seals", check_audit_seals),
    Check("super_admin", tenants.check_super_admin),
    Check("sign_in", tenants.check_sign_in, needs_database=False),
    Check("limits", tenants.check_limits),
    Check("scaigrid", tenants.check_scaigrid, needs_database=False),
    Check("federation", keys.check_federation_settings, needs_database=False),
    Check("keys", keys.check_federation_keys),
    Check("media", rooms.check_media_store, needs_database=False),
    Check(NAME, check_media_files),
    Check("imports", rooms.check_imports, clean_up=rooms.clean_up_imports),
    Check("search", rooms.check_search),
    Check("retention_policies", rooms.check_retention),
    Check("deletions", rooms.check_deletions),
    Check("scaikey", sync.check_scaikey, needs_database=False),
    Check("sync", sync.check_last_sync),
    Check("scheduler", sync.check_scheduler),
    Check("notifications", host.check_notifications),
)


LOCAL_CHECKS = frozenset({"database", "audit", "super_admin", "federation", "keys", "search"})
"""They need nothing but the database and the configuration, and change nothing."""


@dataclass(frozen=True)
class HealthReport:
    """All findings, in the order of the checks."""

    findings: list[Finding]

    @property
    def exit_code(self) -> int:
        """The code of the first failed check: later ones may have failed because of it."""
        failures = (item.exit_code for item in self.findings if item.state is State.FAIL)
        return next(failures, 0)

    @property
    def summary(self) -> str:
        failures = self._format_count(State.FAIL, "check failed", "checks failed")
        warnings = self._format_count(State.WARN, "warning", "warnings")
        if failures:
            return f"{failures}, {warnings}." if warnings else f"{failures}."
        return f"Healthy, with {warnings}." if warnings else "Healthy."

    def _format_count(self, state: State, singular: str, plural: str) -> str:
        """Return the number with its noun, or an empty text for none."""
        count = sum(finding.state is state for finding in self.findings)
        return f"{count} {singular if count == 1 else plural}" if count else ""

    def document(self) -> dict[str, object]:
        return {
            "healthy": self.exit_code == 0,
            "checks": [finding.document() for finding in self.findings],
        }


def run_checks(
    *,
    operator: Operator,
    config: Configuration,
    now: datetime,
    dry_run: bool = False,
    fix: bool = False,
    media: MediaDepth = "sample",
    progress_factory: ProgressFactory = null_progress_factory,
) -> HealthReport:
    """Check everything that this server needs, and store the report. An error of a check is its
    finding.

    What interrupted imports left is removed, unless this is a dry run or the operator may only view
    the platform; then the report is not stored either. `fix` repairs what needs no decision.
    `media` is how attachments are compared with their files.
    """
    operator.require(Permission.MANAGE_PLATFORM if fix else Permission.VIEW_PLATFORM)
    cleans_up = not dry_run and operator.has_permission(Permission.MANAGE_PLATFORM)
    # Before any check, since several may report the same problem.
    repairs = [check.fix for check in (*HOST_CHECKS, *CHECKS) if check.fix and fix and cleans_up]
    repaired = [finding for repair in repairs for finding in repair(config, now)]
    run = partial(_run_check, config=config, now=now, cleans_up=cleans_up)
    first = [finding for check in HOST_CHECKS for finding in run(check)]
    usable = not any(finding.state is State.FAIL for finding in first if finding.check in DATABASE)
    files = partial(check_media_files, depth=media, progress_factory=progress_factory)
    checks = [replace(check, run=files) if check.name == NAME else check for check in CHECKS]
    skipped = [] if usable else [check.name for check in CHECKS if check.needs_database]
    others = [finding for check in checks if check.name not in skipped for finding in run(check)]
    report = HealthReport(
        [*repaired, *first, *others, *([host.skipped(skipped)] if skipped else [])]
    )
    if cleans_up and usable:
        store_health_report(operator, report.document(), now)
    return report


def run_local_checks(config: Configuration, now: datetime) -> list[Finding]:
    checks = [check for check in (*HOST_CHECKS, *CHECKS) if check.name in LOCAL_CHECKS]
    return [
        finding
        for check in checks
        for finding in _run_check(check, config=config, now=now, cleans_up=False)
    ]


def _run_check(
    check: Check,
    *,
    config: Configuration,
    now: datetime,
    cleans_up: bool,
) -> Iterator[Finding]:
    try:
        with translate_errors():
            if cleans_up and check.clean_up is not None:
                yield from check.clean_up(config, now)
            yield from check.run(config, now)
    except ScaiWaveError as error:
        yield failed(check.name, error)
