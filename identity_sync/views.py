"""POST /v1/webhooks/scaikey"""

from __future__ import annotations

import logging

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone

from identity_sync.errors import WebhookSignatureInvalid, WebhookTooLarge
from identity_sync.webhooks.receive import receive_event
from identity_sync.webhooks.signature import HEADER, get_secrets, verify_signature
from identity_sync.webhooks.start import start_processing
from scaiwave.console.output import to_json
from scaiwave.web.api import BadApiRequest, LengthRequired, api_view
from scaiwave.web.upload_pace import UploadPace, watch_pace

MAX_BODY_BYTES = 256 * 1024
BODY_PACE = UploadPace(min_bytes_per_second=0, max_seconds=8.5)
"""Looked at every second, so that a slow body occupies a thread for less than 10 s."""

logger = logging.getLogger(__name__)


@api_view("POST")
def scaikey_webhook_view(request: HttpRequest) -> HttpResponseBase:
    """Store the event and respond at once; a job or another process handles it.

    The response is ScaiKey's own form, `{"handled": true}` (ScaiKey docs, reference/webhooks), or
    false for a type of event that is ignored.
    """
    secrets = get_secrets(settings.CONFIG)
    body = _read_body(request)
    now = timezone.now()
    signature = request.headers.get(HEADER, "")
    try:
        verify_signature(signature, body, secrets=secrets, now=now.timestamp())
    except WebhookSignatureInvalid as error:
        logger.warning("A webhook was refused: %s", error.message)
        raise
    is_handled = receive_event(body, now=now)
    if is_handled:
        start_processing()
    answer = to_json({"handled": is_handled}, indent=None)
    return HttpResponse(answer, content_type="application/json")


def _read_body(request: HttpRequest) -> bytes:
    length = request.headers.get("Content-Length", "")
    if not length.isdecimal():
        raise LengthRequired("The request has no Content-Length.")
    if int(length) > MAX_BODY_BYTES:
        raise WebhookTooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024} KiB.")
    with watch_pace(request, lambda: 0, BODY_PACE) as watch:
        is_complete = len(request.body) >= int(length)
    if not is_complete:
        watch.require_pace()
        raise BadApiRequest("The request ended before its Content-Length.")
    return request.body
