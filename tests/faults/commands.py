"""The commands whose connections fail, and what must come of each fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scaiwave.operations.doctor.rooms import PROBE_DIRECTORY
from tests.faults.site import POSTGRESQL, REDIS, S3, SCAIKEY
from tests.services.faulty_proxy import FaultKind

SUCCESS = ""
COMMIT = b"COMMIT"
CUTS = 4
"""More than the client of S3 tries again, and less than those of HTTP."""
DELAY, THROTTLE, CUT, CORRUPT = (
    FaultKind.DELAY,
    FaultKind.THROTTLE,
    FaultKind.CUT,
    FaultKind.CORRUPT,
)


@dataclass(frozen=True)
class Command:
    """`words` are typed; `connections` are the servers that it uses, the first most of all.

    In CI the first connection fails at the middle one of the requests that contain `requests`, or
    at the last that contains COMMIT; `outcomes` has the code of the error that each fault ends in,
    SUCCESS without one. It is cut `cuts` times; `corrupts_requests` if not the answer is corrupted.
    `changes` are settings.

    `completed` is the code of a run after one whose work was done and whose end was lost.
    `other_errors` are further codes of a run whose connections fail somewhere.

    `logs` are what failures may change too, `leftovers` what a failure may leave for the
    next run to clean up. `has_steps` is for a command that keeps what it has reached and continues
    from there. `recovery` is what an operator runs for a job that has failed. Without `commits` it
    writes nothing to the database.
    """

    words: str
    connections: tuple[str, ...]
    outcomes: Mapping[FaultKind, str]
    requests: bytes = b""
    cuts: int = 1
    corrupts_requests: bool = False
    logs: frozenset[str] = frozenset()
    leftovers: frozenset[str] = frozenset()
    changes: Mapping[str, str] = field(default_factory=dict)
    has_steps: bool = False
    commits: bool = True
    needs_jobs: bool = False
    recovery: str = ""
    completed: str = SUCCESS
    other_errors: tuple[str, ...] = ()


def fails(cut: str, corrupt: str) -> Mapping[FaultKind, str]:
    """What is slow succeeds."""
    return {DELAY: SUCCESS, THROTTLE: SUCCESS, CUT: cut, CORRUPT: corrupt}


SAVED, LOST = "SW_DATABASE_LOST_AFTER_COMMIT", "SW_DATABASE_UNREACHABLE"
STALLED = (SUCCESS, SAVED, LOST, "SW_DATABASE_LOST", "SW_DATABASE_COMMIT_UNKNOWN")
"""What a command may end in whose connection to PostgreSQL stalls."""
UNUSABLE = "SW_MEDIA_STORE_UNUSABLE"
ERRORS = {
    POSTGRESQL: (SUCCESS, SAVED, LOST),
    REDIS: (SUCCESS, "SW_REDIS_UNREACHABLE", "SW_QUEUE_UNAVAILABLE"),
    S3: (SUCCESS, UNUSABLE, "SW_ROOM_EXPORT_DAMAGED"),
    SCAIKEY: (SUCCESS, "SW_UPSTREAM_UNREACHABLE", "SW_UPSTREAM_NONSENSE"),
}
"""What a command may end in, whichever of its requests to a server fails."""
NO_CREDENTIALS = {"SCAIWAVE_SCAIKEY_CLIENT_ID": "", "SCAIWAVE_SCAIKEY_CLIENT_SECRET": ""}
COMMANDS: Mapping[str, Command] = {
    "sync": Command(
        "sync --json",
        (SCAIKEY, POSTGRESQL),
        fails(SUCCESS, SUCCESS),  # A list that is corrupt once is read again, tenant by tenant.
        b"/admin/users/?",
        logs=frozenset({"sw_sync_runs"}),
    ),
    "sync register": Command(
        "sync register --json --name chat --scope GLOBAL --contact-email ops@example.com",
        (SCAIKEY, POSTGRESQL),
        fails(SUCCESS, "SW_UPSTREAM_NONSENSE"),
        b"POST ",
        changes=NO_CREDENTIALS,
        has_steps=True,
    ),
    "sync status": Command(
        "sync status --json",
        (SCAIKEY, POSTGRESQL),
        fails(SUCCESS, SUCCESS),
        b"/admin/groups/?",
    ),
    "admin list-tenants": Command(
        "admin list-tenants --json", (POSTGRESQL,), fails(LOST, LOST), commits=False
    ),
    "admin create-tenant": Command(
        "admin create-tenant --local --slug new --name New --json",
        (POSTGRESQL,),
        fails(SAVED, SAVED),
        COMMIT,
    ),
    "admin federation key rotate": Command(
        "admin federation key rotate --json", (POSTGRESQL,), fails(SAVED, SAVED), COMMIT
    ),
    "role grant": Command(
        "role grant editors --tenant harbour --to {person} --json",
        (POSTGRESQL,),
        fails(SAVED, SAVED),
        COMMIT,
    ),
    "admin audit seal": Command(
        "admin audit seal --json", (POSTGRESQL,), fails(LOST, LOST), COMMIT, has_steps=True
    ),
    "admin backup": Command(
        "admin backup --output {backups} --json",
        (POSTGRESQL, S3),
        {DELAY: SUCCESS, THROTTLE: SUCCESS, CUT: LOST},
        COMMIT,
        logs=frozenset({"sw_audit_entries"}),  # They have the rows of the backup.
        other_errors=("SW_DATABASE_TOOL_FAILED",),  # pg_dump has a connection of its own.
    ),
    "admin verify-backup": Command(
        "admin verify-backup {backup} --server {target} --json",
        (POSTGRESQL,),
        {DELAY: SUCCESS, THROTTLE: SUCCESS, CUT: LOST},
        b"COPY ",
        has_steps=True,
        other_errors=("SW_BACKUP_UNTRUSTED",),  # Without its database a server knows no keys.
    ),
    "admin restore": Command(
        "admin restore {backup} --into {target} --no-migrate --json",
        (POSTGRESQL,),
        {DELAY: SUCCESS, THROTTLE: SUCCESS, CUT: LOST},
        COMMIT,
        has_steps=True,
        completed="SW_DATABASE_NOT_EMPTY",
        other_errors=("SW_BACKUP_UNTRUSTED",),
    ),
    "room export": Command(
        "room export {room} --tenant lab --output {home}/room.zip",
        (S3, POSTGRESQL),
        fails(UNUSABLE, UNUSABLE),
        b"GET /",
        cuts=CUTS,
        logs=frozenset({"sw_audit_entries"}),
    ),
    "room import": Command(
        "room import main --tenant harbour --as anna@example.com --input {bundle} --json",
        (S3, POSTGRESQL),
        fails(UNUSABLE, UNUSABLE),
        b"PUT /",
        cuts=CUTS,
        corrupts_requests=True,
        logs=frozenset({"sw_stream_counters"}),
        leftovers=frozenset({"sw_import_intents", "objects"}),
    ),
    "scripts/backfill_search_index.py": Command(
        "scripts/backfill_search_index.py --execute --json",
        (REDIS, POSTGRESQL),
        fails("SW_QUEUE_UNAVAILABLE", "SW_QUEUE_UNAVAILABLE"),
        leftovers=frozenset({"queue"}),
        commits=False,
    ),
    "worker": Command(
        "worker --burst",
        (REDIS, POSTGRESQL),
        fails(SUCCESS, SUCCESS),
        needs_jobs=True,
        has_steps=True,
        recovery="jobs retry {job}",
        logs=frozenset({"sw_audit_entries"}),
    ),
    "doctor": Command(
        "doctor --json",
        (S3, POSTGRESQL, REDIS, SCAIKEY),
        fails(UNUSABLE, UNUSABLE),
        PROBE_DIRECTORY.encode(),  # Sizes of attachments are asked again.
        cuts=CUTS,
        # In an outage its file of 64 bytes remains in the bucket.
        logs=frozenset({"sw_doctor_runs", "objects"}),
    ),
}
