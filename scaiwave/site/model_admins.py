"""The admin of a model, as the modules know it that its base class uses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Protocol, TypeAlias, cast

from django.contrib.admin import AdminSite
from django.contrib.admin.views.main import ChangeList
from django.db.models import Field, ForeignKey, Model, QuerySet
from django.http import HttpRequest

from scaiwave.site.acts import ActLink

ModelField: TypeAlias = "Field[Any, Any]"
ModelKey: TypeAlias = "ForeignKey[Any, Any]"


class SiteAdmin(Protocol):
    """What ReadOnlyAdmin offers to them, and describes."""

    model: type[Model]
    admin_site: AdminSite
    list_select_related: ClassVar[bool | list[str] | tuple[str, ...]]
    name_in_act: ClassVar[Any]
    export_name: ClassVar[str]
    export_columns: ClassVar[Mapping[str, Mapping[str, Callable[[Model], object]]]]
    unexported_fields: ClassVar[Sequence[str]]

    def has_view_permission(self, request: HttpRequest) -> bool: ...
    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]: ...
    def build_changelist(self, request: HttpRequest) -> ChangeList: ...
    def get_list_display(self, request: HttpRequest) -> Sequence[object]: ...
    def prefetch_columns(self, rows: list[Model]) -> None: ...
    def format_name(self, row: Model) -> str: ...
    def split_heading(self, row: Model) -> tuple[str, str]: ...
    def summarise(self, row: Model, request: HttpRequest) -> str: ...
    def list_acts(self, request: HttpRequest, row: Model) -> list[ActLink]: ...


def get_site_admin(site: AdminSite, model: type[Model]) -> SiteAdmin:
    return cast(SiteAdmin, site.get_model_admin(model))
