"""The official Python client logs in at the hosted endpoint by its URL alone; a person follows the pages' own forms."""

import asyncio
import contextlib
import html.parser
import http.cookiejar
import json
import os
import re
import sqlite3
import time
import unittest
import urllib.error
import urllib.parse
import urllib.request


import test_python_client as local
from login import Login
from test_gateway import Hosted

CALLBACK = "http://127.0.0.1:3118/callback"
CUSTOMER = {"name": "Step Up Plumbing"}


class Page(html.parser.HTMLParser):
    """A page's forms, as a browser would send them: where to, and what they contain."""

    def __init__(self, text):
        super().__init__()
        self.text, self.forms = text, []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        if tag == "form":
            self.forms.append({"action": attributes["action"], "fields": {}, "names": set(), "buttons": []})
        elif tag == "input" and self.forms:
            form, name = self.forms[-1], attributes.get("name")
            form["names"].add(name)
            is_sent = attributes["type"] == "hidden" or (attributes["type"] == "checkbox" and "checked" in attributes)
            if name and is_sent:
                form["fields"][name] = attributes.get("value", "on")
        elif tag == "button" and self.forms:
            self.forms[-1]["buttons"].append((attributes.get("name"), attributes.get("value")))

    def form(self, field):
        return next(form for form in self.forms if field in form["names"] or any(field == name for name, _ in form["buttons"]))


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, request, answer, code, message, headers, url):
        # Pages of ours are followed; the client's own address is where the person ends.
        return None if url.startswith(CALLBACK) else super().redirect_request(request, answer, code, message, headers, url)


class Person:
    """Cookies, an address, and what they decide."""

    def __init__(self, service, email):
        self.service, self.email = service, email
        self.origin = service.url.removesuffix("/mcp")
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies, NoRedirect)

    def open(self, url, fields=None):
        """The page, or where the browser is sent."""
        data = None if fields is None else urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(urllib.parse.urljoin(self.origin, url), data, {"origin": self.origin} if data else {})
        try:
            with self.opener.open(request, timeout=20) as answer:
                return Page(answer.read().decode())
        except urllib.error.HTTPError as answer:
            if answer.code == 303:
                return answer.headers["location"]
            return Page(answer.read().decode())

    def send(self, page, field, **more):
        form = page.form(field)
        return self.open(form["action"], {**form["fields"], **more})

    def decide(self, url, write=None, decision="allow"):
        page = self.open(url)
        if any("email" in form["names"] for form in page.forms):
            before = len(self.letters())
            page = self.send(page, "email", email=self.email)
            page = self.send(page, "otp", otp=self.code(before))
        fields = page.form("decision")["fields"]
        if write is not None:
            fields.pop("write", None)
            if write:
                fields["write"] = "yes"
        return urllib.parse.urlsplit(self.send(page, "decision", decision=decision)).query

    def letters(self):
        folder = os.path.join(self.service.home.folder, "mail")
        names = sorted(name for name in os.listdir(folder) if name.endswith(".eml"))
        letters = []
        for name in names:
            with open(os.path.join(folder, name), newline="") as letter:
                letters.append(letter.read())
        return [letter for letter in letters if f"\r\nTo: {self.email}\r\n" in letter]

    def code(self, before):
        until = time.monotonic() + 5
        while len(self.letters()) == before:
            if time.monotonic() > until:
                raise AssertionError(f"no mail came to {self.email}")
            time.sleep(0.02)
        return re.search(r"^\s*(\d{6})\s*$", self.letters()[-1], re.MULTILINE).group(1)


