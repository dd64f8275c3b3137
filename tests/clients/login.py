"""What a program keeps of a login, for the official Python client.

As a program it logs in by the document at an address, and leaves the browser to whoever started it:
`login.py URL DOCUMENT CALLBACK` prints where to go, reads the query that came back, and prints what it then got.
"""

import asyncio
import json
import sys
import urllib.parse

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata


class Restored(OAuthClientProvider):
    """As programs take up a stored login: the provider itself would not know when its token ends, and ask the person."""

    async def _initialize(self):
        await super()._initialize()
        if self.context.current_tokens:
            self.context.update_token_expiry(self.context.current_tokens)


class Login:
    """A `TokenStorage` in memory, and the person that a provider sends to the browser."""

    def __init__(self, url, callback, visit, document=None):
        self.url, self.callback, self.visit, self.document = url, callback, visit, document
        self.tokens = self.client = None
        self.asked = []

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client

    def provider(self):
        self.used = Restored(
            server_url=self.url,
            client_metadata=OAuthClientMetadata(
                client_name="Python client", redirect_uris=[self.callback], token_endpoint_auth_method="none",
                grant_types=["authorization_code", "refresh_token"], response_types=["code"],
            ),
            storage=self, redirect_handler=self.go, callback_handler=self.come_back, client_metadata_url=self.document,
        )
        return self.used

    async def go(self, url):
        self.asked.append(url)

    async def come_back(self):
        query = await self.visit(self.asked[-1])
        self.came = {name: value for name, [value] in urllib.parse.parse_qs(query, strict_parsing=True).items()}
        return AuthorizationCodeResult(code=self.came.get("code", ""), state=self.came.get("state"), iss=self.came.get("iss"))

    def http(self):
        return httpx2.AsyncClient(auth=self.provider(), timeout=60)

    def connect(self, http, mode):
        return Client(streamable_http_client(self.url, http_client=http), mode=mode, read_timeout_seconds=60)


async def main(url, document, callback):
    async def visit(asked):
        print(asked, flush=True)
        return (await asyncio.to_thread(sys.stdin.readline)).strip()

    login = Login(url, callback, visit, document)
    async with login.http() as http, login.connect(http, "auto") as client:
        answer = await client.call_tool("get_dispatch_board", {})
        print(json.dumps({"client_id": login.client.client_id, "technicians": len(answer.structured_content["technicians"])}), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
