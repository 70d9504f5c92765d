"""Webhooks of the sandbox (ScaiKey docs, reference/webhooks): each mutation is announced.

They are signed, and sent from a thread until the receiver responds with 2xx. Options make them
unreliable: lost, repeated, out of order, or about something that did not happen.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import logging
import queue
import random
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec

from scaiwave.core.msgspec_decoders import register_structs
from scaiwave.sandbox.data.directory import Directory
from scaiwave.sandbox.data.roster import Row
from scaiwave.sandbox.errors import InvalidWebhook, UnknownEntity

MAX_ATTEMPTS = 5
MAX_RECENT = 1000
TIMEOUT_SECONDS = 10.0

KINDS = ("partner", "tenant", "user", "group")
EVENT_TYPES = {
    **{f"add_{kind}": f"{kind}.created" for kind in KINDS},
    **{f"update_{kind}": f"{kind}.updated" for kind in KINDS},
    **{f"remove_{kind}": f"{kind}.deleted" for kind in KINDS},
    "suspend_user": "user.suspended",
    "set_roles": "user.updated",
    "move_user": "user.updated",
    "add_member": "group.member_added",
    "remove_member": "group.member_removed",
}
"""By mutation. `change_share` and `move_share` are not announced, as if all their events were
lost."""

logger = logging.getLogger("scaiwave.sandbox")


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments: object) -> None:
        """Refuse it: the request would become a GET."""


# Without a proxy: the receiver is on this network.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)


class WebhookOptions(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Where events are sent, and how unreliably.

    `lose` and `repeat` are shares (0 to 1) of the events that are never sent, or sent twice. Events
    wait `hold_seconds` for others; gathered events are sent in random order.
    """

    url: str = ""
    secret: str = ""
    lose: float = 0.0
    repeat: float = 0.0
    hold_seconds: float = 0.0


register_structs(WebhookOptions)


class Delivery(msgspec.Struct):
    """One attempt; `status` is 0 without a response."""

    event_id: str
    event_type: str
    resource_id: str
    status: int


class Webhooks:
    """Sends events while it has a URL; `start` and `stop` belong to the sandbox."""

    def __init__(self, directory: Directory, *, seed: int, url: str = "") -> None:
        digest = hashlib.sha256(f"sandbox webhooks {seed}".encode()).hexdigest()
        self.options = WebhookOptions(url=url, secret=f"whsec_sandbox_{digest[:24]}")
        self.recent: deque[Delivery] = deque(maxlen=MAX_RECENT)
        self._directory = directory
        self._random = random.Random(seed)
        self._queue: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._thread: threading.Thread | None = None

    def configure(self, changes: dict[str, object]) -> WebhookOptions:
        """Change options. Raises `InvalidWebhook`."""
        values = {**msgspec.structs.asdict(self.options), **changes}
        try:
            options = msgspec.convert(values, WebhookOptions)
        except msgspec.ValidationError as error:
            raise InvalidWebhook(f"Invalid webhook options: {error}.") from None
        if options.url and urlsplit(options.url).scheme not in ("http", "https"):
            raise InvalidWebhook(f"Not a web address: {options.url}.")
        self.options = options
        return options

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="sandbox-webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop after the current delivery; the rest is lost."""
        if self._thread is None:
            return
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue.put(None)
        self._thread.join()
        self._thread = None

    def announce_mutation(
        self, operation: str, arguments: Mapping[str, object], result: object
    ) -> None:
        event_type = EVENT_TYPES.get(operation)
        if event_type is None or result is False:
            return
        is_new = event_type.endswith(".created")
        kind = event_type.partition(".")[0]
        self.announce(event_type, str(result if is_new else arguments[f"{kind}_id"]))

    def announce(self, event_type: str, resource_id: str) -> str:
        """Send an event, whether or not it is true; returns its ID."""
        kind = event_type.partition(".")[0]
        record: dict[str, object] = {}
        if kind in KINDS:
            with contextlib.suppress(UnknownEntity):  # removed
                record = self._directory.get(kind, resource_id)
        own = {f"{kind}_id": resource_id} if kind in ("partner", "tenant") else {}
        event = {
            "event_id": f"evt_{uuid.uuid4().hex[:20]}",
            "event_type": event_type,
            "timestamp": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "resource": {"type": kind, "id": resource_id},
            "actor": {"id": "usr_sandbox_admin", "type": "user"},
            "data": record,
            "tenant_id": own.get("tenant_id") or record.get("tenant_id"),
            "partner_id": own.get("partner_id") or record.get("partner_id"),
        }
        if self.options.url and self._random.random() >= self.options.lose:
            self._queue.put(event)
            if self._random.random() < self.options.repeat:
                self._queue.put(event)
        return str(event["event_id"])

    def _run(self) -> None:
        while (event := self._queue.get()) is not None:
            events = [event]
            if self.options.hold_seconds:
                time.sleep(self.options.hold_seconds)
                while not self._queue.empty():
                    if (following := self._queue.get_nowait()) is None:
                        return
                    events.append(following)
                self._random.shuffle(events)
            for each in events:
                self._deliver(each)

    def _deliver(self, event: Row) -> None:
        body, problem = msgspec.json.encode(event), ""
        for attempt in range(MAX_ATTEMPTS):
            status, problem = self._post(event, body)
            resource_id = event["resource"]["id"]
            self.recent.append(
                Delivery(event["event_id"], event["event_type"], resource_id, status)
            )
            if 200 <= status < 300:
                return
            time.sleep(0.1 * 2**attempt)
        logger.warning("Event %s was not accepted: %s.", event["event_id"], problem)

    def _post(self, event: dict[str, object], body: bytes) -> tuple[int, str]:
        """Return the status, and what a log says about it."""
        options = self.options
        headers = sign_event(event, body, secret=options.secret, now=int(time.time()))
        request = urllib.request.Request(options.url, data=body, headers=headers)  # noqa: S310 - checked in `configure`
        try:
            with _opener.open(request, timeout=TIMEOUT_SECONDS) as response:
                return int(response.status), ""
        except urllib.error.HTTPError as error:
            error.close()
            target = error.headers.get("Location")
            return int(error.code), f"{error.code}{f', a redirect to {target}' if target else ''}"
        except OSError as error:
            return 0, f"no response ({getattr(error, 'reason', error)})"


def sign_event(event: Row, body: bytes, *, secret: str, now: int) -> dict[str, str]:
    """Return the headers of a delivery."""
    digest = hmac.new(secret.encode(), f"{now}.".encode() + body, hashlib.sha256).hexdigest()
    return {
        "Content-Type": "application/json",
        "User-Agent": "scaikey-sandbox",
        "X-ScaiKey-Webhook-ID": "whk_sandbox",
        "X-ScaiKey-Event-ID": event["event_id"],
        "X-ScaiKey-Event-Type": event["event_type"],
        "X-ScaiKey-Timestamp": str(now),
        "X-ScaiKey-Signature": f"t={now},v1={digest}",
    }
