"""Record under which server name the signing key is published, to notice a later change."""

from __future__ import annotations

from contextlib import suppress

from django.db import Error, transaction

from federation.keys.descriptor import Descriptor
from federation.models import ServerKey


def record_publication(descriptor: Descriptor) -> None:
    """Record the name in this descriptor, once for each key that signs.

    Peers get the descriptor even from a database that can't be written to.
    """
    key = descriptor.signing_key
    if key is None or key.published_as:
        return
    with suppress(Error), transaction.atomic():
        ServerKey.objects.filter(pk=key.pk, published_as="").update(
            published_as=descriptor.document["server_name"]
        )
