"""Register this server with ScaiKey, or continue a registration that was interrupted.

The receipt in the home directory decides where to continue: without a receipt a request is sent,
with one that has no credentials ScaiKey is asked for the decision, and with credentials these are
installed.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from shlex import quote

from identity_sync.errors import RegistrationConflict
from identity_sync.models import Registration, RegistrationState
from identity_sync.registration.answers import (
    RegistrationContext,
    RegistrationFlags,
    RegistrationRequest,
    collect_answers,
    ensure_matches,
)
from identity_sync.registration.cancel import discard_pending
from identity_sync.registration.credentials import (
    block_signals,
    check_writable,
    delete_pending,
    find_overridden_settings,
    has_credentials,
    install_credentials,
    load_pending,
    replaces_other_credentials,
    verify_credentials,
    verify_replacement,
)
from identity_sync.registration.poll import await_decision
from identity_sync.registration.receipt import (
    PendingRegistration,
    receipt_path,
    registration_lock,
    save_receipt,
)
from identity_sync.registration.record import cancel_registration_row, ensure_recorded, record_state
from identity_sync.registration.show_config import mask_secret
from scaiwave.clients.errors import UpstreamRejected
from scaiwave.clients.scaikey.client import ScaiKeyClient
from scaiwave.clients.scaikey.registration import Credentials, RegistrationTicket
from scaiwave.config import Configuration
from scaiwave.core.errors import ScaiWaveError, UpstreamInvalidResponse, UpstreamNotFound
from scaiwave.core.files import remove_abandoned_drafts
from scaiwave.core.operators import Permission
from scaiwave.web.scaikey_sign_in import build_redirect_uri
from tenants.lookup.restoration import require_activated

MAX_REQUEST_ID_CHARS = 200


@dataclass(frozen=True, kw_only=True)
class RegistrationResult:
    """The state of a registration after one `sync register`.

    `outcome` is planned, pending, registered or already_registered. `client_secret` is masked.
    `replaced_client_id` is the client ID that was configured before, or still is while the request
    is pending.
    `token_scope` is the scope of the token that was fetched to verify the credentials.
    `overridden` are the settings that the environment sets to another value than the configuration
    file.
    """

    outcome: str
    state: str
    url: str
    request_id: str = ""
    name: str = ""
    scope: str = ""
    scope_slug: str = ""
    contact_email: str = ""
    redirect_uri: str = ""
    requested_at: datetime | None = None
    client_id: str = ""
    client_secret: str = ""
    application_id: str = ""
    replaced_client_id: str = ""
    token_scope: str = ""
    env_file: str = ""
    receipt_file: str = ""
    overridden: list[str] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return the document of --json; unknown values are null."""
        registration = {name: value or None for name, value in self.facts().items()}
        return {
            "registration": registration,
            "outcome": self.outcome,
            "changed": self.outcome != "already_registered",
            "overridden_settings": self.overridden,
        }

    def facts(self) -> dict[str, object]:
        """Return the known facts of the registration."""
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in {"outcome", "overridden"}
        }

    @property
    def next_step(self) -> str:
        if self.outcome == "planned":
            return "run the same command without --dry-run."
        if self.outcome == "pending":
            return (
                f"approve request {self.request_id} in ScaiKey, then run "
                "`scaiwave sync register` again."
            )
        if self.replaced_client_id:
            return (
                "run `scaiwave sync`, restart the processes of this server, and remove client "
                f"{self.replaced_client_id} in ScaiKey once no other host uses it."
            )
        return "run `scaiwave sync`."


