// The real sf-supervisor's pages in real headless Chromium: an empty service, people with mails, and what must never happen.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

import { binary, eventually } from "./server.mjs";

const supervisor = process.env.SF_SUPERVISOR_BIN;
if (!supervisor) {
    throw new Error("SF_SUPERVISOR_BIN must name the sf-supervisor binary; `tests/run` sets it");
}

const ARTEFACTS = fileURLToPath(new URL("../artefacts/", import.meta.url));
const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
];
/// Windows that pictures are taken of, in CSS pixels.
export const WIDTHS = [360, 768, 1440];
export const THEMES = ["light", "dark"];
/// The longest page over the wire, with its style and script.
export const LARGEST = 60_000;
/// What a person may call a company, a machine or themselves, and what no page may run.
export const NASTY = `<img src=x onerror=alert(1)>"'><script>alert(2)</script>{{7*7}}`;

/// `sf-supervisor serve --dev` in an empty folder. `operators` may use `/admin`; for `platforms` it has a small program
/// that stands for sf-mcp, whose packing takes no time.
export async function startService({ operators = ["operator@example.com"], platforms = ["win32-x64"], env = {} } = {}) {
    const folder = mkdtempSync(join(tmpdir(), "sf-supervisor-pages-"));
    const port = await freePort();
    const origin = `http://127.0.0.1:${port}`;
    for (const platform of platforms) {
        const place = join(folder, "binaries", platform);
        mkdirSync(place, { recursive: true });
        writeFileSync(join(place, platform.startsWith("win32") ? "sf-mcp.exe" : "sf-mcp"), "no program at all");
    }
    const child = spawn(supervisor, ["serve", "--dev", "--listen", `127.0.0.1:${port}`], {
        cwd: folder,
        env: {
            PATH: process.env.PATH, HOME: folder, STATE_DIRECTORY: folder, SF_SUPERVISOR_CHILD: binary,
            SF_SUPERVISOR_OPERATORS: operators.join(","), SF_SUPERVISOR_BINARIES: join(folder, "binaries"), ...env,
        },
        stdio: ["ignore", "ignore", "pipe"],
    });
    let log = "";
    child.stderr.on("data", (text) => (log += text));
    const ready = () => child.exitCode !== null || fetch(`${origin}/readyz`).then(({ ok }) => ok, () => false);
    await eventually(ready, `the service answers\n${log}`);
    if (child.exitCode !== null) throw new Error(log);
    const [, clientId, clientSecret] = log.match(/client id (\S+), client secret (\S+)/);
    return {
        origin,
        folder,
        database: join(folder, "supervisor.db"),
        /// What the sandbox accepts.
        credentials: { client_id: clientId, client_secret: clientSecret },
        log: () => log,
        mails: (address) => mails(folder, address),
        async stop() {
            if (child.exitCode === null) {
                child.kill("SIGTERM");
                await once(child, "exit");
            }
            rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
        },
    };
}

/// The texts of the mails to an address, the oldest first.
function mails(folder, address) {
    let names = [];
    try {
        names = readdirSync(join(folder, "mail")).filter((name) => name.endsWith(".eml")).sort();
    } catch {
        // The folder appears with the first mail.
    }
    const texts = names.map((name) => readFileSync(join(folder, "mail", name), "utf8").replaceAll("=\r\n", ""));
    return texts.filter((text) => text.match(/^To: (.*)$/m)?.[1].includes(address));
}

/// The six digits of a mail.
export function digits(mail) {
    return mail.match(/^ *(\d{6})\r?$/m)?.[1] ?? assert.fail(`no code in the mail\n${mail}`);
}

/// Does something that makes a mail, and gives its code.
export async function codeFor(service, address, act) {
    const before = service.mails(address).length;
    await act();
    const newest = () => service.mails(address)[before];
    return digits(await eventually(newest, `a mail to ${address}`));
}

export async function startBrowser(service) {
    mkdirSync(ARTEFACTS, { recursive: true });
    const chrome = await chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: FLAGS });
    return new Browser(chrome, service);
}

class Browser {
    constructor(chrome, service) {
        this.chrome = chrome;
        this.service = service;
    }

    /// A person with a browser of their own: cookies and one window. `page.problems` collects what must never happen.
    /// Refusals that a test provokes are errors in Chromium's console; `expected` lists their statuses.
    async person({ width = 1024, theme = "light", javaScript = true, expected = [], userAgent, scale } = {}) {
        const context = await this.chrome.newContext({
            viewport: { width, height: 800 }, colorScheme: theme, javaScriptEnabled: javaScript, acceptDownloads: true, userAgent,
            deviceScaleFactor: scale, reducedMotion: "reduce", baseURL: this.service.origin,
        });
        await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: this.service.origin });
        const page = await context.newPage();
        page.problems = [];
        page.expected = expected;
        watch(page, this.service.origin);
        return page;
    }

    async close() {
        await this.chrome.close();
    }
}

