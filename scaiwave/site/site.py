"""The admin site itself: its titles, and its menu by task."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from functools import partial, wraps
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

from django.conf import settings
from django.contrib import admin
from django.contrib.auth import REDIRECT_FIELD_NAME, SESSION_KEY, logout
from django.contrib.auth.views import PasswordChangeView, redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.shortcuts import render
from django.template.response import SimpleTemplateResponse, TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.utils.text import capfirst
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt

from scaiwave.core.errors import ScaiWaveError
from scaiwave.extensions import SIGN_OUT_FORM
from scaiwave.site.access import (
    find_limited_operator,
    find_scaikey_operator,
    has_permission,
    is_expired,
    is_scaikey_session,
    save_sign_in,
)
from scaiwave.site.act_view import keep_form, may_do, receive_file, show_act
from scaiwave.site.acts import ACTED_AT, build_operator, find_act
from scaiwave.site.charts import draw_chart
from scaiwave.site.id_tokens import find_id_token
from scaiwave.site.menu import Section, build_menu
from scaiwave.site.overview import hide_links, load_limited_overview, load_overview
from scaiwave.site.pages import SitePage, get_pages
from scaiwave.site.search import find_only, search_site
from scaiwave.site.upstream_errors import hide_upstream_details
from scaiwave.web.security_headers import HEADER, format_policy

_OVERRIDES = {
    chr(number): f"[U+{number:04X}]" for number in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def _show_overrides(response: SimpleTemplateResponse) -> None:
    text = response.content.decode()
    if any(character in text for character in _OVERRIDES):
        response.content = text.translate(str.maketrans(_OVERRIDES)).encode()


class OperatorSite(admin.AdminSite):
    site_header = "ScaiWave operators"
    site_title = "ScaiWave operators"
    index_title = "Overview"
    index_template = "scaiwave/admin/index.html"
    site_url = None
    login_template = "scaiwave/admin/login.html"
    logout_template = "scaiwave/admin/signed_out.html"

    def has_permission(self, request: HttpRequest) -> bool:
        """Whether the account may enter: after a sign-in with ScaiKey, as long as it proves a role.

        An account made by such a sign-in is not staff, so that nothing else lets it in. The session
        of someone who may no longer sign in ends here: it would go on once they may again.
        """
        is_of_scaikey = is_scaikey_session(request)
        if is_of_scaikey and find_scaikey_operator(request) is not None:
            return True
        if is_of_scaikey and is_expired(request):  # The page to sign in leads to ScaiKey.
            return False
        if is_of_scaikey or (SESSION_KEY in request.session and request.user.is_anonymous):
            logout(request)
        return super().has_permission(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Show characters that change the direction of text: in a name they could forge others."""
        inner = super().admin_view(view, cacheable)

        @wraps(inner)
        def show(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
            response: HttpResponseBase = inner(request, *args, **kwargs)
            if isinstance(response, SimpleTemplateResponse):
                response.add_post_render_callback(_show_overrides)
            return response

        return show

    def each_context(self, request: HttpRequest) -> dict[str, object]:
        """Add the role of someone who signed in with ScaiKey, to be shown beside their name."""
        operator = find_scaikey_operator(request)
        role = operator.role.value.replace("_", " ") if operator is not None else ""
        return {**super().each_context(request), "operator_role": role}

    def index(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> TemplateResponse:
        """Show the overview, as far as the account may see what each part is about."""
        acted_at = request.session.get(ACTED_AT)
        after = datetime.fromisoformat(acted_at) if acted_at else None
        if operator := find_limited_operator(request):
            overview = load_limited_overview(timezone.now(), operator, after)
        else:
            overview = load_overview(timezone.now(), partial(has_permission, request), after)
        acting = build_operator(request)
        hidden = {page.url for page in get_pages() if not page.is_visible(request)}
        hide_links(overview, hidden, partial(may_do, self, request))
        context = {
            "overview": overview,
            "charts": [draw_chart(chart) for chart in overview["charts"]],
            # A terminal of the server can do everything, so others are not sent there.
            "shows_commands": bool(acting and acting.sees_everything),
            **(extra_context or {}),
        }
        return super().index(request, context)

    @method_decorator(never_cache)
    def login(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Show the ways to sign in that this server offers.

        After a sign-in with ScaiKey has expired, ask ScaiKey again at once: people who are still
        signed in there do not notice.
        """
        target = request.GET.get(REDIRECT_FIELD_NAME) or request.POST.get(REDIRECT_FIELD_NAME, "")
        query = urlencode({REDIRECT_FIELD_NAME: target})
        url = f"{reverse('oidc_authenticate')}?{query}" if settings.HAS_SCAIKEY_SIGN_IN else ""
        if request.method == "GET" and is_scaikey_session(request) and is_expired(request):
            logout(request)
            if url and target:
                return HttpResponseRedirect(url)
        context = {"scaikey_url": url, "has_password_sign_in": settings.HAS_PASSWORD_SIGN_IN}
        if request.method == "POST" and not settings.HAS_PASSWORD_SIGN_IN:
            raise PermissionDenied
        response = super().login(request, {**context, **(extra_context or {})})
        if request.method == "POST" and isinstance(response, HttpResponseRedirect):
            save_sign_in(request)
        return response

    @method_decorator(never_cache)
    def logout(  # type: ignore[override]
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """End the session, and the session at ScaiKey if the person has signed in there.

        The page posts a form to ScaiKey itself, since addresses with the ID token would get into
        histories and logs. As a redirect, the policy for forms would forbid it.
        """
        was_in_scaikey = is_scaikey_session(request)
        id_token = find_id_token(request.session)
        response: HttpResponse = super().logout(request, extra_context)
        if request.method != "POST" or not was_in_scaikey:
            return response
        context: dict[str, Any] = {"title": "Signed out", "was_in_scaikey": True}
        try:
            context["sign_out_form"] = SIGN_OUT_FORM.load()(id_token)
        except ScaiWaveError as error:
            context["error"] = hide_upstream_details(error, "ScaiKey can't be reached now.")
        page = render(request, "scaiwave/admin/signed_out.html", context)
        if form := context.get("sign_out_form"):
            target = urlsplit(form.address)
            page[HEADER] = format_policy(form_action=f"{target.scheme}://{target.netloc}")
        return page

    def password_change(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> TemplateResponse:
        """Refuse people who have no password here. The form gets the request, to record it."""
        if is_scaikey_session(request):
            raise PermissionDenied
        request.current_app = self.name
        form: Any = self.password_change_form
        view = PasswordChangeView.as_view(
            form_class=partial(form, request, label_suffix=""),
            success_url=reverse("admin:password_change_done", current_app=self.name),
            extra_context={**self.each_context(request), **(extra_context or {})},
        )
        return cast(TemplateResponse, view(request))

    def get_urls(self) -> list[Any]:
        return [
            path("search/", self.admin_view(self.search), name="search"),
            path("search/suggest/", self.admin_view(self.suggest), name="suggest"),
            *(
                path(
                    f"{page.name}/",
                    self.admin_view(partial(self.show_page, page)),
                    name=page.name,
                )
                for page in get_pages()
            ),
            path("act/<str:slug>/", self.act, name="act"),
            path("act/<str:slug>/<str:row_id>/", self.act, name="act"),
            *super().get_urls(),
        ]

    def show_page(self, page: SitePage, request: HttpRequest) -> HttpResponseBase:
        if not page.is_visible(request):
            raise PermissionDenied
        return page.show(self, request)

    @method_decorator(csrf_exempt)
    def act(self, request: HttpRequest, slug: str, row_id: str = "") -> HttpResponseBase:
        """Show or do an act.

        `admin_view` reads the whole form to check its CSRF token. So `receive_file` first checks
        who sends a file, and limits the reading. Without `csrf_exempt`, Django would read earlier.
        """
        act, has_session = find_act(slug), self.has_permission(request)
        view = partial(self.admin_view(partial(show_act, self)), request, slug, row_id)
        if request.method != "POST" or act is None or act.receive is None:
            response: HttpResponseBase = view()
            # A request without a CSRF token got 403 and no redirect, so no forged form is kept.
            if not has_session and isinstance(response, HttpResponseRedirect):
                keep_form(request, slug, response)
            return response
        if not has_session:
            return redirect_to_login(request.get_full_path(), reverse("admin:login"))
        return receive_file(self, request, act, row_id, view)

    def autocomplete_view(self, request: HttpRequest) -> HttpResponse:
        """Find nothing by a null character, which PostgreSQL refuses in a text."""
        if "\0" in request.GET.get("term", ""):
            return JsonResponse({"results": [], "pagination": {"more": False}})
        return super().autocomplete_view(request)

    def search(self, request: HttpRequest) -> HttpResponse:
        """Search all lists; go to the row at once if it is the only one."""
        term = request.GET.get("q", "").strip()
        found = search_site(self, request, term)
        if row := find_only(found):
            return HttpResponseRedirect(row.url)
        context = {
            **self.each_context(request),
            "title": f"Search for {term}" if term else "Search",
            "term": term,
            "found": found,
        }
        return TemplateResponse(request, "scaiwave/admin/search.html", context)

    def suggest(self, request: HttpRequest) -> JsonResponse:
        """Return the first rows that a search finds, while someone types."""
        found = search_site(self, request, request.GET.get("q", ""), request.GET.get("of", ""))
        rows = [{"kind": each.title, **asdict(row)} for each in found for row in each.rows]
        for row in rows:
            row["text"] = row["text"].translate(str.maketrans(_OVERRIDES))
        return JsonResponse({"results": rows})

    def app_index(  # type: ignore[override]
        self, request: HttpRequest, app_label: str, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        """Redirect to the first section of the menu with a list of the app: the menu is by task."""
        for section in self.get_app_list(request):
            models = (entry["model"] for entry in section["models"] if "model" in entry)
            if any(model._meta.app_label == app_label for model in models):
                return HttpResponseRedirect(section["app_url"])
        return HttpResponseRedirect(reverse("admin:index", current_app=self.name))

    def get_app_list(
        self, request: HttpRequest, app_label: str | None = None
    ) -> list[dict[str, Any]]:
        """Return the sections of the menu. Django's own has more, which takes each page longer.

        People who see some tenants only have no use for join tables and counters.
        """
        ordered = sorted(self._registry.items(), key=lambda item: getattr(item[1], "position", 1))
        entries = [
            *((page.section, page.menu_entry) for page in get_pages() if page.is_visible(request)),
            *(
                (getattr(model_admin, "section", Section.INTERNALS), self._build_entry(model))
                for model, model_admin in ordered
                if model_admin.has_module_permission(request)
                and model_admin.has_view_or_change_permission(request)
            ),
        ]
        if find_limited_operator(request):
            entries = [each for each in entries if each[0] is not Section.INTERNALS]
        for _, entry in entries:
            entry["is_current"] = request.path.startswith(entry["admin_url"])
        return build_menu(entries)

    def _build_entry(self, model: type[Model]) -> dict[str, Any]:
        meta = model._meta
        name = f"admin:{meta.app_label}_{meta.model_name}_changelist"
        return {
            "model": model,
            "name": capfirst(str(meta.verbose_name_plural)),
            "object_name": meta.object_name,
            "admin_url": reverse(name, current_app=self.name),
        }
