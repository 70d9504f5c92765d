"""A mail server on loopback, which answers, refuses, hangs or drops connections as a test says."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, cast

ANSWERS = {
    ("", "DATA"): "354 go on",
    ("", "QUIT"): "221 bye",
    ("busy", "RCPT"): "451 4.7.1 Greylisted, try again",
    ("reject", "RCPT"): "550 5.1.1 No such user\x07 here",
    ("flood", "RCPT"): "550 end",
    ("deny", "EHLO"): "250-mail.example\r\n250 AUTH PLAIN",
    ("deny", "AUTH"): "535 5.7.8 Wrong user or password",
}
"""Answers by behaviour and command; every other command gets `250 ok`."""


@dataclass
class MailServer:
    """`behaviours` are those of the next connections; later ones accept everything.

    `busy`, `reject` and `deny` give the answers above; `garbage` is another protocol. `hang` sends
    nothing, `drip` a character at a time, and `drop` ends in the middle. `flood` refuses recipients
    with this many lines.
    """

    port: int = 0
    behaviours: list[str] = field(default_factory=list)
    messages: list[EmailMessage] = field(default_factory=list)
    connections: int = 0
    flood_lines: int = 0
    is_closing: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    @property
    def subjects(self) -> list[str]:
        return [str(message["Subject"]) for message in self.messages]


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server: MailServer = cast(Any, self.server).mail
        server.connections += 1
        behaviour = server.behaviours.pop(0) if server.behaviours else "accept"
        try:
            self._talk(server, behaviour)
        except ConnectionError:
            return  # The client has given up.

    def _talk(self, server: MailServer, behaviour: str) -> None:
        while behaviour in ("hang", "drip") and not server.is_closing.wait(0.1):
            self.wfile.write(b"2" if behaviour == "drip" else b"")
        self._answer("HTTP/1.1 400 Bad Request" if behaviour == "garbage" else "220 ready")
        while line := self.rfile.readline().decode(errors="replace").strip():
            command = line.partition(" ")[0].upper()
            if (behaviour, command) == ("drop", "MAIL"):
                return
            if (behaviour, command) == ("flood", "RCPT"):
                self._answer("\r\n".join([f"550-{'a' * 70}"] * server.flood_lines))
            self._answer(ANSWERS.get((behaviour, command)) or ANSWERS.get(("", command), "250 ok"))
            if command == "DATA":
                lines = iter(self.rfile.readline, b".\r\n")
                message = message_from_bytes(b"".join(lines), policy=policy.default)
                server.messages.append(message)
                self._answer("250 2.0.0 queued")

    def _answer(self, line: str) -> None:
        self.wfile.write(f"{line}\r\n".encode())


class _ThreadingServer(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    mail: MailServer


@contextmanager
def run_mail_server() -> Iterator[MailServer]:
    with _ThreadingServer(("127.0.0.1", 0), _Handler) as server:
        server.mail = MailServer(server.server_address[1])
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield server.mail
        finally:
            server.mail.is_closing.set()
            server.shutdown()
