"""A minimal OTLP receiver, the peer of ``otlp``: http.server and opentelemetry-proto.

    python -m tests.benchmarks.otlp_peer

Prints its address, converts each log record into a dict and appends it to a list. It stores
nothing, knows no agents and has no dashboards.
"""

from __future__ import annotations

import gzip
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf.json_format import MessageToDict, Parse
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs_pb2

JSON = "application/json"
RECORDS: list[dict[str, Any]] = []


class Receiver(BaseHTTPRequestHandler):
    """``POST /v1/logs``."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        request = logs_pb2.ExportLogsServiceRequest()
        is_json = self.headers.get("Content-Type") == JSON
        if is_json:
            Parse(body, request, ignore_unknown_fields=True)
        else:
            request.ParseFromString(body)
        for group in request.resource_logs:
            for scoped in group.scope_logs:
                for record in scoped.log_records:
                    RECORDS.append(
                        {pair.key: MessageToDict(pair.value) for pair in record.attributes}
                    )
        del RECORDS[:-100_000]
        response = logs_pb2.ExportLogsServiceResponse()
        text = (
            json.dumps(MessageToDict(response)).encode()
            if is_json
            else response.SerializeToString()
        )
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_: object) -> None:
        """Suppress the log."""


def main() -> None:
    """Serve until the process is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
