"""The subject and the details of an audit entry, as tables show them."""

from __future__ import annotations

from functools import cache
from typing import Any

from django.apps import apps

from scaiwave.console.columns import Row
from scaiwave.console.output import to_text

_EMPTY: tuple[Any, ...] = (None, "", [], {})


def format_subject(entry: Row) -> str:
    subject = f"{name_type(entry['subject_type'])} {entry['subject'] or entry['subject_id']}"
    if entry["tenant"] is None or entry["tenant"] in subject.replace(",", " ").split():
        return subject
    return f"{subject}, tenant {entry['tenant']}"


@cache
def name_type(subject_type: str) -> str:
    """Return how a model is called whose name is known: `server key` for `serverkey`."""
    names = {each._meta.model_name: each._meta.verbose_name for each in apps.get_models()}
    return str(names.get(subject_type, subject_type))


def split_details(details: Row) -> tuple[list[dict[str, Any]], list[tuple[str, Any]]]:
    """Return the changed fields, each with its old and new value, and the other details by name.

    They are sorted by name, since PostgreSQL does not keep the order.
    """
    pairs, shown = _get_dict(details, "changed"), ["changed", "changes"]
    if after := _get_dict(details, "after"):
        before = _get_dict(details, "before")
        pairs |= {name: (before.get(name), new) for name, new in after.items()}
        shown += ["before", "after"]
    found = details.get("changes")
    changes = [
        *(each for each in (found if isinstance(found, list) else ()) if isinstance(each, dict)),
        *(
            {"field": name, "old": old, "new": new}
            for name, (old, new) in pairs.items()
            if old != new
        ),
    ]
    return changes, [item for item in sorted(details.items()) if item[0] not in shown]


def format_details(details: Row) -> str:
    """Leave out empty values."""
    changes, others = split_details(details)
    return ", ".join(
        [
            *(
                f"{each['field']} {to_text(each['old'])} → {to_text(each['new'])}"
                for each in changes
            ),
            *(f"{name} {to_text(value)}" for name, value in others if value not in _EMPTY),
        ]
    )


def _get_dict(details: Row, name: str) -> dict[str, Any]:
    value = details.get(name)
    return dict(value) if isinstance(value, dict) else {}
