"""A server of one file, which can do badly everything that a server of files can."""

import re
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FilesServer:
    """Gives `content`; `faults` are used up, one for each request.

    A fault is a status, or a number of bytes below zero after which the answer breaks off.
    """

    def __init__(self, content):
        self.content = content
        self.faults = []
        self.knows_ranges = True
        self.leads_to = None  # an address to which every request is sent on
        self.requests = []  # the range and the credentials of each
        self.served = 0

    def answer(self, handler):
        wanted = handler.headers.get("Range")
        self.requests.append((wanted, handler.headers.get("Authorization")))
        if self.leads_to:
            handler.send_response(302)
            handler.send_header("Location", self.leads_to)
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and fault > 0:
            self._head(handler, fault, 0)
            return
        begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and self.knows_ranges else 0
        if begin and begin >= len(self.content):
            self._head(handler, 416, 0)
            return
        body = self.content[begin:]
        self._head(handler, 206 if begin else 200, len(body), begin)
        sent = body if fault is None else body[:-fault]
        self.served += len(sent)
        with suppress(ConnectionError):  # who asked may have heard enough
            handler.wfile.write(sent)
        if fault is not None:
            handler.close_connection = True

    def _head(self, handler, status, length, begin=0):
        handler.send_response(status)
        handler.send_header("Content-Length", str(length))
        if status == 206:
            last = len(self.content) - 1
            handler.send_header("Content-Range", f"bytes {begin}-{last}/{len(self.content)}")
        handler.end_headers()


@contextmanager
def files_server(content):
    found = FilesServer(content)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            found.answer(self)

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    found.url = f"http://127.0.0.1:{server.server_port}/file"
    try:
        yield found
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
