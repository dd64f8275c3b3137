// The official TypeScript clients log in at the hosted endpoint by its URL alone: they find the OAuth server, register,
// send a person to it in real Chromium, and go on with what they get.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, describe, test } from "node:test";

import { openCallback } from "./callback.mjs";
import { startHosted } from "./hosted.mjs";
import { CLIENTS, connect, finish, Login } from "./login.mjs";
import { openBrowser, Person } from "./person.mjs";
import { catalogue, eventually, names } from "./server.mjs";

const CUSTOMER = { name: "create_customer", arguments: { name: "Step Up Plumbing" } };

for (const [name, kind] of Object.entries(CLIENTS)) {
    describe(`OAuth, ${name}`, () => {
        let service, browser, callback, person, login, open;
        let count = 0;
        before(async () => {
            service = await startHosted();
            browser = await openBrowser();
        });
        after(async () => {
            await browser?.close();
            await service?.stop();
        });
        beforeEach(async () => {
            open = [];
            callback = await openCallback();
            const email = `person${(count += 1)}@acme.test`;
            service.addMember(email);
            person = await Person.at(browser, service, email);
            login = new Login(callback);
        });
        afterEach(async () => {
            for (const client of open) await client.close();
            await person.close();
            await callback.close();
        });

        const connected = async (decision) => {
            const client = await connect(kind, service.url, login, person, decision);
            open.push(client);
            return client;
        };
        /// As if its hour were over.
        const expire = async () => {
            const { access_token: token } = login.kept.tokens;
            const { n } = service.ask("SELECT count(*) AS n FROM oauth_access_tokens WHERE expires_at > 1")[0];
            assert.equal(service.change("UPDATE oauth_access_tokens SET expires_at = 1 WHERE expires_at > 1"), n);
            await eventually(async () => (await status(service, token)) === 401, "the token is refused");
            return token;
        };

        test("the URL is enough", async () => {
            const client = await connected({ write: false });

            const { tools } = await client.listTools();
            const board = await kind.call(client, { name: "get_dispatch_board", arguments: {} });
            const asked = login.asked[0].searchParams;

            assert.equal(kind.protocol(client), kind.speaks);
            assert.deepEqual(names(tools), catalogue());
            assert.ok(board.structuredContent.technicians.length > 0);
            assert.equal(asked.get("resource"), service.url);
            assert.equal(asked.get("code_challenge_method"), "S256");
            assert.equal(login.kept.tokens.scope, "sf:read");
            assert.match(login.kept.client.client_id, /^cli_/);
            assert.equal(login.asked.length, 1);
            assert.deepEqual(person.problems, []);
        });

        test("an expired access token is refreshed, and nobody is asked", async () => {
            const client = await connected();
            const { refresh_token: refresh } = login.kept.tokens;
            const old = await expire();

            const board = await kind.call(client, { name: "get_dispatch_board", arguments: {} });

            assert.ok(board.structuredContent.technicians.length > 0);
            assert.notEqual(login.kept.tokens.access_token, old);
            assert.notEqual(login.kept.tokens.refresh_token, refresh);
            assert.equal(login.asked.length, 1);
        });

        test("two that refresh at once both go on, and so does the login", async () => {
            const one = await connected();
            const other = await connected();
            const call = (client) => kind.call(client, { name: "get_dispatch_board", arguments: {} });
            for (let round = 0; round < 2; round += 1) {
                await expire();

                const answers = await Promise.all([call(one), call(other), call(one), call(other)]);

                for (const answer of answers) assert.ok(answer.structuredContent.technicians.length > 0);
            }
            assert.equal(login.asked.length, 1);
            assert.deepEqual(families(service, login).map((family) => family.revoked_at), [null]);
        });

        test("what its client revoked is over at once, and the person is asked anew", async () => {
            const client = await connected();
            const { revocation_endpoint: revoke } = login.kept.discovery.authorizationServerMetadata;
            const body = new URLSearchParams({ token: login.kept.tokens.refresh_token, client_id: login.kept.client.client_id });
            assert.equal((await fetch(revoke, { method: "POST", body })).status, 200);

            assert.equal(await status(service, login.kept.tokens.access_token), 401);
            await assert.rejects(kind.call(client, { name: "get_dispatch_board", arguments: {} }), /unauthorized/i);
            assert.equal(login.asked.length, 2);
            const again = await connected();
            assert.deepEqual(names((await again.listTools()).tools), catalogue());
        });

        test("what an owner disconnects is over at once", async () => {
            const client = await connected();
            const [{ id }] = families(service, login);
            const path = `${service.origin}/api/connections/${id}`;
            const { status: ended } = await fetch(path, { method: "DELETE", headers: { authorization: `Bearer ${service.token}` } });

            assert.equal(ended, 204);
            await assert.rejects(kind.call(client, { name: "get_dispatch_board", arguments: {} }), /unauthorized/i);
        });

        test("a connection that may only read steps up when it is to create", async () => {
            const client = await connected({ write: false });
            assert.equal(login.kept.tokens.scope, "sf:read");

            if (name.startsWith("sdk")) {
                // It refreshes on 403, which cannot bring more, and gives up; a program then forgets the tokens and logs in anew.
                await assert.rejects(kind.call(client, CUSTOMER), /403 after trying upscoping/);
                login.invalidateCredentials("tokens");
                const again = await connected({ write: true });
                const created = await kind.call(again, CUSTOMER);
                assert.notEqual(created.isError, true, created.content?.[0]?.text);
                return;
            }
            await assert.rejects(kind.call(client, CUSTOMER), /unauthorized/i);
            assert.equal(login.asked[1].searchParams.get("scope"), "sf:read sf:write");
            await finish(kind, client.transport, login, person, {});
            const created = await kind.call(client, CUSTOMER);

            assert.notEqual(created.isError, true, created.content?.[0]?.text);
            assert.equal(login.kept.tokens.scope, "sf:read sf:write");
        });

        test("somebody who may only read is not asked again and again", async () => {
            service.change("UPDATE members SET scopes = 'sf:read' WHERE email = ?", person.email);
            const client = await connected();
            const read = await kind.call(client, { name: "get_dispatch_board", arguments: {} });
            assert.notEqual(read.isError, true);

            if (name.startsWith("sdk")) {
                await assert.rejects(kind.call(client, CUSTOMER), /403 after trying upscoping/);
            } else {
                await assert.rejects(kind.call(client, CUSTOMER), /unauthorized/i);
                await finish(kind, client.transport, login, person, {});
                assert.equal(login.kept.tokens.scope, "sf:read");
            }
            assert.notEqual((await kind.call(client, { name: "get_dispatch_board", arguments: {} })).isError, true);
        });

        test("who does not allow it is believed", async () => {
            const first = kind.make();
            const transport = kind.transport(service.url, login);
            await assert.rejects(first.connect(transport), /unauthorized/i);

            await person.decide(login.asked[0], { allow: false });
            const params = await callback.next();

            assert.equal(params.get("error"), "access_denied");
            assert.equal(params.get("state"), login.kept.state);
            assert.equal(params.get("iss"), service.origin);
            assert.equal(params.has("code"), false);
            if (!name.startsWith("sdk")) await assert.rejects(transport.finishAuth(params), { code: "access_denied" });
            assert.equal(login.kept.tokens, undefined);
            assert.deepEqual(families(service, login), []);
        });

        test("somebody unknown gets no further than the code", async () => {
            const stranger = "stranger@elsewhere.test";
            await assert.rejects(kind.make().connect(kind.transport(service.url, login)), /unauthorized/i);

            await person.page.goto(String(login.asked[0]));
            await person.page.getByLabel("E-mail address").fill(stranger);
            await person.button("Send me a code").click();
            await person.page.getByLabel("Code").fill("123456");
            await person.button("Go on").click();

            assert.match(await person.page.getByRole("alert").innerText(), /code/i);
            const letter = await eventually(() => service.letters().find((text) => text.includes(`\r\nTo: ${stranger}\r\n`)), "a mail");
            assert.doesNotMatch(letter, /^\s*\d{6}\s*$/m);
            assert.equal(callback.isUnvisited(), true);
        });
    });
}

const families = (service, login) => service.ask("SELECT * FROM oauth_families WHERE client_id = ?", login.kept.client.client_id);

async function status(service, token) {
    const answer = await fetch(service.url, {
        method: "POST",
        headers: { authorization: `Bearer ${token}`, "content-type": "application/json" },
        body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "ping" }),
    });
    await answer.text();
    return answer.status;
}
