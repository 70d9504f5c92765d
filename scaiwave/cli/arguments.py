"""The arguments of a command, as fields of a dataclass that make its parser, and option rules."""

from __future__ import annotations

from argparse import ArgumentParser, _ActionsContainer
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, dataclass_transform, get_args, get_origin, get_type_hints

from scaiwave.core.errors import UsageError

if TYPE_CHECKING:
    from typing_extensions import TypeVar  # The one of typing has defaults since Python 3.13.

    A = TypeVar("A", bound="Arguments", default=Any)
else:
    from typing import TypeVar

    A = TypeVar("A")

TENANT = "tenant (slug, ID or ScaiKey ID)"
ONLY_TENANT = f"only this {TENANT}"
ROLE = "role (slug or ID)"
ROOM = "room (ID or alias)"
ONLY_ROOM = "only this room of the tenant (ID or alias)"
PARTICIPANT = "participant (e-mail address, @name:server, local ID, ID or ScaiKey ID)"
REASON = "reason for the audit log"
KEY = "public key of the signer (ed25519:…)"
DESCRIPTOR = "descriptor of the signer, saved from /.well-known/scaiwave/server"


def argument(help: str | None, **details: Any) -> Any:  # noqa: A002
    """Declare a positional argument; `details` are argparse's."""
    return field(metadata={"help": help, "flags": None, **details})


def option(help: str, *flags: str, **details: Any) -> Any:  # noqa: A002
    """Declare an option. Without flags, its flag is the name of the field."""
    return field(metadata={"help": help, "flags": flags, **details})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(argument, option))
@dataclass(frozen=True)
class Arguments:
    """The base of the arguments of each command.

    The type of a field decides how its text is parsed, unless it has a `type` of its own. A bool
    is a switch, and an option with a list may be repeated, or has `nargs`. Arguments with the same
    `group` exclude each other; if they are required, one of them is. A field of no argument and no
    option keeps its default.
    """

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)


def add_fields(parser: ArgumentParser, kind: type[Arguments]) -> None:
    hints = get_type_hints(kind)
    groups: dict[str, _ActionsContainer] = {}
    for each in _list_fields(kind):
        details = {**each.metadata}
        flags, group = details.pop("flags"), details.pop("group", "")
        is_repeatable = flags is not None and "nargs" not in details
        details = _get_details(hints[each.name], is_repeatable=is_repeatable) | details
        if group and group not in groups:
            groups[group] = parser.add_mutually_exclusive_group(required="required" in details)
        target = groups.get(group, parser)
        if group:
            details.pop("required", None)
        if flags is None:
            target.add_argument(each.name, **details)
        else:
            target.add_argument(*(flags or [_get_name(each)]), dest=each.name, **details)


def _list_fields(kind: type[Arguments]) -> Iterable[Field[Any]]:
    return (each for each in fields(kind) if each.metadata)


def _get_details(hint: object, *, is_repeatable: bool) -> dict[str, object]:
    """Return what argparse needs for a type, such as `list[Path]` or `int | None`."""
    kind = next((each for each in get_args(hint) if get_args(hint)[-1] is NoneType), hint)
    if kind is bool:
        return {"action": "store_true"}
    details: dict[str, object] = {}
    if get_origin(kind) is list:
        if is_repeatable:
            details = {"action": "append"} | ({"default": []} if kind is hint else {})
        (kind,) = get_args(kind)
    return details | ({"type": kind} if kind in (int, float, Path) else {})


def build_arguments(kind: type[A], options: Mapping[str, object]) -> A:
    return kind(**{each.name: options[each.name] for each in _list_fields(kind)})


@dataclass(frozen=True)
class Excludes:
    """Options that can't be combined with any of others; they are named as they are typed."""

    options: str
    others: str
    fix: str
    message: str = ""

    def is_broken(self, given: set[str]) -> bool:
        return not (given.isdisjoint(self.options.split()) or given.isdisjoint(self.others.split()))

    def describe(self) -> str:
        return f"Can't combine {_join(self.options, 'or')} with {_join(self.others, 'or')}."


@dataclass(frozen=True)
class Needs(Excludes):
    """Options, or without any the command itself, that need one of others."""

    def is_broken(self, given: set[str]) -> bool:
        is_needed = not self.options or not given.isdisjoint(self.options.split())
        return is_needed and given.isdisjoint(self.others.split())

    def describe(self) -> str:
        verb = "need" if " " in self.options else "needs"
        return f"{_join(self.options, 'and')} {verb} {_join(self.others, 'or')}."


def check_rules(rules: Iterable[Excludes], given: Arguments, common: set[str]) -> None:
    """Raise UsageError for the first rule that is broken.

    An argument is given if its value is not its default, also 0 or an empty text: a script may have
    left `--tenant` empty. `common` are the common options that are given.
    """
    names = common | {
        _get_name(each)
        for each in _list_fields(type(given))
        if (value := getattr(given, each.name)) is not False
        and value not in (None, [], each.metadata.get("default"))
    }
    for rule in rules:
        if rule.is_broken(names):
            message = rule.message.format_map(vars(given)) or rule.describe()
            raise UsageError(message, fix=rule.fix)


def _get_name(each: Field[Any]) -> str:
    """Return the flag of an option, or the name of an argument in capitals."""
    flags = each.metadata["flags"]
    if flags is None:
        return each.name.upper()
    return str(flags[-1]) if flags else f"--{each.name.replace('_', '-')}"


def _join(options: str, word: str) -> str:
    *first, last = options.split()
    return f"{', '.join(first)} {word} {last}" if first else last
