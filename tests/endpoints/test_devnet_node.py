"""The devnet's own connection to its node, when something goes wrong in between."""

import json
import os
import signal
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from keeper.devnet.node import Node


class Interrupt(Exception):
    """What a signal's handler raises in the middle of a call."""


class Answering(BaseHTTPRequestHandler):
    """Answers each call with its method; to ``interrupt`` only after a signal to the caller."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        calls = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if calls[0]["method"] == "interrupt":
            os.kill(os.getpid(), signal.SIGUSR1)
        answers = [{"jsonrpc": "2.0", "id": each["id"], "result": each["method"]} for each in calls]
        body = json.dumps(answers).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.server.interrupted.wait(10)
        self.wfile.write(body)

    def log_message(self, *arguments):
        """Be quiet."""


@pytest.fixture
def server():
    made = HTTPServer(("127.0.0.1", 0), Answering)
    made.interrupted = threading.Event()
    made.interrupted.set()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()
    thread.join()


def test_an_interrupted_call_does_not_leave_its_answer_to_the_next(server):
    """Cleaning up after Ctrl-C calls the node again, and must get answers of its own."""

    def raise_it(number, frame):
        raise Interrupt

    node = Node(server.server_port)
    server.interrupted.clear()
    before = signal.signal(signal.SIGUSR1, raise_it)
    try:
        with pytest.raises(Interrupt):
            node.rpc("interrupt")
    finally:
        signal.signal(signal.SIGUSR1, before)
        server.interrupted.set()

    assert node.rpc("after") == "after"
    node.close()
