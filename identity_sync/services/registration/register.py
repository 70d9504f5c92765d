"""Registers this server with ScaiKey, and goes on with a registration that was interrupted.

The receipt in the home says how far it has come: no receipt, nothing begun; one without
credentials, ScaiKey is asked for the decision; one with credentials, they are configured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime

from identity_sync.errors import RegistrationConflict
from identity_sync.models import Registration, RegistrationState
from identity_sync.queries.config import mask_secret
from identity_sync.services.registration.answers import (
    Console,
    RegistrationFlags,
    RegistrationRequest,
    collect_answers,
    ensure_matches,
)
from identity_sync.services.registration.cancel import discard_pending
from identity_sync.services.registration.credentials import (
    block_signals,
    check_writable,
    delete_pending,
    install_credentials,
    load_pending,
    overridden_names,
    verify_credentials,
)
from identity_sync.services.registration.poll import RegistrationPoller
from identity_sync.services.registration.receipt import (
    PendingRegistration,
    receipt_path,
    registration_lock,
    save_receipt,
)
from identity_sync.services.registration_rows import cancel_registration_row, record_state
from scaiwave.auth.operators import Operator, Permission
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import Credentials, RegistrationTicket
from scaiwave.config import Configuration
from scaiwave.errors import ScaiWaveError, UpstreamInvalidResponse, UpstreamNotFound

LONGEST_REQUEST_ID = 200


@dataclass(frozen=True, kw_only=True)
class RegistrationResult:
    """How far it has come. `outcome` is planned, pending, registered or already_registered."""

    outcome: str
    state: str
    url: str
    request_id: str = ""
    name: str = ""
    scope: str = ""
    scope_slug: str = ""
    contact_email: str = ""
    client_id: str = ""
    client_secret: str = ""  # masked
    application_id: str = ""
    reach: str = ""
    env_file: str = ""
    receipt: str = ""
    overridden: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        return asdict(self)

    @property
    def next_step(self) -> str:
        if self.outcome == "planned":
            return "the same without --dry-run."
        if self.outcome == "pending":
            return (
                f"approve request {self.request_id} in ScaiKey, then run "
                "`scaiwave sync register` again."
            )
        return "`scaiwave sync`."


@dataclass(frozen=True, kw_only=True)
class RegistrationContext:
    """What all steps of one `sync register` share; `wait` is in seconds, None asks once."""

    operator: Operator
    config: Configuration
    talk: Console
    clock: Callable[[], datetime]
    wait: float | None = None


def register(
    run: RegistrationContext,
    *,
    given: RegistrationFlags,
    force: bool = False,
    restart: bool = False,
    dry_run: bool = False,
) -> RegistrationResult:
    """Register, go on registering, or say that it is done.

    `force` begins although credentials are configured, `restart` drops a pending request first.
    Raises `RegistrationBusy`, `RegistrationConflict`, what `gather` and `RegistrationPoller` raise,
    and `CredentialsNotInstalled` when only the configuration file can't be written.
    """
    run.operator.require(Permission.MANAGE_PLATFORM)
    with registration_lock(run.config.home):
        dropped = restart and _restart(run, dry_run=dry_run)
        receipt = None if restart else load_pending(run.config)
        if receipt is None:
            if not (force or dropped) and _has_credentials(run.config):
                return _already(run.config, given)
            _refuse_a_second(run, restart=restart, dry_run=dry_run)
            answers = collect_answers(
                given=given, talk=run.talk, config=run.config, operator=run.operator
            )
            if dry_run:
                return RegistrationResult(outcome="planned", state="", **asdict(answers))
            receipt = _request(run, answers)
        ensure_matches(given, receipt)
        return _progress(run, receipt, "planned") if dry_run else _go_on(run, receipt)


def _restart(run: RegistrationContext, *, dry_run: bool) -> bool:
    """Drop what is pending in this home; whether there was something."""
    return discard_pending(
        run.operator, run.config, now=run.clock(), say=run.talk.say, dry_run=dry_run
    )


def _has_credentials(config: Configuration) -> bool:
    names = ("URL", "CLIENT_ID", "CLIENT_SECRET")
    return all(config.get_str(f"SCAIWAVE_SCAIKEY_{name}") for name in names)


def _already(config: Configuration, given: RegistrationFlags) -> RegistrationResult:
    url = config.get_url("SCAIWAVE_SCAIKEY_URL")
    if given.url is not None and given.url.strip().rstrip("/") != url:
        raise RegistrationConflict(
            f"This server is registered with {url}.",
            fix="Pass --force to register it anew and replace those credentials.",
        )
    client_id = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")
    client_secret = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET")
    reach = verify_credentials(url, client_id, client_secret)
    return RegistrationResult(
        outcome="already_registered",
        state=RegistrationState.APPROVED,
        url=url,
        client_id=client_id,
        client_secret=mask_secret(client_secret),
        application_id=config.get_str("SCAIWAVE_SCAIKEY_APP_ID"),
        reach=reach,
        env_file=str(config.env_file),
    )


def _refuse_a_second(run: RegistrationContext, *, restart: bool, dry_run: bool) -> None:
    """Another home on this database may be waiting. Finds a missing database early, too."""
    row = Registration.objects.order_by("-requested_at").first()
    if row is None or row.state != RegistrationState.PENDING:
        return
    if not restart:
        raise RegistrationConflict(
            f"Request {row.request_id} at {row.scaikey_url} is pending, and its status token is "
            "in another home.",
            fix="Go on with it there, or pass --restart to give it up and begin again here.",
        )
    if not dry_run:
        cancel_registration_row(operator=run.operator, row=row, now=run.clock())


def _request(run: RegistrationContext, answers: RegistrationRequest) -> PendingRegistration:
    """Send the request and keep its receipt before anything else happens."""
    check_writable(run.config)
    with ScaiKeyClient(answers.url) as client, block_signals():
        ticket = _send(client, run.config, answers)
        receipt = PendingRegistration(
            **asdict(answers),
            request_id=ticket.request_id,
            status_token=ticket.status_token,
            requested_at=run.clock(),
        )
        try:
            save_receipt(run.config.home, receipt)
        except ScaiWaveError:
            # Nobody could ask for its answer.
            client.cancel_registration(ticket.request_id, ticket.status_token)
            raise
    record_state(
        operator=run.operator,
        receipt=receipt,
        state=RegistrationState.PENDING,
        now=receipt.requested_at,
    )
    kept = receipt_path(run.config.home)
    run.talk.say(f"Request {receipt.request_id} is sent; its status token is kept in {kept}.")
    return receipt


def _send(
    client: ScaiKeyClient, config: Configuration, answers: RegistrationRequest
) -> RegistrationTicket:
    slugs = {f"{answers.scope.lower()}_slug": answers.scope_slug} if answers.scope_slug else {}
    try:
        ticket = client.register_application(
            name=answers.name,
            scope=answers.scope,
            contact_email=answers.contact_email,
            redirect_uris=redirect_uris(config),
            **slugs,
        )
    except UpstreamNotFound as error:
        error.fix = "Check --url, and the slug of the partner or tenant if there is one."
        raise
    if not ticket.request_id.isprintable() or len(ticket.request_id) > LONGEST_REQUEST_ID:
        raise UpstreamInvalidResponse(
            "ScaiKey answers with a request id that is none.",
            fix="Check that --url is the address of ScaiKey.",
        )
    return ticket


def redirect_uris(config: Configuration) -> list[str]:
    """Where ScaiKey may send browsers back to.

    assumption: the root will do; a SERVICE application never sends a browser anywhere.
    """
    return [config.get_url("SCAIWAVE_PUBLIC_URL") + "/"]


def _go_on(run: RegistrationContext, receipt: PendingRegistration) -> RegistrationResult:
    if receipt.credentials is None:
        inquiry = RegistrationPoller(
            operator=run.operator,
            config=run.config,
            say=run.talk.say,
            clock=run.clock,
            wait=run.wait,
        )
        receipt = inquiry.await_decision(receipt)
    else:
        # They may be in the file of a process that was killed, and in no receipt.
        save_receipt(run.config.home, receipt)
    if receipt.credentials is None:
        return _progress(run, receipt, "pending")
    return _finish(run, receipt, receipt.credentials)


def _finish(
    run: RegistrationContext, receipt: PendingRegistration, found: Credentials
) -> RegistrationResult:
    """Configure, write down, and only then see if ScaiKey honours what it gave."""
    install_credentials(run.config, receipt.url, found)
    record_state(
        operator=run.operator,
        receipt=receipt,
        state=RegistrationState.APPROVED,
        now=run.clock(),
    )
    delete_pending(run.config, receipt)
    run.talk.say(f"ScaiKey has approved; the credentials are in {run.config.env_file}.")
    reach = verify_credentials(receipt.url, found.client_id, found.client_secret)
    return replace(
        _progress(run, receipt, "registered"),
        state=RegistrationState.APPROVED,
        client_id=found.client_id,
        client_secret=mask_secret(found.client_secret),
        application_id=found.application_id,
        reach=reach,
        receipt="",
        overridden=overridden_names(run.config, receipt.url, found),
    )


def _progress(
    run: RegistrationContext, receipt: PendingRegistration, outcome: str
) -> RegistrationResult:
    return RegistrationResult(
        outcome=outcome,
        state=RegistrationState.PENDING,
        url=receipt.url,
        request_id=receipt.request_id,
        name=receipt.name,
        scope=receipt.scope,
        scope_slug=receipt.scope_slug,
        contact_email=receipt.contact_email,
        env_file=str(run.config.env_file),
        receipt=str(receipt_path(run.config.home)),
    )
