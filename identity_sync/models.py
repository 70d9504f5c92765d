"""The registration with ScaiKey, and the runs of the sync with their changes, plans and skips."""

from __future__ import annotations

from datetime import datetime
from typing import Self
from uuid import UUID

from django.db import models
from django.db.models import Q

from identity_sync.reasons import format_reason
from scaiwave.ids import new_id
from tenants.models import Tenant

PRESENT_NAMES = {"held": "skipped"}
"""What names in old rows are called now."""
PRESENT_FIELDS = {"partner_id": "partner"}
"""What fields in old changes are called now."""


class RegistrationState(models.TextChoices):
    """States of a request (ScaiKey docs, reference/api/registration)."""

    PENDING = "PENDING"
    APPROVED = "APPROVED"
    REJECTED = "REJECTED"
    CANCELLED = "CANCELLED"
    EXPIRED = "EXPIRED"


class RegistrationQuerySet(models.QuerySet["Registration"]):
    def newest_first(self) -> Self:
        return self.order_by("-requested_at", "-id")


class Registration(models.Model):
    """One request to register with ScaiKey. Its secrets are in the home directory, never here."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    scaikey_url = models.CharField("URL of ScaiKey", max_length=1000)
    request_id = models.CharField("request ID", max_length=200)
    name = models.CharField(max_length=200)
    scope = models.CharField(
        max_length=16,
        help_text="what this server is registered for: GLOBAL is every tenant, the others one",
    )
    scope_slug = models.CharField("slug of the partner or tenant", max_length=200, blank=True)
    contact_email = models.CharField("contact e-mail", max_length=1000)
    state = models.CharField(
        max_length=16, choices=RegistrationState, default=RegistrationState.PENDING
    )
    rejection_reason = models.TextField(blank=True)
    client_id = models.CharField("client ID", max_length=200, blank=True)
    application_id = models.CharField("application ID", max_length=200, blank=True)
    requested_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)

    objects = RegistrationQuerySet.as_manager()

    class Meta:
        db_table = "sw_registrations"
        constraints = [
            models.UniqueConstraint(
                fields=["scaikey_url", "request_id"], name="sw_registrations_request_id"
            ),
            models.CheckConstraint(
                condition=Q(state__in=RegistrationState.values),
                name="sw_registrations_state",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} at {self.scaikey_url}: {self.state.lower()}"


class Outcome(models.TextChoices):
    RUNNING = "running"
    APPLIED = "applied"
    PLANNED = "planned"
    REFUSED = "refused"
    PARTIAL = "partial"
    FAILED = "failed"


WRITTEN = (Outcome.APPLIED, Outcome.PARTIAL)
"""The outcomes of runs that wrote their plan, or most of it."""
FAILED_Q = Q(outcome__in=(Outcome.FAILED, Outcome.REFUSED), is_dry_run=False)
FAILED_Q &= ~Q(error_code__in=("SW_INTERRUPTED", "SW_SYNC_PLAN_CHANGED"))
"""The runs that count as failed. An interruption by an operator and a stale plan don't."""


class Trigger(models.TextChoices):
    MANUAL = "manual"
    CRON = "cron"
    WEBHOOK = "webhook"


class SyncRunQuerySet(models.QuerySet["SyncRun"]):
    """Filters and the order of runs."""

    def ended(self) -> Self:
        return self.exclude(outcome=Outcome.RUNNING)

    def full(self) -> Self:
        """Runs of everything, not for one tenant or for the records of webhooks."""
        return self.filter(tenant=None).exclude(trigger=Trigger.WEBHOOK)

    def written(self) -> Self:
        """Runs that wrote their plan, or most of it."""
        return self.filter(outcome__in=WRITTEN)

    def newest_first(self) -> Self:
        return self.order_by("-started_at", "-id")


