"""The page of the admin site that shows the messages of a room, for a reason."""

from __future__ import annotations

from dataclasses import replace
from http import HTTPStatus
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from rooms.messages.read_messages import LIMIT_PERIOD, MAX_PAGES, read_messages
from rooms.models import Room
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator, Permission
from scaiwave.site.access import has_permission
from scaiwave.site.acts import MAX_FORM_REASON_CHARS, build_operator, identify_account
from scaiwave.site.tabs import build_heading
from scaiwave.storage.error_mapping import translate_errors

READ_CONTENT = "rooms.view_content"
MAX_POSITION = 2**63 - 1


class MessageReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_FORM_REASON_CHARS,
        help_text="Goes into the audit log, with what you read.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    before = forms.IntegerField(
        min_value=1, max_value=MAX_POSITION, required=False, widget=forms.HiddenInput
    )


def find_reader(request: HttpRequest) -> Operator | None:
    """Return the account as an operator that may read messages, or None if it may not.

    Superusers and super_admins have the permission. Where the commands need a token, an account
    with a password may not read, because it does not prove who does.
    """
    needs_proof = settings.CONFIG.get_bool("SCAIWAVE_REQUIRE_ADMIN_TOKEN")
    if not has_permission(request, READ_CONTENT):
        return None
    if needs_proof and build_operator(request) is None:
        return None
    return replace(identify_account(request), granted=frozenset({Permission.READ_MESSAGES}))


def show_messages(model_admin: Any, request: HttpRequest, room_id: str) -> HttpResponse:
    """Ask for the reason; on POST show a page of messages. Raises Http404 and PermissionDenied."""
    reader = find_reader(request)
    if reader is None or not model_admin.has_view_permission(request):
        raise PermissionDenied
    room = model_admin.get_object(request, room_id)
    if room is None:
        raise Http404
    if request.method != "POST":
        return _render(model_admin, request, room, MessageReasonForm())
    form = MessageReasonForm(request.POST)
    if not form.is_valid():
        return _render(model_admin, request, room, form)
    try:
        with translate_errors():
            page = read_messages(
                operator=reader,
                room=room,
                reason=form.cleaned_data["reason"],
                before=form.cleaned_data["before"],
                now=timezone.now(),
            )
    except ScaiWaveError as error:
        return _render(model_admin, request, room, form, error=error)
    return _render(model_admin, request, room, form, page=page)


def _render(
    model_admin: Any,
    request: HttpRequest,
    room: Room,
    form: MessageReasonForm,
    *,
    error: ScaiWaveError | None = None,
    page: Any = None,
) -> HttpResponse:
    site = model_admin.admin_site
    context = {
        **site.each_context(request),
        "title": f"Messages: {room}",
        "opts": Room._meta,
        "room": room,
        "room_page": reverse("admin:rooms_room_change", args=[room.pk]),
        "heading": build_heading(site, request, room, current=Room),
        "form": form,
        "error": error,
        "page": page,
        "max_pages": MAX_PAGES,
        "minutes": int(LIMIT_PERIOD.total_seconds() // 60),
    }
    status = HTTPStatus.OK if error is None else error.http_status
    return TemplateResponse(request, "rooms/admin/messages.html", context, status=status)
