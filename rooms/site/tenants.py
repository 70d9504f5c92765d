"""Export a tenant and erase it by a plan: the acts, and the pages that show how far they are."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponseRedirect, StreamingHttpResponse
from django.utils.html import format_html_join

from rooms.erasure.erase_tenant import describe_counts
from rooms.erasure.tenant_tasks import (
    continue_erasure,
    find_last_export,
    is_interrupted,
    start_erasure,
    start_export,
    start_plan,
)
from rooms.models import TaskKind, TaskState, TenantTask
from scaiwave.console.output import format_bytes
from scaiwave.console.text import pluralize
from scaiwave.core.operators import Operator
from scaiwave.site import ReadOnlyAdmin, Section
from scaiwave.site.access import RowScope
from scaiwave.site.acts import Act, ActCall, ActResult, ReasonForm, RowForm, register_acts
from scaiwave.site.formatting import (
    Tone,
    format_badge,
    format_progress,
    model_url,
)
from scaiwave.site.tabs import register_tab
from tenants.models import Tenant, TenantErasure

register_tab(Tenant, "Exports", TenantTask, "tenant", position=8)

TONES = {
    TaskState.WAITING: Tone.NEUTRAL,
    TaskState.RUNNING: Tone.INFO,
    TaskState.FINISHED: Tone.GOOD,
    TaskState.FAILED: Tone.BAD,
}


class ExportForm(ReasonForm, RowForm):
    freeze = forms.BooleanField(
        required=False,
        label="Suspend the tenant first, so that no one writes during and after the export",
    )
    incremental = forms.BooleanField(
        required=False, label="Continue the last export, with only what has changed since"
    )
    field_order = ("freeze", "incremental", "reason")

    def fit(self, operator: Operator, row: Any) -> None:
        if find_last_export(row) is None:
            del self.fields["incremental"]


class PlanForm(ReasonForm, RowForm):
    not_exported = forms.IntegerField(
        min_value=0, initial=0, label="Rooms that are not in the export and may be lost"
    )
    missing_files = forms.IntegerField(
        min_value=0, initial=0, label="Files that are missing in the export and may be lost"
    )
    at_once = forms.BooleanField(
        required=False, label="Skip the waiting time", help_text="The option --now."
    )
    field_order = ("not_exported", "missing_files", "at_once", "reason")

    def fit(self, operator: Operator, row: Any) -> None:
        if export := find_last_export(row, state=TaskState.FINISHED):
            count, lost = export.result["rooms_not_exported"], export.result.get("files_missing", 0)
            text = "The option {}. The last export lacks {:,}."
            self.fields["not_exported"].help_text = text.format("--not-exported", count)
            self.fields["missing_files"].help_text = text.format("--allow-missing-files", lost)


class ContinueForm(forms.Form):
    backups_gone_by = forms.DateField(
        required=False,
        label="No backup has the tenant from",
        help_text="For the certificate, such as 2027-03-01. Empty: not stated.",
    )


class EraseForm(ContinueForm, ReasonForm):
    slug = forms.CharField(
        label="Slug of the tenant",
        help_text="Type it, to be sure that it is the right one.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order = ("slug", "reason", "backups_gone_by")


def _lead_to(task: TenantTask) -> ActResult:
    sentence = f"{task} requested. This page shows how far it is."
    return ActResult(sentence, model_url(task, "change", task.pk))


def _export(call: ActCall) -> ActResult:
    details = {"incremental": False, **call.values}
    return _lead_to(call.run(start_export, tenant=str(call.row.pk), details=details))


def _erase(call: ActCall) -> ActResult:
    values = dict(call.values)
    if values.pop("slug") != call.row.tenant.slug:
        raise ValidationError({"slug": "This is not the slug of this tenant."})
    return _lead_to(call.run(start_erasure, task=call.row, **values))


def _continue(call: ActCall) -> str:
    call.run(continue_erasure, erasure=call.row, **call.values)
    return "The erasure continues."


def _download_certificate(call: ActCall) -> StreamingHttpResponse:
    content = json.dumps(call.row.certificate, indent=2, sort_keys=True).encode() + b"\n"
    response = StreamingHttpResponse([content], content_type="application/json")
    response["Content-Disposition"] = f'attachment; filename="erasure-{call.row.pk}.json"'
    return response


def _describe_last_export(tenant: Tenant) -> str:
    last = find_last_export(tenant)
    where = (
        f"The last one was requested at {last.requested_at:%Y-%m-%d %H:%M} UTC: it is {last.state}."
        if last
        else "The tenant has none that was started in this site."
    )
    return (
        "Writes the tenant with its rooms, messages and files into a directory of this server, "
        f"readable by its owner only. {where}"
    )


def _is_erasable(task: TenantTask) -> bool:
    if task.kind == TaskKind.ERASURE:
        return task.state == TaskState.FAILED or is_interrupted(task)
    return bool(task.plan)


register_acts(
    Act(
        "admin export-tenant",
        "Export tenant",
        Tenant,
        _export,
        form=ExportForm,
        options="<slug> --output-dir <directory>",
        get_note=_describe_last_export,
        is_rare=True,
    ),
    Act(
        "admin erase-tenant",
        "Plan erasure",
        Tenant,
        lambda call: _lead_to(call.run(start_plan, tenant=str(call.row.pk), details=call.values)),
        form=PlanForm,
        options="<slug> --plan <file> --export <index>",
        get_note=lambda tenant: (
            "Compares the last export with the tenant, and counts what would be deleted. Changes "
            "nothing. The page of the plan then has the button that erases the tenant."
        ),
        is_rare=True,
    ),
    Act(
        "admin erase-tenant",
        "Erase for good",
        TenantTask,
        _erase,
        form=EraseForm,
        options="<slug> --apply <plan> --certificate <file>",
        is_offered=_is_erasable,
        get_note=lambda task: describe_counts(task.tenant.slug, task.plan["counts"]),
        is_destructive=True,
    ),
    Act(
        "admin erase-tenant",
        "Continue",
        TenantErasure,
        _continue,
        form=ContinueForm,
        options="<ID> --certificate <file>",
        is_offered=lambda erasure: erasure.finished_at is None,
        is_destructive=True,
    ),
    Act(
        "admin erase-tenant",
        "Download certificate",
        TenantErasure,
        _download_certificate,
        options="<ID> --apply <plan> --certificate <file>",
        is_offered=lambda erasure: bool(erasure.finished_at and erasure.certificate),
        is_recorded=False,
    ),
)


def _format_counts(counts: dict[str, int]) -> str:
    found = sorted((name, f"{count:,}") for name, count in counts.items() if count)
    return format_html_join("", "<div>{}: {}</div>", found) or "none"


@admin.register(TenantTask)
class TenantTaskAdmin(ReadOnlyAdmin):
    """Once the erasure has begun, its page is in the list of erased tenants."""

    scope = RowScope(path="tenant")
    section = Section.ROOMS
    position = 2
    list_display = ("requested_at", "kind", "state_badge", "tenant", "figures", "ended_at")
    list_select_related = ("tenant",)
    search_fields = ("tenant__slug",)
    search_help_text = "Search by slug of the tenant, or ID."
    more_fields = ("progress", "figures", "not_exported", "planned")
    hidden_fields = ("state", "result", "plan", "phases", "error")

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Leave out what the task does not have."""
        empty = set() if obj and obj.plan else {"planned"}
        empty |= set() if obj and obj.result else {"figures", "not_exported"}
        return [name for name in super().get_fields(request, obj) if name not in empty]

    @admin.display(description="state")
    def state_badge(self, task: TenantTask) -> str:
        if is_interrupted(task):
            reason = "Its process has ended early: start it again."
            return format_badge("interrupted", Tone.BAD, reason)
        return format_badge(task.state, TONES[TaskState(task.state)])

    @admin.display(description="state")
    def progress(self, task: TenantTask) -> str:
        is_open = task.state in {TaskState.WAITING, TaskState.RUNNING}
        return format_progress(
            self.state_badge(task),
            is_live=is_open and not is_interrupted(task),
            phases=task.phases,
            error=task.error,
        )

    @admin.display(description="exported")
    def figures(self, task: TenantTask) -> str:
        if not (result := task.result):
            return "-"
        return (
            f"{pluralize(result['rooms'], 'room')}, {pluralize(result['events'], 'event')}, "
            f"{format_bytes(result['size_bytes'])}, on {result['host']}. "
            f"{result.get('problem', '')}"
        )

    @admin.display(description="not exported")
    def not_exported(self, task: TenantTask) -> str:
        return _format_counts(task.result.get("not_exported", {}))

    @admin.display(description="to be deleted")
    def planned(self, task: TenantTask) -> str:
        return _format_counts((task.plan or {}).get("counts", {}))

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, *args: Any) -> Any:
        messages.info(request, "Exports and erasures are deleted with their tenant.")
        return HttpResponseRedirect(model_url(TenantErasure, "changelist"))
