"""Acts: what an administrator can do from the page of a row.

Each act stands for a command and calls its service, so that scope, questions and audit are the
same. Nothing else in the admin site changes anything.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from django import forms
from django.conf import settings
from django.db.models import Model
from django.http import HttpRequest, StreamingHttpResponse
from django.urls import reverse

from scaiwave.auth.bearer import get_client_address
from scaiwave.cli.verbs import VERBS
from scaiwave.core.bulk import BulkResult
from scaiwave.core.calls import call_with
from scaiwave.core.change import ChangeResult
from scaiwave.core.operators import Operator, OperatorRole, Permission
from scaiwave.site.access import find_scaikey_operator, is_scaikey_session
from scaiwave.site.terms import is_uuid

T = TypeVar("T")


class ActQuestion(Exception):
    """A question that a service asks before it changes anything, shown with the form.

    `ActCall.confirm` raises it, unless the form was sent with the answer to exactly this question.
    """

    def __init__(self, question: str) -> None:
        super().__init__(question)
        self.question = question


@dataclass(frozen=True)
class ActCall:
    """One call of an act.

    `row` is None for an act of a list, and `values` are the cleaned data of its form. Services call
    `confirm` with the effect, a sentence; it returns if the operator has agreed, and raises
    ActQuestion if not.
    """

    request: HttpRequest
    operator: Operator
    row: Any
    values: dict[str, Any]
    confirm: Callable[[str], None]
    now: datetime

    def run(self, service: Callable[..., T], **values: object) -> T:
        """Call a service with these values, and with the operator, the question and the time."""
        offered = {"operator": self.operator, "confirm": self.confirm, "now": self.now}
        return call_with(service, offered, **values)

    def run_for_all(
        self, service: Callable[..., BulkResult], nouns: tuple[str, str], **values: object
    ) -> str:
        """Do it to all selected rows or to none, after a question with the number of each outcome.

        Returns the total by outcome, such as `2 people resumed; 9 people already active`.
        """
        expected = self.run(service, dry_run=True, **values).summarise(*nouns)

        def ask(effect: str) -> None:
            self.confirm(f"{effect} Expected: {expected}.")

        result = self.run(service, confirm=ask, **values)
        result.raise_first()
        return result.summarise(*nouns)


@dataclass(frozen=True)
class ActResult:
    """A sentence about the result, and the page to show instead of the row's page."""

    sentence: str
    url: str


@dataclass(frozen=True)
class ActReport:
    """The result of an act that changes nothing: a sentence, and names with their values."""

    sentence: str
    rows: Sequence[tuple[str, str]]
    is_bad: bool = False


class NoInput(forms.Form):
    """The form of acts that need nothing but a click."""


class RowForm(forms.Form):
    """A form that depends on its row, such as one that shows the present values.

    A form of a list has no row. Its fields are on it, so `fit` also adapts one that was sent. It
    raises ValidationError for a selection that the act can't be done to, before anything is asked.
    """

    def fit(self, operator: Operator, row: object) -> None:
        raise NotImplementedError


MAX_FORM_REASON_CHARS = 500
"""A reason typed into a form; `MAX_STORED_REASON_CHARS` limits what services accept."""


