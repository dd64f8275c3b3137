// From the first page to the first counted call as a newcomer does it, and what the pages must not let happen.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";
import { DatabaseSync } from "node:sqlite";
import { after, before, describe, test } from "node:test";

import { Client } from "@modelcontextprotocol/client";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

import {
    LARGEST, NASTY, addCompany, codeFor, hidden, looked, send, signIn, startBrowser, startService, tabTo, weight,
} from "./pages.mjs";

const ANNA = "anna@example.com";
const READ_ZIP = `
import io, json, sys, zipfile
archive = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))
assert archive.testzip() is None
manifest = json.loads(archive.read("manifest.json"))
assert manifest["server"]["entry_point"] in archive.namelist()
print(json.dumps(manifest))`;

/// A service and a browser for the tests of a group.
function group(title, tests, options) {
    describe(title, () => {
        const here = {};
        before(async () => {
            here.service = await startService(options);
            here.browser = await startBrowser(here.service);
        });
        after(async () => {
            await here.browser?.close();
            await here.service?.stop();
        });
        tests(here);
    });
}

/// Company and address, up to the page that asks for the digits; the answer is the mail's code.
async function begin({ service }, page, company, address) {
    await page.goto("/");
    await page.getByLabel("Company").fill(company);
    await page.getByLabel("Your e-mail address at work").fill(address);
    return codeFor(service, address, () => page.getByRole("button", { name: "Send me a code" }).click());
}

/// Up to the page that asks for Service Fusion's credentials.
async function proven(here, page, company, address) {
    const code = await begin(here, page, company, address);
    await page.getByLabel("Code").fill(code);
    await page.getByRole("button", { name: "Go on" }).click();
    await page.waitForURL("**/sign-up/connect");
}

async function connect({ service }, page, { client_id, client_secret } = service.credentials) {
    await page.getByLabel("Client id", { exact: true }).fill(client_id);
    await page.getByLabel("Client secret", { exact: true }).fill(client_secret);
    // The script fills in the browser's own.
    const zone = page.getByLabel("Time zone of the office").first();
    if (!(await zone.inputValue())) await zone.fill("America/Chicago");
    await page.getByRole("button", { name: "Connect", exact: true }).click();
}

/// The company's id, from the address of its page.
const tenantOf = (page) => new URL(page.url()).pathname.split("/")[2];

/// The bearer token of a page that shows one once.
async function makeToken(page) {
    await page.getByRole("button", { name: "Make a token" }).click();
    await page.getByRole("heading", { level: 1, name: /shown this once/ }).waitFor();
    const file = await page.getByRole("region", { name: "The file's text" }).innerText();
    return file.match(/^SF_MCP_REMOTE_TOKEN=(\S+)$/m)[1];
}

/// What an AI client does first, and one call.
async function callBoard(url, token) {
    const client = new Client({ name: "pages-test", version: "1" });
    const requestInit = { headers: { authorization: `Bearer ${token}` } };
    await client.connect(new StreamableHTTPClientTransport(new URL(url), { requestInit }));
    const board = await client.callTool({ name: "get_dispatch_board", arguments: {} });
    await client.close();
    assert.ok(!board.isError, JSON.stringify(board.content));
}

async function save(page, name) {
    // The first of a program is compressed first, and a debug build takes its time for that.
    const timeout = 120_000;
    const button = page.getByRole("button", { name });
    const [download] = await Promise.all([page.waitForEvent("download", { timeout }), button.click({ timeout })]);
    const pieces = [];
    for await (const piece of await download.createReadStream()) pieces.push(piece);
    return { name: download.suggestedFilename(), bytes: Buffer.concat(pieces) };
}

