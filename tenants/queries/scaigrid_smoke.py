"""Is ScaiGrid there, and may we use it? Step by step, for whoever sees SW_AI_NO_TOKEN.

A step that fails says what it means and what to do; those that need it are not tried.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
from tenants.queries.smoke_steps import Outcome, SmokeTest, SmokeTestStep
from tenants.queries.tenants import month_of
from tenants.services.features import flatten

PATIENCE = RetryPolicy(total=10.0, first_contact=3.0)
"""Short: somebody watches."""
PLAUSIBLE = range(8, 65_537)
"""Numbers in a vector."""


@dataclass(frozen=True)
class SmokeTestOptions:
    """Which of the further steps to take; they cost tokens, or need more permissions."""

    embed: bool = False
    accounting: bool = False
    tenant: str | None = None


class _NothingToDo(Exception):
    """There is nothing that the step could look at."""


@dataclass
class _Run:
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
    for step in _steps(
        operator=operator, config=config, wish=wish, now=now, clock=clock, done=done
    ):
        done[step.name] = step
        tell(step)
    return SmokeTest(list(done.values()))


def _steps(
    *,
    operator: Operator,
    config: Configuration,
    wish: SmokeTestOptions,
    now: datetime,
    clock: Callable[[], float],
    done: Mapping[str, SmokeTestStep],
) -> Iterator[SmokeTestStep]:
    """One after the other; `done` has those before."""
    wanted = [plan for plan in _PLAN if getattr(wish, plan[0], True) not in (False, None)]
    try:
        client = scaigrid_client(config, patience=PATIENCE)
    except ScaiWaveError as error:
        yield SmokeTestStep("configured", Outcome.FAIL, error.message, error=error)
        for name, needs, _ in wanted:
            yield _not_tried(name, _missing(needs, done))
        return
    with client:
        yield SmokeTestStep("configured", Outcome.PASS, _configured(client))
        run = _Run(operator, config, wish, now, client)
        for name, needs, act in wanted:
            missing = _missing(needs, done)
            yield _not_tried(name, missing) if missing else _tried(name, act, run, clock)


def _missing(needs: tuple[str, ...], done: Mapping[str, SmokeTestStep]) -> str:
    return next((need for need in needs if done[need].outcome is not Outcome.PASS), "")


def _not_tried(name: str, missing: str) -> SmokeTestStep:
    return SmokeTestStep(name, Outcome.SKIP, f"Not tried, since it needs the step {missing}.")


def _tried(
    name: str, act: Callable[[_Run], str], run: _Run, clock: Callable[[], float]
) -> SmokeTestStep:
    began = clock()
    try:
        message = act(run)
    except _NothingToDo as nothing:
        return SmokeTestStep(name, Outcome.SKIP, str(nothing), clock() - began)
    except ScaiWaveError as error:
        return SmokeTestStep(name, Outcome.FAIL, error.message, clock() - began, error)
    return SmokeTestStep(name, Outcome.PASS, message, clock() - began)


def _configured(client: ScaiGridClient) -> str:
    return f"ScaiGrid is at {client.http.peer.origin}; we come with {client.access.described}."


def _reachable(run: _Run) -> str:
    health, ready = run.client.health(), run.client.ready()
    return f"It answers that it is {health} and {ready}."


def _token(run: _Run) -> str:
    run.client.access.bearer()
    if isinstance(run.client.access, ApiKey):
        return "The API key is sent as it is."
    return "ScaiKey gave us a token."


def _claims(run: _Run) -> str:
    if isinstance(run.client.access, ApiKey):
        raise _NothingToDo("An API key says nothing of itself.")
    claims = unverified_claims(run.client.access.bearer())
    if not claims:
        raise _NothingToDo("The token is opaque: it says nothing of itself.")
    ends = _expiry(claims)
    if ends is not None and ends <= run.now:
        raise UpstreamUnauthorized(
            f"The token that ScaiKey gave us ran out at {_utc(ends)}.",
            fix="Check the clocks of this machine and of ScaiKey.",
        )
    until = "without an end" if ends is None else f"good until {_utc(ends)}"
    tenant = claims.get("tenant_id") or "none, it is the platform's"
    return f"It is {until}; tenant: {tenant}; scope: {claims.get('scope') or 'none'}."


def _expiry(claims: dict[str, Any]) -> datetime | None:
    ends = claims.get("exp")
    if not isinstance(ends, int | float):
        return None
    try:
        return datetime.fromtimestamp(ends, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _accepted(run: _Run) -> str:
    permissions = run.client.me().permissions
    return f"ScaiGrid knows us; permissions: {', '.join(permissions) or 'none that it tells'}."


def _models(run: _Run) -> str:
    run.models = run.client.models()
    if not run.models:
        raise ModelMissing(
            "ScaiGrid lists no models to us.",
            fix="Have whoever runs ScaiGrid route models to our tenant or partner.",
        )
    wanted = run.config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL")
    _check_listed([wanted] if wanted else [], run, "SCAIWAVE_SCAIGRID_EMBEDDING_MODEL names")
    kinds = [model.modality or "of no modality" for model in run.models]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    return f"{len(run.models)} models: {counted}."


def _check_listed(wanted: list[str], run: _Run, who: str) -> None:
    listed = {model.slug for model in run.models}
    if missing := [slug for slug in wanted if slug not in listed]:
        raise ModelMissing(
            f"{who} what ScaiGrid doesn't list: {', '.join(missing)}.",
            fix="Correct the name, or have whoever runs ScaiGrid route the model to us. Listed "
            f"are, among others: {', '.join(sorted(listed)[:10])}.",
        )


def _embed(run: _Run) -> str:
    model = run.config.get_str("SCAIWAVE_SCAIGRID_EMBEDDING_MODEL") or _first_embedding(run)
    (vector,) = run.client.embed(model, ["smoke test"])
    if len(vector) not in PLAUSIBLE or not any(vector):
        raise UpstreamInvalidResponse(
            f"{model} made a vector that can't be one: {len(vector)} numbers"
            f"{'' if any(vector) else ', all of them 0'}.",
            fix="Tell whoever runs ScaiGrid, or take another embedding model.",
        )
    return f"{model} made a vector of {len(vector)} numbers."


def _first_embedding(run: _Run) -> str:
    if found := run.client.models("embedding", 1):
        return found[0].slug
    raise ModelMissing(
        "ScaiGrid lists no embedding model to us.",
        fix="Have whoever runs ScaiGrid route one to us; search works without, by words alone.",
    )


def _accounting(run: _Run) -> str:
    month = month_of(run.now)
    start = datetime(month.year, month.month, 1, tzinfo=UTC)
    usage = run.client.usage_summary(start=start, end=run.now)
    tokens = sum(row.total_tokens for row in usage)
    return f"{len(usage):,} tenants have used {tokens:,} tokens in {month:%Y-%m} (UTC)."


def _tenant(run: _Run) -> str:
    tenant = resolve_tenant(run.operator, run.wish.tenant or "")
    features = flatten(tenant.features)
    given = [features.get("ai.model"), features.get("ai.models")]
    wanted = [
        slug
        for value in given
        for slug in (value if isinstance(value, list) else [value])
        if isinstance(slug, str) and slug
    ]
    if not wanted:
        raise _NothingToDo(f"Tenant {tenant.slug} names no models (features ai.model, ai.models).")
    _check_listed(wanted, run, f"Tenant {tenant.slug} uses")
    return f"ScaiGrid lists what tenant {tenant.slug} uses: {', '.join(wanted)}."


_PLAN: tuple[tuple[str, tuple[str, ...], Callable[[_Run], str]], ...] = (
    ("reachable", ("configured",), _reachable),
    ("token", ("configured",), _token),
    ("claims", ("token",), _claims),
    ("accepted", ("reachable", "token"), _accepted),
    ("models", ("accepted",), _models),
    ("embed", ("accepted",), _embed),
    ("accounting", ("accepted",), _accounting),
    ("tenant", ("models",), _tenant),
)
"""Each step after the first, with the steps that it needs."""
