"""The smoke test of ScaiGrid, step by step."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scaiwave.config import Configuration
from scaiwave.sandbox import Sandbox
from tenants.usage.check_scaigrid import SmokeTest, SmokeTestStep, smoke_test
from tests.tenants.factories import (
    HOST_OPERATOR,
    NOW,
    make_tenant,
)
from tests.tenants.fake_scaikey import make_config

pytestmark = pytest.mark.sandbox(people=3, tenants=4, partners=2, groups=1, seed=7)

EVERYTHING = ["reachable", "token", "claims", "accepted", "models"]
PERMISSIONS = "accounting:view_partner, accounting:view_tenant, models:list, models:use"


@pytest.fixture
def config(sandbox: Sandbox) -> Configuration:
    return configured(sandbox)


def configured(sandbox: Sandbox, **changes: str) -> Configuration:
    return make_config(sandbox, **{"SCAIWAVE_SCAIGRID_URL": sandbox.url, **changes})


def smoke(config: Configuration, **wish: Any) -> SmokeTest:
    reported: list[SmokeTestStep] = []
    result = smoke_test(
        operator=HOST_OPERATOR,
        config=config,
        **wish,
        now=NOW,
        report=reported.append,
        clock=lambda: 0.0,
    )
    assert reported == result.steps
    return result


def outcomes(result: SmokeTest) -> dict[str, str]:
    return {step.name: step.outcome.value for step in result.steps}


def get_step(result: SmokeTest, name: str) -> SmokeTestStep:
    return next(step for step in result.steps if step.name == name)


def test_success_with_a_service_token(sandbox: Sandbox, config: Configuration) -> None:
    result = smoke(config, embed=True, accounting=True)
    assert result.exit_code == 0
    assert result.sentence == "8 of 8 steps passed, none failed."
    messages = {step.name: step.message for step in result.steps}
    claims = messages.pop("claims")
    assert claims.startswith("Token: valid until 2")
    assert claims.endswith("; tenant: none (platform token); scope: admin:read.")
    assert messages.pop("accounting").startswith("3 tenants have used ")
    assert messages == {
        "configured": f"ScaiGrid is at {sandbox.url}; authentication by a service token of client "
        f"{sandbox.client_id}.",
        "reachable": "ScaiGrid reports ok and ready.",
        "token": "ScaiKey issued a token.",
        "accepted": f"ScaiGrid accepts the credentials; permissions: {PERMISSIONS}.",
        "models": "4 models: 2 text, 2 embedding.",
        "embed": "Model embed-small returned a vector of 384 numbers.",
    }


def test_success_with_a_key_which_has_no_claims(sandbox: Sandbox) -> None:
    key = sandbox.scaigrid.api_key
    result = smoke(configured(sandbox, SCAIWAVE_SCAIGRID_API_KEY=key))
    assert outcomes(result) == {
        "configured": "pass",
        "reachable": "pass",
        "token": "pass",
        "claims": "skip",
        "accepted": "pass",
        "models": "pass",
    }
    assert result.exit_code == 0
    assert key not in json.dumps(result.document())


def test_success_the_configured_embedding_model(sandbox: Sandbox) -> None:
    config = configured(sandbox, SCAIWAVE_SCAIGRID_EMBEDDING_MODEL="embed-large")
    message = get_step(smoke(config, embed=True), "embed").message
    assert message == "Model embed-large returned a vector of 1024 numbers."


@pytest.mark.django_db
@pytest.mark.parametrize(
    "features",
    [
        {"ai": {"model": "chat-small", "models": ["chat-large"]}},
        {"ai.model": "chat-small", "ai.models": ["chat-large"]},
    ],
)
def test_success_a_tenants_models(features: dict[str, Any], config: Configuration) -> None:
    make_tenant("acme", features=features)
    step = get_step(smoke(config, tenant="acme"), "tenant")
    assert step.message == "ScaiGrid lists the models of tenant acme: chat-small, chat-large."


@pytest.mark.django_db
def test_success_a_tenant_that_names_no_models(config: Configuration) -> None:
    make_tenant("acme", features={"ai": {"model": 7}})
    result = smoke(config, tenant="acme")
    assert (outcomes(result)["tenant"], result.exit_code) == ("skip", 0)


@pytest.mark.django_db
def test_fail_a_tenants_model_is_missing(config: Configuration) -> None:
    make_tenant("acme", features={"ai": {"models": ["chat-small", "gone"]}})
    result = smoke(config, tenant="acme")
    step = get_step(result, "tenant")
    assert (result.exit_code, step.document()["code"]) == (1, "SW_AI_MODEL_MISSING")
    assert step.message == "Tenant acme uses models that ScaiGrid does not list: gone."


@pytest.mark.django_db
def test_fail_no_such_tenant(config: Configuration) -> None:
    result = smoke(config, tenant="unknown")
    assert (result.exit_code, get_step(result, "tenant").message) == (
        1,
        "Tenant not found: unknown.",
    )


def test_fail_missing_configuration_skips_all_steps(sandbox: Sandbox) -> None:
    result = smoke(configured(sandbox, SCAIWAVE_SCAIGRID_URL=""), embed=True)
    assert outcomes(result) == {
        "configured": "fail",
        **dict.fromkeys([*EVERYTHING, "embed"], "skip"),
    }
    assert result.exit_code == 2
    assert sandbox.requests.total == 0


def test_fail_unreachable(sandbox: Sandbox) -> None:
    result = smoke(configured(sandbox, SCAIWAVE_SCAIGRID_URL="http://127.0.0.1:1"))
    assert result.exit_code == 2
    assert outcomes(result)["claims"] == "pass"  # ScaiKey has another address.
    assert get_step(result, "accepted").message == "Skipped: depends on step reachable."


def test_fail_no_token(sandbox: Sandbox) -> None:
    secret = "not-the-secret-at-all"
    result = smoke(configured(sandbox, SCAIWAVE_SCAIKEY_CLIENT_SECRET=secret))
    assert (result.exit_code, outcomes(result)["token"]) == (3, "fail")
    assert outcomes(result)["models"] == "skip"


def test_fail_the_token_has_expired(sandbox: Sandbox, config: Configuration) -> None:
    grant = {
        "access_token": sandbox.issue_platform_token(exp=1_700_000_000),
        "token_type": "Bearer",
    }
    sandbox.faults.add("wrong_shape", path="*/oauth/token", body=grant)
    result = smoke(config)
    assert get_step(result, "claims").message == (
        "The token from ScaiKey expired at 2023-11-14 22:13:20 UTC."
    )
    refused = get_step(result, "accepted").document()
    assert (result.exit_code, refused["upstream_code"]) == (3, "SERVICE_TOKEN_INVALID")
    assert refused["request_id"].startswith("req_")


def test_success_an_opaque_token(sandbox: Sandbox, config: Configuration) -> None:
    sandbox.faults.add("wrong_shape", path="*/oauth/token", body={"access_token": "opaque"})
    claims = get_step(smoke(config), "claims")
    assert claims.message == "The token is opaque and has no readable claims."


@pytest.mark.parametrize(
    ("permission", "step"),
    [
        ("models:list", "models"),
        ("models:use", "embed"),
        ("accounting:view_partner", "accounting"),
    ],
)
def test_fail_a_permission_is_missing(
    permission: str, step: str, sandbox: Sandbox, config: Configuration
) -> None:
    sandbox.scaigrid.permissions.remove(permission)
    named = {"SCAIWAVE_SCAIGRID_EMBEDDING_MODEL": "embed-small"}
    result = smoke(configured(sandbox, **named), embed=True, accounting=True)
    assert [name for name, outcome in outcomes(result).items() if outcome == "fail"] == [step]
    failed = get_step(result, step).document()
    assert (result.exit_code, failed["upstream_code"]) == (3, "AUTHZ_PERMISSION_DENIED")
    assert permission in failed["fix"]


def test_fail_the_budget_is_used_up(sandbox: Sandbox, config: Configuration) -> None:
    body = {"status": "error", "error": {"code": "BUDGET_EXCEEDED", "message": "No money"}}
    sandbox.faults.add("status", path="*/embed", status=429, body=body)
    result = smoke(config, embed=True)
    assert result.exit_code == 1
    assert get_step(result, "embed").lines() == [
        "fail  embed         0.00 s  ScaiGrid's budget is used up: BUDGET_EXCEEDED, No money. "
        "[SW_AI_BUDGET_EXCEEDED]",
        "      Fix: This month's budget is used up: raise it in ScaiGrid, or wait for the next "
        "month.",
    ]


def test_fail_the_embedding_model_is_missing(sandbox: Sandbox) -> None:
    result = smoke(configured(sandbox, SCAIWAVE_SCAIGRID_EMBEDDING_MODEL="gone"), embed=True)
    failed = [get_step(result, name).document() for name in ("models", "embed")]
    assert [step["code"] for step in failed] == ["SW_AI_MODEL_MISSING", "SW_UPSTREAM_NOT_FOUND"]
    assert failed[1]["upstream_code"] == "MODEL_NOT_FOUND"
    assert result.exit_code == 1


@pytest.mark.parametrize(("size", "described"), [(3, "3 numbers"), (8, "8 numbers, all of them 0")])
def test_fail_invalid_vector(
    size: int, described: str, sandbox: Sandbox, config: Configuration
) -> None:
    body = {"data": {"data": [{"index": 0, "embedding": [0.0 if size == 8 else 1.0] * size}]}}
    sandbox.faults.add("wrong_shape", path="*/embed", body=body)
    step = get_step(smoke(config, embed=True), "embed")
    assert step.message == f"Model embed-small returned an invalid vector: {described}."


@pytest.mark.parametrize("modality", ["", "embedding"])
def test_fail_no_models(modality: str, sandbox: Sandbox, config: Configuration) -> None:
    query = {"modality": modality} if modality else {}
    sandbox.faults.add("wrong_shape", path="/v1/models", query=query, body={"data": {"items": []}})
    result = smoke(config, embed=True)
    assert get_step(result, "embed").document()["code"] == "SW_AI_MODEL_MISSING"
    assert (outcomes(result)["models"] == "pass") is bool(modality)
