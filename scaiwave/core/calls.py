"""Call a service with what its caller has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import TypeVar

T = TypeVar("T")


def call_with(service: Callable[..., T], offered: Mapping[str, object], **values: object) -> T:
    """Call a service with these values, and with the offered ones that it takes by their names.

    So a command or an act of the site need not repeat them. Raises TypeError if one is missing.
    """
    parameters = signature(service).parameters.values()
    names = {each.name for each in parameters}
    if any(each.kind is Parameter.VAR_KEYWORD for each in parameters):
        names |= offered.keys()
    return service(**{name: offered[name] for name in names & offered.keys()} | values)