class SyncRun(models.Model):
    """One run of the sync, recorded whatever its outcome.

    `counts` is {kind: {seen, added, updated, deactivated, restored, unchanged, skipped}}, with
    `held` for `skipped` in old runs; read it with `get_counts`. `losses` is
    [[measure, tenant, number], …]. `phases` is [{name, done, total, has_ended}, …].
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(
        Tenant,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="sync_runs",
        help_text="the only tenant of the run; empty for all tenants",
    )
    trigger = models.CharField(max_length=16, choices=Trigger, default=Trigger.MANUAL)
    operator = models.CharField(max_length=1000)
    outcome = models.CharField(max_length=16, choices=Outcome, default=Outcome.RUNNING)
    counts = models.JSONField(default=dict)
    requests = models.PositiveIntegerField(default=0)
    started_at = models.DateTimeField(db_index=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    duration_seconds = models.FloatField(null=True, blank=True)
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)
    error_fix = models.TextField(blank=True, default="")
    fix_command = models.TextField(blank=True, default="", help_text="the command that fixes it")
    warnings = models.JSONField(default=list, blank=True)
    losses = models.JSONField("losses of access", default=list, blank=True)
    counted_losses = models.JSONField(
        null=True,
        blank=True,
        help_text="which of them count for the removal limit of later runs; empty in old rows",
    )
    phases = models.JSONField(
        default=list, blank=True, help_text="of a run in progress; empty once it has ended"
    )
    applied_plan = models.OneToOneField(
        "self",
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="applied_by",
        help_text="the run that wrote the plan file that this run has applied",
    )
    is_dry_run = models.BooleanField("dry run", default=False, db_default=False)

    objects = SyncRunQuerySet.as_manager()

    class Meta:
        db_table = "sw_sync_runs"
        constraints = [
            models.CheckConstraint(
                condition=Q(outcome__in=Outcome.values), name="sw_sync_runs_outcome"
            ),
            models.CheckConstraint(
                condition=Q(trigger__in=Trigger.values), name="sw_sync_runs_trigger"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M} {self.outcome}"

    def get_losses(self) -> list[tuple[str, UUID | None, int]]:
        """Return the losses; IDs from SQLite have no dashes, and partners have no tenant."""
        return [(name, UUID(key) if key else None, number) for name, key, number in self.losses]

    def get_counts(self) -> dict[str, dict[str, int]]:
        """Return the counts with the present names, including old runs."""
        return {
            kind: {PRESENT_NAMES.get(name, name): number for name, number in counts.items()}
            for kind, counts in self.counts.items()
        }


class SyncSubject(models.Model):
    """The row that something is about: with its kind, its names, and a reason."""

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True, blank=True, related_name="+")
    kind = models.CharField(max_length=16)
    subject_scaikey_id = models.CharField("ScaiKey ID", max_length=420, blank=True)
    subject_name = models.CharField(max_length=2100, blank=True)

    class Meta:
        abstract = True


class SyncDifference(SyncSubject):
    """A difference from ScaiKey with its reason."""

    reason_code = models.CharField(max_length=32, blank=True)  # of `Reason`
    detail = models.CharField(
        max_length=255, blank=True, help_text="what belongs to the reason; of old rows all of it"
    )

    class Meta:
        abstract = True

    @property
    def reason(self) -> str:
        return format_reason(self.reason_code, self.detail)


class SyncChange(SyncDifference):
    """One change of a run, with its reason and the names of fields.

    The values are in `SyncChangeValues`, which are kept for a shorter time. `action` is `held` for
    `skipped` in old rows; read it with `get_action`.
    """

    run = models.ForeignKey(SyncRun, models.CASCADE, related_name="changes")
    action = models.CharField(max_length=16)
    subject_id = models.UUIDField("subject ID", db_index=True)
    fields = models.CharField(max_length=255, blank=True, help_text="comma-separated")

    class Meta:
        db_table = "sw_sync_changes"

    def __str__(self) -> str:
        return f"{self.get_action()} {self.kind} {self.subject_name}"

    def get_action(self) -> str:
        """Return the action by its present name, including old rows."""
        return PRESENT_NAMES.get(self.action, self.action)

    def get_fields(self) -> list[str]:
        """Return the names of the fields, including old rows."""
        return [PRESENT_FIELDS.get(name, name) for name in self.fields.split(",") if name]


class SyncChangeValues(models.Model):
    """The values of a change, which are personal data: {field: [before, after]}.

    They have a table of their own, so that old ones can be deleted without rewriting the changes.
    The primary key begins with the time, so that no further index is needed to find them.
    """

    change = models.OneToOneField(
        SyncChange, models.CASCADE, primary_key=True, related_name="stored_values"
    )
    values = models.JSONField()

    class Meta:
        db_table = "sw_sync_change_values"
        verbose_name_plural = "sync change values"

    def __str__(self) -> str:
        return f"values of {self.change_id}"


class SyncPlannedChange(SyncDifference):
    """A change that a run has planned and not made: in a dry run, or over a limit.

    A run has the first ones of each kind, in their reading order: removals first.
    `values` is as in `SyncChangeValues`. The row may not exist here yet, nor its tenant:
    `tenant_slug` is its name. `person_scaikey_id` is the person, or the member of a group.
    """

    run = models.ForeignKey(SyncRun, models.CASCADE, related_name="planned_changes")
    tenant_slug = models.TextField(blank=True)
    action = models.CharField(max_length=16)
    is_removal = models.BooleanField(
        "loses access", help_text="a loss of sign-in, of a role, or of a group membership"
    )
    subject_id = models.UUIDField("subject ID", db_index=True)
    person_scaikey_id = models.CharField(
        "ScaiKey ID of the person", max_length=420, blank=True, db_index=True
    )
    values = models.JSONField(default=dict, blank=True)

    class Meta:
        db_table = "sw_sync_planned_changes"
        verbose_name = "planned change"

    def __str__(self) -> str:
        return f"{self.action} {self.kind} {self.subject_name}"


class SyncSkip(SyncDifference):
    """A row or a loss of access that the last run skipped, and since when runs have skipped it.

    The first run that no longer skips it deletes this row.
    """

    subject_scaikey_id = models.CharField("ScaiKey ID", max_length=420)
    is_postponed = models.BooleanField(
        default=False, help_text="a removal that no look-up has confirmed or disproved"
    )
    runs = models.PositiveIntegerField(
        default=1, help_text="number of consecutive runs that skipped it"
    )
    first_skipped_at = models.DateTimeField(db_index=True)
    last_skipped_at = models.DateTimeField()

    class Meta:
        db_table = "sw_sync_skips"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "subject_scaikey_id"], name="sw_sync_skips_subject"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.subject_name or self.subject_scaikey_id}: {self.reason}"


class RemovalState(models.TextChoices):
    """A pending removal waits until someone decides; one that has ended is only history."""

    PENDING = "pending"
    APPROVED = "approved"
    KEPT = "kept"
    APPLIED = "applied"
    ENDED = "ended"


OPEN_STATES = (RemovalState.PENDING, RemovalState.APPROVED, RemovalState.KEPT)


class Limit(models.TextChoices):
    """The limit that has set a loss of access aside."""

    TENANT = "tenant", "the removal limit of its tenant"
    SERVER = "server", "the removal limit of this server"
    WEBHOOKS = "webhooks", "the limit of people whom webhooks announce"
    SUSPENSIONS = "suspensions", "the limit of suspended tenants"
    SUPER_ADMIN = "super_admin", "the last super_admin"
    KEPT = "kept", "something in it whose access is kept"


class PendingRemovalQuerySet(models.QuerySet["PendingRemoval"]):
    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)


class PendingRemoval(SyncSubject):
    """A loss of access that syncs have set aside until someone decides.

    The same subject, loss, cause and destination are one row as long as it is open. `destination`
    is the ScaiKey ID of the new tenant or partner, a new status, or a role. `people`, `roles` and
    `memberships` are what depends on a tenant, partner or group. `expires_at` is the end of an
    approval or of a keep. A kept or approved row whose time has passed is pending
    again: read the state with `get_state`.
    """

    subject_id = models.UUIDField("subject ID", db_index=True)
    subject_scaikey_id = models.CharField("ScaiKey ID", max_length=420)
    person_scaikey_id = models.CharField(
        "ScaiKey ID of the person", max_length=420, blank=True, db_index=True
    )
    loss = models.CharField(max_length=32)  # of `Loss`
    cause = models.CharField(max_length=32)  # of `Reason`
    destination = models.CharField(max_length=420, blank=True)
    limit_code = models.CharField(max_length=16, choices=Limit)
    people = models.PositiveIntegerField(default=0)
    roles = models.PositiveIntegerField(default=0)
    memberships = models.PositiveIntegerField(default=0)
    state = models.CharField(
        max_length=16, choices=RemovalState, default=RemovalState.PENDING, db_index=True
    )
    first_seen_at = models.DateTimeField()
    last_seen_at = models.DateTimeField()
    runs = models.PositiveIntegerField(default=1, help_text="number of runs that set it aside")
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.CharField(max_length=1000, blank=True)
    decision_reason = models.CharField(max_length=1000, blank=True)
    expires_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True, db_index=True)
    ended_by = models.ForeignKey(
        SyncRun,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="ended_removals",
        help_text="the run that applied it, or that no longer found its cause",
    )

    objects = PendingRemovalQuerySet.as_manager()

    class Meta:
        db_table = "sw_pending_removals"
        constraints = [
            models.UniqueConstraint(
                fields=["subject_id", "loss", "cause", "destination"],
                condition=Q(state__in=OPEN_STATES),
                name="sw_pending_removals_open",
            ),
            models.CheckConstraint(
                condition=Q(state__in=RemovalState.values), name="sw_pending_removals_state"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.loss} {self.subject_name or self.subject_scaikey_id}"

    def get_state(self, now: datetime) -> RemovalState:
        is_decided = self.state in (RemovalState.APPROVED, RemovalState.KEPT)
        if is_decided and (self.expires_at is None or self.expires_at <= now):
            return RemovalState.PENDING
        return RemovalState(self.state)


class WebhookState(models.TextChoices):
    PENDING = "pending"
    HANDLED = "handled"
    FAILED = "failed"
    IGNORED = "ignored"


class WebhookEvent(models.Model):
    """An event that ScaiKey announced (ScaiKey docs, reference/webhooks), without its data.

    It says only which record to look up: `kind` and `scaikey_id`. What failed is left to the next
    full sync, which reads everything.
    """

    id = models.UUIDField(primary_key=True, default=new_id, editable=False)
    event_id = models.CharField("event ID", max_length=200)
    event_type = models.CharField(max_length=200)
    kind = models.CharField(max_length=16, blank=True, help_text="empty: a type that is ignored")
    scaikey_id = models.CharField("ScaiKey ID", max_length=200, blank=True)
    state = models.CharField(max_length=16, choices=WebhookState, default=WebhookState.PENDING)
    occurred_at = models.DateTimeField(null=True, blank=True, help_text="according to ScaiKey")
    received_at = models.DateTimeField(db_index=True)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)
    run = models.ForeignKey(
        SyncRun, models.SET_NULL, null=True, blank=True, related_name="webhook_events"
    )
    error_code = models.CharField(max_length=64, blank=True)
    error_message = models.TextField(blank=True)

    class Meta:
        db_table = "sw_webhook_events"
        constraints = [
            models.UniqueConstraint(fields=["event_id"], name="sw_webhook_events_event_id"),
            models.CheckConstraint(
                condition=Q(state__in=WebhookState.values), name="sw_webhook_events_state"
            ),
        ]
        indexes = [models.Index(fields=["state", "received_at"], name="sw_webhook_events_state_at")]

    def __str__(self) -> str:
        return f"{self.event_type} {self.scaikey_id}"


LOCK = "sync"
"""The process lock that a run has from its first row in the history to its end."""


MAX_ID_CHARS = 200
"""Length of the columns. A longer id, since ids are opaque, must not stop a registration."""
