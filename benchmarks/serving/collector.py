"""A collector of traces that forgets them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Taking(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        """Takes what it is given."""
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Writes nothing."""


@contextmanager
def collector() -> Iterator[str]:
    """Its URL."""
    listening = ThreadingHTTPServer(("127.0.0.1", 0), _Taking)
    thread = threading.Thread(target=listening.serve_forever, name="collector")
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.server_port}"
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()
