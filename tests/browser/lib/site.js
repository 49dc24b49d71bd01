// The site under test: its originals and settings, and pages of a browser that report everything unusual.

import assert from 'node:assert/strict';
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { chromium } from 'playwright-core';
import { within } from '../../clients/lib/services.js';

const testdata = path.join(import.meta.dirname, '../../../testdata');

export const TOKEN = 'a-token-for-this-test-only';
export const HOSTILE = '<img src=x onerror=alert(1)>.png';

/** A wait that ends like this has failed. It is long, since other tests may leave a browser little of the machine. */
const TIMEOUT = 180_000;

/** As long as the name that the profile of `p3.jpg` has. */
const HOSTILE_PROFILE = '<img src=x onerror>';

export const SETTINGS = `
[server]
playground = true
server_timing = true
[security]
admin_token = "${TOKEN}"
upload = true
[limits]
deadline = "180s"
upload_timeout = "180s"
[dialects.imgproxy]
mount = "/imgproxy"
[dialects.ipx]
mount = "/ipx"
`;

/** Writes the originals, and returns their folder. */
export function makeOriginals(place) {
    const root = path.join(place, 'originals');
    mkdirSync(path.join(root, 'hostile'), { recursive: true });
    cpSync(path.join(testdata, 'photos'), path.join(root, 'photos'), { recursive: true });
    cpSync(path.join(testdata, 'generated'), path.join(root, 'generated'), { recursive: true });
    cpSync(path.join(testdata, 'generated/alpha.png'), path.join(root, 'hostile', HOSTILE));
    cpSync(path.join(testdata, 'hostile/truncated.jpg'), path.join(root, 'hostile/truncated.jpg'));
    cpSync(path.join(testdata, 'hostile/text.txt'), path.join(root, 'hostile/text.jpg'));
    const photo = readFileSync(path.join(testdata, 'generated/p3.jpg'));
    const profile = Buffer.from('tintype test P3 D65', 'utf16le').swap16();
    Buffer.from(HOSTILE_PROFILE, 'utf16le').swap16().copy(photo, photo.indexOf(profile));
    writeFileSync(path.join(root, 'hostile/profile.jpg'), photo);
    // more than a page of the list
    mkdirSync(path.join(root, 'many'));
    for (let number = 100; number < 170; number++) cpSync(path.join(testdata, 'generated/grey.png'), path.join(root, `many/${number}.png`));
    return root;
}

export class Site {
    #browser;
    #contexts = [];
    #faults = [];

    static async open(program, port, screenshots) {
        const site = new Site();
        site.origin = `http://127.0.0.1:${port}`;
        site.screenshots = screenshots;
        mkdirSync(screenshots, { recursive: true });
        site.#browser = await chromium.launch({ executablePath: program, args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu'], timeout: TIMEOUT });
        return site;
    }

    /**
     * Opens a page. Requests to other origins, dialogs, exceptions, and errors of the console are faults; `expected` is the
     * statuses of answers that the test provokes.
     */
    async page(address, { width = 1280, height = 800, colorScheme = 'light', javaScriptEnabled = true, expected = [], ...options } = {}) {
        const context = await this.#browser.newContext({ viewport: { width, height }, colorScheme, javaScriptEnabled, permissions: ['clipboard-read', 'clipboard-write'], httpCredentials: { username: 'admin', password: TOKEN, origin: this.origin }, ...options });
        this.#contexts.push(context);
        const page = await context.newPage();
        page.setDefaultTimeout(TIMEOUT);
        const fault = (text) => this.#faults.push(`${page.url()}: ${text}`);
        context.on('request', (request) => {
            const { protocol, origin } = new URL(request.url());
            if (origin !== this.origin && protocol !== 'blob:') fault(`asks ${request.url()}`);
        });
        page.on('dialog', (dialog) => {
            fault(`a dialog: ${dialog.message()}`);
            dialog.dismiss();
        });
        page.on('pageerror', (error) => fault(`an exception: ${error.stack}`));
        page.on('console', (message) => {
            const status = /responded with a status of (\d+)/.exec(message.text())?.[1];
            if (message.type() === 'error' && !expected.includes(Number(status))) fault(`the console: ${message.text()} ${message.location().url}`);
        });
        await page.goto(this.origin + address);
        return page;
    }

