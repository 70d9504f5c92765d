"""Record exports of lists of the admin site."""

from __future__ import annotations

from datetime import datetime

from scaiwave.core.operators import Operator
from scaiwave.site.list_export import ExportRecord
from tenants.audit.record import AuditSubject, record_audit


def record_list_export(operator: Operator, export: ExportRecord, now: datetime) -> None:
    """Write an audit entry. The list itself has checked the permissions.

    A search is recorded without its words, since they may be the name of a person.
    """
    details = {
        "format": export.format,
        "filters": dict(export.filters),
        "is_searched": export.is_searched,
        "rows": export.rows,
    }
    subject = AuditSubject("list", "", export.list_name)
    action = "export-list-aborted" if export.is_aborted else "export-list"
    record_audit(operator, action, subject, now, details, is_change=False)
