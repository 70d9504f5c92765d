"""Import and verify bundles that are uploaded, within the limits of the HTTP API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.urls import reverse

from rooms.imports.import_room import ImportRequest, import_room
from rooms.imports.source import get_max_bytes
from rooms.imports.verify_bundle import verify_bundle
from rooms.management.bundle_io import IMPORT_COLUMNS, VERIFICATION_COLUMNS
from rooms.models import Room, Workspace, WorkspaceMember
from rooms.views.upload import receive_bundle
from rooms.workspaces.queries import MAY_IMPORT
from scaiwave.console.columns import Column
from scaiwave.console.output import format_bytes
from scaiwave.core.operators import Operator
from scaiwave.site.acts import Act, ActCall, ActReport, ActResult, RowForm, register_acts
from tenants.models import active_q


class BundleForm(RowForm):
    bundle = forms.FileField(widget=forms.FileInput(attrs={"accept": ".zip,application/zip"}))

    def fit(self, operator: Operator, row: Any) -> None:
        limit = format_bytes(get_max_bytes())
        self.fields["bundle"].help_text = f"The ZIP file of a room, of at most {limit}."


class ImportForm(BundleForm):
    participant = forms.ChoiceField(label="Owner of the new room")
    once = forms.BooleanField(
        required=False, initial=True, label="Don't import a bundle twice into this workspace"
    )
    cut_references = forms.BooleanField(
        required=False, label="Remove references to events that are not in the bundle"
    )
    require_signature = forms.BooleanField(
        required=False, label="Require a valid signature of a known key"
    )
    public = forms.BooleanField(
        required=False, label="Keep a public room public even if no known key has signed it"
    )
    dry_run = forms.BooleanField(required=False, label="Dry run: check everything, change nothing")

    def fit(self, operator: Operator, row: Any) -> None:
        super().fit(operator, row)
        members = WorkspaceMember.objects.filter(workspace=row, role__in=MAY_IMPORT)
        active = members.filter(active_q("participant__")).select_related("participant")
        self.fields["participant"].choices = [  # type: ignore[attr-defined]
            (str(each.participant_id), f"{each.participant} ({each.role})")
            for each in active.order_by("participant__display_name")[:MAX_OWNERS]
        ]
        self.fields["participant"].help_text = (
            "Owners and editors of the workspace, who may import rooms into it."
            if self.fields["participant"].choices  # type: ignore[attr-defined]
            else "The workspace has no active owner or editor, so no one can import into it."
        )


MAX_OWNERS = 500


def _import_room(call: ActCall) -> ActResult | ActReport:
    values = dict(call.values)
    file, once = values.pop("bundle"), values.pop("once", False)
    request = ImportRequest(
        tenant=str(call.row.tenant_id),
        workspace=str(call.row.pk),
        max_bytes=get_max_bytes(),
        now=call.now,
        **values,
    )
    result = import_room(operator=call.operator, request=request, file=file, once=once)
    if result.dry_run:
        facts = _list_facts(IMPORT_COLUMNS, result.row())
        return ActReport(result.sentence, [*facts, *(("Warning", w) for w in result.warnings)])
    page = reverse("admin:rooms_room_change", args=[result.room_id])
    return ActResult(" ".join([result.sentence, *result.warnings]), page)


def _verify_bundle(call: ActCall) -> ActReport:
    result = verify_bundle(
        operator=call.operator, file=call.values["bundle"], max_bytes=get_max_bytes()
    )
    problems = [
        (str(problem["entry"] or "Problem"), f"{problem['message']} [{problem['code']}]")
        for problem in result.problem_rows()[:MAX_PROBLEMS]
    ]
    error = result.error
    return ActReport(
        error.message if error else result.sentence,
        [*problems, *_list_facts(VERIFICATION_COLUMNS, result.facts())],
        is_bad=error is not None,
    )


MAX_PROBLEMS = 100


def _list_facts(columns: Sequence[Column], row: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the known values with their names."""
    return [
        (column.title, _format(row[column.key]))
        for column in columns
        if row.get(column.key) not in (None, "", [])
    ]


def _format(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(value)
    return f"{value:,}" if isinstance(value, int) else str(value)


register_acts(
    Act(
        "room import",
        "Import a room",
        Workspace,
        _import_room,
        form=ImportForm,
        receive=receive_bundle,
    )
)
register_acts(
    Act(
        "room verify",
        "Verify a bundle",
        Room,
        _verify_bundle,
        form=BundleForm,
        receive=receive_bundle,
        is_of_list=True,
        is_recorded=False,
    )
)