def register(
    context: RegistrationContext,
    *,
    flags: RegistrationFlags,
    replace_credentials: bool = False,
    restart: bool = False,
    dry_run: bool = False,
) -> RegistrationResult:
    """Register, continue a pending registration, or verify that this server is registered.

    `replace_credentials` registers although credentials are configured, which stay in use until the
    new ones work. `restart` discards a pending request first.

    Raises `RegistrationBusy`, `RegistrationConflict`, what `collect_answers` and `await_decision`
    raise, and `CredentialsNotInstalled` if only the configuration file can't
    be written.
    """
    context.operator.require(Permission.MANAGE_PLATFORM)
    require_activated()
    config = context.config
    with registration_lock(config.home):
        # 1. Find out where an earlier process has stopped, or discard its work.
        receipt = None if restart else load_pending(config)
        is_discarded = restart and discard_pending(context, dry_run=dry_run)
        if receipt is not None and not dry_run:
            ensure_recorded(operator=context.operator, receipt=receipt, now=context.clock())

        # 2. Send a request, unless one is pending or the server is registered already.
        if receipt is None:
            if not dry_run:
                remove_abandoned_drafts(receipt_path(config.home))
            if not (replace_credentials or is_discarded) and has_credentials(config):
                return _verify_registered(config, flags)
            _ensure_no_other_pending(context, restart=restart, dry_run=dry_run)
            request = collect_answers(context, flags)
            if dry_run:
                return _build_plan(config, request)
            receipt = _send_request(context, request, "--url" if flags.url else "")
        ensure_matches(flags, receipt)
        if dry_run:
            return _build_result(context, receipt, "planned")

        # 3. Ask for the decision, unless its credentials are saved already.
        if receipt.credentials is None:
            receipt = await_decision(context, receipt)
        else:  # A killed process may have left them in another file than the receipt.
            save_receipt(config.home, receipt)
        if receipt.credentials is None:
            return _build_result(context, receipt, "pending")

        # 4. Verify that ScaiKey accepts the credentials, and install them.
        return _finish(context, receipt, receipt.credentials)


def _build_plan(config: Configuration, request: RegistrationRequest) -> RegistrationResult:
    return RegistrationResult(
        outcome="planned",
        state="",
        **asdict(request),
        redirect_uri=build_redirect_uri(config),
        replaced_client_id=_get_replaced_client_id(config),
    )


def _get_replaced_client_id(config: Configuration) -> str:
    return config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID") if has_credentials(config) else ""


def _verify_registered(config: Configuration, flags: RegistrationFlags) -> RegistrationResult:
    url = config.get_url("SCAIWAVE_SCAIKEY_URL")
    if flags.url is not None and flags.url.strip().rstrip("/") != url:
        raise RegistrationConflict(
            f"This server is already registered with {url}.",
            fix="Pass --replace to register it again and replace those credentials.",
        )
    client_id = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_ID")
    client_secret = config.get_str("SCAIWAVE_SCAIKEY_CLIENT_SECRET")
    token_scope = verify_credentials(url, client_id, client_secret)
    return RegistrationResult(
        outcome="already_registered",
        state=RegistrationState.APPROVED,
        url=url,
        client_id=client_id,
        client_secret=mask_secret(client_secret),
        application_id=config.get_str("SCAIWAVE_SCAIKEY_APP_ID"),
        redirect_uri=config.get_str("SCAIWAVE_SCAIKEY_REDIRECT_URI"),
        token_scope=token_scope,
        env_file=str(config.env_file),
    )


def _ensure_no_other_pending(context: RegistrationContext, *, restart: bool, dry_run: bool) -> None:
    """Refuse while another home directory on this database waits for a decision.

    This also reports an unusable database before anything is sent.
    """
    row = Registration.objects.newest_first().first()
    if row is None or row.state != RegistrationState.PENDING:
        return
    if not restart:
        raise RegistrationConflict(
            f"Request {row.request_id} at {row.scaikey_url} is pending, and its status token is "
            "in another home directory.",
            fix="Continue it there, or pass --restart to cancel it here and send a new one.",
        )
    if not dry_run:
        cancel_registration_row(operator=context.operator, row=row, now=context.clock())


def _send_request(
    context: RegistrationContext, request: RegistrationRequest, url_option: str
) -> PendingRegistration:
    """Send the request and save its receipt before anything else happens.

    `url_option` is the option that the address was passed with, if not by the setting.
    """
    config, redirect_uri = context.config, build_redirect_uri(context.config)
    check_writable(config)
    with ScaiKeyClient(request.url, configured_by=url_option) as client, block_signals():
        ticket = _post_request(client, request, redirect_uri)
        receipt = PendingRegistration(
            **asdict(request),
            request_id=ticket.request_id,
            status_token=ticket.status_token,
            requested_at=context.clock(),
            redirect_uri=redirect_uri,
            replaces=_get_replaced_client_id(config),
        )
        try:
            save_receipt(config.home, receipt)
        except ScaiWaveError:
            # Without its status token no one could ask for the decision.
            client.cancel_registration(ticket.request_id, ticket.status_token)
            raise
    record_state(
        operator=context.operator,
        receipt=receipt,
        state=RegistrationState.PENDING,
        now=receipt.requested_at,
    )
    path = receipt_path(config.home)
    context.console.log(f"Request {receipt.request_id} sent. Its status token is saved in {path}.")
    if receipt.replaces:
        context.console.log("The configured credentials stay in use until the new ones work.")
    return receipt


