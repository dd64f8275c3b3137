// The official conformance suite at the hosted endpoint, for each revision: with sf-mcp behind it, and with the fixtures
// that most scenarios need. What is not expected to pass stands in `conformance/<child>-<revision>.yml`, with its reason.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer, request } from "node:http";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startHosted } from "./hosted.mjs";

const suite = fileURLToPath(new URL("node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url));
const fixtures = fileURLToPath(new URL("fixture_server.mjs", import.meta.url));

for (const [child, start] of [
    ["sf-mcp", () => startHosted()],
    ["fixtures", () => startHosted({}, [fixtures], process.execPath)],
]) {
    describe(`Conformance of the hosted endpoint, ${child}`, () => {
        let service, door;
        before(async () => {
            service = await start();
            door = await openDoor(service);
        });
        after(async () => {
            await door?.close();
            await service?.stop();
        });

        for (const revision of ["2025-11-25", "2026-07-28"]) {
            test(revision, async () => {
                const baseline = fileURLToPath(new URL(`conformance/${child}-${revision}.yml`, import.meta.url));
                const { code, said } = await run("server", "--url", door.url, "--requirements", revision, "--expected-failures", baseline);

                assert.equal(code, 0, said);
                assert.match(said, /Total: [1-9]/);
            });
        }
    });
}

/// The suite knows no tokens: this adds one to what it sends, and changes nothing else.
async function openDoor(service) {
    const { hostname, port, pathname } = new URL(service.url);
    const server = createServer((incoming, outgoing) => {
        const headers = [...incoming.rawHeaders, "authorization", `Bearer ${service.token}`];
        const onward = request({ hostname, port, path: incoming.url, method: incoming.method, headers, setHost: false }, (answer) => {
            outgoing.writeHead(answer.statusCode, answer.rawHeaders);
            answer.pipe(outgoing);
        });
        onward.on("error", () => outgoing.destroy());
        outgoing.on("close", () => onward.destroy());
        incoming.pipe(onward);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        url: `http://127.0.0.1:${server.address().port}${pathname}`,
        async close() {
            server.close();
            server.closeAllConnections();
            await once(server, "close");
        },
    };
}

function run(...options) {
    return new Promise((resolve) => {
        execFile(process.execPath, [suite, ...options], { timeout: 150_000, maxBuffer: 16 << 20 }, (error, stdout, stderr) =>
            resolve({ code: error ? (error.code ?? error.signal) : 0, said: `${stdout}\n${stderr}` }));
    });
}