function watch(page, origin) {
    page.on("pageerror", (error) => page.problems.push(`error: ${error.message}`));
    page.on("console", (message) => {
        if (!["error", "warning"].includes(message.type())) return;
        const status = Number(message.text().match(/status of (\d+)/)?.[1]);
        if (!page.expected.includes(status)) page.problems.push(`console: ${message.text()}`);
    });
    page.on("dialog", (dialog) => {
        page.problems.push(`dialog: ${dialog.message()}`);
        dialog.dismiss();
    });
    page.on("request", (request) => {
        const url = request.url();
        const own = url.startsWith(`${origin}/`) || url.startsWith("data:") || page.elsewhere?.some((start) => url.startsWith(start));
        if (!own) page.problems.push(`request: ${url}`);
    });
}

/// Signs a person in who is known already, and ends at `next`.
export async function signIn(service, page, address, next = "/app") {
    await page.goto(`/sign-in?next=${encodeURIComponent(next)}`);
    await page.getByLabel("E-mail address").fill(address);
    const code = await codeFor(service, address, () => page.getByRole("button", { name: "Send me a code" }).click());
    await page.getByLabel("Code").fill(code);
    await page.getByRole("button", { name: "Sign in" }).click();
    await page.waitForURL((url) => !url.pathname.startsWith("/sign-in"));
}

/// A company that signed up and connected the sandbox, by the API: its owner's bearer token and its id.
export async function addCompany(service, company, address) {
    const post = async (path, body, token) => {
        const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
        const answer = await fetch(service.origin + path, { method: "POST", headers, body: JSON.stringify(body) });
        const said = await answer.json();
        assert.ok(answer.ok, `${path}: ${JSON.stringify(said)}`);
        return said;
    };
    const otp = await codeFor(service, address, () => post("/api/register", { company, email: address }));
    const { activation_token } = await post("/api/confirm", { email: address, otp });
    const { tenant, token, mcp_url } = await post("/api/activate", service.credentials, activation_token);
    return { id: tenant.id, token, mcpUrl: mcp_url };
}

/// axe-core finds nothing, in the theme the page has.
export async function accessible(page) {
    const has = await page.evaluate(() => "axe" in globalThis);
    // The page's policy lets no other script in, so it comes by the debugger's way.
    if (!has) await page.evaluate(AXE);
    const { violations } = await page.evaluate(() => globalThis.axe.run(document, {
        resultTypes: ["violations"],
        runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
    }));
    const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n  ${nodes.map(({ html, failureSummary }) => `${html}\n  ${failureSummary}`).join("\n  ")}`);
    assert.deepEqual(told, [], `${page.url()}\n${told.join("\n")}`);
}

/// Looks at a page as it stands in every theme and width: pictures for people, axe for rules, nothing wider than the window.
export async function looked(page, name) {
    const before = page.viewportSize();
    for (const theme of THEMES) {
        await page.emulateMedia({ colorScheme: theme });
        await accessible(page);
        for (const width of [320, ...WIDTHS]) {
            await page.setViewportSize({ width, height: 800 });
            const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
            assert.ok(wide <= 0, `${name} is ${wide} px wider than ${width} px`);
            if (width !== 320) await picture(page, `${name}-${theme}-${width}`);
        }
    }
    await page.emulateMedia({ colorScheme: "light" });
    await page.setViewportSize(before);
}

/// The whole page, or what is in `clip`; gives the picture's file.
export async function picture(page, name, { clip } = {}) {
    const path = join(ARTEFACTS, `${name}.png`);
    await page.screenshot({ path, fullPage: true, clip });
    return path;
}

/// Bytes of the page and all it loads as they come over the wire, with nothing kept from before.
export async function weight(page, path) {
    const session = await page.context().newCDPSession(page);
    await session.send("Network.enable");
    await session.send("Network.setCacheDisabled", { cacheDisabled: true });
    let bytes = 0;
    session.on("Network.loadingFinished", ({ encodedDataLength }) => (bytes += encodedDataLength));
    await page.goto(path, { waitUntil: "networkidle" });
    await session.detach();
    return bytes;
}

/// Goes on with the Tab key until something of that name has the focus.
export async function tabTo(page, name) {
    for (let presses = 0; presses < 80; presses += 1) {
        await page.keyboard.press("Tab");
        const there = await page.evaluate(() => {
            const { activeElement: element } = document;
            const label = element.labels?.[0]?.innerText;
            return [label, element.getAttribute("aria-label"), element.innerText].filter(Boolean);
        });
        if (there.some((text) => text.trim().startsWith(name))) return;
    }
    assert.fail(`the keyboard does not reach ${name}`);
}

/// What a stranger's program sends: `fetch` with a person's cookies, and redirects told, not followed.
export async function send(page, path, { method = "POST", form = {}, headers = {} } = {}) {
    const origin = new URL(page.url()).origin;
    const cookies = await page.context().cookies();
    return fetch(origin + path, {
        method,
        redirect: "manual",
        headers: {
            cookie: cookies.map(({ name, value }) => `${name}=${value}`).join("; "),
            "content-type": "application/x-www-form-urlencoded",
            origin,
            ...headers,
        },
        body: method === "POST" ? new URLSearchParams(form).toString() : undefined,
    });
}

/// The hidden fields of the form that goes to a path.
export async function hidden(page, path) {
    return page.evaluate((action) => {
        const form = [...document.forms].find((form) => form.getAttribute("action") === action);
        return Object.fromEntries([...form.querySelectorAll("input[type=hidden]")].map(({ name, value }) => [name, value]));
    }, path);
}

async function freePort() {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    server.close();
    await once(server, "close");
    return port;
}
