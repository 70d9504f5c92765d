"""The acts of rooms and workspaces, as the commands of the same names do them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, tzinfo
from functools import partial
from typing import Any

from django import forms
from django.forms.models import model_to_dict
from django.http import StreamingHttpResponse

from rooms.bundle.manifest.schema import TimeWindow
from rooms.bundle.time_window import parse_time_window
from rooms.exports.export_room import export_room
from rooms.lifecycle.archive_room import archive_room, reopen_room, undelete_room
from rooms.lifecycle.delete_room import delete_room
from rooms.lifecycle.remove_media import remove_media, restore_media
from rooms.lookup.export_metadata import export_blocker
from rooms.models import DeletedRoom, RemovedFile, Room, RoomMedia, RoomState, Workspace
from rooms.people.export_participant import export_participant
from rooms.retention.policies import (
    MAX_DAYS,
    PolicyPlace,
    PolicyValues,
    clear_retention,
    find_policy,
    set_retention,
)
from rooms.transcripts.document import TranscriptOptions
from rooms.transcripts.timeline import EventSelection
from rooms.transcripts.transcribe_room import download_transcript, parse_time_zone
from rooms.transcripts.wording import Clock
from rooms.views.export_room import BundleStream, require_http_1_1, stream_bundle
from rooms.workspaces.create_workspace import WorkspaceSpec, create_workspace
from scaiwave.core.change import Change
from scaiwave.core.errors import UsageError
from scaiwave.core.operators import Operator, Permission
from scaiwave.site.acts import Act, ActCall, ReasonForm, RowForm, register_acts
from tenants.holds.site import register_hold
from tenants.models import Participant, Tenant

DOWNLOAD_NOTE = (
    "The bundle contains the messages of the room, all or of one period, and the files that were "
    "sent. Keep it as safe as the room. Others can import it as a new room."
)


TRANSCRIPT_NOTE = (
    "The transcript shows the messages of the room, all or of one period, and the files that were "
    "sent. Anyone can read it, so keep it as safe as the room."
)


PERSON_NOTE = (
    "The file contains what this server has about the person, and all that they wrote. It is for "
    "that person; messages of others are left out."
)


class DownloadForm(ReasonForm):
    since = forms.CharField(
        required=False,
        max_length=40,
        label="From",
        help_text="A day such as 2026-11-24, or 2026-11-24T19:05:00Z. Empty: the beginning.",
    )
    until = forms.CharField(
        required=False,
        max_length=40,
        label="Until before",
        help_text="The first day or time to leave out. Empty: the end.",
    )
    with_media = forms.BooleanField(required=False, initial=True, label="With attachments")


class TranscriptForm(DownloadForm):
    format = forms.ChoiceField(
        choices=[
            ("html", "HTML: pages to read and print"),
            ("text", "Text"),
            ("csv", "CSV: a table for a spreadsheet"),
            ("rsmf", "RSMF 2.0: for a review platform"),
        ]
    )
    time_zone = forms.CharField(
        max_length=60, initial="UTC", help_text="Of days and times, such as Europe/Amsterdam."
    )
    field_order = ("reason", "format", "time_zone")


def _get_arguments(call: ActCall) -> dict[str, Any]:
    """Return the arguments of a service about a row of a tenant, for a reason."""
    return {
        "operator": call.operator,
        "tenant": str(call.row.tenant_id),
        "reason": call.values["reason"],
        "now": call.now,
    }


def _download(call: ActCall) -> StreamingHttpResponse:
    window, with_media = _parse_window(call), call.values["with_media"]
    arguments = {**_get_arguments(call), "room": str(call.row.pk)}
    return _stream(call, partial(export_room, **arguments, window=window, with_media=with_media))


def _download_transcript(call: ActCall) -> StreamingHttpResponse:
    zone = parse_time_zone(call.values["time_zone"])
    options = TranscriptOptions(
        call.values["format"],
        Clock(zone),
        EventSelection(_parse_window(call, zone)),
        with_media=call.values["with_media"],
    )
    arguments = {**_get_arguments(call), "room": str(call.row.pk)}
    return _stream(call, partial(download_transcript, **arguments, options=options))


def _export_participant(call: ActCall) -> StreamingHttpResponse:
    values = {"name": str(call.row.pk), "reason": call.values["reason"]}
    response = _stream(call, lambda: call.run(export_participant, **values))
    response["Content-Disposition"] = f'attachment; filename="{call.row.pk}.zip"'
    return response


def _parse_window(call: ActCall, zone: tzinfo = UTC) -> TimeWindow:
    since, until = call.values["since"] or None, call.values["until"] or None
    return parse_time_window(since, until, now=call.now, zone=zone)


def _stream(call: ActCall, start: Callable[[], BundleStream]) -> StreamingHttpResponse:
    """Send a ZIP file while it is made. A failure breaks the connection before its end."""
    require_http_1_1(call.request)
    session = call.request.session
    if session.modified:  # Later it would be saved in the snapshot of the export.
        session.save()
        session.modified = False
    return stream_bundle(call.request, start, transfers_of=f"account-{call.request.user.pk}")


class WorkspaceForm(forms.Form):
    tenant = forms.CharField(max_length=500, help_text="Slug, ID or ScaiKey ID.")
    slug = forms.CharField(max_length=500, help_text="A short name, such as sales.")
    name = forms.CharField(max_length=500, help_text="Such as Sales.")
    description = forms.CharField(required=False, max_length=1000)
    owner = forms.CharField(
        required=False,
        max_length=500,
        help_text="E-mail address, @name:server or ID of a person who may import rooms into it.",
    )


def _create_workspace(call: ActCall) -> str:
    values = call.values
    spec = WorkspaceSpec(
        values["slug"], values["name"], values["description"], values["owner"] or None
    )
    return call.run(create_workspace, tenant=values["tenant"], spec=spec).sentence


class RetentionForm(ReasonForm, RowForm):
    """The policy in force: without its values, the form would end it."""

    days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_DAYS,
        label="Days of messages",
        help_text="Older messages are deleted by the next run. Empty: kept.",
    )
    media_days = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_DAYS,
        label="Days of files",
        help_text="Empty: as messages.",
    )
    content_only = forms.BooleanField(
        required=False, label="Keep messages, and delete only their content"
    )
    field_order = ("days", "media_days", "content_only", "reason")

    def fit(self, operator: Operator, row: Any) -> None:
        if policy := _find_policy(row):
            self.initial.update(model_to_dict(policy, ["days", "media_days", "content_only"]))


def _get_place(row: Room | Tenant) -> dict[str, Any]:
    if isinstance(row, Tenant):
        return {"tenant": str(row.pk)}
    return {"tenant": str(row.tenant_id), "room": str(row.pk)}


def _set_retention(call: ActCall) -> Change:
    values, place = call.values, _get_place(call.row)
    policy = PolicyValues(values["days"], values["media_days"], values["content_only"])
    if policy == PolicyValues() and _find_policy(call.row) is None:
        raise UsageError(
            "Everything is kept here already: no policy counts.", fix="Fill in a number of days."
        )
    return call.run(set_retention, values=policy, reason=values["reason"], **place)


def _clear_retention(call: ActCall) -> Change:
    return call.run(clear_retention, reason=call.values["reason"], **_get_place(call.row))


def _find_policy(row: Any) -> Any:
    place = PolicyPlace(row) if isinstance(row, Tenant) else PolicyPlace(row.tenant, row)
    return find_policy(place)


def _describe_retention(row: Room | Tenant) -> str:
    policy = _find_policy(row)
    if policy is None:
        return "No policy counts here: everything is kept."
    return f"What counts now: {policy} (policy of the {policy.kind})."


def _set_state_by(service: Callable[..., Change]) -> Callable[[ActCall], Change]:
    return lambda call: service(**_get_arguments(call), name=str(call.row.pk))


def _remove_by(
    service: Callable[..., Change], get_names: Callable[[Any], dict[str, str]], *, at_once: bool
) -> Callable[[ActCall], Change]:
    """Return an act that removes a row, for good if `at_once`."""
    return lambda call: service(
        **_get_arguments(call),
        **get_names(call.row),
        confirm=lambda effect, name: call.confirm(effect),
        at_once=at_once,
    )


def _name_file(row: Any) -> dict[str, Any]:
    return {"room": str(row.room_id), "file": str(row.media_id)}


_SPEEDS = (("", False), ("--now", True))
_PLACES = ((Tenant, "--tenant <slug>"), (Room, "--tenant <slug> --room <room>"))

register_acts(
    Act(
        "room export",
        "Download bundle",
        Room,
        _download,
        form=DownloadForm,
        is_offered=lambda room: export_blocker(room) is None,
        get_note=lambda room: DOWNLOAD_NOTE,
        permission=Permission.EXPORT_ROOMS,
    ),
    Act(
        "room transcript",
        "Download transcript",
        Room,
        _download_transcript,
        form=TranscriptForm,
        is_offered=lambda room: export_blocker(room) is None,
        get_note=lambda room: TRANSCRIPT_NOTE,
        # It shows the texts of messages, as the page of the messages does.
        permission=Permission.READ_MESSAGES,
    ),
    Act(
        "admin export-participant",
        "Download data",
        Participant,
        _export_participant,
        form=ReasonForm,
        get_note=lambda person: PERSON_NOTE,
    ),
    Act(
        "room archive",
        "Archive",
        Room,
        _set_state_by(archive_room),
        form=ReasonForm,
        is_offered=lambda room: room.state == RoomState.OPEN,
        permission=Permission.MANAGE_TENANTS,
        is_destructive=True,
    ),
    Act(
        "room reopen",
        "Reopen",
        Room,
        _set_state_by(reopen_room),
        form=ReasonForm,
        is_offered=lambda room: room.state == RoomState.ARCHIVED,
        permission=Permission.MANAGE_TENANTS,
    ),
    *(
        Act(
            "room delete",
            "Delete now" if at_once else "Delete",
            DeletedRoom if at_once else Room,
            _remove_by(delete_room, lambda room: {"name": str(room.pk)}, at_once=at_once),
            form=ReasonForm,
            is_offered=lambda room: room.state != RoomState.OPEN,
            options=options,
            get_note=lambda room: (
                "Its events, members and files are deleted for good, except files that other rooms "
                "have. Backups still have them."
                if room.deleted_at
                else "The room is hidden at once. Deleted rooms lists it until its grace period "
                "ends."
            ),
            removes_row=True,
            is_destructive=True,
        )
        for options, at_once in _SPEEDS
    ),
    *(
        Act(
            "room media remove",
            "Delete now" if at_once else "Remove",
            RoomMedia,
            _remove_by(remove_media, _name_file, at_once=at_once),
            form=ReasonForm,
            options=options,
            get_note=lambda link: "The messages keep the name of the file and the reason.",
            removes_row=True,
            is_destructive=True,
        )
        for options, at_once in _SPEEDS
    ),
    Act(
        "room undelete",
        "Bring back",
        DeletedRoom,
        _set_state_by(undelete_room),
        form=ReasonForm,
        removes_row=True,
    ),
    Act(
        "room media restore",
        "Bring back",
        RemovedFile,
        lambda call: restore_media(
            operator=call.operator,
            tenant=str(call.row.tenant_id),
            now=call.now,
            **_name_file(call.row),
        ),
        is_offered=lambda file: file.media_id is not None,
        removes_row=True,
    ),
)
for model, option in (
    (Room, "--room <room>"),
    (DeletedRoom, "--tenant <slug> --room <deleted room>"),
):
    register_hold(
        model,
        option,
        lambda room: {"tenant": str(room.tenant_id), "room": str(room.pk)},
        "Its events, files and members",
    )
register_acts(
    Act(
        "admin create-workspace",
        "Create a workspace",
        Workspace,
        _create_workspace,
        form=WorkspaceForm,
        is_of_list=True,
        permission=Permission.MANAGE_TENANTS,
    ),
    *(
        Act(
            "admin retention set",
            "Set retention",
            model,
            _set_retention,
            form=RetentionForm,
            options=option,
            get_note=_describe_retention,
            is_destructive=True,
        )
        for model, option in _PLACES
    ),
    *(
        Act(
            "admin retention clear",
            "Clear retention",
            model,
            _clear_retention,
            form=ReasonForm,
            is_offered=lambda row: row.retention_policies.filter(
                room=row if isinstance(row, Room) else None
            ).exists(),
            options=option,
            get_note=_describe_retention,
        )
        for model, option in _PLACES
    ),
)
