// The official conformance suite at the OAuth server, and Inspector's own login.
//
// The suite has no baseline files for its authorization scenarios, and none is needed: all of them pass for both
// revisions. It is not run with `--client-secret`: where a server takes clients without a secret too, it leaves out
// the secret that it was given, and a client that registered with one is not let in like that.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { freePort, startHosted } from "./hosted.mjs";
import { INSPECTOR } from "./inspector.mjs";
import { openBrowser, Person } from "./person.mjs";

const SUITE = fileURLToPath(new URL("node_modules/@modelcontextprotocol/conformance/dist/index.js", import.meta.url));

describe("Conformance of the OAuth server", () => {
    let service, browser;
    before(async () => {
        service = await startHosted();
        browser = await openBrowser();
    });
    after(async () => {
        await browser?.close();
        await service?.stop();
    });

    for (const revision of ["2025-11-25", "2026-07-28"]) {
        test(revision, async () => {
            const email = `${revision}@acme.test`;
            service.addMember(email);
            const port = await freePort();
            const client = await register(service, port);
            const person = await Person.at(browser, service, email);

            const { code, said } = await follow(
                [SUITE, "authorization", "--url", service.origin, "--port", port, "--resource", service.url,
                    "--spec-version", revision, "--client-id", client.client_id],
                (url) => allow(person, url),
            );

            assert.equal(code, 0, said);
            for (const scenario of ["authorization-server-metadata-endpoint", "authorization-code-grant"]) {
                assert.match(said, new RegExp(`✓ ${scenario}: [1-9]\\d* passed, 0 failed`), said);
            }
            assert.deepEqual(person.problems, []);
            await person.close();
        });
    }
});

describe("Inspector logs in by itself", () => {
    let service, browser, home;
    before(async () => {
        home = mkdtempSync(join(tmpdir(), "sf-mcp-inspector-"));
        service = await startHosted();
        browser = await openBrowser();
    });
    after(async () => {
        await browser?.close();
        await service?.stop();
        rmSync(home, { recursive: true, force: true, maxRetries: 3 });
    });

    for (const era of ["legacy", "modern"]) {
        test(era, async () => {
            const email = `${era}@acme.test`;
            service.addMember(email);
            const person = await Person.at(browser, service, email);
            const options = [
                "--cli", service.url, "--transport", "http", "--protocol-era", era, "--callback-url", `http://127.0.0.1:${await freePort()}/oauth/callback`,
                "--relogin", "--method", "tools/call", "--tool-name", "get_dispatch_board",
            ];
            // It would open a browser of its own, which is `true` here; the person's is ours.
            const env = { ...process.env, HOME: home, BROWSER: "true", MCP_AUTO_OPEN_ENABLED: "true", MCP_INSPECTOR_SECRET_STORE: "memory" };

            const { code, said, printed } = await follow([INSPECTOR, ...options], (url) => allow(person, url), env);

            assert.equal(code, 0, said);
            assert.ok(JSON.parse(printed).structuredContent.technicians.length > 0, printed);
            assert.deepEqual(person.problems, []);
            await person.close();
        });
    }
});

async function register(service, port) {
    const answer = await fetch(`${service.origin}/oauth/register`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ client_name: "Conformance suite", redirect_uris: [`http://127.0.0.1:${port}/callback`] }),
    });
    assert.equal(answer.status, 201);
    return answer.json();
}

/// Signs in and allows; the program shows a page of its own then.
async function allow(person, url) {
    await person.page.goto(url);
    await person.signIn();
    await person.button("Allow").click();
}

/// Runs a program that prints the address to open.
function follow(command, open, env = process.env) {
    return new Promise((resolve, reject) => {
        const child = spawn(process.execPath, command.map(String), { env, stdio: ["ignore", "pipe", "pipe"] });
        let said = "", printed = "", opened = false;
        const read = (text) => {
            said += text;
            const url = said.match(/^.*?(http:\/\/\S+\/oauth\/authorize\?\S+)\s/m)?.[1];
            if (!url || opened) return;
            opened = true;
            open(url).catch((error) => {
                child.kill();
                reject(error);
            });
        };
        child.stdout.on("data", (text) => {
            printed += text;
            read(text);
        });
        child.stderr.on("data", read);
        child.on("error", reject);
        child.on("close", (code) => resolve({ code, said, printed }));
    });
}
