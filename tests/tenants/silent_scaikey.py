"""A ScaiKey that accepts connections and does not answer."""

from __future__ import annotations

import json
import socket
import threading

from scaiwave.config import Configuration, load


class SilentServer:
    """Reads a request and answers with the next of `answers`, or not until it is released."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.accepted = 0
        self.is_asked, self.is_released = threading.Event(), threading.Event()
        self.client_id = self.client_secret = "client"
        self.answers: list[bytes] = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            with connection:
                connection.recv(65536)
                if self.answers:
                    connection.sendall(self.answers.pop(0))
                    continue
                self.is_asked.set()
                self.is_released.wait(60)

    def answer_with_endpoints(self) -> None:
        """Answer the next request with a discovery document, and close the connection."""
        body = json.dumps(
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize",
                "token_endpoint": f"{self.url}/token",
            }
        ).encode()
        head = f"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        self.answers.append(head.encode() + body)

    @property
    def config(self) -> Configuration:
        return load({"SCAIWAVE_SCAIKEY_URL": self.url, "SCAIWAVE_SCAIKEY_ISSUER": self.url})

    def close(self) -> None:
        self.is_released.set()
        self.listener.close()
