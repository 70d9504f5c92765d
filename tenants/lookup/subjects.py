"""The names of the subjects of audit entries.

Entries about participants carry an ID and no name, because they can't be changed when a person's
data is erased. Their names are read from the participants, as they are now.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from uuid import UUID

from tenants.models import AuditEntry, Participant

PARTICIPANT = "participant"


def load_participant_names(
    entries: Iterable[AuditEntry], name: Callable[[Participant], str] = str
) -> dict[str, str]:
    """Return the present names of the participants among the subjects, by subject ID."""
    subjects = {entry.subject_id for entry in entries if entry.subject_type == PARTICIPANT}
    keys = {UUID(subject) for subject in subjects if subject}  # One that never existed has no ID.
    people = Participant.objects.in_bulk(keys) if keys else {}
    return {str(key): name(person) for key, person in people.items()}
