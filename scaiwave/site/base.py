"""The base of every admin of this suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, ClassVar, NoReturn, cast
from urllib.parse import urlencode
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin import FieldListFilter, SimpleListFilter
from django.contrib.admin.options import IncorrectLookupParameters
from django.contrib.admin.views.main import ERROR_FLAG, IGNORED_PARAMS, PAGE_VAR, ChangeList
from django.core.exceptions import EmptyResultSet
from django.db.models import (
    DateTimeField,
    DecimalField,
    FloatField,
    ForeignKey,
    IntegerField,
    Model,
    OrderBy,
    Q,
    QuerySet,
)
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import path
from django.utils.text import capfirst

from scaiwave.console.text import shorten
from scaiwave.site.access import (
    RowScope,
    find_scaikey_operator,
    is_scaikey_session,
    limit_rows,
)
from scaiwave.site.acts import ActLink, list_act_links
from scaiwave.site.filters import ExactValueFilter, TypedFilter, filter_parameter
from scaiwave.site.formatting import field_display, format_field_title, strip_markup
from scaiwave.site.list_export import build_export_links, export_list
from scaiwave.site.menu import Section
from scaiwave.site.model_admins import SiteAdmin, get_site_admin
from scaiwave.site.pagination import CappedPaginator
from scaiwave.site.related import related_links, soft_references
from scaiwave.site.tabs import build_heading, find_tab_parameter, find_tabbed_row
from scaiwave.site.terms import MAX_TERM_CHARS, TermForm, is_uuid

_LIST_PARAMETERS = (*IGNORED_PARAMS, PAGE_VAR, ERROR_FLAG)
_FILTER_SUFFIXES = ("", "__exact", "__isnull", "__gte", "__lt")
"""What Django's filters append to the name of their field."""

_DISTINGUISHING_FIELDS = ("name", "email", "contact_email", "tenant", "tenant_slug")
"""What distinguishes rows of the same name, in each model that has some of these fields."""