    /** Throws if a page reported a fault since the last call. */
    check() {
        assert.deepEqual(this.#faults.splice(0), []);
    }

    /** Keeps what the open pages show. */
    async keepFailure(name) {
        const pages = this.#contexts.flatMap((context) => context.pages());
        for (const [index, page] of pages.entries()) {
            await page.screenshot({ path: path.join(this.screenshots, `failed-${name}-${index}.png`) }).catch(() => {});
        }
        for (const fault of this.#faults.splice(0)) process.stdout.write(`        ${fault}\n`);
    }

    async closePages() {
        // a browser that has ended closes nothing
        for (const context of this.#contexts.splice(0)) await context.close().catch(() => {});
    }

    async close() {
        await this.#browser.close().catch(() => {});
    }
}

/** Waits until the picture for a URL is shown and measured. */
export async function shows(page, url) {
    await page.waitForFunction((expected) => {
        const stage = document.getElementById('stage');
        return document.getElementById('url').value === expected && !stage.classList.contains('busy');
    }, url);
}

/** Waits until a picture is shown, whatever it is. */
export const settles = (page) => page.waitForFunction(() => document.getElementById('url').value !== '' && !document.getElementById('stage').classList.contains('busy'));

/** The size of the file that the page shows as the result. */
export const shownSize = (page) => page.evaluate(() => {
    const { naturalWidth, naturalHeight } = document.getElementById('after');
    return [naturalWidth, naturalHeight];
});

/** Moves the focus by the Tab key until an element that matches has it, which must then be seen. */
export async function tabTo(page, selector, key = 'Tab') {
    for (let presses = 0; presses < 250; presses++) {
        if (await page.evaluate((wanted) => document.activeElement?.matches(wanted), selector)) {
            const { outline, box, view } = await page.evaluate(() => {
                const style = getComputedStyle(document.activeElement);
                return { outline: `${style.outlineStyle} ${style.outlineWidth}`, box: document.activeElement.getBoundingClientRect().toJSON(), view: [innerWidth, innerHeight] };
            });
            assert.match(outline, /^(solid|auto) [1-9]/, `${selector} shows that it has the focus`);
            assert(box.bottom > 0 && box.top < view[1] && box.right > 0 && box.left < view[0], `${selector} is in view: ${JSON.stringify(box)}`);
            return;
        }
        await page.keyboard.press(key);
    }
    throw new Error(`${key} does not reach ${selector}`);
}

/**
 * Writes into the field that has the focus, in place of its content. The text is inserted whole: the page acts on a field that
 * rests for a moment, and on a busy machine that moment passes between two keys.
 */
export async function type(page, text) {
    await page.keyboard.press('Control+A');
    await (text ? page.keyboard.insertText(text) : page.keyboard.press('Delete'));
}

/** Chooses the option with this text in the list that has the focus. Typing it would depend on the time between the keys. */
export async function choose(page, text) {
    const isChosen = () => page.evaluate((wanted) => document.activeElement.selectedOptions[0].textContent === wanted, text);
    await page.keyboard.press('Home');
    for (let presses = 0; presses < 50; presses++) {
        if (await isChosen()) return;
        await page.keyboard.press('ArrowDown');
    }
    throw new Error(`no option is ${text}`);
}

/**
 * Presses the button for copying that has the focus, waits until it says so, and returns what the clipboard has. The button says it
 * for a second and a half, which polling may miss, and may say it of the copy before.
 */
export async function copy(page, selector) {
    const said = await page.evaluateHandle((wanted) => {
        const button = document.querySelector(wanted);
        // in an object, since a promise would be waited for here
        return { copied: new Promise((resolve) => {
            new MutationObserver(() => button.textContent === 'Copied' && resolve()).observe(button, { childList: true });
        }) };
    }, selector);
    await page.keyboard.press('Enter');
    await within(TIMEOUT, `'Copied' of ${selector}`, said.evaluate(({ copied }) => copied));
    return page.evaluate(() => navigator.clipboard.readText());
}

export const text = (page, selector) => page.evaluate((wanted) => document.querySelector(wanted).textContent, selector);
