"""Send an e-mail within a time limit, whatever the mail server does."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from smtplib import SMTP, SMTP_SSL, SMTPException, SMTPRecipientsRefused, SMTPResponseException
from typing import BinaryIO

from django.core.mail import EmailMessage
from django.core.mail.backends.smtp import EmailBackend

from scaiwave.config import Configuration
from scaiwave.config.mail import MailSettings, load_mail_settings
from scaiwave.core.errors import ScaiWaveError, UpstreamError
from scaiwave.core.operators import Operator, Permission
from scaiwave.core.report import Report

MAX_SECONDS = 20.0
SOCKET_SECONDS = 10.0
MAX_ANSWER_BYTES = 256 * 1024
"""Read of all answers of a connection."""
MAX_ANSWER_CHARS = 300


class MailUnreachable(UpstreamError):
    """The mail server can't be reached, or does not respond in time."""

    code = "SW_MAIL_UNREACHABLE"
    fix = "Check SCAIWAVE_EMAIL_URL, then run `scaiwave admin send-test-notification`."


class MailRefused(UpstreamError):
    """The mail server refuses the sign-in, the sender, a recipient or the message."""

    code = "SW_MAIL_REFUSED"
    fix = "Correct SCAIWAVE_EMAIL_URL, SCAIWAVE_EMAIL_FROM or SCAIWAVE_NOTIFY_EMAIL."


def send_test_notification(*, operator: Operator, config: Configuration) -> Report:
    """Send a test to each address. Raises SettingMissing, SettingInvalid, MailUnreachable and
    MailRefused."""
    operator.require(Permission.MANAGE_PLATFORM)
    mail = load_mail_settings(config)
    body = f"This is a test. Problems are reported to this address.\n\nSent by {operator.name}."
    for recipient in mail.recipients:
        send_mail(config, "Test", body, recipients=(recipient,))
    figures = {"server": mail.address, "sender": mail.sender, "recipients": mail.recipients}
    accepted = [f"{mail.address} accepted a test e-mail to {each}." for each in mail.recipients]
    return Report({"notification": figures}, notes=accepted)


def send_mail(
    config: Configuration,
    subject: str,
    body: str,
    *,
    recipients: Sequence[str] = (),
    seconds: float = MAX_SECONDS,
) -> None:
    """Send one e-mail, by default to all recipients of the settings.

    Raises SettingMissing, SettingInvalid, MailUnreachable, also after `seconds`, and MailRefused.
    """
    mail = load_mail_settings(config)
    message = EmailMessage(
        f"[{config.get_str('SCAIWAVE_SERVER_NAME')}] {subject}",
        body,
        mail.sender,
        list(recipients or mail.recipients),
        headers={"Auto-Submitted": "auto-generated"},
    )
    ended: SimpleQueue[Exception | None] = SimpleQueue()
    is_late = threading.Event()
    # The timeouts of a socket are for each read, and a name may take minutes to resolve. The thread
    # ends with the process, or with the timeout of its socket.
    arguments = (mail, message, ended, is_late)
    threading.Thread(target=_deliver, args=arguments, name="mail", daemon=True).start()
    try:
        error = ended.get(timeout=seconds)
    except Empty:
        is_late.set()
        error = TimeoutError(f"no answer within {seconds:.0f} seconds")
    if error is not None:
        raise _map_error(error, mail, config) from error


def _deliver(
    mail: MailSettings,
    message: EmailMessage,
    ended: SimpleQueue[Exception | None],
    is_late: threading.Event,
) -> None:
    # With an alias, Django 6.1 takes no options from its settings.
    backend = _Backend(alias="notifications", timeout=SOCKET_SECONDS, **mail.server)
    result: Exception | None = None
    try:
        backend.open()
        if not is_late.is_set():  # The next attempt would send it a second time.
            backend.send_messages([message])
    except Exception as error:  # noqa: BLE001 - raised by the caller
        result = error
    ended.put(result)
    with suppress(OSError, SMTPException):  # The server has answered already.
        backend.close()


class _Answers:
    """Reads answers up to a limit: smtplib limits each line, and not their number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._bytes_left = MAX_ANSWER_BYTES
        self.close = file.close

    def readline(self, size: int) -> bytes:
        line = self._file.readline(size)
        self._bytes_left -= len(line)
        if self._bytes_left < 0:
            raise OSError(f"its answer is longer than {MAX_ANSWER_BYTES // 1024} KB")
        return line


class _Connection(SMTP):
    def getreply(self) -> tuple[int, bytes]:
        if self.file is None and self.sock is not None:
            self.file = _Answers(self.sock.makefile("rb"))
        return super().getreply()


class _TlsConnection(SMTP_SSL, _Connection):
    """TLS from the first byte on."""


class _Backend(EmailBackend):
    @property
    def connection_class(self) -> type[SMTP]:
        return _TlsConnection if self.use_ssl else _Connection


def _map_error(error: Exception, mail: MailSettings, config: Configuration) -> ScaiWaveError:
    """Return the error of this suite, with the server's answer if it gave one."""
    code, answer = 0, str(error) or type(error).__name__
    if isinstance(error, SMTPRecipientsRefused):
        code, raw = next(iter(error.recipients.values()))
        answer = _decode(raw)
    elif isinstance(error, SMTPResponseException):
        code, answer = error.smtp_code, _decode(error.smtp_error)
    text = config.mask_answer(answer, MAX_ANSWER_CHARS)
    text = "".join(c if c.isprintable() else " " for c in text).strip().rstrip(".")
    if code > 0:
        return MailRefused(f"The mail server {mail.address} refused the e-mail: {code} {text}.")
    if isinstance(error, OSError | SMTPException):
        return MailUnreachable(f"The mail server {mail.address} can't be used: {text}.")
    raise error


def _decode(answer: bytes | str) -> str:
    return answer.decode(errors="replace") if isinstance(answer, bytes) else answer
