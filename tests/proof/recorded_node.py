"""A node that answers JSON-RPC from a chain of the vectors, over HTTP: what of it is real is what it says."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class RecordedNode:
    """Headers by number, and `eth_getProof` answers by number; `head` is where the chain ends."""

    def __init__(self, chain_id: int, headers: dict[int, dict[str, Any]], proofs: dict[int, dict[str, Any]]) -> None:
        self.chain_id = chain_id
        self.headers = headers
        self.proofs = proofs
        self.head = max(headers)
        self.asked = 0

    def answer(self, method: str, params: list[Any]) -> Any:
        self.asked += 1
        if method == "eth_chainId":
            return hex(self.chain_id)
        if method == "eth_getBlockByNumber":
            return self.headers.get(self.head if params[0] == "latest" else int(params[0], 16))
        proof = self.proofs[int(params[2], 16)]
        if method == "eth_getProof":
            return proof
        assert method == "eth_getStorageAt"
        words = {int(entry["key"], 16): int(entry["value"], 16) for entry in proof["storageProof"]}
        return f"0x{words[int(params[1], 16)]:064x}"


@contextmanager
def serve(node: RecordedNode) -> Iterator[str]:
    """The address at which the node answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # the library's name
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            many = asked if isinstance(asked, list) else [asked]
            answers = [
                {"jsonrpc": "2.0", "id": each["id"], "result": node.answer(each["method"], each["params"])}
                for each in many
            ]
            body = json.dumps(answers if isinstance(asked, list) else answers[0]).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
