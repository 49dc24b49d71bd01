#!/usr/bin/env node
// Client libraries of other systems print URLs; tintype, behind nginx, answers them; a browser shows them.
//
//     tests/clients/run.mjs TINTYPE [NGINX] [--only CLIENT,…] [--screenshots FOLDER] [--no-browser]
//     tests/clients/run.mjs --ready        exits with 0 if the libraries and a browser are installed
//
// Without NGINX a proxy within this program takes its place. Exits with 1 if anything is wrong and with 2 if it cannot be run.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { dimensions } from './lib/dimensions.js';
import { Browser, find, startNginx, startProxy, startTintype, stopAll } from './lib/services.js';
import { ORIGINALS, SETTINGS, SITE } from './lib/site.js';

const here = import.meta.dirname;
const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { only: { type: 'string' }, screenshots: { type: 'string' }, 'no-browser': { type: 'boolean' }, ready: { type: 'boolean' } },
});
const [binary, nginx] = positionals;

const giveUp = (message) => {
    process.stderr.write(`${message}\n`);
    process.exit(2);
};

const folders = ['@imgix/js-core', '@imgproxy/imgproxy-node', '@nuxt/image', '@responsive-image/cdn', '@unpic/core', 'next', 'unpic'];
for (const folder of folders) {
    if (!existsSync(path.join(here, 'node_modules', folder))) giveUp(`${folder} is not installed: tests/clients/install`);
}
const chromium = options['no-browser'] ? undefined : find(process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome');
if (!chromium && !options['no-browser']) giveUp('no browser is installed (chromium, google-chrome); CHROMIUM may name one');
if (options.ready) process.exit(0);
if (!binary) giveUp('usage: tests/clients/run.mjs TINTYPE [NGINX] [--only CLIENT,…] [--screenshots FOLDER] [--no-browser]');

/** What a client printed, or why it could not be loaded. */
async function load(name) {
    try {
        const client = await import(`./clients/${name}.js`);
        const unique = new Map(client.images.map((image) => [absolute(image.url), image]));
        return { name, dialect: client.dialect, note: client.note, markup: client.markup, images: unique, wrong: [] };
    } catch (error) {
        return { name, markup: [], images: new Map(), wrong: [`cannot be loaded: ${error.message}`] };
    }
}

const absolute = (url) => new URL(url, SITE).href;

/** Asks the front for a URL as it is spelled: `fetch` would normalise it. */
function get(port, url, headers = {}) {
    const [, host, target] = /^http:\/\/([^/?]+)([^#]*)/.exec(url);
    return new Promise((resolve, reject) => {
        const request = http.get({ host: '127.0.0.1', port, path: target, headers: { host, ...headers }, agent }, (answer) => {
            const chunks = [];
            answer.on('data', (chunk) => chunks.push(chunk)).on('error', reject);
            answer.on('end', () => resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) }));
        });
        request.setTimeout(60_000, () => request.destroy(new Error('no answer')));
        request.on('error', reject);
    });
}
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });

/** Whether a service read URLs of a dialect; a program that does not know it takes them for names of files. */
async function reads(ports, dialect) {
    for (const port of Object.values(ports)) {
        const { body } = await get(port, 'http://127.0.0.1/-/metrics');
        const count = new RegExp(`tintype_foreign_requests_total\\{dialect="${dialect}"\\} (\\d+)`).exec(body.toString())?.[1];
        if (Number(count) > 0) return true;
    }
    return false;
}

/** Whether the format is negotiated: `auto`, or `any` for pictures that may stay PNG. */
const isOpen = ({ format }) => format === 'auto' || format === 'any';

/** What is wrong with an image. */
function difference(expected, { width, height, format }) {
    // clients choose where the URL leaves the format open
    const formats = isOpen(expected) ? ['png', 'jpeg', 'webp', 'avif'] : [expected.format];
    const faults = [];
    if (width !== expected.width || height !== expected.height) faults.push(`${width}×${height} in place of ${expected.width}×${expected.height}`);
    if (format && !formats.includes(format)) faults.push(`${format} in place of ${expected.format}`);
    return faults.join(', ');
}

/** Asks for every URL of a client. */
async function ask(client, port) {
    await Promise.all([...client.images].map(async ([url, expected]) => {
        const answer = await get(port, url).catch((error) => ({ error }));
        if (answer.error) {
            client.wrong.push(`${url}: ${answer.error.message}`);
        } else if (answer.status !== 200) {
            client.wrong.push(`${url}: ${answer.status} ${answer.body.toString('utf8', 0, 300).replaceAll('\n', ' ')}`);
        } else {
            try {
                const fault = difference(expected, dimensions(answer.body));
                if (fault) client.wrong.push(`${url}: ${fault}`);
                if (isOpen(expected) && !/\baccept\b/i.test(answer.headers.vary ?? '')) client.wrong.push(`${url}: no Vary: Accept`);
            } catch (error) {
                client.wrong.push(`${url}: ${error.message}`);
            }
        }
    }));
}

