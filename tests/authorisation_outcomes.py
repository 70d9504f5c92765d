"""Operators, and what a command answers to each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db.models import Model

from scaiwave.core.operators import Operator, OperatorRole
from scaiwave.operations.jobs.site import ListedJob
from tests.authorisation_fixtures import SampleData
from tests.rooms.search.factories import backfill

ABSENT = "a token is required and absent"


SUPER = "super_admin"


OWN_PARTNER = "partner_admin of it"


OTHER_PARTNER = "partner_admin of another"


OWN_TENANT = "tenant_admin of it"


OTHER_TENANT = "tenant_admin of another"


READ = "platform read"


WRITE = "platform write"


SERVICE = "application of its partner"


BACKUP = "application of its partner that may export rooms"


GARBAGE = "garbage"


OPERATORS = (
    ABSENT,
    SUPER,
    OWN_PARTNER,
    OTHER_PARTNER,
    OWN_TENANT,
    OTHER_TENANT,
    READ,
    WRITE,
    SERVICE,
    BACKUP,
    GARBAGE,
)


ROLES = {
    SUPER: OperatorRole.SUPER_ADMIN,
    OWN_PARTNER: OperatorRole.PARTNER_ADMIN,
    OTHER_PARTNER: OperatorRole.PARTNER_ADMIN,
    OWN_TENANT: OperatorRole.TENANT_ADMIN,
    OTHER_TENANT: OperatorRole.TENANT_ADMIN,
    READ: OperatorRole.PLATFORM_READ,
    WRITE: OperatorRole.SUPER_ADMIN,
    SERVICE: OperatorRole.SERVICE,
}


REQUIRE = Operator.require


# Exit codes: 0 done, 1 as if the object did not exist, 3 not permitted.
ALL_REFUSED = dict.fromkeys(OPERATORS, 3)


PLATFORM = {**ALL_REFUSED, SUPER: 0, WRITE: 0}
"""The whole server: its keys, its registration, its partners."""


NO_REDIS = {**ALL_REFUSED, SUPER: 2, WRITE: 2}


LOOK_AT_PLATFORM = {**PLATFORM, READ: 0}


TENANT = {**PLATFORM, OWN_PARTNER: 0, OTHER_PARTNER: 1}
"""Changes to a tenant, which its own administrators may not make."""


ROOMS = {**TENANT, OWN_TENANT: 0, OTHER_TENANT: 1}
"""Exports and imports of rooms, which tenant administrators may run too."""


LOOK = {**ROOMS, READ: 0, SERVICE: 0, BACKUP: 0}
"""Shows one object of a tenant."""


LISTS = {**LOOK, OTHER_PARTNER: 0, OTHER_TENANT: 0}
"""Lists, which contain the objects in the operator's scope."""


ALL_ALLOWED = dict.fromkeys(OPERATORS, 0)
"""Needs no operator, because it uses nothing of the server."""


class SentFile:
    """A file of a form, which can be sent any number of times."""

    name = "bundle.zip"

    def __init__(self, path: str) -> None:
        self._path = Path(path)

    def read(self) -> bytes:
        return self._path.read_bytes()


@dataclass(frozen=True)
class ActRow:
    """An act of the admin site that stands for a command, with a row and valid values of its form.

    `codes` are those of its command unless it differs from the command with these arguments.
    """

    row: Callable[[SampleData], Model | ListedJob | None] = lambda sample: None
    values: Mapping[str, str | Callable[[SampleData], Any]] = field(default_factory=dict)
    codes: Mapping[str, int] | None = None
    starts_job: bool = False
    """The job has its own transactions, and the act has not."""
    is_on_sqlite: bool = True


@dataclass(frozen=True)
class Row:
    """A command with valid arguments, and the exit code for each operator."""

    codes: dict[str, int]
    arguments: Callable[[SampleData], list[str]] = lambda sample: []
    seen: Callable[[SampleData], str] | None = None
    """Of a list: a value that only operators with the object in their scope may see."""
    blind: frozenset[str] = frozenset({OTHER_PARTNER, OTHER_TENANT})
    keys: int = 1
    """How many federation keys there are, the newest of which signs."""
    commits: bool = False
    """The command has its own transactions, so the test can't run in one."""
    acts: Mapping[str, ActRow] = field(default_factory=dict)
    """Those of the admin site that stand for the command, by the names in their addresses."""


REASON = {"reason": "as asked for"}


TRANSCRIPT = {**REASON, "format": "text", "time_zone": "UTC"}


SYNC_TENANT = {**ROOMS, SERVICE: 0, BACKUP: 0}
"""Syncs of one tenant, which tenant administrators may run too."""


def of_tenant(*words: str) -> Callable[[SampleData], list[str]]:
    return lambda sample: [*words, "--tenant", sample.tenant.slug]


def search_index(sample: SampleData) -> list[str]:
    backfill()
    return of_tenant("anything")(sample)


SELECTED = {"rows": "{row.pk}"}


NEW_PASSWORD = {"password": "correct horse battery", "repeated": "correct horse battery"}


ACCOUNT = {"username": "carla", "role": "auditor"}

STRICTER = {
    *((("sync",), each) for each in (OWN_PARTNER, OTHER_PARTNER, OWN_TENANT, OTHER_TENANT)),
    *((("sync", "approve"), each) for each in (WRITE, SERVICE)),
    (("admin", "link-tenant"), OWN_PARTNER),
}
"""Operators with the permission of a command who may not run it with the arguments of its row."""
