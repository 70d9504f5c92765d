from __future__ import annotations

from django.conf import settings

from scaiwave.cli.arguments import Arguments
from scaiwave.cli.command import OperatorCommand
from scaiwave.operations.notifications.mail import send_test_notification


class Command(OperatorCommand):
    words = "admin send-test-notification"
    summary = "Send a test e-mail to SCAIWAVE_NOTIFY_EMAIL"
    area, place = "server", 132
    permission = "MANAGE_PLATFORM"
    examples = ("scaiwave admin send-test-notification",)
    help = (
        "Send a test e-mail to each address in SCAIWAVE_NOTIFY_EMAIL, and print whether the mail "
        "server accepts it, or its answer."
    )

    def run(self, given: Arguments) -> None:
        result = send_test_notification(operator=self.operator, config=settings.CONFIG)
        if self.output.as_json:
            self.output.print_json({"notification": vars(result)})
        for recipient in result.recipients:
            self.output.print_line(f"{result.server} accepted a test e-mail to {recipient}.")
