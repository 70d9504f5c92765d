"""The page of an act: its form, the question of its service, and the result."""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.signing import BadSignature
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
    QueryDict,
    StreamingHttpResponse,
)
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django.utils.text import capfirst

from scaiwave.core.bulk import list_some
from scaiwave.core.change import ChangeResult
from scaiwave.core.errors import ScaiWaveError
from scaiwave.core.operators import Operator
from scaiwave.site.acts import (
    ACTED_AT,
    SELECTED,
    Act,
    ActCall,
    ActQuestion,
    ActReport,
    ActResult,
    RowForm,
    RowSource,
    build_operator,
    find_act,
)
from scaiwave.site.formatting import model_url
from scaiwave.site.model_admins import get_site_admin
from scaiwave.site.terms import is_uuid
from scaiwave.site.upstream_errors import hide_upstream_details
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.web.api import ErrorResponse, RateLimitExceeded

CONFIRMED, CHOSEN = "confirmed", "chosen"
KEPT_COOKIE = "kept_form"
MAX_KEPT_CHARS, MAX_KEPT_SECONDS = 3500, 900
"""A longer form does not fit into a cookie. After a longer sign-in it is gone."""
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
    try:
        if not act.is_offered(row):
            raise ValidationError(NOT_OFFERED)
        response = _ask_or_run(site, request, operator, act, row)
    except ValidationError as problem:
        messages.warning(request, problem.message)
        return HttpResponseRedirect(_get_page(request, act, row))
    # An act that has ended its own session could not save it.
    if response.status_code == HTTPStatus.FOUND and request.session.exists(
        request.session.session_key or ""
    ):
        request.session[ACTED_AT] = timezone.now().isoformat()
    return response


def receive_file(
    site: AdminSite,
    request: HttpRequest,
    act: Act,
    row_id: str,
    view: Callable[[], HttpResponseBase],
) -> HttpResponseBase:
    """Read a form with a file within the limits of its act, then call the view."""
    operator = build_operator(request)
    if operator is None or not may_do(site, request, act.slug):
        raise PermissionDenied
    try:
        with act.receive(request):  # type: ignore[misc]
            response = view()
            if isinstance(response, HttpResponseRedirect) and "X-Upload" in request.headers:
                return JsonResponse({"url": response.url})  # The script would lose its message.
            return response
    except ScaiWaveError as error:
        row = _find_row(site, request, act, row_id)
        request.POST = QueryDict()  # Otherwise reading it would read the rest.
        form = act.form()
        if isinstance(form, RowForm):
            form.fit(operator, row)
        page = _render(site, request, act, row, form, error=error).render()
        refusal = ErrorResponse(page.content, status=page.status_code, headers=page.headers)
        refusal.unread_request = request
        return refusal


def keep_form(request: HttpRequest, slug: str, response: HttpResponseBase) -> None:
    """Keep a form that was sent without a session in a cookie, to show it after the sign-in.

    It is shown again, not sent again, and passwords and files are not kept.
    """
    act = find_act(slug)
    if act is None:
        return
    kept = QueryDict(mutable=True)
    for name in (CHOSEN, *act.form.base_fields):
        field = act.form.base_fields.get(name)
        is_secret = field is not None and isinstance(field.widget, forms.PasswordInput)
        for key in (name, f"initial-{name}"):
            if key in request.POST and not is_secret:
                kept.setlist(key, request.POST.getlist(key))
    if kept and len(text := kept.urlencode()) <= MAX_KEPT_CHARS:
        response.set_signed_cookie(
            KEPT_COOKIE,
            text,
            salt=request.path,
            max_age=MAX_KEPT_SECONDS,
            path=request.path,
            secure=settings.SESSION_COOKIE_SECURE,
            httponly=True,
            samesite="Lax",
        )


def _ask_or_run(
    site: AdminSite, request: HttpRequest, operator: Operator, act: Act, row: object
) -> HttpResponseBase:
    """Raises ValidationError if the form refuses the selection before it asks for anything."""
    form = _build_form(request, operator, act, row)
    if request.method != "POST" or not form.is_valid():
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
    if isinstance(result, ActReport):
        return _render(site, request, act, row, form, report=result)
    if isinstance(result, ChangeResult):
        result = " ".join([*result.lines, *result.warnings])
    if isinstance(result, str):
        result = ActResult(result, _get_page(request, act, None if act.removes_row else row))
    messages.success(request, result.sentence)
    return HttpResponseRedirect(result.url)


