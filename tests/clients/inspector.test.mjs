// MCP Inspector's command line, in both protocol eras: what a reviewer of the server would run first.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";

import { BOARD, inspect as run } from "./inspector.mjs";
import { binary, catalogue, emptyHome, names } from "./server.mjs";

for (const [era, protocol] of [["legacy", "2025-11-25"], ["modern", "2026-07-28"]]) {
    describe(`Inspector, ${era}`, () => {
        let home;
        before(() => (home = emptyHome()));
        after(() => home.remove());

        const inspect = (...options) =>
            run(["--cli", binary, "serve", "--demo", "--protocol-era", era, ...options], home.env);

        test("the protocol is the one of the era", async () => {
            const { code, stdout, stderr } = await inspect("--method", "initialize");

            assert.equal(code, 0, stderr);
            assert.equal(JSON.parse(stdout).protocolVersion, protocol);
        });

        test("the tool schemas pass its lint", async () => {
            const { code, stdout, stderr } = await inspect("--method", "tools/list", "--strict");

            assert.equal(code, 0, stderr);
            assert.deepEqual(names(JSON.parse(stdout).tools), catalogue());
            assert.doesNotMatch(stderr, /error|warning/i);
        });

        test("the tool schemas pass its lint with every toolset", async () => {
            const { code, stderr } = await inspect("--method", "tools/list", "--strict", "-e", "SF_MCP_TOOLSETS=all");

            assert.equal(code, 0, stderr);
            assert.doesNotMatch(stderr, /error|warning/i);
        });

        test("the board's view is listed and read", async () => {
            const listed = await inspect("--method", "resources/list");
            const read = await inspect("--method", "resources/read", "--uri", BOARD);

            assert.equal(listed.code, 0, listed.stderr);
            assert.ok(JSON.parse(listed.stdout).resources.some(({ uri }) => uri === BOARD));
            assert.equal(read.code, 0, read.stderr);
            const [content] = JSON.parse(read.stdout).contents;
            assert.equal(content.mimeType, "text/html;profile=mcp-app");
            assert.deepEqual(content._meta.ui.csp, { connectDomains: [], resourceDomains: [] });
        });

        test("the board is wired to its view", async () => {
            const { code, stdout, stderr } = await inspect("--method", "tools/call", "--tool-name", "get_dispatch_board", "--app-info");

            assert.equal(code, 0, stderr);
            const info = JSON.parse(stdout);
            assert.equal(info.hasApp, true);
            assert.equal(info.resourceUri, BOARD);
            assert.equal(info.resourceMimeType, "text/html;profile=mcp-app");
        });

        test("a tool answers, and a wrong argument has the exit code of a tool's error", async () => {
            const board = await inspect("--method", "tools/call", "--tool-name", "get_dispatch_board");
            const wrong = await inspect("--method", "tools/call", "--tool-name", "get_dispatch_board", "--tool-arg", "day=today");

            assert.equal(board.code, 0, board.stderr);
            assert.ok(JSON.parse(board.stdout).structuredContent.technicians.length > 0);
            assert.equal(wrong.code, 5, wrong.stdout);
            assert.match(wrong.stdout, /`date`/);
        });
    });
}
