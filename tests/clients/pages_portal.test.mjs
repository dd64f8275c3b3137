// A company's own pages in real headless Chromium: what its people see, what owners do, and what nobody else may.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";

import {
    LARGEST, NASTY, addCompany, hidden, looked, send, signIn, startBrowser, startService, tabTo, weight,
} from "./pages.mjs";

const ANNA = "anna@example.com";
const BERT = "bert@example.com";

describe("The portal", () => {
    let service, browser, acme, anna;
    const at = (rest = "", company = acme) => `/app/${company.id}${rest}`;
    const api = (path, options = {}, token = acme.token) =>
        fetch(service.origin + path, { ...options, headers: { authorization: `Bearer ${token}`, "content-type": "application/json" } });

    before(async () => {
        service = await startService();
        browser = await startBrowser(service);
        acme = await addCompany(service, "Acme Heating", ANNA);
        anna = await browser.person({ width: 1024, expected: [400, 403, 404, 409] });
        await signIn(service, anna, ANNA);
    });
    after(async () => {
        await browser?.close();
        await service?.stop();
    });

    /// Calls of the last days, as machines would have reported them.
    function addUsage() {
        const day = 86_400_000;
        const today = Math.floor(Date.now() / day) * day;
        const database = new DatabaseSync(service.database);
        const sums = database.prepare("INSERT OR REPLACE INTO usage_days (tenant_id, day, tool, status, client, origin, calls, duration_ms, bytes) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)");
        for (let ago = 0; ago < 28; ago += 1) {
            sums.run(acme.id, today - ago * day, "search_jobs", "ok", "claude-ai", "hosted", 40 + ((ago * 13) % 60), 9_000, 70_000);
            sums.run(acme.id, today - ago * day, "get_dispatch_board", "ok", "cursor", "local", 12, 3_000, 90_000);
            if (ago % 4 === 0) sums.run(acme.id, today - ago * day, "search_jobs", "rate_limited", "claude-ai", "hosted", 9, 0, 0);
        }
        sums.run(acme.id, today, "get_job", "ok", NASTY.slice(0, 60), "hosted", 3, 100, 100);
        const event = database.prepare("INSERT INTO usage_events (tenant_id, id, at, tool, endpoint, status, duration_ms, bytes, client, era, origin, received_at) VALUES (?, ?, ?, ?, '', ?, 12, 0, ?, '2026-07-28', 'hosted', ?)");
        for (const [number, status] of ["timeout", "rate_limited", "signed_out"].entries()) {
            event.run(acme.id, `failed-${number}`, Date.now() - number * 60_000, "search_jobs", status, NASTY.slice(0, 60), Date.now());
        }
        database.close();
    }

    test("a person of one company comes to its overview, which says that it is connected and what comes next", async () => {
        await anna.goto("/app");
        await anna.waitForURL(`**${at()}`);
        await anna.getByRole("heading", { level: 1, name: "Acme Heating" }).waitFor();
        await anna.getByText("Carol Jennings").waitFor();
        await anna.getByRole("link", { name: "Connect an AI assistant" }).waitFor();
        await looked(anna, "portal-overview-new");
    });

    test("figures are pictures with their numbers, for the chosen days, and a file for spreadsheets", async () => {
        addUsage();
        await anna.goto(at());
        await anna.getByText("too many calls at once, or in a day").waitFor();
        await looked(anna, "portal-overview");

        const day = (ago) => new Date(Date.now() - ago * 86_400_000).toISOString().slice(0, 10);
        await anna.goto(at("/usage"));
        await anna.getByLabel("From").fill(day(20));
        await anna.getByLabel("To, included").fill(day(0));
        await anna.getByRole("button", { name: "Show" }).click();
        await anna.getByRole("img", { name: /Calls by day: \d+ calls in 21 days/ }).waitFor();
        assert.equal(await anna.locator("svg.chart g rect:not(.bad)").count(), 21);
        await anna.getByText("Numbers").click();
        await looked(anna, "portal-usage");

        const [download] = await Promise.all([anna.waitForEvent("download"), anna.getByRole("link", { name: "Download as CSV" }).click()]);
        const text = readFileSync(await download.path(), "utf8");
        assert.match(text, /^day,calls,errors,duration_ms,bytes\r\n/);
        assert.equal(text.trim().split("\r\n").length, 1 + 21 + 1);

        await anna.goto(at("/usage?from=2026-13-01"));
        await anna.getByRole("alert").getByText("must be a day").waitFor();
    });

    test("an owner invites, changes and removes a colleague", async () => {
        await anna.goto(at("/people"));
        await anna.getByLabel("E-mail address").fill("not an address");
        await anna.locator("form.stack").first().evaluate((form) => (form.noValidate = true));
        await anna.getByRole("button", { name: "Invite" }).click();
        await anna.getByRole("alert").waitFor();
        assert.equal(await anna.getByLabel("E-mail address").inputValue(), "not an address");

        await anna.getByLabel("E-mail address").fill(BERT);
        await anna.getByRole("button", { name: "Invite" }).click();
        await anna.getByRole("status").getByText("Invited.").waitFor();
        await looked(anna, "portal-people");
        const row = anna.getByRole("row", { name: new RegExp(BERT) });
        await row.getByText("Change").first().click();
        await row.getByLabel("May create").check();
        await row.getByRole("button", { name: "Save" }).click();
        await anna.getByRole("row", { name: new RegExp(`${BERT}.*read and create`) }).waitFor();

        const bert = await browser.person({ expected: [403] });
        await signIn(service, bert, BERT);
        await bert.goto(at("/people"));
        assert.equal(await bert.getByRole("button", { name: "Invite" }).count(), 0);
        for (const rest of ["/delete", "/export", "/reconnect"]) {
            const answer = await bert.goto(at(rest));
            assert.equal(answer.status(), 403, rest);
            await bert.getByRole("heading", { name: "Only an owner may do that" }).waitFor();
        }
        await bert.goto(at("/settings"));
        assert.equal(await bert.getByRole("button").count(), 1, "only the one that signs out");

        await anna.getByRole("row", { name: new RegExp(BERT) }).getByText("Change").first().click();
        await anna.getByRole("link", { name: `Remove ${BERT}` }).click();
        await looked(anna, "portal-confirm");
        await anna.getByRole("button", { name: "Remove" }).click();
        await anna.getByRole("status").getByText("Removed").waitFor();
        const gone = await bert.goto(at());
        assert.equal(gone.status(), 404);
        assert.deepEqual(bert.problems.filter((text) => !text.includes("404")), []);
        await bert.context().close();
    });

    test("a company keeps an owner", async () => {
        await anna.goto(at("/people"));
        const row = anna.getByRole("row", { name: new RegExp(ANNA) });
        await row.getByText("Change").first().click();
        await row.getByLabel("Role").selectOption("member");
        await row.getByRole("button", { name: "Save" }).click();
        await anna.getByRole("alert").getByText("keeps at least one owner").waitFor();
    });

    test("a machine and an assistant are listed under their own names, and what is ended is refused at once", async () => {
        const bundle = await (await api("/api/bundles/env?form=local")).text();
        const device = bundle.match(/SF_MCP_DEVICE_TOKEN=(\S+)/)[1];
        const lend = () => fetch(`${service.origin}/api/token`, { method: "POST", headers: { authorization: `Bearer ${device}` } });
        assert.equal((await lend()).status, 200);
        const assistant = await allowAssistant();
        const list = () => fetch(`${service.origin}/mcp`, {
            method: "POST", body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "tools/list" }),
            headers: { authorization: `Bearer ${assistant}`, "content-type": "application/json", accept: "application/json, text/event-stream", "mcp-protocol-version": "2025-11-25" },
        });
        assert.equal((await list()).status, 200);

        await anna.goto(at("/devices"));
        await looked(anna, "portal-devices");
        await anna.getByRole("row", { name: /a computer with sf-mcp/ }).getByRole("link", { name: /Revoke/ }).click();
        await anna.getByRole("button", { name: "Revoke" }).click();
        await anna.getByRole("status").getByText("Revoked.").waitFor();
        assert.equal((await lend()).status, 401);

        await anna.goto(at("/clients"));
        await anna.getByText(NASTY, { exact: false }).first().waitFor();
        await looked(anna, "portal-clients");
        await anna.getByRole("link", { name: /Disconnect/ }).click();
        await anna.getByRole("button", { name: "Disconnect" }).click();
        await anna.getByRole("status").getByText("Disconnected.").waitFor();
        assert.equal((await list()).status, 401);
    });

    /// An AI client that the signed-in owner allows; its access token.
    async function allowAssistant() {
        const redirect_uri = "http://127.0.0.1:3118/callback";
        const post = (path, body, type) => fetch(service.origin + path, { method: "POST", headers: { "content-type": type }, body });
        const registered = await post("/oauth/register", JSON.stringify({ client_name: NASTY, redirect_uris: [redirect_uri] }), "application/json");
        const { client_id } = await registered.json();
        const code_verifier = randomBytes(48).toString("base64url");
        const code_challenge = createHash("sha256").update(code_verifier).digest("base64url");
        const query = new URLSearchParams({ response_type: "code", client_id, redirect_uri, state: "s", code_challenge, code_challenge_method: "S256" });
        await anna.goto(`/oauth/authorize?${query}`);
        const form = { ...(await hidden(anna, "/oauth/consent")), decision: "allow" };
        const answer = await send(anna, "/oauth/consent", { form });
        const code = new URL(answer.headers.get("location")).searchParams.get("code");
        const body = new URLSearchParams({ grant_type: "authorization_code", client_id, redirect_uri, code, code_verifier });
        const tokens = await (await post("/oauth/token", body.toString(), "application/x-www-form-urlencoded")).json();
        return tokens.access_token;
    }

    test("the time zone is set, and a wrong one is said", async () => {
        await anna.goto(at("/settings"));
        await looked(anna, "portal-settings");
        await anna.getByLabel("Where the company's “today” is").fill("Dallas");
        await anna.getByRole("button", { name: "Save" }).click();
        await anna.getByRole("alert").getByText("America/Chicago").waitFor();
        await anna.getByLabel("Where the company's “today” is").fill("America/Denver");
        await anna.getByRole("button", { name: "Save" }).click();
        await anna.getByRole("status").getByText("The time zone is set").waitFor();
        assert.equal(await anna.getByLabel("Where the company's “today” is").inputValue(), "America/Denver");
    });

    test("everything is exported, without a secret", async () => {
        await anna.goto(at("/settings"));
        const [download] = await Promise.all([anna.waitForEvent("download"), anna.getByRole("link", { name: "Export" }).click()]);
        const exported = JSON.parse(readFileSync(await download.path(), "utf8"));
        assert.equal(exported.tenant.company, "Acme Heating");
        assert.ok(exported.usage_days.length > 20);
        assert.ok(!JSON.stringify(exported).includes(service.credentials.client_secret));
    });

    test("another company's pages are not there, and foreign forms do nothing", async () => {
        const other = await addCompany(service, NASTY, "eve@example.com");
        for (const rest of ["", "/usage", "/usage.csv", "/people", "/devices", "/clients", "/settings", "/export", "/delete", "/install"]) {
            const answer = await anna.goto(at(rest, other));
            assert.equal(answer.status(), 404, rest);
        }
        await anna.goto(at("/settings"));
        const fields = await hidden(anna, at("/settings"));
        const zone = { time_zone: "Pacific/Auckland" };
        for (const [form, headers] of [
            [zone, {}],
            [{ ...fields, ...zone, form_token: "x" }, {}],
            [{ ...fields, ...zone }, { origin: "https://evil.example" }],
            [{ ...fields, ...zone, request: at("/people") }, {}],
        ]) {
            assert.equal((await send(anna, at("/settings"), { form, headers })).status, 403, JSON.stringify(form));
        }
        await anna.goto(at("/settings"));
        assert.equal(await anna.getByLabel("Where the company's “today” is").inputValue(), "America/Denver");

        const eve = await browser.person({ expected: [400] });
        await signIn(service, eve, "eve@example.com");
        await eve.getByRole("heading", { level: 1, name: NASTY }).waitFor();
        for (const rest of ["", "/people", "/usage", "/devices", "/clients", "/settings", "/delete"]) await eve.goto(at(rest, other));
        assert.deepEqual(eve.problems, []);
        await eve.context().close();
    });

    test("each page is small, works by keyboard, and needs no script", async () => {
        for (const rest of ["", "/usage", "/people", "/devices", "/clients", "/settings"]) {
            const bytes = await weight(anna, at(rest));
            assert.ok(bytes <= LARGEST, `${rest}: ${bytes} bytes`);
        }
        await anna.goto(at());
        await tabTo(anna, "Usage");
        await anna.keyboard.press("Enter");
        await anna.waitForURL(`**${at("/usage")}`);
        await tabTo(anna, "Settings");
        await anna.keyboard.press("Enter");
        await anna.waitForURL(`**${at("/settings")}`);

        const plain = await browser.person({ javaScript: false });
        await signIn(service, plain, ANNA);
        await plain.goto(at("/people"));
        await plain.getByLabel("E-mail address").fill("carl@example.com");
        await plain.getByRole("button", { name: "Invite" }).click();
        await plain.getByText("carl@example.com").first().waitFor();
        await plain.context().close();
    });

    test("a company that Service Fusion refuses is told what to do, and a suspended one whom to ask", async () => {
        const database = new DatabaseSync(service.database);
        database.exec(`UPDATE credentials SET ended = 'the secret was changed' WHERE tenant_id = '${acme.id}'`);
        await anna.goto(at());
        await anna.getByRole("alert").getByText("no longer accepts the connection").waitFor();
        await looked(anna, "portal-refused");
        await anna.getByRole("link", { name: "Connect again" }).click();
        await anna.getByRole("heading", { level: 1, name: "Replace the connection" }).waitFor();
        database.exec(`UPDATE tenants SET suspended_at = 1, suspended_why = 'unpaid' WHERE id = '${acme.id}'`);
        const answer = await anna.goto(at("/usage"));
        assert.equal(answer.status(), 403);
        await anna.getByText("ask the operator").waitFor();
        await looked(anna, "portal-suspended");
        database.exec(`UPDATE tenants SET suspended_at = NULL WHERE id = '${acme.id}'`);
        database.close();
    });

    test("an owner deletes the company by its name, and all of it ends", async () => {
        await anna.goto(at("/settings"));
        await anna.getByRole("link", { name: "Delete the company" }).click();
        await anna.getByLabel("Type the company's name").fill("acme");
        await anna.getByRole("button", { name: "Delete for good" }).click();
        await anna.getByRole("alert").getByText("nothing was deleted").waitFor();
        await looked(anna, "portal-delete");
        await anna.getByLabel("Type the company's name").fill("Acme Heating");
        await anna.getByRole("button", { name: "Delete for good" }).click();
        await anna.getByRole("heading", { name: "The company is deleted" }).waitFor();
        assert.equal((await api("/api/devices")).status, 401);
        assert.equal((await anna.goto(at())).status(), 404);
        await anna.goto("/app");
        await anna.getByText("You are in no company.").waitFor();
        await looked(anna, "portal-none");
        assert.deepEqual(anna.problems, []);
    });
});
