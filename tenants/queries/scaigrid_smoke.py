"""Is ScaiGrid there, and may we use it? Step by step, for whoever sees SW_AI_NO_TOKEN.

A step that fails says what it means and what to do; those that need it are not tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any

from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.http.retry import RetryPolicy
from scaiwave.clients.scaigrid.auth import ApiKey
from scaiwave.clients.scaigrid.client import Model, ScaiGridClient, scaigrid_client
from scaiwave.clients.scaikey.auth import unverified_claims
from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError, UpstreamInvalidResponse, UpstreamUnauthorized
from tenants.errors import ModelMissing
from tenants.queries.resolve import resolve_tenant
from tenants.queries.tenants import usage_month
from tenants.services.update_tenant import flatten_features


class StepOutcome(Enum):
    PASS = "pass"  # noqa: S105 - no password
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
        taken = "" if self.seconds is None else f"{self.seconds:.2f} s"
        code = f" [{self.error.code}]" if self.error else ""
        first = f"{self.outcome.value}  {self.name:<10}  {taken:>8}  {self.message}{code}"
        return [first, f"      Fix: {self.error.fix}"] if self.error and self.error.fix else [first]

    def document(self) -> dict[str, Any]:
        told = self.error.details if self.error else {}
        return {
            "step": self.name,
            "outcome": self.outcome.value,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "message": self.message,
            "code": self.error.code if self.error else "",
            "fix": self.error.fix if self.error else "",
            "upstream_code": told.get("upstream_code", ""),
            "request_id": told.get("request_id", ""),
        }


@dataclass(frozen=True)
class SmokeTest:
    steps: list[SmokeTestStep]

    @property
    def exit_code(self) -> int:
        """That of the first step that failed: what comes later may fail because of it."""
        return next((step.error.exit_code for step in self.steps if step.error), 0)

    @property
    def sentence(self) -> str:
        count = {each: sum(step.outcome is each for step in self.steps) for each in StepOutcome}
        if count[StepOutcome.FAIL]:
            return f"{count[StepOutcome.FAIL]} of {len(self.steps)} steps failed."
        return f"{count[StepOutcome.PASS]} of {len(self.steps)} steps passed, none failed."

    def document(self) -> dict[str, Any]:
        return {"ok": self.exit_code == 0, "steps": [step.document() for step in self.steps]}


RETRY_POLICY = RetryPolicy(total=10.0, first_contact=3.0)
"""Short: somebody watches."""
VALID_DIMENSIONS = range(8, 65_537)
"""Numbers in a vector."""


@dataclass(frozen=True)
class SmokeTestOptions:
    """Which of the further steps to take; they cost tokens, or need more permissions."""

    embed: bool = False
    accounting: bool = False
    tenant: str | None = None


class _StepNotApplicable(Exception):
    """There is nothing that the step could look at."""


@dataclass
class _SmokeTestContext:
    """What the steps hand on to each other."""

    operator: Operator
    config: Configuration
    wish: SmokeTestOptions
    now: datetime
    client: ScaiGridClient
    models: list[Model] = field(default_factory=list)


def smoke_test(
    *,
    operator: Operator,
    config: Configuration,
    wish: SmokeTestOptions,
    now: datetime,
    tell: Callable[[SmokeTestStep], None],
    clock: Callable[[], float] = time.perf_counter,
) -> SmokeTest:
    """Take the steps, and `tell` of each as it ends. What goes wrong is in the steps."""
    operator.require(Permission.VIEW_PLATFORM)
    done: dict[str, SmokeTestStep] = {}
    for step in _run_steps(
        operator=operator, config=config, wish=wish, now=now, clock=clock, done=done
    ):
        done[step.name] = step
        tell(step)
    return SmokeTest(list(done.values()))


def _run_steps(
    *,
    operator: Operator,
    config: Configuration,
    wish: SmokeTestOptions,
    now: datetime,
    clock: Callable[[], float],
    done: Mapping[str, SmokeTestStep],
) -> Iterator[SmokeTestStep]:
    """One after the other; `done` has those before."""
    wanted = [plan for plan in _STEPS if getattr(wish, plan[0], True) not in (False, None)]
    try:
        client = scaigrid_client(config, retry_policy=RETRY_POLICY)
    except ScaiWaveError as error:
        yield SmokeTestStep("configured", StepOutcome.FAIL, error.message, error=error)
        for name, needs, _ in wanted:
            yield _skip_step(name, _find_unmet_need(needs, done))
        return
    with client:
        yield SmokeTestStep("configured", StepOutcome.PASS, _describe_configuration(client))
        run = _SmokeTestContext(operator, config, wish, now, client)
        for name, needs, act in wanted:
            missing = _find_unmet_need(needs, done)
            yield _skip_step(name, missing) if missing else _run_step(name, act, run, clock)


def _find_unmet_need(needs: tuple[str, ...], done: Mapping[str, SmokeTestStep]) -> str:
    return next((need for need in needs if done[need].outcome is not StepOutcome.PASS), "")


def _skip_step(name: str, missing: str) -> SmokeTestStep:
    return SmokeTestStep(name, StepOutcome.SKIP, f"Not tried, since it needs the step {missing}.")


def _run_step(
    name: str,
    act: Callable[[_SmokeTestContext], str],
    run: _SmokeTestContext,
    clock: Callable[[], float],
) -> SmokeTestStep:
    began = clock()
    try:
        message = act(run)
    except _StepNotApplicable as nothing:
        return SmokeTestStep(name, StepOutcome.SKIP, str(nothing), clock() - began)
    except ScaiWaveError as error:
        return SmokeTestStep(name, StepOutcome.FAIL, error.message, clock() - began, error)
    return SmokeTestStep(name, StepOutcome.PASS, message, clock() - began)


def _describe_configuration(client: ScaiGridClient) -> str:
    return f"ScaiGrid is at {client.http.peer.origin}; we come with {client.access.description}."


def _check_reachable(run: _SmokeTestContext) -> str:
    health, ready = run.client.health(), run.client.ready()
    return f"It answers that it is {health} and {ready}."


def _check_token(run: _SmokeTestContext) -> str:
    run.client.access.bearer()
    if isinstance(run.client.access, ApiKey):
        return "The API key is sent as it is."
    return "ScaiKey gave us a token."


def _check_claims(run: _SmokeTestContext) -> str:
    if isinstance(run.client.access, ApiKey):
        raise _StepNotApplicable("An API key says nothing of itself.")
    claims = unverified_claims(run.client.access.bearer())
    if not claims:
        raise _StepNotApplicable("The token is opaque: it says nothing of itself.")
    ends = _parse_expiry(claims)
    if ends is not None and ends <= run.now:
        raise UpstreamUnauthorized(
            f"The token that ScaiKey gave us ran out at {_format_utc(ends)}.",
            fix="Check the clocks of this machine and of ScaiKey.",
        )
    until = "without an end" if ends is None else f"good until {_format_utc(ends)}"
    tenant = claims.get("tenant_id") or "none, it is the platform's"
    return f"It is {until}; tenant: {tenant}; scope: {claims.get('scope') or 'none'}."


def _parse_expiry(claims: dict[str, Any]) -> datetime | None:
    ends = claims.get("exp")
    if not isinstance(ends, int | float):
        return None
    try:
        return datetime.fromtimestamp(ends, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _format_utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _check_accepted(run: _SmokeTestContext) -> str:
    permissions = run.client.me().permissions
    return f"ScaiGrid knows us; permissions: {', '.join(permissions) or 'none that it tells'}."


def _check_models(run: _SmokeTestContext) -> str:
    run.models = run.client.models()
    if not run.models:
        raise ModelMissing(
            "ScaiGrid lists no models to us.",
            fix="Have whoever runs ScaiGrid route models to our tenant or partner.",
        )
    wanted = run.config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
    _ensure_models_listed(
        [wanted] if wanted else [], run, "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL names"
    )
    kinds = [model.modality or "of no modality" for model in run.models]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return f"{len(run.models)} models: {counted}."


def _ensure_models_listed(wanted: list[str], run: _SmokeTestContext, who: str) -> None:
    listed = {model.slug for model in run.models}
    if missing := [slug for slug in wanted if slug not in listed]:
        raise ModelMissing(
            f"{who} what ScaiGrid doesn't list: {', '.join(missing)}.",
            fix="Correct the name, or have whoever runs ScaiGrid route the model to us. Listed "
            f"are, among others: {', '.join(sorted(listed)[:10])}.",
        )


def _check_embedding(run: _SmokeTestContext) -> str:
    model = run.config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL") or _find_embedding_model(run)
    (vector,) = run.client.embed(model, ["smoke test"])
    if len(vector) not in VALID_DIMENSIONS or not any(vector):
        raise UpstreamInvalidResponse(
            f"{model} made a vector that can't be one: {len(vector)} numbers"
            f"{'' if any(vector) else ', all of them 0'}.",
            fix="Tell whoever runs ScaiGrid, or take another embedding model.",
        )
    return f"{model} made a vector of {len(vector)} numbers."


def _find_embedding_model(run: _SmokeTestContext) -> str:
    if found := run.client.models("embedding", 1):
        return found[0].slug
    raise ModelMissing(
        "ScaiGrid lists no embedding model to us.",
        fix="Have whoever runs ScaiGrid route one to us; search works without, by words alone.",
    )


def _check_accounting(run: _SmokeTestContext) -> str:
    month = usage_month(run.now)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    usage = run.client.usage_summary(start=start, end=run.now)
    tokens = sum(row.total_tokens for row in usage)
    return f"{len(usage):,} tenants have used {tokens:,} tokens in {month:%Y-%m} (UTC)."


def _check_tenant_models(run: _SmokeTestContext) -> str:
    tenant = resolve_tenant(run.operator, run.wish.tenant or "")
    features = flatten_features(tenant.features)
    given = [features.get("ai.model"), features.get("ai.models")]
    wanted = [
        slug
        for value in given
        for slug in (value if isinstance(value, list) else [value])
        if isinstance(slug, str) and slug
    ]
    if not wanted:
        raise _StepNotApplicable(
            f"Tenant {tenant.slug} names no models (features ai.model, ai.models)."
        )
    _ensure_models_listed(wanted, run, f"Tenant {tenant.slug} uses")
    return f"ScaiGrid lists what tenant {tenant.slug} uses: {', '.join(wanted)}."


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
"""Each step after the first, with the steps that it needs."""
