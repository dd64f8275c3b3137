// Signing in and allowing, as people see it in real Chromium: for everybody, on every screen, by keyboard, and against
// those who would have somebody allow what they did not mean to.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { openCallback } from "./callback.mjs";
import { startHosted } from "./hosted.mjs";
import { openBrowser, Person } from "./person.mjs";

const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const ARTEFACTS = fileURLToPath(new URL("../artefacts/", import.meta.url));
const NASTY = `"><img src=x onerror=alert(1)><script>alert(2)</script>{{7*7}}&lt;`;
const CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

describe("The pages of the OAuth server", () => {
    let service, browser, callback, open;
    let count = 0;
    before(async () => {
        mkdirSync(ARTEFACTS, { recursive: true });
        service = await startHosted();
        browser = await openBrowser();
        callback = await openCallback();
    });
    after(async () => {
        await browser?.close();
        await callback?.close();
        await service?.stop();
    });
    beforeEach(() => {
        open = [];
        service.change("DELETE FROM counters");
    });
    afterEach(async () => {
        for (const person of open) await person.close();
    });

    /// Somebody of a company, at a browser.
    const arrive = async (options, ...tenants) => {
        const email = `person${(count += 1)}@acme.test`;
        for (const tenant of tenants.length ? tenants : ["ten_1"]) service.addMember(email, { tenant });
        const person = await Person.at(browser, service, email, options);
        open.push(person);
        return person;
    };

    const registered = async (name = "Claude", redirect_uris = [callback.url]) => {
        const body = JSON.stringify({ client_name: name, redirect_uris });
        const answer = await fetch(`${service.origin}/oauth/register`, { method: "POST", headers: { "content-type": "application/json" }, body });
        assert.equal(answer.status, 201);
        return (await answer.json()).client_id;
    };

    const request = (client_id, changes = {}) =>
        `${service.origin}/oauth/authorize?${new URLSearchParams({
            response_type: "code", client_id, redirect_uri: callback.url, state: "s", scope: "sf:read",
            code_challenge: CHALLENGE, code_challenge_method: "S256", resource: service.url, ...changes,
        })}`;

    for (const theme of ["light", "dark"]) {
        for (const width of [320, 768, 1440]) {
            test(`nothing overflows and axe finds nothing, ${theme}, ${width} px`, async () => {
                const other = service.addCompany("Überlandwärmepumpenanlagenbaugesellschaft-und-Nachfolger-mbH & Co. KG");
                const person = await arrive({ colorScheme: theme, viewport: { width, height: 800 } }, "ten_1", other);
                const url = request(await registered(NASTY), { scope: "sf:read sf:write" });
                const { page } = person;
                const look = async (name) => {
                    await page.screenshot({ path: `${ARTEFACTS}oauth-${name}-${theme}-${width}.png`, fullPage: true });
                    const [wide, room] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
                    assert.ok(wide <= room, `${name}: ${wide} px in ${room}`);
                    assert.deepEqual(await violations(page), [], name);
                    assert.deepEqual(person.problems, [], name);
                };

                await page.goto(url);
                await look("sign-in");
                await page.getByLabel("E-mail address").fill("nobody@-");
                await page.getByLabel("E-mail address").evaluate((field) => field.form.submit());
                await page.getByRole("alert").waitFor();
                await look("sign-in-again");
                await page.getByLabel("E-mail address").fill(person.email);
                await person.button("Send me a code").click();
                await page.getByLabel("Code").fill("000");
                await look("code");
                await person.button("Go on").click();
                await page.getByRole("alert").waitFor();
                await look("code-again");
                await page.getByLabel("Code").fill(await person.code());
                await person.button("Go on").click();
                await person.button("Allow").waitFor();
                await look("consent");
                service.change("UPDATE members SET removed_at = 1 WHERE email = ?", person.email);
                await page.goto(url);
                assert.equal(await person.heading(), "There is no company to connect");
                await look("no-company");
                await page.goto(`${service.origin}/oauth/authorize?client_id=unknown`);
                await look("failed");
            });
        }
    }

    test("what strangers call themselves is text, and so is a company's name", async () => {
        const tenant = service.addCompany(NASTY);
        const person = await arrive({}, tenant);
        await person.page.goto(request(await registered(NASTY)));
        assert.ok((await person.heading()).includes(NASTY));
        await person.signIn();

        const text = await person.page.getByRole("main").innerText();

        assert.equal(text.split(NASTY).length - 1 >= 3, true, "client twice, company once");
        assert.equal(await person.page.locator("main :is(img, script, iframe, object, embed), [onerror]").count(), 0);
        assert.deepEqual(person.problems, []);
    });

    test("the keyboard is enough, and shows where it is", async () => {
        const person = await arrive();
        const { keyboard } = person.page;
        await person.page.goto(request(await registered(), { scope: "sf:read sf:write" }));
        await person.page.getByLabel("E-mail address").and(person.page.locator(":focus")).waitFor();
        await keyboard.type(person.email);
        await keyboard.press("Enter");
        await person.page.getByLabel("Code").and(person.page.locator(":focus")).waitFor();
        await keyboard.type(await person.code());
        await keyboard.press("Enter");
        await person.button("Allow").waitFor();

        const to = async (name) => {
            for (let steps = 0; steps < 15; steps += 1) {
                await keyboard.press("Tab");
                const [label, outline] = await person.page.evaluate(() => {
                    const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement);
                    const field = document.activeElement;
                    return [field.labels?.[0]?.innerText ?? field.innerText, outlineStyle === "none" ? 0 : parseFloat(outlineWidth)];
                });
                assert.ok(outline > 0, `${label} does not show that it has the focus`);
                if (label.startsWith(name)) return;
            }
            assert.fail(`Tab does not reach ${name}`);
        };
        await to("create");
        await keyboard.press("Space");
        await to("Allow");
        await keyboard.press("Enter");

        assert.ok((await callback.next()).get("code"));
        const [{ scopes }] = service.ask("SELECT scopes FROM oauth_families ORDER BY created_at DESC LIMIT 1");
        assert.equal(scopes, "sf:read", "the tick was taken away");
    });

    test("where the person is sent is shown, and a program on this computer is warned of", async () => {
        const person = await arrive();
        await person.page.goto(request(await registered()));
        await person.signIn();
        const here = await person.page.getByRole("main").innerText();
        const elsewhere = "https://assistant.example/callback";
        await person.page.goto(request(await registered("Elsewhere", [elsewhere]), { redirect_uri: elsewhere }));
        const there = await person.page.getByRole("main").innerText();

        assert.match(here, /127\.0\.0\.1 \(this computer\)/);
        assert.match(here, /any program here could say it is/);
        assert.match(here, /not proven/);
        assert.match(there, /assistant\.example/);
        assert.doesNotMatch(there, /this computer/);
        assert.ok(there.includes(person.email) && there.includes("Acme"));
    });

    test("a cookie that was planted before signing in is worth nothing after", async () => {
        const person = await arrive();
        const url = request(await registered());
        await person.page.goto(url);
        const [planted] = await person.context.cookies();
        await person.signIn();
        const [own] = await person.context.cookies();
        const thief = await arrive();
        await thief.context.addCookies([planted]);
        await thief.page.goto(url);

        assert.notEqual(own.value, planted.value);
        assert.equal(own.httpOnly, true);
        assert.equal(own.sameSite, "Lax");
        assert.equal(await thief.page.getByLabel("E-mail address").isVisible(), true);
    });

    test("another page can neither send the form nor frame it", async () => {
        const person = await arrive();
        const url = request(await registered());
        await person.page.goto(url);
        await person.signIn();
        const fields = await person.page.locator("form").first().evaluate((form) => [...new FormData(form)]);
        const page = await evil(service, url, [...fields, ["write", "yes"], ["decision", "allow"]]);

        // The same site, so that the browser sends the cookie along; the origin is another.
        await person.page.goto(`${page.url}/form`);
        await person.page.getByRole("button").click();
        await person.page.getByText("This form is not from a page").waitFor();
        await person.page.goto(`${page.url}/frame`);
        const framed = await person.page.frames()[1].evaluate(() => document.body?.innerText ?? "").catch(() => "");
        await page.close();

        assert.doesNotMatch(framed, /Connect/);
        assert.equal(callback.isUnvisited(), true);
    });

    test("a form of one request does not serve another, nor another person", async () => {
        const person = await arrive();
        const other = await arrive();
        await person.page.goto(request(await registered()));
        await person.signIn();
        await other.page.goto(request(await registered("Other")));
        await other.signIn();
        const [mine, theirs] = await Promise.all([person, other].map(({ page }) => page.locator("[name=form_token]").first().inputValue()));

        await other.page.locator("[name=form_token]").first().evaluate((field, value) => (field.value = value), mine);
        await other.button("Allow").click();
        await other.page.getByText("This form is not from a page").waitFor();
        await person.page.goto(request(await registered("Third")));
        await person.page.locator("[name=form_token]").first().evaluate((field, value) => (field.value = value), mine);
        await person.button("Allow").click();
        await person.page.getByText("This form is not from a page").waitFor();

        assert.notEqual(mine, theirs);
        assert.equal(callback.isUnvisited(), true);
    });

    test("every page says that it is not to be framed, kept, or made to run anything", async () => {
        const person = await arrive();
        const client = await registered();
        for (const url of [request(client), request("cli_unknown")]) {
            const headers = (await person.page.goto(url)).headers();

            assert.equal(headers["x-frame-options"], "DENY");
            assert.match(headers["content-security-policy"], /default-src 'none'.*frame-ancestors 'none'/);
            assert.doesNotMatch(headers["content-security-policy"], /unsafe|script-src (?!'self')/);
            assert.equal(headers["cache-control"], "no-store");
            assert.equal(headers["x-content-type-options"], "nosniff");
            assert.equal(headers["referrer-policy"], "same-origin");
        }
    });

    test("who is somebody else signs out and in again", async () => {
        const person = await arrive();
        const other = await arrive();
        await person.page.goto(request(await registered()));
        await person.signIn();
        await person.button("I am somebody else").click();
        await person.signIn(other.email);

        assert.ok((await person.page.getByRole("main").innerText()).includes(other.email));
        assert.deepEqual(person.problems, []);
    });
});

/// A stranger's site that knows all of a form.
async function evil(service, url, fields) {
    const escaped = (text) => text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
    const inputs = fields.map(([name, value]) => `<input type="hidden" name="${name}" value="${escaped(value)}">`).join("");
    const pages = {
        "/form": `<form method="post" action="${service.origin}/oauth/consent">${inputs}<button>Win a prize</button></form>`,
        "/frame": `<iframe src="${escaped(url)}" width="600" height="600"></iframe>`,
    };
    const server = createServer(({ url: path }, response) => {
        response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>Prizes</title>${pages[path] ?? ""}`);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return {
        url: `http://127.0.0.1:${server.address().port}`,
        async close() {
            server.close();
            server.closeAllConnections();
            await once(server, "close");
        },
    };
}

async function violations(page) {
    // The pages allow no scripts; this one comes from the debugger.
    await page.evaluate(AXE);
    const { violations } = await page.evaluate(() =>
        axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join("\n")}`);
}
