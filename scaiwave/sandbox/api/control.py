"""The sandbox's own endpoints, which the vendor has none of: faults, mutations, approvals.

They need no token: the sandbox listens on the loopback address only and holds nothing real.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from scaiwave.sandbox.errors import InvalidMutation, UnknownEntity
from scaiwave.sandbox.http.routing import (
    HTTPError,
    Request,
    Response,
    json_response,
    parse_json_body,
    route,
)

if TYPE_CHECKING:
    from scaiwave.sandbox.server import Sandbox

CONTROL = "/sandbox"


@route("GET", CONTROL + "/")
def summary(sandbox: Sandbox, request: Request) -> Response:
    return json_response(sandbox.summary())


@route("GET", CONTROL + "/faults")
def list_faults(sandbox: Sandbox, request: Request) -> Response:
    return json_response({"faults": sandbox.faults.rules()})


@route("POST", CONTROL + "/faults")
def add_fault(sandbox: Sandbox, request: Request) -> Response:
    try:
        return json_response(sandbox.faults.add_json(parse_json_body(request)), status=201)
    except msgspec.ValidationError as error:
        raise HTTPError(422, str(error)) from None


@route("DELETE", CONTROL + "/faults")
def clear_faults(sandbox: Sandbox, request: Request) -> Response:
    sandbox.faults.clear()
    return Response(status=204)


@route("POST", CONTROL + "/mutate")
def mutate(sandbox: Sandbox, request: Request) -> Response:
    """`{"op": "add_tenant", …}`: the op's arguments stand beside it; the result is its answer."""
    arguments = parse_json_body(request)
    operation = str(arguments.pop("op", ""))
    try:
        return json_response({"op": operation, "result": sandbox.mutate(operation, **arguments)})
    except UnknownEntity as error:
        raise HTTPError(404, error.message) from None
    except InvalidMutation as error:
        raise HTTPError(422, f"{error.message} {error.fix}") from None


@route("POST", CONTROL + "/registrations/{request_id}/approve")
def approve(sandbox: Sandbox, request: Request) -> Response:
    return _decide(sandbox, request, "APPROVED", None)


@route("POST", CONTROL + "/registrations/{request_id}/reject")
def reject(sandbox: Sandbox, request: Request) -> Response:
    reason = str(parse_json_body(request).get("reason", "Rejected in the sandbox."))
    return _decide(sandbox, request, "REJECTED", reason)


def _decide(sandbox: Sandbox, request: Request, status: str, reason: str | None) -> Response:
    pending = sandbox.registrations.decide(request.params["request_id"], status, reason)
    return json_response({"request_id": pending.request_id, "status": pending.status})
