"""Public endpoints that other servers call without signing in."""

from __future__ import annotations

import hashlib

from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils import timezone
from django.utils.cache import get_conditional_response
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe

from federation.keys.descriptor import build_descriptor
from federation.keys.publication import record_publication
from scaiwave.console.output import to_json
from scaiwave.core.errors import ScaiWaveError
from scaiwave.storage.error_mapping import translate_errors
from scaiwave.web.api import error_response


@csrf_exempt
@require_safe
def server_descriptor(request: HttpRequest) -> HttpResponseBase:
    """Serve the descriptor (ScaiWave docs, concepts/federation), without the API's envelope."""
    try:
        with translate_errors():
            descriptor = build_descriptor(timezone.now())
            record_publication(descriptor)
    except ScaiWaveError as error:
        return error_response(error)
    body = to_json(descriptor.document, indent=None).encode()
    etag = f'"{hashlib.sha256(body).hexdigest()}"'
    response = HttpResponse(
        body,
        content_type="application/json",
        headers={"Cache-Control": f"public, max-age={descriptor.max_age}", "ETag": etag},
    )
    return get_conditional_response(request, etag=etag, response=response) or response
