"""What the modules of the site call on an admin of this suite, which the base of every one has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, cast

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db.models import Field, ForeignKey, Model
from django.http import HttpRequest

from scaiwave.site.acts import ActLink, list_act_links

if TYPE_CHECKING:
    _Admin = admin.ModelAdmin[Any]
else:
    _Admin = admin.ModelAdmin

ModelField: TypeAlias = "Field[Any, Any]"
ModelKey: TypeAlias = "ForeignKey[Any, Any]"


class SiteAdmin(_Admin):
    """How rows are named, exported and acted on.

    `export_name` is the name of an exported list where the title of the list is another word.
    `name_in_act` names a row for an act, so that it can't be taken for another.
    `export_columns` has for a column its columns in the file: names, and what reads the values
    from a row without making HTML of them. `unexported_fields` have texts of messages, which no
    export of the list reads.
    """

    export_name: ClassVar[str] = ""
    name_in_act: ClassVar[Any] = staticmethod(str)
    export_columns: ClassVar[Mapping[str, Mapping[str, Callable[[Any], object]]]] = {}
    unexported_fields: ClassVar[Sequence[str]] = ()

    def build_changelist(self, request: HttpRequest) -> ChangeList:
        """Return the list that the request asks for, before any of its rows is read."""
        return super().get_changelist_instance(request)

    def prefetch_columns(self, rows: list[Model]) -> None:
        """Load the values of columns that are not fields, for all rows of a page at once."""

    def format_name(self, row: Any) -> str:
        """Return the name of a row for its title and for links to it."""
        return str(row)

    def split_heading(self, row: Any) -> tuple[str, str]:
        """Return the name of a row as it is large in its heading, and another one beside it."""
        return self.format_name(row), ""

    def summarise(self, row: Any, request: HttpRequest) -> str:
        """Return the HTML below the name in the heading of a row with tabs."""
        return ""

    def list_acts(self, request: HttpRequest, row: Any) -> list[ActLink]:
        """Return the acts that the account can start on the page of a row."""
        return list_act_links(request, self.model, row)


def get_site_admin(site: admin.AdminSite, model: type[Model]) -> SiteAdmin:
    return cast(SiteAdmin, site.get_model_admin(model))