/** Shows the page of a client at two densities. */
async function show(client, browser, screenshots) {
    let shown = 0;
    for (const density of [1, 2]) {
        const page = await browser.open(`${SITE}/pages/${client.name}.html`, density);
        writeFileSync(path.join(screenshots, `${client.name}-${density}x.png`), page.screenshot);
        client.wrong.push(...page.failures.map((failure) => `browser: ${failure}`));
        if (page.images.length !== client.markup.length) client.wrong.push(`browser: ${page.images.length} images in place of ${client.markup.length}`);
        for (const image of page.images) {
            shown += 1;
            const where = `browser at ${density}x: ${image.alt}`;
            const expected = client.images.get(image.currentSrc);
            const response = page.responses.get(image.currentSrc);
            const faults = [];
            if (!expected) faults.push(`${image.currentSrc || 'no source'} is not in the client's list`);
            if (!image.complete || image.natural[0] === 0) faults.push('not complete');
            if (expected) {
                const [width, height] = image.file;
                faults.push(difference(expected, { width, height }));
            }
            // naturalWidth is that of the file, divided by the density of its candidate
            const ratio = image.natural[0] && image.natural[0] / image.natural[1] / (image.file[0] / image.file[1]);
            if (Math.abs(ratio - 1) > 0.05) faults.push(`shown as ${image.natural.join('×')}`);
            const type = response?.mimeType.replace('image/', '');
            if (response?.status !== 200) {
                faults.push(`status ${response?.status}`);
            } else if (expected?.format === 'auto') {
                // the browser names AVIF and WebP in Accept
                if (!['avif', 'webp'].includes(type)) faults.push(`${type} for Accept: ${response.accept}`);
            } else if (expected && !isOpen(expected) && type !== expected.format) {
                faults.push(`${type} in place of ${expected.format}`);
            }
            client.wrong.push(...faults.filter(Boolean).map((fault) => `${where}: ${fault}`));
        }
    }
    return shown;
}

const place = mkdtempSync(path.join(os.tmpdir(), 'tintype-clients-'));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stopAll().finally(() => process.exit(2)));
let failed = true;
let browser;
try {
    const root = path.join(place, 'originals');
    for (const [name, { from }] of Object.entries(ORIGINALS)) {
        mkdirSync(path.dirname(path.join(root, name)), { recursive: true });
        copyFileSync(path.join(here, '../../testdata', from), path.join(root, name));
    }
    const screenshots = options.screenshots ?? path.join(place, 'screenshots');
    mkdirSync(screenshots, { recursive: true });
    mkdirSync(path.join(place, 'pages'));

    const ports = {};
    for (const [name, settings] of Object.entries(SETTINGS)) ports[name] = await startTintype(binary, place, name, settings, root);
    const front = nginx ? await startNginx(find(nginx) ?? nginx, place, ports) : await startProxy(place, ports);
    browser = chromium && new Browser(chromium, place, front);

    const only = options.only?.split(',');
    const names = readdirSync(path.join(here, 'clients')).map((file) => path.basename(file, '.js')).sort();
    failed = false;
    for (const name of only ?? names) {
        const client = await load(name);
        await ask(client, front);
        const dialects = new Set([...client.images.values()].map((image) => image.dialect));
        const unknown = [];
        for (const dialect of dialects) if (!(await reads(ports, dialect))) unknown.push(dialect);
        if (unknown.length > 0) {
            client.wrong = client.wrong.filter((fault) => ![...client.images].some(([url, { dialect }]) => unknown.includes(dialect) && fault.startsWith(`${url}: `)));
            client.wrong.unshift(`this tintype does not read the URLs of ${unknown.join(', ')}`);
        }
        let shown = 0;
        // a page whose URLs are not understood says nothing more
        if (browser && client.markup.length > 0 && unknown.length === 0) {
            const body = client.markup.join('\n');
            writeFileSync(path.join(place, 'pages', `${name}.html`), `<!doctype html>\n<meta charset="utf-8">\n<title>${name}</title>\n${body}\n`);
            shown = await show(client, browser, screenshots).catch((error) => {
                client.wrong.push(`browser: ${error.message}`);
                return 0;
            });
        }
        const marks = [`${client.images.size} URLs`, `${shown} images shown`, `${client.wrong.length} wrong`];
        process.stdout.write(`${name.padEnd(18)} ${marks.join(', ')}${client.note ? ` (${client.note})` : ''}\n`);
        for (const fault of client.wrong.slice(0, 12)) process.stdout.write(`    ${fault}\n`);
        if (client.wrong.length > 12) process.stdout.write(`    and ${client.wrong.length - 12} more\n`);
        failed ||= client.wrong.length > 0 || client.images.size === 0;
    }
    process.stdout.write(`behind ${nginx ? 'nginx' : 'a proxy of this program'}${chromium ? '' : ', without a browser'}; ${failed ? `failed; logs and screenshots: ${place}` : 'all right'}\n`);
} catch (error) {
    failed = true;
    process.stderr.write(`${error.message}\nlogs: ${place}\n`);
} finally {
    agent.destroy();
    await browser?.close();
    await stopAll();
    if (!failed) rmSync(place, { recursive: true, force: true, maxRetries: 10 });
}
process.exitCode = failed ? 1 : 0;
