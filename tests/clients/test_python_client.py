"""The official Python client, as it comes (modern, with a fallback) and in the legacy era."""

import asyncio
import json
import os
import re
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

import jsonschema
from mcp import Client, StdioServerParameters

BINARY = os.environ["SF_MCP_BIN"]
BOARD = "ui://sf/dispatch-board/v1"


class Home:
    """A folder for the server's files, and an environment that knows no company of this machine."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="sf-mcp-client-test-")
        self.env = {"PATH": os.environ["PATH"], "HOME": self.folder, "SF_MCP_HOME": self.folder}

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


def catalogue():
    """The names of the tools, as `sf-mcp tools` lists them."""
    home = Home()
    try:
        listed = subprocess.run([BINARY, "tools", "--json"], env=home.env, capture_output=True, check=True, timeout=60)
    finally:
        home.remove()
    return [tool["name"] for tool in json.loads(listed.stdout)["tools"]]


class Sandbox:
    """A sandbox company of its own, with the controls open and no rate limit."""

    async def start(self, *options):
        self.home = Home()
        self.process = await asyncio.create_subprocess_exec(
            BINARY, "sandbox", "--control", "--requests", "0", *options,
            env=self.home.env, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        line = (await self.process.stdout.readline()).decode()
        self.env = dict(re.findall(r"(\w+)=(\S+)", line))
        return self

    async def control(self, method, path, body=None):
        def send():
            data = None if body is None else json.dumps(body).encode()
            request = urllib.request.Request(self.env["SF_MCP_API_URL"] + path, data=data, method=method)
            with urllib.request.urlopen(request, timeout=10) as response:
                text = response.read()
            return json.loads(text) if text else None

        return await asyncio.to_thread(send)

    async def state(self):
        return await self.control("GET", "/sandbox/state")

    async def stop(self):
        self.process.send_signal(2)
        await self.process.wait()
        self.home.remove()


async def eventually(check, what):
    for _ in range(100):
        if await check():
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"waited five seconds in vain: {what}")


def first_text(answer):
    return answer.content[0].text


class Conversation:
    """What every client must be able to do, in the mode and protocol the subclass names."""

    def client(self, env, *arguments):
        return Client(StdioServerParameters(command=BINARY, args=["serve", *arguments], env=env), mode=self.mode, read_timeout_seconds=60)

    async def asyncSetUp(self):
        self.home = Home()
        self.addCleanup(self.home.remove)

    async def test_the_server_introduces_itself(self):
        async with self.client(self.home.env, "--demo") as client:
            tools = (await client.list_tools()).tools
            prompts = (await client.list_prompts()).prompts
            resources = (await client.list_resources()).resources

            self.assertEqual(client.protocol_version, self.protocol)
            self.assertIn("Service Fusion", client.instructions)
            self.assertEqual([tool.name for tool in tools], catalogue())
            self.assertTrue(prompts)
            self.assertIn(BOARD, [str(resource.uri) for resource in resources])

    async def test_the_board_view_and_a_prompt_can_be_read(self):
        async with self.client(self.home.env, "--demo") as client:
            prompts = (await client.list_prompts()).prompts
            free = next(prompt for prompt in prompts if not any(a.required for a in prompt.arguments or []))

            board = (await client.read_resource(BOARD)).contents[0]
            prompt = await client.get_prompt(free.name)

            self.assertEqual(board.mime_type, "text/html;profile=mcp-app")
            self.assertTrue(board.text.lower().startswith("<!doctype html>"))
            self.assertGreater(len(prompt.messages[0].content.text), 40)

    async def test_every_reading_tool_answers_as_its_output_schema_says(self):
        async with self.client(self.home.env, "--demo") as client:
            tools = {tool.name: tool for tool in (await client.list_tools()).tools}
            asked = set()

            async def ask(name, **arguments):
                asked.add(name)
                answer = await client.call_tool(name, arguments)
                self.assertFalse(answer.is_error, f"{name} {arguments}: {first_text(answer)}")
                jsonschema.validate(answer.structured_content, tools[name].output_schema)
                return answer.structured_content

            technician = (await ask("list_technicians", working_today=True))["technicians"][0]["name"]
            job = (await ask("search_jobs", status=["open"], limit=5))["jobs"][0]
            customer_id = job["customer_id"]
            estimate = (await ask("search_estimates", open=True, limit=5))["estimates"][0]
            await ask("search_jobs", technician=technician, date="this week")
            await ask("get_job", job_id=job["job_id"], include=["visits", "notes", "charges", "invoices"])
            await ask("search_customers", query="alvarez")
            await ask("get_customer", customer_id=customer_id, include=["jobs", "estimates", "equipment", "balance"])
            await ask("get_estimate", estimate_id=estimate["estimate_id"])
            await ask("list_equipment", customer_id=customer_id)
            await ask("get_dispatch_board", date="this week")
            await ask("get_technician_schedule", free_from="14:00", near="Plano")
            await ask("list_follow_ups", limit=3)
            await ask("list_reference_data", kind="job_statuses")

            reading = {name for name, tool in tools.items() if tool.annotations.read_only_hint}
            self.assertEqual(reading - asked, set())

    async def test_a_dry_run_creates_nothing(self):
        async with self.client(self.home.env, "--demo") as client:
            before = (await client.call_tool("search_jobs", {"limit": 1})).structured_content
            customer_id = before["jobs"][0]["customer_id"]

            answer = await client.call_tool(
                "create_job", {"customer_id": customer_id, "description": "No heat upstairs", "dry_run": True}
            )
            after = (await client.call_tool("search_jobs", {"limit": 1})).structured_content

            self.assertFalse(answer.is_error, first_text(answer))
            self.assertTrue(answer.structured_content["dry_run"])
            self.assertEqual(after["total"], before["total"])

    async def test_a_misspelt_argument_is_an_error_that_names_the_right_one(self):
        async with self.client(self.home.env, "--demo") as client:
            await client.list_tools()

            answer = await client.call_tool("search_jobs", {"technicain": "Luis"})

            self.assertTrue(answer.is_error)
            self.assertIn("`technician`", first_text(answer))

    async def test_a_long_walk_reports_its_progress(self):
        sandbox = await Sandbox().start("--extra-jobs", "600")
        self.addAsyncCleanup(sandbox.stop)
        steps = []

        async def on_progress(progress, total, message):
            steps.append(progress)

        async with self.client({**self.home.env, **sandbox.env}) as client:
            answer = await client.call_tool(
                "search_jobs", {"technician": "Luis Ortega", "limit": 100}, progress_callback=on_progress
            )

        self.assertFalse(answer.is_error, first_text(answer))
        self.assertGreater(len(steps), 2)
        self.assertEqual(steps, sorted(set(steps)))

    async def test_a_cancelled_call_ends_its_request_and_the_server_lives_on(self):
        sandbox = await Sandbox().start()
        self.addAsyncCleanup(sandbox.stop)
        async with self.client({**self.home.env, **sandbox.env}) as client:
            await client.list_tools()
            cancelled = (await sandbox.state())["cancelled"]
            hang = {"kind": "hang", "match": {"path_contains": "/jobs"}, "times": 1}
            await sandbox.control("POST", "/sandbox/faults", [hang])

            hanging = asyncio.create_task(client.call_tool("search_jobs", {"city": "Plano"}))
            await eventually(self.state_of(sandbox, lambda state: state["in_flight"] > 0), "the request arrives")
            hanging.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await hanging

            await eventually(self.state_of(sandbox, lambda state: state["cancelled"] > cancelled), "it is given up")
            answer = await client.call_tool("search_jobs", {"city": "Plano"})
            self.assertFalse(answer.is_error, first_text(answer))

    @staticmethod
    def state_of(sandbox, holds):
        async def check():
            return holds(await sandbox.state())

        return check


class AutomaticClient(Conversation, unittest.IsolatedAsyncioTestCase):
    mode = "auto"
    protocol = "2026-07-28"


class LegacyClient(Conversation, unittest.IsolatedAsyncioTestCase):
    mode = "legacy"
    protocol = "2025-11-25"


if __name__ == "__main__":
    unittest.main()
