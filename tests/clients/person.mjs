// A person at a browser: real Chromium, in which they sign in, read what is asked, and decide.

import assert from "node:assert/strict";

import { chromium } from "playwright-core";

import { eventually } from "./server.mjs";

const FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
];

export const openBrowser = (...flags) =>
    chromium.launch({ executablePath: process.env.CHROMIUM || "/usr/bin/chromium", args: [...FLAGS, ...flags] });

export class Person {
    /// `options` are those of a Playwright context. `problems` collects what must never happen on a page of ours.
    static async at(browser, service, email, options = {}) {
        const person = new Person();
        Object.assign(person, { service, email, problems: [] });
        person.context = await browser.newContext(options);
        person.page = await person.context.newPage();
        const { page, problems } = person;
        const isOurs = (url) => url.startsWith(service.origin);
        page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
        page.on("console", (message) => {
            // Chromium reports each 4xx of a page as an error of its own.
            const isStatus = message.text().startsWith("Failed to load resource");
            if (message.type() === "error" && !isStatus) problems.push(`console: ${message.text()}`);
        });
        page.on("dialog", (dialog) => {
            problems.push(`dialog: ${dialog.message()}`);
            dialog.dismiss();
        });
        page.on("request", (request) => {
            const from = request.frame().url();
            if (!request.isNavigationRequest() && isOurs(from) && !isOurs(request.url())) problems.push(`request: ${request.url()}`);
        });
        return person;
    }

    close() {
        return this.context.close();
    }

    heading() {
        return this.page.getByRole("heading", { level: 1 }).innerText();
    }

    button(name) {
        return this.page.getByRole("button", { name, exact: true });
    }

    /// From the address to the consent, or to what is said instead.
    async signIn(email = this.email) {
        const before = this.service.letters().length;
        await this.page.getByLabel("E-mail address").fill(email);
        await this.button("Send me a code").click();
        await this.page.getByLabel("Code").fill(await this.code(email, before));
        await this.button("Go on").click();
    }

    /// The six digits of the mail that came last.
    async code(email = this.email, before = 0) {
        const letter = await eventually(
            () => this.service.letters().slice(before).findLast((letter) => letter.includes(`\r\nTo: ${email}\r\n`)),
            `a mail to ${email}`,
        );
        return letter.match(/^\s*(\d{6})\s*$/m)[1];
    }

    /// What a client shows is opened, and decided on; `write` is the tick as the person leaves it.
    async decide(url, { write, allow = true, company } = {}) {
        await this.page.goto(String(url));
        if (await this.page.getByLabel("E-mail address").isVisible()) await this.signIn();
        assert.match(await this.heading(), /^Connect “/);
        if (company) await this.page.getByRole("radio", { name: company }).check();
        if (write !== undefined) await this.page.getByRole("checkbox", { name: /^create/ }).setChecked(write);
        await this.button(allow ? "Allow" : "Do not allow").click();
        await this.page.getByText("You may close this window").waitFor();
    }
}