/// What an AI client opens in the browser of its person.
async function authorizeUrl(service, name = "Test assistant") {
    const redirect_uri = "http://127.0.0.1:3118/callback";
    const answer = await fetch(`${service.origin}/oauth/register`, {
        method: "POST", headers: { "content-type": "application/json" },
        body: JSON.stringify({ client_name: name, redirect_uris: [redirect_uri] }),
    });
    const { client_id } = await answer.json();
    const code_challenge = createHash("sha256").update("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").digest("base64url");
    const query = new URLSearchParams({
        response_type: "code", client_id, redirect_uri, state: "s", scope: "sf:read sf:write", code_challenge, code_challenge_method: "S256",
    });
    return `/oauth/authorize?${query}`;
}

group("A newcomer", (here) => {
    test("goes from the first page to the extension, a working address and a first call", async (t) => {
        const { service, browser } = here;
        const page = await browser.person();

        const code = await begin(here, page, "Acme Heating", ANNA);
        await looked(page, "signup-code");
        // As it is pasted from a mail.
        await page.getByLabel("Code").fill(` ${code.slice(0, 3)} ${code.slice(3)} `);
        await page.getByRole("button", { name: "Go on" }).click();
        await page.waitForURL("**/sign-up/connect");
        await looked(page, "signup-connect");
        await connect(here, page);
        await page.waitForURL("**/install?done=connected");
        await page.getByText("Service Fusion is connected.").waitFor();
        await looked(page, "install-waiting");
        const install = page.url();

        assert.equal(await page.locator("#connector").innerText(), `${service.origin}/mcp`);
        await page.getByRole("button", { name: "Copy the connector's address" }).click();
        assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${service.origin}/mcp`);
        const refused = await fetch(`${service.origin}/mcp`, { method: "POST", body: "{}" });
        assert.equal(refused.status, 401);
        assert.match(refused.headers.get("www-authenticate"), /resource_metadata=/);

        const file = await save(page, "Save the extension");
        assert.equal(file.name, "service-fusion.mcpb");
        const manifest = JSON.parse(execFileSync("python3", ["-c", READ_ZIP], { input: file.bytes }));
        assert.equal(manifest.display_name, "Service Fusion (Acme Heating)");
        assert.match(manifest.server.mcp_config.env.SF_MCP_DEVICE_TOKEN, /^sfd_/);

        for (const name of ["Add to Cursor", "Add to VS Code"]) {
            const link = await page.getByRole("link", { name, exact: true }).getAttribute("href");
            assert.match(decodeURIComponent(link), /^(cursor:\/\/anysphere\.cursor-deeplink|vscode:)/);
            assert.ok(!/sf[abd]_/.test(decodeURIComponent(link)), "a hosted link has no token");
        }
        await page.getByText(`claude mcp add --transport http --scope user service-fusion ${service.origin}/mcp`).waitFor();
        await page.getByText(`codex mcp add service-fusion --url ${service.origin}/mcp`).waitFor();

        const watching = await page.context().newPage();
        await watching.goto(install);
        await watching.getByText("Waiting for the first call").waitFor();
        const token = await makeToken(page);
        await looked(page, "install-shown-once");
        await callBoard(`${service.origin}/mcp`, token);
        await watching.getByText("It works: ").waitFor({ timeout: 30_000 });
        assert.equal(await watching.locator("#check.ok").count(), 1);
        assert.equal(await watching.getByRole("link", { name: "Check again" }).count(), 0);

        await page.goto(install);
        await page.getByText("It works: ").waitFor();
        await looked(page, "install-green");

        for (const path of ["/", "/sign-up/connect", new URL(install).pathname, `/app/${tenantOf(page)}/reconnect`]) {
            const bytes = await weight(page, path);
            t.diagnostic(`${path.replace(tenantOf(page), "…")}: ${bytes} bytes`);
            assert.ok(bytes <= LARGEST, `${path}: ${bytes} bytes`);
        }
        assert.deepEqual(page.problems, []);
    });

    test("sees a first page and a sign-in that weigh little and hide nothing", async (t) => {
        const page = await here.browser.person({ expected: [404] });
        for (const [path, name] of [["/", "first"], ["/sign-in", "sign-in"], ["/nothing-here", "not-found"]]) {
            const bytes = await weight(page, path);
            const painted = await page.evaluate(() => performance.getEntriesByName("first-contentful-paint")[0]?.startTime);
            t.diagnostic(`${path}: ${bytes} bytes, first contentful paint ${Math.round(painted)} ms`);
            assert.ok(bytes <= LARGEST, `${path}: ${bytes} bytes`);
            await looked(page, name);
        }
        assert.deepEqual(page.problems, []);
    });

    test("connects an assistant on the same pages: sign-in, code, consent", async () => {
        const { service, browser } = here;
        const page = await browser.person();
        await page.goto(await authorizeUrl(service));
        await page.getByRole("heading", { name: "Sign in to connect “Test assistant”" }).waitFor();
        await looked(page, "oauth-sign-in");
        await page.getByLabel("E-mail address").fill(ANNA);
        const code = await codeFor(service, ANNA, () => page.getByRole("button", { name: "Send me a code" }).click());
        await looked(page, "oauth-code");
        await page.getByLabel("Code").fill(code);
        await page.getByRole("button", { name: "Go on" }).click();
        await page.getByRole("heading", { name: "Connect “Test assistant” to Service Fusion?" }).waitFor();
        await looked(page, "oauth-consent");
        await page.getByRole("button", { name: "I am somebody else" }).click();
        await page.getByRole("heading", { name: "Sign in to connect “Test assistant”" }).waitFor();
        assert.deepEqual(page.problems, []);
    });

    test("replaces the credentials later, and signs out", async () => {
        const { service, browser } = here;
        const page = await browser.person();
        const { id } = await addCompany(service, "Bolt Plumbing", "bob@example.com");
        await signIn(service, page, "bob@example.com", `/app/${id}/reconnect`);
        await page.getByRole("heading", { name: "Replace the connection" }).waitFor();
        await looked(page, "reconnect");
        await connect(here, page);
        await page.waitForURL("**/install?done=connected");

        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByRole("heading", { name: "Sign your company up" }).waitFor();
        await page.goto(`/app/${id}/install`);
        assert.match(page.url(), /\/sign-in\?next=%2Fapp%2Ften_/);
        assert.deepEqual(page.problems, []);
    });
});

group("In the browser", (here) => {
    test("an owner allows an OAuth App and comes back to the install page", async () => {
        const { service, browser } = here;
        const page = await browser.person();
        await proven(here, page, "Acme Heating", ANNA);
        await page.getByLabel("Client id of the app").fill("sandbox-app");
        await page.getByLabel("Client secret of the app").fill("sandbox-app-secret");
        await page.getByRole("button", { name: "Go on in the browser" }).click();
        const link = page.getByRole("link", { name: "Go to Service Fusion" });
        await link.waitFor();
        await looked(page, "signup-allow");
        page.elsewhere = [new URL(await link.getAttribute("href")).origin];
        await link.click();
        await page.getByRole("button", { name: /allow/i }).first().click();
        await page.waitForURL(`${service.origin}/app/*/install?done=connected`);
        assert.deepEqual(page.problems, []);
    });

    test("somebody who is brought to another's consent connects nothing", async () => {
        const { service, browser } = here;
        const attacker = await browser.person();
        await proven(here, attacker, "Evil Heating", "eve@example.com");
        await attacker.getByLabel("Client id of the app").fill("sandbox-app");
        await attacker.getByLabel("Client secret of the app").fill("sandbox-app-secret");
        await attacker.getByRole("button", { name: "Go on in the browser" }).click();
        const link = await attacker.getByRole("link", { name: "Go to Service Fusion" }).getAttribute("href");

        const victim = await browser.person({ expected: [400] });
        victim.elsewhere = [new URL(link).origin];
        await victim.goto(link);
        await victim.getByRole("button", { name: /allow/i }).first().click();
        await victim.getByText("nothing was connected").waitFor();
        await looked(victim, "signup-not-connected");
        const database = new DatabaseSync(service.database, { readOnly: true, timeout: 5000 });
        const { activated_at } = database.prepare("SELECT activated_at FROM tenants WHERE company = 'Evil Heating'").get();
        database.close();
        assert.equal(activated_at, null);
    });
});

group("Without a script", (here) => {
    test("everything works too", async () => {
        const { service, browser } = here;
        const page = await browser.person({ javaScript: false });
        await proven(here, page, "Acme Heating", ANNA);
        await connect(here, page);
        await page.waitForURL("**/install?done=connected");
        const install = page.url();
        const token = await makeToken(page);
        await callBoard(`${service.origin}/mcp`, token);
        await page.goto(install);
        // The figures are written within the second.
        for (let tries = 0; tries < 20 && !(await page.locator("#check.ok").count()); tries += 1) {
            await page.getByRole("link", { name: "Check again" }).click();
            await page.reload();
        }
        await page.getByText("It works: ").waitFor();
        await page.getByLabel("Kind of computer").selectOption("Windows");
        const file = await save(page, "Save the extension");
        assert.equal(file.bytes.subarray(0, 2).toString(), "PK");
        await page.getByText("Make the local form for Cursor").click();
        await page.getByRole("button", { name: "Make it, with a token of its own" }).first().click();
        await page.getByRole("heading", { name: "Cursor: shown this once" }).waitFor();
        await page.getByRole("button", { name: "Sign out" }).click();
        await page.getByRole("heading", { name: "Sign your company up" }).waitFor();
        assert.deepEqual(page.problems, []);
    });
});

