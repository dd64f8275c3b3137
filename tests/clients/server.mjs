// The real binary: how the tests start it, and the sandbox company it talks to.

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

export const binary = process.env.SF_MCP_BIN;
if (!binary) {
    throw new Error("SF_MCP_BIN must name the sf-mcp binary; `tests/run` sets it");
}

/// A folder for the server's files and an environment that knows nothing of this machine's own companies.
export function emptyHome() {
    const folder = mkdtempSync(join(tmpdir(), "sf-mcp-client-test-"));
    return {
        env: { PATH: process.env.PATH, HOME: folder, SF_MCP_HOME: folder },
        remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }),
    };
}

/// The names of the tools, as `sf-mcp tools` lists them. Which they are is in the snapshots of the Rust tests alone.
export function catalogue() {
    const home = emptyHome();
    const listed = execFileSync(binary, ["tools", "--json"], { env: home.env, encoding: "utf8" });
    home.remove();
    return JSON.parse(listed).tools.map(({ name }) => name);
}

/// The names of listed tools.
export const names = (tools) => tools.map(({ name }) => name);

/// A sandbox of its own, with the controls open and no rate limit.
export async function startSandbox(...options) {
    const home = emptyHome();
    const child = spawn(binary, ["sandbox", "--control", "--requests", "0", ...options], {
        env: home.env,
        stdio: ["ignore", "pipe", "ignore"],
    });
    const lines = createInterface({ input: child.stdout });
    const [line] = await once(lines, "line");
    const env = Object.fromEntries([...line.matchAll(/(\w+)=(\S+)/g)].map(([, name, value]) => [name, value]));

    const control = async (method, path, body) => {
        const response = await fetch(env.SF_MCP_API_URL + path, {
            method,
            body: body && JSON.stringify(body),
        });
        if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
        return response.status === 204 ? undefined : response.json();
    };
    return {
        env,
        state: () => control("GET", "/sandbox/state"),
        addFaults: (...faults) => control("POST", "/sandbox/faults", faults),
        clearFaults: () => control("DELETE", "/sandbox/faults"),
        async stop() {
            if (child.exitCode === null) {
                child.kill("SIGINT");
                await once(child, "exit");
            }
            home.remove();
        },
    };
}

/// Waits until `check` gives something, for what happens in another process.
export async function eventually(check, what) {
    for (let tries = 0; tries < 100; tries += 1) {
        const value = await check();
        if (value) return value;
        await sleep(50);
    }
    throw new Error(`waited five seconds in vain: ${what}`);
}
