"""Convert the sentences of old rows to codes, and read the commands of their fixes once.

This can't be reversed: an earlier release would not find the sentences. Restore a backup instead.
"""

from __future__ import annotations

import re
from typing import Any

from django.db import migrations
from django.db.models import Case, Value, When
from django.db.models.functions import Substr

# What releases until 0.2.0 stored, and its code. Other texts stay as they are.
CODES = {
    "new in ScaiKey": "added",
    "back in ScaiKey": "restored",
    "changed in ScaiKey": "changed",
    "moved to another tenant": "moved",
    "its slug belongs to another tenant now": "slug_freed",
    "removed from ScaiKey": "removed",
    "its tenant was removed from ScaiKey": "tenant_removed",
    "no longer within the scope of this server's credentials": "out_of_scope",
    "new member in ScaiKey": "member_added",
    "member again in ScaiKey": "member_restored",
    "no longer a member in ScaiKey": "member_removed",
    "over the removal limit of its tenant": "over_limit",
    "its slug is still in use": "slug_in_use",
    "removals are turned off for this run": "off_for_run",
    "removals are turned off for this tenant": "off_for_tenant",
    "postponed: ScaiKey does not return records by ID that exist, so a 404 proves nothing": (
        "no_control"
    ),
    "postponed: ScaiKey lists it, but does not return it by its ID": "listed",
    "postponed: ScaiKey returns it with a tenant that does not exist": "unknown_tenant",
    "postponed: the look-up limit of this run is reached": "budget_spent",
    "postponed: ScaiKey's list is inconsistent": "inconsistent",
    "postponed: the look-ups proved nothing": "nothing_proven",
    "postponed: the list of members could not be read completely": "members_incomplete",
}
# The rest of these is what ScaiKey, or the check of a record, reported.
PREFIXES = {"postponed: ": "lookup_failed", "unusable record: ": "unusable"}

COMMAND = re.compile(r"`(scaiwave [^`]+)`")
BATCH = 1000


def convert_reasons(apps: Any, schema_editor: Any) -> None:
    cases = [When(detail=text, then=Value(code)) for text, code in CODES.items()]
    for name in ("SyncChange", "SyncPlannedChange", "SyncSkip"):
        rows = apps.get_model("identity_sync", name).objects.using(schema_editor.connection.alias)
        rows.filter(detail__in=CODES).update(reason_code=Case(*cases), detail="")
        for prefix, code in PREFIXES.items():
            rows.filter(reason_code="", detail__startswith=prefix).update(
                reason_code=code, detail=Substr("detail", len(prefix) + 1)
            )


def convert_fixes(apps: Any, schema_editor: Any) -> None:
    """Store the command of a fix."""
    runs = apps.get_model("identity_sync", "SyncRun").objects.using(schema_editor.connection.alias)
    changed = []
    for run in runs.filter(error_fix__contains="`scaiwave ").only("error_fix").iterator(BATCH):
        command = COMMAND.search(run.error_fix)
        run.fix_command = command[1] if command else ""
        changed.append(run)
    runs.bulk_update(changed, ["fix_command"], batch_size=BATCH)


def convert_measures(apps: Any, schema_editor: Any) -> None:
    """A measure of losses had two words."""
    runs = apps.get_model("identity_sync", "SyncRun").objects.using(schema_editor.connection.alias)
    changed = []
    for run in runs.exclude(losses=[]).only("losses").iterator(BATCH):
        names = [measure.replace(" ", "_") for measure, *_ in run.losses]
        if any("_" in name for name in names):
            run.losses = [[name, *rest] for name, (_, *rest) in zip(names, run.losses, strict=True)]
            changed.append(run)
    runs.bulk_update(changed, ["losses"], batch_size=BATCH)


class Migration(migrations.Migration):

    dependencies = [
        ('identity_sync', '0010_reason_codes'),
    ]

    operations = [
        migrations.RunPython(convert_reasons),
        migrations.RunPython(convert_fixes),
        migrations.RunPython(convert_measures),
    ]