group("With the keyboard alone", (here) => {
    test("a company signs up and connects", async () => {
        const { service, browser } = here;
        const page = await browser.person();
        const type = async (label, text) => {
            await tabTo(page, label);
            await page.keyboard.type(text);
        };
        await page.goto("/");
        await page.keyboard.press("Tab");
        assert.equal(await page.evaluate(() => document.activeElement.innerText), "Skip to the content");
        await page.keyboard.press("Enter");
        await type("Company", "Acme Heating");
        await type("Your e-mail address at work", ANNA);
        const code = await codeFor(service, ANNA, () => page.keyboard.press("Enter"));
        await page.getByLabel("Code").waitFor();
        // The field has the focus already.
        await page.keyboard.type(code);
        await page.keyboard.press("Enter");
        await page.waitForURL("**/sign-up/connect");
        await type("Client id", service.credentials.client_id);
        await type("Client secret", service.credentials.client_secret);
        await tabTo(page, "Time zone of the office");
        assert.notEqual(await page.evaluate(() => document.activeElement.value), "", "the browser's own is there");
        await tabTo(page, "Connect");
        const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
        assert.equal(outline, "solid", "the focus is seen");
        await page.keyboard.press("Enter");
        await page.waitForURL("**/install?done=connected");
        await tabTo(page, "Copy the connector's address");
        await page.keyboard.press("Enter");
        assert.equal(await page.evaluate(() => navigator.clipboard.readText()), `${service.origin}/mcp`);
        await tabTo(page, "Make a token");
        await page.keyboard.press("Enter");
        await page.getByRole("heading", { name: /shown this once/ }).waitFor();
        assert.deepEqual(page.problems, []);
    });
});