def _build_form(request: HttpRequest, operator: Operator, act: Act, row: object) -> forms.Form:
    """Return the form that was sent, now or before a sign-in, or an empty one.

    A list sends its selection alone: an act that needs more asks for it with an empty form.
    """
    data = request.POST if request.method == "POST" else _read_kept(request)
    if data is None:
        form = act.form()
    elif CHOSEN in data and len(act.form.base_fields) > 1:
        form = act.form(initial={SELECTED: data.getlist(SELECTED)})
    else:
        form = act.form(data, request.FILES)
    if isinstance(form, RowForm):
        form.fit(operator, row)
    return form


def _read_kept(request: HttpRequest) -> QueryDict | None:
    try:
        return QueryDict(request.get_signed_cookie(KEPT_COOKIE, salt=request.path))
    except (KeyError, BadSignature):
        return None


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


def _find_row(site: AdminSite, request: HttpRequest, act: Act, row_id: str) -> object:
    """Return the row of an act; None for one of a list."""
    if act.is_of_list:
        return None
    if isinstance(act.model, RowSource):
        row = act.model.find_row(request, row_id)
    else:
        row = site.get_model_admin(act.model).get_object(request, row_id)
    if row is None:
        raise Http404
    return row


def _build_confirm(request: HttpRequest, act: Act, row: object) -> Callable[[str], None]:
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


def _get_page(request: HttpRequest, act: Act, row: Any) -> str:
    """Return the page of a row, or of a list with the filters of the list that was left."""
    if isinstance(act.model, RowSource):
        return act.model.url
    if row is not None:
        return model_url(act.model, "change", row.pk)
    filters = f"?{request.GET.urlencode()}" if request.GET else ""
    return model_url(act.model, "changelist") + filters


def _name_selection(site: AdminSite, request: HttpRequest, act: Act, form: forms.Form) -> str:
    """Return the number and the first names of the rows: `2 selected: Crew, Staff.`"""
    admin = get_site_admin(site, act.model)  # type: ignore[arg-type]
    ids = list(filter(is_uuid, form[SELECTED].value() or ()))
    rows = admin.get_queryset(request).filter(pk__in=ids)
    if (related := admin.list_select_related) and not isinstance(related, bool):
        rows = rows.select_related(*related)
    names = sorted(map(admin.name_in_act, rows))
    return f"{len(names):,} selected: {list_some(names)}." if names else ""


def _render(
    site: AdminSite,
    request: HttpRequest,
    act: Act,
    row: object,
    form: forms.Form,
    *,
    question: str = "",
    error: ScaiWaveError | None = None,
    report: ActReport | None = None,
) -> TemplateResponse:
    form.label_suffix = ""
    if isinstance(act.model, RowSource):
        title, name = act.model.title, str(row)
    else:
        title = capfirst(str(act.model._meta.verbose_name_plural))
        admin = get_site_admin(site, act.model)
        name = "" if row is None else admin.name_in_act(row)
    note = act.get_note(row)
    if act.of_selection and not question:  # A question names the rows itself.
        note = _name_selection(site, request, act, form)
    context = {
        **site.each_context(request),
        "title": act.title if row is None else f"{act.title}: {name}",
        "act": act,
        "row": row or title,
        "note": note,
        "page": _get_page(request, act, row),
        "form": form,
        "question": question,
        "error": error,
        "report": report,
        "confirmed_name": CONFIRMED,
        "confirmation": _sign_question(request, act, row, question) if question else "",
        "is_asked_again": bool(question and request.POST.get(CONFIRMED)),
    }
    response = TemplateResponse(request, "scaiwave/admin/act.html", context)
    if KEPT_COOKIE in request.COOKIES:
        response.delete_cookie(KEPT_COOKIE, path=request.path)
    if isinstance(error, RateLimitExceeded):
        response.status_code = error.http_status
        response["Retry-After"] = str(error.retry_after_seconds)
    elif error is not None:
        response.status_code = HTTPStatus.CONFLICT
    return response