def _post_request(
    client: ScaiKeyClient, request: RegistrationRequest, redirect_uri: str
) -> RegistrationTicket:
    slugs = {f"{request.scope.lower()}_slug": request.scope_slug} if request.scope_slug else {}
    try:
        ticket = client.register_application(
            name=request.name,
            scope=request.scope,
            contact_email=request.contact_email,
            redirect_uris=[redirect_uri],
            **slugs,
        )
    except (UpstreamNotFound, UpstreamRejected, UpstreamInvalidResponse) as error:
        _name_slug(request, error)
        if isinstance(error, UpstreamNotFound) and not request.scope_slug:
            raise UpstreamInvalidResponse(
                f"{client.http.peer.name} does not register applications (404).",
                fix=f"Check {client.http.peer.setting}, or ask the operators of ScaiKey.",
            ) from None
        raise
    if not ticket.request_id.isprintable() or len(ticket.request_id) > MAX_REQUEST_ID_CHARS:
        raise UpstreamInvalidResponse(
            "ScaiKey returned an invalid request ID.",
            fix="Check that --url is the address of ScaiKey.",
        )
    return ticket


def _name_slug(request: RegistrationRequest, error: ScaiWaveError) -> None:
    """Name the partner or tenant in an error that is, or may be, about its slug."""
    slug, kind = request.scope_slug, request.scope.lower()
    if not slug:
        return
    if isinstance(error, UpstreamNotFound):
        error.message = f"{kind.capitalize()} not found in ScaiKey: {slug}."
        error.fix = f"Check --{kind}-slug: it is the slug in ScaiKey."
    elif isinstance(error, UpstreamRejected) and kind in error.details.get("answer", "").lower():
        error.message = f"{kind.capitalize()} not accepted by ScaiKey: {slug}. {error.message}"
        error.fix = f"Check --{kind}-slug: it is the slug in ScaiKey."
    elif error.details.get("wrong_path"):
        error.fix += f" If it is correct, check --{kind}-slug {quote(slug)}."
    error.args = (error.message,)


def _finish(
    context: RegistrationContext, receipt: PendingRegistration, credentials: Credentials
) -> RegistrationResult:
    """Install the credentials, record the approval, and only then verify them.

    Credentials that replace others are verified before, because those others may still work.
    """
    config, token_scope = context.config, None
    if replaces_other_credentials(config, receipt, credentials):
        token_scope = verify_replacement(receipt, credentials, config.env_file)
    install_credentials(config, receipt, credentials)
    record_state(
        operator=context.operator,
        receipt=receipt,
        state=RegistrationState.APPROVED,
        now=context.clock(),
    )
    delete_pending(config, receipt)
    context.console.log(f"Request approved. The credentials are in {config.env_file}.")
    if token_scope is None:
        token_scope = verify_credentials(
            receipt.url, credentials.client_id, credentials.client_secret
        )
    return replace(
        _build_result(context, receipt, "registered"),
        state=RegistrationState.APPROVED,
        client_id=credentials.client_id,
        client_secret=mask_secret(credentials.client_secret),
        application_id=credentials.application_id,
        token_scope=token_scope,
        receipt_file="",
        overridden=find_overridden_settings(config, receipt, credentials),
    )


def _build_result(
    context: RegistrationContext, receipt: PendingRegistration, outcome: str
) -> RegistrationResult:
    names = ("url", "request_id", "name", "scope", "scope_slug", "contact_email", "redirect_uri")
    return RegistrationResult(
        outcome=outcome,
        state=RegistrationState.PENDING,
        **{name: getattr(receipt, name) for name in names},
        requested_at=receipt.requested_at,
        replaced_client_id=receipt.replaces,
        env_file=str(context.config.env_file),
        receipt_file=str(receipt_path(context.config.home)),
    )