group("What is wrong", (here) => {
    test("is said beside the field, and what was typed stays", async () => {
        const page = await here.browser.person({ expected: [400] });
        await page.goto("/");
        const field = { company: page.getByLabel("Company"), email: page.getByLabel("Your e-mail address at work") };
        await field.company.fill("win at https://example.com");
        await field.email.fill("nobody@nowhere@example");
        await page.evaluate(() => document.querySelector("form[action='/sign-up']").noValidate = true);
        await page.getByRole("button", { name: "Send me a code" }).click();
        await page.getByText("This must be a name, without web addresses.").waitFor();
        await page.getByText("Give one e-mail address").waitFor();
        assert.equal(await field.company.inputValue(), "win at https://example.com");
        assert.equal(await field.email.getAttribute("aria-invalid"), "true");
        await looked(page, "first-wrong");
        assert.deepEqual(page.problems, []);
    });

    test("codes: a wrong one, one out of date, and one after five tries", async () => {
        const { service, browser } = here;
        const page = await browser.person({ expected: [400, 429] });
        const answer = async (code) => {
            await page.getByLabel("Code").fill(code);
            await page.getByRole("button", { name: "Go on" }).click();
            await page.waitForLoadState();
        };
        const wrong = (code) => String((Number(code) + 1) % 1_000_000).padStart(6, "0");
        let code = await begin(here, page, "Acme Heating", ANNA);
        await answer(wrong(code));
        await page.getByText("This code is wrong").waitFor();
        await looked(page, "signup-code-wrong");

        const database = new DatabaseSync(service.database, { timeout: 5000 });
        database.prepare("UPDATE codes SET expires_at = 1 WHERE email = ?").run(ANNA);
        await answer(code);
        await page.getByText("older than ten minutes").waitFor();

        code = await codeFor(service, ANNA, () => page.getByRole("button", { name: "send another code" }).click());
        for (let tries = 0; tries < 5; tries += 1) await answer(wrong(code));
        await answer(code);
        await page.getByText("This code is wrong").waitFor();
        assert.equal(database.prepare("SELECT COUNT(*) AS n FROM tenants").get().n, 0);
        assert.equal(database.prepare("SELECT COUNT(*) AS n FROM sessions").get().n, 0);
        database.close();
        assert.deepEqual(page.problems, []);
    });

    test("credentials that Service Fusion refuses are not stored, and the secret is not shown again", async () => {
        const page = await here.browser.person({ expected: [422, 400] });
        await proven(here, page, "Cool Air", "carl@example.com");
        await connect(here, page, { client_id: "sandbox-consumer", client_secret: "not-the-secret" });
        await page.getByText("Service Fusion does not accept these credentials").waitFor();
        assert.equal(await page.getByLabel("Client id", { exact: true }).inputValue(), "sandbox-consumer");
        assert.equal(await page.getByLabel("Client secret", { exact: true }).inputValue(), "");
        assert.ok(!(await page.content()).includes("not-the-secret"));
        await looked(page, "signup-connect-refused");

        await connect(here, page, { client_id: "two words", client_secret: "x" });
        await page.getByText("The client id must be copied from Service Fusion").waitFor();
        await page.getByLabel("Time zone of the office").first().fill("Chicago");
        await connect(here, page);
        await page.getByText("The time zone must be a name of the time zone database").waitFor();
        page.expected.push(404);
        await page.goto("/app/nothing/install");
        await page.reload();
        await page.getByText("There is no such page").waitFor();
    });

    test("a known address sees what an unknown one sees", async () => {
        const { service, browser } = here;
        const seen = async (address) => {
            const page = await browser.person();
            await page.goto("/sign-in");
            await page.getByLabel("E-mail address").fill(address);
            await page.getByRole("button", { name: "Send me a code" }).click();
            await page.getByLabel("Code").waitFor();
            const html = await page.content();
            return html.replaceAll(/form_token" value="[^"]+"/g, "").replaceAll(address, "ADDRESS");
        };
        await addCompany(service, "Deluxe Drains", "dora@example.com");
        assert.equal(await seen("dora@example.com"), await seen("unknown@example.com"));
    });
});

group("Nasty names", (here) => {
    test("run nothing anywhere", async () => {
        const { service, browser } = here;
        const page = await browser.person({ expected: [422] });
        await proven(here, page, NASTY, ANNA);
        assert.ok(await page.getByText(`${NASTY} is signed up.`).count());
        await connect(here, page, { client_id: "<img/src=x/onerror=alert(3)>", client_secret: "'\"><script>alert(4)</script>" });
        await page.getByText("does not accept").waitFor();
        await connect(here, page);
        await page.waitForURL("**/install?done=connected");
        assert.ok((await page.title()).includes(NASTY));
        await page.getByLabel("Kind of computer").selectOption("Windows");
        const file = await save(page, "Save the extension");
        const manifest = JSON.parse(execFileSync("python3", ["-c", READ_ZIP], { input: file.bytes }));
        assert.ok(manifest.display_name.includes("<script>"));
        await page.getByText("Make the local form for Codex").click();
        await page.locator("form[action$='/install/codex']").getByRole("button").click();
        await page.getByRole("heading", { name: /shown this once/ }).waitFor();
        await page.goto(await authorizeUrl(service, NASTY.slice(0, 60)));
        await page.getByRole("heading", { name: /Connect “<img/ }).waitFor();
        assert.deepEqual(page.problems, []);
    });
});

group("A stranger", (here) => {
    let anna, tenant;
    before(async () => {
        anna = await here.browser.person();
        await proven(here, anna, "Acme Heating", ANNA);
        await connect(here, anna);
        await anna.waitForURL("**/install?done=connected");
        tenant = tenantOf(anna);
    });

    test("cannot send a form for somebody else", async () => {
        const { service } = here;
        const path = `/app/${tenant}/install/env`;
        const form = { ...(await hidden(anna, path)), form: "remote" };
        const other = await here.browser.person();
        await other.goto("/sign-in");
        const foreign = await hidden(other, "/sign-in");
        const reconnect = await hidden(anna, "/sign-out");
        const attempts = {
            "no token": { form: { ...form, form_token: "" } },
            "no request": { form: { ...form, request: "" } },
            "another browser's token": { form: { ...form, form_token: foreign.form_token } },
            "a token for another path": { form: { ...reconnect, form: "remote" } },
            "another origin": { form, headers: { origin: "https://evil.example" } },
            "an opaque origin": { form, headers: { origin: "null" } },
            "no cookie": { form, headers: { cookie: "" } },
            "two cookies of one name": { form, headers: { cookie: (await cookies(anna)) + "; " + (await cookies(anna)) } },
        };
        for (const [what, attempt] of Object.entries(attempts)) {
            const answer = await send(anna, path, attempt);
            assert.equal(answer.status, 403, what);
            assert.ok(!/sfb_/.test(await answer.text()), what);
        }
        // The very same form from the right page does it.
        const answer = await send(anna, path, { form });
        assert.equal(answer.status, 200);
        assert.match(await answer.text(), /sfb_/);
        for (const post of ["/sign-up", "/sign-up/code", "/sign-up/connect", "/sign-in", "/sign-in/code", "/sign-out", `/app/${tenant}/reconnect`]) {
            const answer = await send(anna, post, { form: { email: ANNA, company: "X", request: post } });
            assert.equal(answer.status, 403, post);
        }
        assert.equal(service.mails(ANNA).length, 1);
    });

    test("cannot frame a page", async () => {
        const { service, browser } = here;
        const answer = await fetch(service.origin, { headers: { accept: "text/html" } });
        assert.match(answer.headers.get("content-security-policy"), /frame-ancestors 'none'/);
        assert.equal(answer.headers.get("x-frame-options"), "DENY");
        assert.equal(answer.headers.get("cache-control"), "no-store");

        const site = createServer((_, response) => response.setHeader("content-type", "text/html").end(`<iframe src="${service.origin}/"></iframe>`));
        await new Promise((done) => site.listen(0, "127.0.0.1", done));
        const page = await browser.person();
        await page.goto(`http://127.0.0.1:${site.address().port}/`);
        assert.equal(await page.frames()[1].locator("form").count(), 0);
        assert.ok(page.problems.some((problem) => problem.includes("frame-ancestors")), page.problems.join("\n"));
        site.close();
        site.closeAllConnections();
    });

    test("gains nothing by a cookie planted before the sign-in, nor by one from after the sign-out", async () => {
        const { service, browser } = here;
        const attacker = await browser.person();
        await attacker.goto("/");
        const [planted] = await attacker.context().cookies();
        const victim = await browser.person();
        await victim.context().addCookies([planted]);
        await signIn(service, victim, ANNA, `/app/${tenant}/install`);
        const [fresh] = await victim.context().cookies();
        assert.notEqual(fresh.value, planted.value);
        assert.deepEqual([fresh.httpOnly, fresh.sameSite], [true, "Lax"]);
        await attacker.goto(`/app/${tenant}/install`);
        assert.match(attacker.url(), /\/sign-in/);

        await victim.getByRole("button", { name: "Sign out" }).click();
        await victim.getByRole("heading", { name: "Sign your company up" }).waitFor();
        await attacker.context().clearCookies();
        await attacker.context().addCookies([fresh]);
        await attacker.goto(`/app/${tenant}/install`);
        assert.match(attacker.url(), /\/sign-in/);
    });

    test("sees no other company, and is led to no other site", async () => {
        const { service, browser } = here;
        const page = await browser.person({ expected: [404] });
        await addCompany(service, "Bolt Plumbing", "bob@example.com");
        await page.goto("/sign-in?next=https://evil.example/app");
        assert.equal((await hidden(page, "/sign-in")).next, "");
        await signIn(service, page, "bob@example.com", "/sign-up/connect");
        for (const path of [`/app/${tenant}/install`, `/app/${tenant}/install/check`, `/app/${tenant}/reconnect`]) {
            const answer = await page.goto(path);
            assert.equal(answer.status(), 404, path);
            assert.ok(!(await page.content()).includes("Acme"), path);
        }
        assert.deepEqual(page.problems, []);
    });

    test("who was invited installs, but does not replace the credentials", async () => {
        const { service, browser } = here;
        const database = new DatabaseSync(service.database, { timeout: 5000 });
        database.prepare("INSERT INTO members (id, tenant_id, email, role, scopes, created_at) VALUES ('mem_guest', ?, 'gus@example.com', 'member', 'sf:read', 1)").run(tenant);
        const page = await browser.person({ expected: [403] });
        await signIn(service, page, "gus@example.com", `/app/${tenant}/reconnect`);
        await page.getByRole("heading", { name: "Only an owner may do that" }).waitFor();
        await page.goto(`/app/${tenant}/install`);
        await makeToken(page);
        const { scopes } = database.prepare("SELECT scopes FROM tokens WHERE member_id = 'mem_guest'").get();
        assert.equal(scopes, "sf:read");

        database.prepare("UPDATE tenants SET suspended_at = 1 WHERE id = ?").run(tenant);
        await page.goto(`/app/${tenant}/install`);
        await page.getByRole("heading", { name: "Access is suspended" }).waitFor();
        await looked(page, "suspended");
        database.close();
        assert.deepEqual(page.problems, []);
    });
});

group("A service without sf-mcp for other computers", (here) => {
    test("says so to somebody on one, and what to do", async () => {
        const { service, browser } = here;
        const { id } = await addCompany(service, "Acme Heating", ANNA);
        const page = await browser.person({ userAgent: "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 Chrome/140.0.0.0 Safari/537.36" });
        await signIn(service, page, ANNA, `/app/${id}/install`);
        await page.getByText("This service has no extension for macOS yet.").waitFor();
        assert.deepEqual(await page.getByLabel("Kind of computer").locator("option").allInnerTexts(), ["Linux", "Windows"]);
        await looked(page, "install-no-extension");
        assert.deepEqual(page.problems, []);
    });
});

const cookies = async (page) => (await page.context().cookies()).map(({ name, value }) => `${name}=${value}`).join("; ");
