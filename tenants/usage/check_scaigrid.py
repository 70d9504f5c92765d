"""Test the connection to ScaiGrid step by step, to find the cause of SW_AI_NO_TOKEN.

A failed step reports its cause and a fix. Steps that depend on it are skipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.clients.scaigrid.auth import ApiKey
from scaiwave.clients.scaigrid.client import Model, ScaiGridClient, scaigrid_client
from scaiwave.clients.scaikey.auth import unverified_claims
from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError, UpstreamInvalidResponse, UpstreamUnauthorized
from scaiwave.core.operators import Operator, Permission
from tenants.errors import ModelMissing
from tenants.lookup.resolve import resolve_tenant
from tenants.people.queries.tenants import usage_month
from tenants.people.update_tenant import flatten_features

RETRY_POLICY = RetryPolicy(total=10.0, first_contact=3.0)
"""Short, because a person waits for the result."""
VALID_DIMENSIONS = range(8, 65_537)
"""How many numbers an embedding vector can have."""
MAX_LISTED_MODELS = 10


class StepOutcome(Enum):
    PASS = "pass"  # noqa: S105 - not a password
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True)
class SmokeTestStep:
    name: str
    outcome: StepOutcome
    message: str
    seconds: float | None = None
    error: ScaiWaveError | None = None

    def lines(self) -> list[str]:
        duration = "" if self.seconds is None else f"{self.seconds:.2f} s"
        code = f" [{self.error.code}]" if self.error else ""
        first = f"{self.outcome.value}  {self.name:<10}  {duration:>8}  {self.message}{code}"
        return [first, f"      Fix: {self.error.fix}"] if self.error and self.error.fix else [first]

    def document(self) -> dict[str, Any]:
        details = self.error.details if self.error else {}
        return {
            "step": self.name,
            "outcome": self.outcome.value,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "message": self.message,
            "code": self.error.code if self.error else "",
            "fix": self.error.fix if self.error else "",
            "upstream_code": details.get("upstream_code", ""),
            "request_id": details.get("request_id", ""),
        }


@dataclass(frozen=True)
class SmokeTest:
    steps: list[SmokeTestStep]

    @property
    def exit_code(self) -> int:
        """The exit code of the first failed step; later steps may fail because of it."""
        return next((step.error.exit_code for step in self.steps if step.error), 0)

    @property
    def sentence(self) -> str:
        counts = {
            outcome: sum(step.outcome is outcome for step in self.steps) for outcome in StepOutcome
        }
        if counts[StepOutcome.FAIL]:
            return f"{counts[StepOutcome.FAIL]} of {len(self.steps)} steps failed."
        return f"{counts[StepOutcome.PASS]} of {len(self.steps)} steps passed, none failed."

    def document(self) -> dict[str, Any]:
        return {"ok": self.exit_code == 0, "steps": [step.document() for step in self.steps]}


class _StepNotApplicable(Exception):
    """The step has nothing to check."""


@dataclass
class _SmokeTestContext:
    """The inputs of every step, and the models that one step finds for later ones."""

    operator: Operator
    config: Configuration
    tenant: str | None
    now: datetime
    client: ScaiGridClient
    models: list[Model] = field(default_factory=list)


def smoke_test(
    *,
    operator: Operator,
    config: Configuration,
    now: datetime,
    report: Callable[[SmokeTestStep], None],
    embed: bool = False,
    accounting: bool = False,
    tenant: str | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> SmokeTest:
    """Run the steps and call `report` after each. Errors are part of the steps.

    `embed` and `accounting` add steps that cost tokens or need more permissions, `tenant` one that
    checks its models.
    """
    operator.require(Permission.VIEW_PLATFORM)
    done: dict[str, SmokeTestStep] = {}
    wanted = {"embed": embed, "accounting": accounting, "tenant": tenant}
    for step in _run_steps(
        operator=operator, config=config, wanted=wanted, now=now, clock=clock, done=done
    ):
        done[step.name] = step
        report(step)
    return SmokeTest(list(done.values()))


def _run_steps(
    *,
    operator: Operator,
    config: Configuration,
    wanted: Mapping[str, Any],
    now: datetime,
    clock: Callable[[], float],
    done: Mapping[str, SmokeTestStep],
) -> Iterator[SmokeTestStep]:
    """Yield one step after the other. The caller adds each to `done` before the next."""
    selected = [step for step in _STEPS if wanted.get(step[0], True) not in (False, None)]
    try:
        client = scaigrid_client(config, retry_policy=RETRY_POLICY)
    except ScaiWaveError as error:
        yield SmokeTestStep("configured", StepOutcome.FAIL, error.message, error=error)
        for name, needs, _ in selected:
            yield _skip_step(name, _find_unmet_need(needs, done))
        return
    with client:
        where, how = client.http.peer.origin, client.access.description
        configured = f"ScaiGrid is at {where}; authentication by {how}."
        yield SmokeTestStep("configured", StepOutcome.PASS, configured)
        context = _SmokeTestContext(operator, config, wanted["tenant"], now, client)
        for name, needs, check in selected:
            if unmet := _find_unmet_need(needs, done):
                yield _skip_step(name, unmet)
            else:
                yield _run_step(name, check, context, clock)


def _find_unmet_need(needs: tuple[str, ...], done: Mapping[str, SmokeTestStep]) -> str:
    return next((need for need in needs if done[need].outcome is not StepOutcome.PASS), "")


def _skip_step(name: str, unmet: str) -> SmokeTestStep:
    return SmokeTestStep(name, StepOutcome.SKIP, f"Skipped: depends on step {unmet}.")


def _run_step(
    name: str,
    check: Callable[[_SmokeTestContext], str],
    context: _SmokeTestContext,
    clock: Callable[[], float],
) -> SmokeTestStep:
    started = clock()
    try:
        message = check(context)
    except _StepNotApplicable as reason:
        return SmokeTestStep(name, StepOutcome.SKIP, str(reason), clock() - started)
    except ScaiWaveError as error:
        return SmokeTestStep(name, StepOutcome.FAIL, error.message, clock() - started, error)
    return SmokeTestStep(name, StepOutcome.PASS, message, clock() - started)


def _check_reachable(context: _SmokeTestContext) -> str:
    health, ready = context.client.health(), context.client.ready()
    return f"ScaiGrid reports {health} and {ready}."


def _check_token(context: _SmokeTestContext) -> str:
    context.client.access.bearer()
    if isinstance(context.client.access, ApiKey):
        return "The API key is sent unchanged."
    return "ScaiKey issued a token."


def _check_claims(context: _SmokeTestContext) -> str:
    if isinstance(context.client.access, ApiKey):
        raise _StepNotApplicable("An API key has no readable claims.")
    claims = unverified_claims(context.client.access.bearer())
    if not claims:
        raise _StepNotApplicable("The token is opaque and has no readable claims.")
    expiry = _parse_expiry(claims)
    if expiry is not None and expiry <= context.now:
        raise UpstreamUnauthorized(
            f"The token from ScaiKey expired at {_format_utc(expiry)}.",
            fix="Check the clocks of this server and of ScaiKey.",
        )
    validity = "no expiry" if expiry is None else f"valid until {_format_utc(expiry)}"
    tenant = claims.get("tenant_id") or "none (platform token)"
    return f"Token: {validity}; tenant: {tenant}; scope: {claims.get('scope') or 'none'}."


def _parse_expiry(claims: dict[str, Any]) -> datetime | None:
    expiry = claims.get("exp")
    if not isinstance(expiry, int | float):
        return None
    try:
        return datetime.fromtimestamp(expiry, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _format_utc(timestamp: datetime) -> str:
    return timestamp.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _check_accepted(context: _SmokeTestContext) -> str:
    permissions = context.client.me().permissions
    listed = ", ".join(permissions) or "none reported"
    return f"ScaiGrid accepts the credentials; permissions: {listed}."


def _check_models(context: _SmokeTestContext) -> str:
    context.models = context.client.models()
    if not context.models:
        raise ModelMissing(
            "ScaiGrid lists no models for this server.",
            fix="Ask the operators of ScaiGrid to route models to your tenant or partner.",
        )
    configured = context.config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
    _ensure_models_listed(
        [configured] if configured else [], context, "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL"
    )
    modalities = [model.modality or "without modality" for model in context.models]
    counts = ", ".join(f"{modalities.count(name)} {name}" for name in dict.fromkeys(modalities))
    total = len(context.models)
    return f"{total} model{'' if total == 1 else 's'}: {counts}."


def _ensure_models_listed(models: list[str], context: _SmokeTestContext, source: str) -> None:
    listed = {model.slug for model in context.models}
    if missing := [slug for slug in models if slug not in listed]:
        raise ModelMissing(
            f"{source} uses models that ScaiGrid does not list: {', '.join(missing)}.",
            fix="Correct the name, or ask the operators of ScaiGrid to route the model to this "
            f"server. Listed models include {', '.join(sorted(listed)[:MAX_LISTED_MODELS])}.",
        )


def _check_embedding(context: _SmokeTestContext) -> str:
    configured = context.config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
    models = [] if configured else context.client.models("embedding", 1)
    if not configured and not models:
        raise ModelMissing(
            "ScaiGrid lists no embedding model for this server.",
            fix="Ask the operators of ScaiGrid to route one to this server. Search works without "
            "it, by words only.",
        )
    model = configured or models[0].slug
    (vector,) = context.client.embed(model, ["smoke test"])
    if len(vector) not in VALID_DIMENSIONS or not any(vector):
        raise UpstreamInvalidResponse(
            f"Model {model} returned an invalid vector: {len(vector)} numbers"
            f"{'' if any(vector) else ', all of them 0'}.",
            fix="Choose another embedding model, or report this to the operators of ScaiGrid.",
        )
    return f"Model {model} returned a vector of {len(vector)} numbers."


def _check_accounting(context: _SmokeTestContext) -> str:
    month = usage_month(context.now)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    usage = context.client.usage_summary(start=start, end=context.now)
    tokens = sum(row.total_tokens for row in usage)
    tenants = f"{len(usage):,} tenant{' has' if len(usage) == 1 else 's have'}"
    return f"{tenants} used {tokens:,} tokens in {month:%Y-%m} (UTC)."


def _check_tenant_models(context: _SmokeTestContext) -> str:
    tenant = resolve_tenant(context.operator, context.tenant or "")
    features = flatten_features(tenant.features)
    values = [features.get("ai.model"), features.get("ai.models")]
    models = [
        slug
        for value in values
        for slug in (value if isinstance(value, list) else [value])
        if isinstance(slug, str) and slug
    ]
    if not models:
        raise _StepNotApplicable(
            f"Tenant {tenant.slug} configures no models (features ai.model, ai.models)."
        )
    _ensure_models_listed(models, context, f"Tenant {tenant.slug}")
    return f"ScaiGrid lists the models of tenant {tenant.slug}: {', '.join(models)}."


_STEPS: tuple[tuple[str, tuple[str, ...], Callable[[_SmokeTestContext], str]], ...] = (
    ("reachable", ("configured",), _check_reachable),
    ("token", ("configured",), _check_token),
    ("claims", ("token",), _check_claims),
    ("accepted", ("reachable", "token"), _check_accepted),
    ("models", ("accepted",), _check_models),
    ("embed", ("accepted",), _check_embedding),
    ("accounting", ("accepted",), _check_accounting),
    ("tenant", ("models",), _check_tenant_models),
)
"""The steps after `configured`: name, steps it depends on, and function."""
