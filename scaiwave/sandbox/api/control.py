"""The sandbox's own endpoints, which ScaiKey does not have: faults, mutations, approvals.

They need no token: the sandbox listens on the loopback address only and holds only sample data.
"""

from __future__ import annotations

from typing import get_args

import msgspec

from scaiwave.sandbox.errors import InvalidMutation, InvalidWebhook, UnknownEntity
from scaiwave.sandbox.http.messages import (
    Action,
    HTTPError,
    Request,
    Response,
    json_response,
    parse_json_body,
)
from scaiwave.sandbox.http.routing import route
from scaiwave.sandbox.state import SandboxState

CONTROL_PREFIX = "/sandbox"


@route("GET", CONTROL_PREFIX + "/")
def get_summary(sandbox: SandboxState, request: Request) -> Response:
    return json_response(sandbox.get_summary())


@route("GET", CONTROL_PREFIX + "/faults")
def list_faults(sandbox: SandboxState, request: Request) -> Response:
    return json_response({"faults": sandbox.faults.list_rules()})


@route("POST", CONTROL_PREFIX + "/faults")
def add_fault(sandbox: SandboxState, request: Request) -> Response:
    try:
        return json_response(sandbox.faults.add_json(parse_json_body(request)), status=201)
    except msgspec.ValidationError as error:
        raise HTTPError(422, f"{error}. Actions: {', '.join(get_args(Action))}.") from None


@route("DELETE", CONTROL_PREFIX + "/faults")
def clear_faults(sandbox: SandboxState, request: Request) -> Response:
    sandbox.faults.clear()
    return Response(status=204)


@route("GET", CONTROL_PREFIX + "/webhooks")
def get_webhooks(sandbox: SandboxState, request: Request) -> Response:
    """Return the options and the latest deliveries, oldest first."""
    webhooks = sandbox.webhooks
    return json_response({"options": webhooks.options, "recent": list(webhooks.recent)})


@route("POST", CONTROL_PREFIX + "/webhooks")
def configure_webhooks(sandbox: SandboxState, request: Request) -> Response:
    """Change options, such as `{"url": "http://127.0.0.1:8000/v1/webhooks/scaikey"}`."""
    try:
        return json_response(sandbox.webhooks.configure(parse_json_body(request)))
    except InvalidWebhook as error:
        raise HTTPError(422, f"{error.message} {error.fix}") from None


@route("POST", CONTROL_PREFIX + "/webhooks/send")
def send_webhook(sandbox: SandboxState, request: Request) -> Response:
    """Send an event that need not be true: `{"event_type": "user.deleted", "id": "usr_…"}`."""
    event = parse_json_body(request)
    event_type, resource_id = str(event.get("event_type", "")), str(event.get("id", ""))
    return json_response({"event_id": sandbox.webhooks.announce(event_type, resource_id)})


@route("POST", CONTROL_PREFIX + "/mutate")
def mutate(sandbox: SandboxState, request: Request) -> Response:
    """Run a mutation: `{"op": "add_tenant", …}`, where the other members are its arguments."""
    arguments = parse_json_body(request)
    operation = str(arguments.pop("op", ""))
    try:
        return json_response({"op": operation, "result": sandbox.mutate(operation, **arguments)})
    except UnknownEntity as error:
        raise HTTPError(404, error.message) from None
    except InvalidMutation as error:
        raise HTTPError(422, f"{error.message} {error.fix}") from None


STATUSES = {
    "approve": "APPROVED",
    "reject": "REJECTED",
    "cancel": "CANCELLED",  # as an administrator of ScaiKey does; the applicant uses DELETE
    "expire": "EXPIRED",
}


@route("POST", *(f"{CONTROL_PREFIX}/registrations/{{request_id}}/{word}" for word in STATUSES))
def decide(sandbox: SandboxState, request: Request) -> Response:
    status, reason = STATUSES[request.path.rpartition("/")[2]], None
    if status == "REJECTED":
        reason = str(parse_json_body(request).get("reason", "Rejected in the sandbox."))
    pending = sandbox.registrations.decide(request.params["request_id"], status, reason)
    return json_response({"request_id": pending.request_id, "status": pending.status})
