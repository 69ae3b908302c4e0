"""Real receivers on 127.0.0.1: an HTTP server that can be told to refuse, and a mail server."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword


@dataclass
class HttpReceiver:
    """What has arrived; ``answers`` are the status codes to give, 200 when they are used up."""

    url: str
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)


@contextmanager
def http_receiver() -> Iterator[HttpReceiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((dict(self.headers), body))
            self.send_response(receiver.answers.pop(0) if receiver.answers else 200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver = HttpReceiver(f"http://127.0.0.1:{server.server_port}/hook/secret-token")
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()


class Mailbox:
    """Takes every mail, unless it is told to refuse."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.refusal = ""

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 aiosmtpd calls it so
        if self.refusal:
            return self.refusal
        import email
        from email import policy

        self.mails.append(email.message_from_bytes(envelope.content, policy=policy.default))
        return "250 taken"


def _login(given: LoginPassword) -> tuple[str, str]:
    return given.login.decode(), given.password.decode()


def make_certificate(file: Path) -> None:
    """A certificate for 127.0.0.1, signed by itself, and its key, in one PEM file."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=tests"
    extension = ["-addext", "subjectAltName=IP:127.0.0.1"]
    with TemporaryDirectory() as folder:
        parts = [f"{folder}/key", f"{folder}/certificate"]
        places = ["-keyout", parts[0], "-out", parts[1]]
        subprocess.run([*command.split(), *extension, *places], check=True, capture_output=True)
        file.write_text("".join(Path(part).read_text() for part in parts))


@contextmanager
def mail_server(
    security: str = "none", certificate: Path | None = None, login: tuple[str, str] | None = None
) -> Iterator[tuple[Mailbox, int]]:
    """A mail server; with a certificate (and its key in the same file) it speaks TLS, with a login it wants that."""
    box = Mailbox()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    controller = Controller(
        box,
        hostname="127.0.0.1",
        port=port,
        ssl_context=context if security == "tls" else None,
        tls_context=context if security == "starttls" else None,
        require_starttls=security == "starttls",
        authenticator=lambda *given: AuthResult(success=_login(given[-1]) == login, handled=False) if login else None,
        auth_required=login is not None,
        auth_require_tls=security == "starttls",
    )
    controller.start()
    try:
        yield box, port
    finally:
        controller.stop()
