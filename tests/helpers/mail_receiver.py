"""A server that receives one mail (RFC 5321, the least that a client needs)."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

_REPLIES = {
    b"EHLO": b"250 example.org",
    b"HELO": b"250 example.org",
    b"MAIL": b"250 OK",
    b"RCPT": b"250 OK",
    b"DATA": b"354 end with a dot",
    b"QUIT": b"221 bye",
}


class MailReceiver:
    """The received mail.

    Attributes:
        port: TCP port of the server.
        text: the lines of the mail, with its headers; "" before it arrived.
    """

    def __init__(self, listener: socket.socket) -> None:
        self.port: int = listener.getsockname()[1]
        self.text = ""
        self._listener = listener
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._listener.accept()
            with connection, connection.makefile("rwb") as stream:

                def reply(line: bytes) -> None:
                    stream.write(line + b"\r\n")
                    stream.flush()

                reply(b"220 example.org ready")
                while line := stream.readline():
                    command = line[:4].upper()
                    reply(_REPLIES.get(command, b"500 unknown"))
                    if command == b"DATA":
                        lines = []
                        while (line := stream.readline()) != b".\r\n":
                            lines.append(line)
                        self.text = b"".join(lines).decode()
                        reply(b"250 accepted")


@contextlib.contextmanager
def mail_receiver() -> Iterator[MailReceiver]:
    """Run a server for one mail."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield MailReceiver(listener)
