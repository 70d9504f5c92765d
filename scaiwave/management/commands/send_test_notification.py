from __future__ import annotations

from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.notifications.mail import send_test_notification


class Command(OperatorCommand):
    service = staticmethod(send_test_notification)
    words = "admin send-test-notification"
    summary = "Send a test e-mail to SCAIWAVE_NOTIFY_EMAIL"
    area, place = "server", 132
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin send-test-notification",)
    help = (
        "Send a test e-mail to each address in SCAIWAVE_NOTIFY_EMAIL, and print whether the mail "
        "server accepts it, or its answer."
    )
