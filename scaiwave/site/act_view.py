"""The page of an act: its form, the question of its service, and the result."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.text import capfirst

from scaiwave.core.change import ChangeResult
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator
from scaiwave.site.acts import (
    SELECTED,
    Act,
    ActCall,
    ActQuestion,
    ActResult,
    RowSource,
    build_operator,
    find_act,
)
from scaiwave.site.upstream_errors import hide_upstream_details
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.web.api import RateLimitExceeded

CONFIRMED, CHOSEN = "confirmed", "chosen"
NOT_OFFERED = "This can't be done in the present state. It may have been done already."


def show_act(site: AdminSite, request: HttpRequest, slug: str, row_id: str) -> HttpResponseBase:
    """Show the form of an act; on POST do it, after its question was confirmed.

    `row_id` is empty for an act of a list. Raises Http404 and PermissionDenied.
    """
    operator = build_operator(request)
    if operator is None:
        raise PermissionDenied
    act = find_act(slug)
    if act is None or act.is_of_list is bool(row_id):
        raise Http404
    if not (_is_visible(site, request, act) and act.is_permitted(operator)):
        raise PermissionDenied
    try:
        row = _find_row(site, request, act, row_id)
    except ScaiWaveError as error:
        return _render(site, request, act, None, act.form(), error=error)
    return _ask_or_run(site, request, operator, act, row)


def _ask_or_run(
    site: AdminSite, request: HttpRequest, operator: Operator, act: Act, row: Any
) -> HttpResponseBase:
    form = _build_form(request, act)
    if not form.is_valid():
        return _render(site, request, act, row, form)
    call = ActCall(
        request,
        operator,
        row,
        form.cleaned_data,
        confirm=_build_confirm(request, act, row),
        now=timezone.now(),
    )
    try:
        with translate_errors():
            result = act.run(call)
    except ValidationError as error:
        form.add_error(None, error)
        return _render(site, request, act, row, form)
    except ActQuestion as question:
        return _render(site, request, act, row, form, question=question.question)
    except ScaiWaveError as error:
        if not operator.sees_everything:
            error = hide_upstream_details(error, "ScaiKey can't be reached now.")
        return _render(site, request, act, row, form, error=error)
    if isinstance(result, StreamingHttpResponse):
        return result
    if isinstance(result, ChangeResult):
        result = " ".join([*result.lines, *result.warnings])
    if isinstance(result, str):
        result = ActResult(result, _get_page(act, None if act.removes_row else row))
    messages.success(request, result.sentence)
    return HttpResponseRedirect(result.url)


def _build_form(request: HttpRequest, act: Act) -> forms.Form:
    """Return the form that was sent, or an empty one.

    A list sends its selection alone: an act that needs more asks for it with an empty form.
    """
    if request.method != "POST":
        return act.form()
    if CHOSEN in request.POST and len(act.form.base_fields) > 1:
        return act.form(initial={SELECTED: request.POST.getlist(SELECTED)})
    return act.form(request.POST)


def may_do(site: AdminSite, request: HttpRequest, slug: str) -> bool:
    """Whether the account may do the act of this slug, on rows that offer it."""
    operator, act = build_operator(request), find_act(slug)
    if operator is None or act is None:
        return False
    return _is_visible(site, request, act) and act.is_permitted(operator)


def _is_visible(site: AdminSite, request: HttpRequest, act: Act) -> bool:
    if isinstance(act.model, RowSource):
        return act.model.is_visible(request)
    return site.get_model_admin(act.model).has_view_permission(request)


def _find_row(site: AdminSite, request: HttpRequest, act: Act, row_id: str) -> Any:
    """Return the row of an act, which must be offered for it now."""
    if act.is_of_list:
        row = None
    elif isinstance(act.model, RowSource):
        row = act.model.find_row(request, row_id)
    else:
        row = site.get_model_admin(act.model).get_object(request, row_id)
    if row is None and not act.is_of_list:
        raise Http404
    if not act.is_offered(row):
        raise PermissionDenied(NOT_OFFERED)
    return row


def _build_confirm(request: HttpRequest, act: Act, row: Any) -> Callable[[str], None]:
    """Return what asks a question, unless the form with exactly this one was sent.

    Its signature is in the form that was sent. Between the two requests the row may change,
    and with it the meaning of a yes.
    """

    def confirm(effect: str) -> None:
        given = request.POST.get(CONFIRMED, "")
        if not constant_time_compare(given, _sign_question(request, act, row, effect)):
            raise ActQuestion(effect)

    return confirm


def _sign_question(request: HttpRequest, act: Act, row: Any, question: str) -> str:
    rows = request.POST.getlist(SELECTED) if row is None else [str(row.pk)]
    text = "\0".join((act.slug, *rows, question))
    return salted_hmac("scaiwave.site.act_view", text, algorithm="sha256").hexdigest()


def _get_page(act: Act, row: Any) -> str:
    if isinstance(act.model, RowSource):
        return act.model.url
    meta = act.model._meta
    if row is None:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_changelist")
    return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[row.pk])


def _get_list_title(act: Act) -> str:
    if isinstance(act.model, RowSource):
        return act.model.title
    return capfirst(str(act.model._meta.verbose_name_plural))


def _render(
    site: AdminSite,
    request: HttpRequest,
    act: Act,
    row: Any,
    form: forms.Form,
    *,
    question: str = "",
    error: ScaiWaveError | None = None,
) -> HttpResponse:
    context = {
        **site.each_context(request),
        "title": act.title if row is None else f"{act.title}: {row}",
        "act": act,
        "row": row or _get_list_title(act),
        "note": act.get_note(row),
        "page": _get_page(act, row),
        "form": form,
        "question": question,
        "error": error,
        "confirmed_name": CONFIRMED,
        "confirmation": _sign_question(request, act, row, question) if question else "",
        "is_asked_again": bool(question and request.POST.get(CONFIRMED)),
    }
    response = TemplateResponse(request, "scaiwave/admin/act.html", context)
    if isinstance(error, RateLimitExceeded):
        response.status_code = error.http_status
        response["Retry-After"] = str(error.retry_after_seconds)
    elif error is not None:
        response.status_code = HTTPStatus.CONFLICT
    return response