class OAuth:
    """What the client must be able to do, in the mode and protocol that the subclass names."""

    async def asyncSetUp(self):
        self.service = await Hosted().start({}, "--demo")
        self.addAsyncCleanup(self.service.stop)
        self.database = os.path.join(self.service.home.folder, "supervisor.db")
        self.change(
            "INSERT INTO members (id, tenant_id, email, role, scopes, created_at)"
            " VALUES ('mem_1', 'ten_1', 'pat@acme.test', 'member', 'sf:read sf:write', 1)"
        )
        self.person = Person(self.service, "pat@acme.test")
        self.decisions = []
        self.login = Login(self.service.url, CALLBACK, self.visit)

    async def visit(self, url):
        decision = self.decisions.pop(0) if self.decisions else {}
        return await asyncio.to_thread(lambda: self.person.decide(url, **decision))

    def change(self, statement, *values):
        with contextlib.closing(sqlite3.connect(self.database, timeout=5)) as database, database:
            return database.execute(statement, values).rowcount

    def ask(self, statement):
        with contextlib.closing(sqlite3.connect(self.database, timeout=5)) as database:
            return database.execute(statement).fetchall()

    @contextlib.asynccontextmanager
    async def connected(self, *decisions):
        self.decisions = list(decisions)
        async with self.login.http() as http, self.login.connect(http, self.mode) as client:
            yield client

    async def expire(self):
        """As if the access tokens' hour were over."""
        self.assertEqual(self.change("UPDATE oauth_access_tokens SET expires_at = 1 WHERE expires_at > 1"), 1)
        await local.eventually(lambda: self.is_refused(self.login.tokens.access_token), "the token is refused")

    async def is_refused(self, token):
        def ask():
            body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "ping"}).encode()
            headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
            try:
                with urllib.request.urlopen(urllib.request.Request(self.service.url, body, headers), timeout=5):
                    return False
            except urllib.error.HTTPError as refused:
                return refused.code == 401

        return await asyncio.to_thread(ask)

    async def board(self, client):
        answer = await client.call_tool("get_dispatch_board", {})
        self.assertFalse(answer.is_error, local.first_text(answer))
        self.assertTrue(answer.structured_content["technicians"])

    async def test_the_url_is_enough(self):
        async with self.connected({"write": False}) as client:
            await self.board(client)

            self.assertEqual(client.protocol_version, self.protocol)
            self.assertEqual(self.login.tokens.scope, "sf:read")
            self.assertTrue(self.login.client.client_id.startswith("cli_"))
            self.assertEqual(len(self.login.asked), 1)
            self.assertEqual(self.login.came["iss"], self.person.origin)

    async def test_an_expired_access_token_is_refreshed_and_nobody_is_asked(self):
        async with self.connected() as client:
            await self.board(client)
            before = self.login.tokens
            await self.expire()
            # As it is after an hour.
            self.login.used.context.token_expiry_time = 1

            await self.board(client)

        self.assertNotEqual(self.login.tokens.access_token, before.access_token)
        self.assertNotEqual(self.login.tokens.refresh_token, before.refresh_token)
        self.assertEqual(len(self.login.asked), 1)

    async def test_a_stored_login_whose_access_token_has_expired_is_refreshed(self):
        async with self.connected() as client:
            await self.board(client)
        before = self.login.tokens
        await self.expire()
        self.login.tokens = before.model_copy(update={"expires_in": -1})

        async with self.connected() as client:
            await self.board(client)

        self.assertNotEqual(self.login.tokens.refresh_token, before.refresh_token)
        self.assertEqual(len(self.login.asked), 1)

    async def test_two_with_the_same_stored_tokens_refresh_at_once_and_both_go_on(self):
        async with self.connected() as client:
            await self.board(client)
        stored = self.login.tokens
        await self.expire()

        async def process():
            login = Login(self.service.url, CALLBACK, self.visit)
            login.client, login.tokens = self.login.client, stored.model_copy(update={"expires_in": -1})
            async with login.http() as http, login.connect(http, self.mode) as client:
                await self.board(client)
            self.assertEqual(login.asked, [])
            return login.tokens.refresh_token

        successors = await asyncio.gather(process(), process())

        self.assertEqual(len(set(successors)), 1)
        self.assertNotEqual(successors[0], stored.refresh_token)
        self.assertEqual(self.ask("SELECT revoked_at FROM oauth_families"), [(None,)])

    async def test_what_was_revoked_is_over_and_the_person_is_asked_anew(self):
        async with self.connected() as client:
            await self.board(client)
            form = urllib.parse.urlencode({"token": self.login.tokens.refresh_token, "client_id": self.login.client.client_id})
            await asyncio.to_thread(urllib.request.urlopen, self.person.origin + "/oauth/revoke", form.encode())

            self.assertTrue(await self.is_refused(self.login.tokens.access_token))
            await self.board(client)

            self.assertEqual(len(self.login.asked), 2)

    async def test_a_connection_that_may_only_read_steps_up_when_it_is_to_create(self):
        async with self.connected({"write": False}, {}) as client:
            await self.board(client)
            self.assertEqual(self.login.tokens.scope, "sf:read")

            created = await client.call_tool("create_customer", CUSTOMER)

            self.assertFalse(created.is_error, local.first_text(created))
            self.assertEqual(self.login.tokens.scope, "sf:read sf:write")
            scopes = urllib.parse.parse_qs(urllib.parse.urlsplit(self.login.asked[1]).query)["scope"]
            self.assertEqual(set(scopes[0].split()), {"sf:read", "sf:write"})

    async def test_who_does_not_allow_it_is_believed(self):
        with self.assertRaises(BaseException) as caught:
            async with self.connected({"decision": "deny"}):
                pass

        self.assertIn("No authorization code received", "".join(messages(caught.exception)))
        self.assertEqual(self.login.came["error"], "access_denied")
        self.assertEqual(self.login.came["iss"], self.person.origin)
        self.assertIsNone(self.login.tokens)

    async def test_somebody_unknown_gets_no_further_than_the_code(self):
        self.person.email = "stranger@elsewhere.test"

        async def look(url):
            page = self.person.send(self.person.open(url), "email", email=self.person.email)
            self.page = self.person.send(page, "otp", otp="123456")
            return "error=gave_up"

        self.login.visit = look
        with self.assertRaises(BaseException) as caught:
            async with self.connected():
                pass

        self.assertIn("State parameter mismatch", "".join(messages(caught.exception)))

        self.assertIn('role="alert"', self.page.text)
        self.assertTrue(any("otp" in form["names"] for form in self.page.forms))
        self.assertEqual(self.ask("SELECT count(*) FROM oauth_families"), [(0,)])


def messages(error):
    """All that an error says; the client's tasks wrap it in groups."""
    for inner in getattr(error, "exceptions", []):
        yield from messages(inner)
    yield str(error)


class AutomaticOAuth(OAuth, unittest.IsolatedAsyncioTestCase):
    mode = "auto"
    protocol = "2026-07-28"


class LegacyOAuth(OAuth, unittest.IsolatedAsyncioTestCase):
    mode = "legacy"
    protocol = "2025-11-25"


if __name__ == "__main__":
    unittest.main()
