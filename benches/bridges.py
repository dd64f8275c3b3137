#!/usr/bin/env python3
"""The same calls over HTTP through sf-supervisor and through bridges in Node and Python; `benches/run bridges` starts it.

Each serves the same sf-mcp with the built-in sandbox company. Rounds are taken in turn, so that a busy machine disturbs all.
sf-supervisor checks a token and a tier and writes a usage event for each call; the bridges do nothing of the kind."""

import contextlib
import http.client
import json
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUNDS, CALLS = 5, 100
REVISION = "2025-06-18"
# A list that sf-mcp keeps for a while: no call waits for the 60 requests a minute that Service Fusion allows.
CALL = {"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "list_reference_data", "arguments": {"kind": "job_statuses"}}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Endpoint:
    """One client's connection, kept open, with the session that some servers want."""

    def __init__(self, name: str, port: int, token: str | None = None) -> None:
        self.name, self.port, self.number, self.times = name, port, 0, []
        self.headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        if token:
            self.headers["Authorization"] = f"Bearer {token}"
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def post(self, message: dict) -> tuple[dict, http.client.HTTPResponse]:
        self.connection.request("POST", "/mcp", json.dumps(message), self.headers)
        response = self.connection.getresponse()
        text = response.read().decode()
        if response.status >= 400:
            raise RuntimeError(f"{self.name} answers {response.status}: {text[:300]}")
        if "event-stream" in (response.headers["content-type"] or ""):
            data = [line[5:].strip() for line in text.splitlines() if line.startswith("data:")]
            text = next((line for line in data if '"id"' in line), "{}")
        return json.loads(text or "{}"), response

    def begin(self) -> None:
        params = {"protocolVersion": REVISION, "capabilities": {}, "clientInfo": {"name": "bridges", "version": "1"}}
        _, response = self.post({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": params})
        if session := response.headers["mcp-session-id"]:
            self.headers["Mcp-Session-Id"] = session
        self.headers["MCP-Protocol-Version"] = REVISION
        self.post({"jsonrpc": "2.0", "method": "notifications/initialized"})
        self.call()

    def call(self) -> float:
        self.number += 1
        started = time.perf_counter()
        answer, _ = self.post({**CALL, "id": self.number})
        elapsed = time.perf_counter() - started
        if "result" not in answer or answer["result"].get("isError"):
            raise RuntimeError(f"{self.name} answers {str(answer)[:300]}")
        return elapsed


def wait_for(port: int, process: subprocess.Popen) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise RuntimeError(f"{process.args} does not listen on port {port}")


def started(stack: contextlib.ExitStack, command: list[str], port: int, folder: Path) -> subprocess.Popen:
    log = stack.enter_context((folder / f"log-{port}").open("w"))
    process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    stack.callback(process.wait)
    stack.callback(process.terminate)
    wait_for(port, process)
    return process


def signed_up(port: int, folder: Path) -> str:
    """A company's token, by the three steps that everybody goes through."""

    def post(path: str, body: dict, token: str = "") -> dict:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
        connection.request("POST", path, json.dumps(body), headers if token else {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read() or b"{}")
        if response.status >= 400:
            raise RuntimeError(f"{path} answers {response.status}: {answer}")
        return answer

    mails = folder / "sf-supervisor-dev/mail"
    post("/api/register", {"company": "Bridges", "email": "carol@bridges.test"})
    until = time.monotonic() + 30
    while not (letters := list(mails.glob("*.eml"))) and time.monotonic() < until:
        time.sleep(0.05)
    digits = re.search(r"\b(\d{6})\b", letters[0].read_text().split("\n\n", 1)[1])
    confirmed = post("/api/confirm", {"email": "carol@bridges.test", "otp": digits[1]})
    activation = next(value for key, value in confirmed.items() if "token" in key)
    consumer = {"client_id": "sandbox-consumer", "client_secret": "sandbox-consumer-secret"}
    activated = post("/api/activate", consumer, activation)
    return next(value for key, value in activated.items() if key in ("token", "device_token", "tenant_token"))


def main(program: str, service: str, tools: str) -> None:
    program, service, tools = (str(Path(path).resolve()) for path in (program, service, tools))
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        ports = [free_port() for _ in range(3)]
        config = folder / "config.toml"
        config.write_text("[tiers.free]\nper_minute = 1000000\nburst = 1000000\nper_day = 10000000\n")
        started(stack, [service, "serve", "--dev", "--listen", f"127.0.0.1:{ports[0]}", "--config", str(config)], ports[0], folder)
        command = f"{program} serve --demo --home {folder}/home"
        bridge = ["node", f"{tools}/node_modules/supergateway/dist/index.js", "--stdio", command, "--outputTransport", "streamableHttp"]
        started(stack, [*bridge, "--stateful", "--port", str(ports[1])], ports[1], folder)
        bridge = [f"{tools}/venv/bin/mcp-proxy", "--host", "127.0.0.1", "--port", str(ports[2])]
        started(stack, [*bridge, "--", *command.split()], ports[2], folder)

        endpoints = [
            Endpoint("sf-supervisor", ports[0], signed_up(ports[0], folder)),
            Endpoint("supergateway (Node)", ports[1]),
            Endpoint("mcp-proxy (Python)", ports[2]),
        ]
        for endpoint in endpoints:
            endpoint.begin()
        for _ in range(ROUNDS):
            for endpoint in endpoints:
                endpoint.times += [endpoint.call() for _ in range(CALLS)]

        base = statistics.median(endpoints[0].times)
        print("| `list_reference_data` through | median | 99 % | of sf-supervisor's median |\n|---|---|---|---|")
        for endpoint in endpoints:
            times = sorted(endpoint.times)
            median, high = statistics.median(times), times[int(len(times) * 0.99)]
            print(f"| {endpoint.name} | {median * 1000:.2f} ms | {high * 1000:.2f} ms | {median / base:.1f} x |")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
