from __future__ import annotations

from collections.abc import Iterator

from scaiwave.doctor.findings import Finding, passed
from tenants.errors import AuditUnguarded
from tenants.services.append_only import missing_triggers


def audit() -> Iterator[Finding]:
    """Whether the database refuses to alter the audit. Raises `AuditUnguarded`."""
    if missing := missing_triggers():
        raise AuditUnguarded(f"The audit can be altered: the database lacks {', '.join(missing)}.")
    yield passed("audit", "The audit is append-only.")