class ReasonForm(forms.Form):
    reason = forms.CharField(
        max_length=MAX_FORM_REASON_CHARS,
        help_text="Goes into the audit log.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )


MAX_SELECTED = 500
"""The rows of one act, which are the most that a page shows."""
SELECTED = "rows"
ACTED_AT = "acted_at"
"""When the account has last changed something, in its session: a stored overview is older."""


class RowsField(forms.Field):
    """The IDs of the rows that were selected in a list."""

    widget = forms.MultipleHiddenInput

    def to_python(self, value: Any) -> list[str]:
        return list(dict.fromkeys(map(str, value or ())))

    def validate(self, value: Any) -> None:
        if not value:
            raise forms.ValidationError("Select rows in the list first.")
        if len(value) > MAX_SELECTED or not all(map(is_uuid, value)):
            raise forms.ValidationError(f"Select at most {MAX_SELECTED} rows of the list.")


class SelectionForm(forms.Form):
    rows = RowsField(label="")


class ReasonedSelectionForm(ReasonForm):
    rows = RowsField(label="")


class RowSource(ABC):
    """A page with rows that are in no table. Such a row has a `pk`, and a name as its text."""

    title: str

    @property
    @abstractmethod
    def url(self) -> str: ...

    @abstractmethod
    def is_visible(self, request: HttpRequest) -> bool: ...

    @abstractmethod
    def find_row(self, request: HttpRequest, row_id: str) -> object:
        """Return None if there is no such row. Raises ScaiWaveError if it can't be read."""


@dataclass(frozen=True)
class Act:
    """`command` are the words of its command, and `options` the options that make it this act, such
    as `--tenant <slug> --dry-run`. Together they are its address (`slug`) and
    the equivalent command on the page.

    `model` has the rows. `run` returns the result of the service or a sentence about it, or a file
    to download, and raises the errors of the service. The act is offered for rows by `is_offered`,
    to operators with the permission that its command declares, or with `permission` instead; the
    service decides who may do it. `is_also_for` is true for operators without the permission who
    may do it on this server. `get_note` returns a sentence to read before the form. An act with
    `is_of_list` needs no row: it is offered above the list of its model, and `is_offered` and
    `get_note` get None. An act with `removes_row` leads to that list, and one that is not
    `is_recorded` only looks. One `of_selection` is an act of a list for the rows that were selected
    in it, which are in `values["rows"]`. `receive` reads the request of a form with a file, within
    limits, and deletes the file afterwards. One that `is_rare` is not the first button of a page.
    """

    command: str
    title: str
    model: type[Model] | RowSource
    run: Callable[[ActCall], str | ChangeResult | ActResult | ActReport | StreamingHttpResponse]
    form: type[forms.Form] = NoInput
    is_offered: Callable[[Any], bool] = lambda row: True
    is_destructive: bool = False
    options: str = ""
    get_note: Callable[[Any], str] = lambda row: ""
    is_of_list: bool = False
    removes_row: bool = False
    is_recorded: bool = True
    of_selection: bool = False
    permission: Permission | None = None
    is_also_for: Callable[[Operator], bool] = lambda operator: False
    receive: Callable[[HttpRequest], AbstractContextManager[None]] | None = None
    is_rare: bool = False

    @property
    def declared_permission(self) -> Permission:
        return Permission[VERBS[tuple(self.command.split())].permission]

    def is_permitted(self, operator: Operator) -> bool:
        permission = self.permission or self.declared_permission
        return operator.has_permission(permission) or self.is_also_for(operator)

    @property
    def command_line(self) -> str:
        return " ".join(filter(None, ("scaiwave", self.command, self.options)))

    @property
    def slug(self) -> str:
        words = f"{self.command} {self.options}".lower().split()
        return "-".join(word.strip("-<>[]") for word in words)


@dataclass(frozen=True)
class ActLink:
    title: str
    url: str
    is_destructive: bool
    is_rare: bool = False


_ACTS: dict[str, Act] = {}
"""By slug. Pages list acts in the order of their registration."""


def register_acts(*acts: Act) -> None:
    """Raises ValueError if there is no such command, or if another act has the same command and
    options, and so its address."""
    for act in acts:
        if tuple(act.command.split()) not in VERBS:
            raise ValueError(f"An act has an unknown command: {act.command}.")
        if act.slug in _ACTS:
            raise ValueError(f"Two acts have the same command and options: `{act.command_line}`.")
        _ACTS[act.slug] = act


def get_acts() -> Sequence[Act]:
    return list(_ACTS.values())


def find_act(slug: str) -> Act | None:
    return _ACTS.get(slug)


def build_operator(request: HttpRequest) -> Operator | None:
    """Return the signed-in account as an operator, or None if it may only look.

    A person who signed in with ScaiKey has the role and scope of their token. Accounts with a
    password are no proof of who acts, so they may only look where the commands need a token
    (SCAIWAVE_REQUIRE_ADMIN_TOKEN). Elsewhere a superuser may do everything, and any other
    account may only look.
    """
    if is_scaikey_session(request):
        return find_scaikey_operator(request)
    user: Any = request.user
    if not (user.is_active and user.is_superuser):
        return None
    if settings.CONFIG.get_bool("SCAIWAVE_REQUIRE_ADMIN_TOKEN"):
        return None
    return Operator(
        user.get_username(), OperatorRole.SUPER_ADMIN, origin=get_client_address(request)
    )


def identify_account(request: HttpRequest) -> Operator:
    """Return the signed-in account as the audit log names it, even if it may only look."""
    user: Any = request.user
    return build_operator(request) or Operator(
        user.get_username(), OperatorRole.ADMINISTRATOR, origin=get_client_address(request)
    )


def list_act_links(
    request: HttpRequest, model: type[Model] | RowSource, row: Any, *, of_selection: bool = False
) -> list[ActLink]:
    """Return the acts that the account may do with a row, or without one with the list, or with
    the rows that are selected in it."""
    operator = build_operator(request)
    if operator is None:
        return []
    return [
        ActLink(
            act.title,
            reverse("admin:act", args=[act.slug] if row is None else [act.slug, row.pk]),
            act.is_destructive,
            act.is_rare,
        )
        for act in _ACTS.values()
        if act.model is model
        and act.is_of_list is (row is None)
        and act.of_selection is of_selection
        and act.is_permitted(operator)
        and act.is_offered(row)
    ]
