"""The official Python client at the hosted endpoint, by its URL and a bearer token, and how its answers are sent."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import secrets
import shlex
import socket
import sqlite3
import struct
import sys
import unittest
import urllib.error
import urllib.request

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

import test_python_client as local

SUPERVISOR = os.environ["SF_SUPERVISOR_BIN"]


class Hosted:
    """`sf-supervisor serve --dev` with one company, whose child is sf-mcp with this environment."""

    async def start(self, env, *arguments):
        self.home = local.Home()
        folder = self.home.folder
        child = os.path.join(folder, "child")
        settings = [f"{name}={value}" for name, value in {**env, "HOME": folder, "SF_MCP_HOME": folder}.items()]
        with open(child, "w") as program:
            program.write(f"#!/bin/sh\nexec env -i {shlex.join([*settings, local.BINARY, 'serve', *arguments])}\n")
        os.chmod(child, 0o755)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/mcp"
        self.process = await asyncio.create_subprocess_exec(
            SUPERVISOR, "serve", "--dev", "--listen", f"127.0.0.1:{self.port}",
            env={**self.home.env, "STATE_DIRECTORY": folder, "SF_SUPERVISOR_CHILD": child},
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )
        await local.eventually(self.is_ready, "the service answers")
        self.token = self.add_company(os.path.join(folder, "supervisor.db"))
        return self

    async def is_ready(self):
        def ask():
            try:
                with urllib.request.urlopen(self.url.replace("/mcp", "/readyz"), timeout=5) as answer:
                    return answer.status == 200
            except (urllib.error.URLError, ConnectionError):
                return False

        return await asyncio.to_thread(ask)

    @staticmethod
    def add_company(file):
        token = "sfb_" + base64.urlsafe_b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        digest = base64.urlsafe_b64encode(hashlib.sha256(token.encode()).digest()).decode().rstrip("=")
        with contextlib.closing(sqlite3.connect(file, timeout=5)) as database, database:
            database.execute(
                "INSERT INTO tenants (id, company, tier, note, created_at) VALUES ('ten_1', 'Acme', 'free', '', 1)"
            )
            database.execute(
                "INSERT INTO tokens (id, tenant_id, kind, name, hash, scopes, created_at)"
                " VALUES ('tok_1', 'ten_1', 'bearer', 'test', ?, 'sf:read sf:write', 1)",
                (digest,),
            )
        return token

    async def stop(self):
        self.process.terminate()
        await self.process.wait()
        self.home.remove()


class HostedConversation(local.Conversation):
    @contextlib.asynccontextmanager
    async def client(self, env, *arguments):
        service = await Hosted().start(env, *arguments)
        try:
            headers = {"authorization": f"Bearer {service.token}"}
            async with httpx2.AsyncClient(headers=headers, timeout=60) as http:
                transport = streamable_http_client(service.url, http_client=http)
                async with Client(transport, mode=self.mode, read_timeout_seconds=60) as client:
                    yield client
        finally:
            await service.stop()


class AutomaticHostedClient(HostedConversation, unittest.IsolatedAsyncioTestCase):
    mode = "auto"
    protocol = "2026-07-28"


class LegacyHostedClient(HostedConversation, unittest.IsolatedAsyncioTestCase):
    mode = "legacy"
    protocol = "2025-11-25"


@unittest.skipUnless(sys.platform == "linux", "the kernel counts a connection's segments on Linux")
class Segments(unittest.IsolatedAsyncioTestCase):
    """An answer in two pieces waits, at a client that acknowledges late, some 40 ms for its second one."""

    async def test_head_and_body_of_an_answer_come_in_one_piece(self):
        service = await Hosted().start({}, "--demo")
        self.addAsyncCleanup(service.stop)

        def converse():
            with socket.create_connection(("127.0.0.1", service.port), timeout=20) as stream:
                return [self.pieces(stream, self.request(service, name)) for name in ["ping", "tools/list", "ping", "prompts/list"]]

        self.assertEqual(await asyncio.to_thread(converse), [1, 1, 1, 1])

    @staticmethod
    def request(service, method):
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method})
        return (
            f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {service.token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode()

    @staticmethod
    def pieces(stream, request):
        def received():
            # `tcpi_data_segs_in` of `struct tcp_info`.
            return struct.unpack_from("I", stream.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192), 152)[0]

        before = received()
        stream.sendall(request)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += stream.recv(65536)
        head, body = answer.split(b"\r\n\r\n", 1)
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length"))
        while len(body) < length:
            body += stream.recv(65536)
        return received() - before


if __name__ == "__main__":
    unittest.main()