class SortedChangeList(ChangeList):
    """Sorts by computed columns too, with missing values last in both directions."""

    _needs_expressions = False
    tab_parameter = ""
    """The query parameter that selects the row whose tab the list is."""

    @property
    def is_narrowed(self) -> bool:
        """Whether the list shows less than all, or of a tab less than all of its row."""
        return bool(self.query or self.get_filters_params().keys() - {self.tab_parameter})

    @property
    def everything_url(self) -> str:
        """The address of the list without search and filters; a tab stays one of its row."""
        selected = {name: self.params.get(name) for name in (self.tab_parameter,) if name}
        return f"?{urlencode(selected)}"

    def get_queryset(
        self, request: HttpRequest, exclude_parameters: list[str | None] | None = None
    ) -> QuerySet[Model]:
        """Find nothing by a null character, which PostgreSQL refuses in a text.

        Raises IncorrectLookupParameters for a time whose year in UTC would be 0 or 10000.
        """
        queryset = super().get_queryset(request, exclude_parameters)
        values = (value for _, values in request.GET.lists() for value in values)
        if any("\0" in value for value in values):
            return queryset.none()
        try:
            queryset.query.sql_with_params()
        except EmptyResultSet:
            return queryset
        except OverflowError as error:
            raise IncorrectLookupParameters from error
        return queryset

    def get_ordering_field(self, field_name: Any) -> Any:
        """Return None for a column that the list does not offer to sort by: anyone can write its
        number into the address."""
        if field_name not in (self.sortable_by or ()):
            return None
        name = super().get_ordering_field(field_name)
        if not self._needs_expressions:
            return name
        return cast(ReadOnlyAdmin, self.model_admin).find_sort_expression(name) or name

    def get_ordering(self, request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
        # The titles of columns ask for the names only, and an expression may take a query to build.
        self._needs_expressions = True
        ordering = list(super().get_ordering(request, queryset))
        self._needs_expressions = False
        for each in ordering:
            if isinstance(each, OrderBy):
                each.nulls_first, each.nulls_last = False, True
        return ordering


class ReadOnlyAdmin(SiteAdmin):
    """Read-only lists and pages, which read the same number of rows however large the table is.

    `list_display` and `sortable_by` take names of fields and methods. Times are shown in UTC, JSON
    indented, and references to other rows as links. `more_fields` are methods shown on a row's
    page above its fields, `hidden_fields` are fields shown nowhere, `linked_columns` are methods
    that link to another page, and `id_fields` are searched exactly when the search is a UUID.
    `field_models` has the models of whose rows a computed field consists; an account that may not
    see all of them does not see the field. `named_by` are the references whose names are part of
    the name of a row; an account that may not see them sees its ID instead.
    `help_texts` replace the help of fields that are not ours. Without `shows_related`, the page of
    a row does not list what refers to it. `number_columns` are methods that show numbers, beside
    the fields that have some. `section` is the place in the menu, where the lists of a section with
    the least `position` come first. The search across the site asks the list for terms of its
    `searched_forms`, and for the ID of every row.

    `scope` is how the rows belong to tenants. Without one, people who sign in with ScaiKey don't
    see the model unless they see everything.
    """

    scope: ClassVar[RowScope] = RowScope()
    section: ClassVar[Section] = Section.INTERNALS
    position: ClassVar[int] = 1
    searched_forms: ClassVar[frozenset[TermForm]] = frozenset()

    actions = None
    change_list_template = "scaiwave/admin/list.html"
    change_form_template = "scaiwave/admin/row.html"
    paginator = CappedPaginator
    list_per_page = 50
    list_max_show_all = 50
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    # Sorting by a column without an index reads the whole table, so each list says which it offers.
    sortable_by: ClassVar[tuple[str, ...]] = ()
    more_fields: ClassVar[Sequence[str]] = ()
    hidden_fields: ClassVar[Sequence[str]] = ()
    linked_columns: ClassVar[Sequence[str]] = ()
    id_fields: ClassVar[Sequence[str]] = ("id",)
    field_models: ClassVar[Mapping[str, Sequence[type[Model]]]] = {}
    named_by: ClassVar[Sequence[str]] = ()
    help_texts: ClassVar[Mapping[str, str]] = {}
    shows_related: ClassVar[bool] = True
    number_columns: ClassVar[Sequence[str]] = ()

    def has_view_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        operator = find_scaikey_operator(request)
        if operator is None:
            return not is_scaikey_session(request) and super().has_view_permission(request, obj)
        return self.scope.is_for(operator)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        """Return the rows that the account may see. Everything the site shows is read here."""
        return limit_rows(request, super().get_queryset(request), self.scope)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        names = (str(name) for name in self.list_display)
        return [field_display(self.model, name) for name in names if self._is_shown(request, name)]

    def is_number_column(self, name: str) -> bool:
        fields = {field.name: field for field in self.model._meta.fields}
        return name in self.number_columns or isinstance(
            fields.get(name), IntegerField | FloatField | DecimalField
        )

    def _is_shown(self, request: HttpRequest, name: str) -> bool:
        """Whether the account may see the object of a column, such as a partner."""
        if not all(self._can_view(request, model) for model in self.field_models.get(name, ())):
            return False
        model = find_referred_model(self.model, name)
        return model is None or self._can_view(request, model)

    def _can_view(self, request: HttpRequest, model: type[Model]) -> bool:
        if not self.admin_site.is_registered(model):
            return True
        return self.admin_site.get_model_admin(model).has_view_permission(request)

    def get_list_display_links(
        self, request: HttpRequest, list_display: Sequence[object]
    ) -> list[Any]:
        """Let the first column that links to nothing else link to the page of the row."""
        names = [str(name) for name in self.list_display_links or self.list_display]
        foreign = {field.name for field in self.model._meta.fields if isinstance(field, ForeignKey)}
        name = next(name for name in names if name not in foreign | set(self.linked_columns))
        return [field_display(self.model, name)]

    def get_sortable_by(self, request: HttpRequest) -> list[Any]:
        return [field_display(self.model, name) for name in self.sortable_by]

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        """Add filters for the values that links of other pages select."""
        foreign = [field.name for field in self.model._meta.fields if isinstance(field, ForeignKey)]
        given = {each[0] for each in self.list_filter if isinstance(each, tuple)}
        names = [name for name in (*foreign, *soft_references(self.model)) if name not in given]
        return [*self.list_filter, *((name, ExactValueFilter) for name in names)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """Allow only the lookups of the list's filters.

        Any other one could reveal values that no page shows: with `password__startswith`, a hash
        can be guessed character by character.
        """
        return lookup in self._get_filter_parameters(request)

    def _get_filter_parameters(self, request: HttpRequest) -> set[str]:
        parameters: set[str] = set()
        for list_filter in self.get_list_filter(request):
            if isinstance(list_filter, type) and issubclass(list_filter, SimpleListFilter):
                parameters.add(str(list_filter.parameter_name))
            elif isinstance(list_filter, type) and issubclass(list_filter, TypedFilter):
                parameters |= set(list_filter.fields)
            elif isinstance(list_filter, tuple):
                parameters.add(filter_parameter(self.model._meta.get_field(list_filter[0])))
            else:
                parameters |= {f"{list_filter}{suffix}" for suffix in _FILTER_SUFFIXES}
        return parameters

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        """Return computed fields first, then times, and in one line the fields not set."""
        meta = self.model._meta
        fields = [*meta.fields, *meta.many_to_many]
        times = [field.name for field in fields if isinstance(field, DateTimeField)]
        others = [field.name for field in fields if field.name not in times]
        names = [name for name in (*others, *times) if name not in self.hidden_fields]
        more = [name for name in self.more_fields if self._is_shown(request, name)]
        shown = [name for name in names if self._is_shown(request, name)]
        if obj is not None:
            empty = [
                field
                for field in meta.fields
                if field.name in shown and getattr(obj, field.attname) in (None, "")
            ]
            shown = [name for name in shown if name not in {field.name for field in empty}]
            obj.not_set = ", ".join(str(field.verbose_name) for field in empty)
        displays = [*more, *(field_display(self.model, name) for name in shown)]
        return [*displays, "not_set"] if getattr(obj, "not_set", "") else displays

    @admin.display(description="not set")
    def not_set(self, row: Any) -> str:
        return str(row.not_set)

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        return super().get_form(request, *args, help_texts=dict(self.help_texts), **kwargs)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        """Leave out names of rows that the account may not see: they could be guessed."""
        names = [str(name) for name in super().get_search_fields(request)]
        return [name for name in names if self._is_shown(request, name.partition("__")[0])]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Model], search_term: str
    ) -> tuple[QuerySet[Model], bool]:
        term = search_term.strip()[:MAX_TERM_CHARS]
        if term and self.id_fields and is_uuid(term):
            conditions = [Q((name, str(UUID(term)))) for name in self.id_fields]
            return queryset.filter(Q(*conditions, _connector=Q.OR)), False
        searched = set(self.get_search_fields(request))
        if term and self.search_fields and searched <= set(self.id_fields):
            return queryset.none(), False
        return super().get_search_results(request, queryset, term)

    def get_urls(self) -> list[Any]:
        meta = self.model._meta
        name = f"{meta.app_label}_{meta.model_name}_export"
        view = self.admin_site.admin_view(self.export)
        return [path("export/<str:format_name>/", view, name=name), *super().get_urls()]

    def history_view(self, request: HttpRequest, *args: object, **kwargs: object) -> NoReturn:
        """Have no page: it would list changes made by Django's forms, and there are none."""
        raise Http404

    def export(self, request: HttpRequest, format_name: str) -> HttpResponseBase:
        return self._refuse_unknown(request) or export_list(self, request, format_name)

    def find_sort_expression(self, name: object) -> object:
        """Return the expression that a column is sorted by, or None for the field of that name."""
        return None

    def get_changelist(self, request: HttpRequest, **kwargs: object) -> type[ChangeList]:
        return SortedChangeList

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist: Any = self.build_changelist(request)
        changelist.selection_acts = list_act_links(request, self.model, None, of_selection=True)
        changelist.tab_parameter = find_tab_parameter(self.admin_site, request, self.model)
        for spec in changelist.filter_specs:
            if isinstance(spec, FieldListFilter):
                spec.title = format_field_title(spec.field)
        changelist.result_list = rows = list(changelist.result_list)
        self.prefetch_columns(rows)
        return changelist

    def _refuse_unknown(self, request: HttpRequest) -> HttpResponse | None:
        """Name the parameters that the list does not have: without them it would show more."""
        filters = self._get_filter_parameters(request)
        unknown = [name for name in request.GET if name not in {*filters, *_LIST_PARAMETERS}]
        if not unknown:
            return None
        title = str(self.model._meta.verbose_name_plural)
        message = f"The list of {title} has no filter named {shorten(', '.join(unknown), 200)}."
        context = {"message": message, "url": request.path, "title": f"Show all {title}"}
        return render(request, "400.html", context, status=HTTPStatus.BAD_REQUEST)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, object] | None = None
    ) -> HttpResponse:
        if refusal := self._refuse_unknown(request):
            return refusal
        if ERROR_FLAG in request.GET:
            messages.warning(request, "A filter had an invalid value, so the list is not filtered.")
        row = find_tabbed_row(self.admin_site, request, self.model)
        context = {
            "title": capfirst(str(self.model._meta.verbose_name_plural)),
            "list_note": self.get_list_note(request),
            "list_content": self.get_list_content(request),
            "heading": row and build_heading(self.admin_site, request, row, current=self.model),
            "acts": self._list_acts_of_page(request, row),
            "export_links": build_export_links(self, request),
            **(extra_context or {}),
        }
        return super().changelist_view(request, context)

    def _list_acts_of_page(self, request: HttpRequest, row: Model | None) -> list[ActLink]:
        """Return the acts of the list, or of the row whose tab it is.

        An act of the list beside a row would look as if it were about the row, such as a sync of
        all tenants.
        """
        if row is None:
            return list_act_links(request, self.model, None)
        return get_site_admin(self.admin_site, type(row)).list_acts(request, row)

    def _get_title(self, request: HttpRequest, row: Model) -> str:
        is_named = all(self._is_shown(request, name) for name in self.named_by)
        return self.format_name(row) if is_named else f"{row._meta.verbose_name} {row.pk}"

    def describe(self, request: HttpRequest, row: Model) -> tuple[str, str]:
        """Return the name of a row, and what distinguishes it from others of the same name."""
        title = self._get_title(request, row) or str(row.pk)
        names = {field.name for field in self.model._meta.fields}
        shown = [
            name
            for name in _DISTINGUISHING_FIELDS
            if name in names and self._is_shown(request, name)
        ]
        texts = [str(getattr(row, name) or "") for name in shown]
        return title, ", ".join(dict.fromkeys(text for text in texts if text not in title))

    def get_list_note(self, request: HttpRequest) -> str:
        """Return a sentence to show above the list, or nothing. It may be HTML with links."""
        return ""

    def get_list_content(self, request: HttpRequest) -> str:
        """Return HTML to show instead of the table and the number of its rows, or nothing."""
        return ""

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = kwargs["obj"]
        context["related_links"] = (
            related_links(self.admin_site, request, row) if self.shows_related else []
        )
        context["acts"] = self.list_acts(request, row)
        context["heading"] = build_heading(self.admin_site, request, row)
        context["row_name"] = self._get_title(request, row)
        context["title"] = strip_markup(context["row_name"])
        context["subtitle"] = capfirst(str(self.model._meta.verbose_name))
        return super().render_change_form(request, context, *args, **kwargs)


def find_referred_model(model: type[Model], name: str) -> type[Model] | None:
    """Return the model that a foreign key refers to, or None for other fields."""
    for field in model._meta.fields:
        if field.name == name and isinstance(field, ForeignKey):
            related: type[Model] = field.related_model
            return related
    return None
