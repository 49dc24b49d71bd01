#!/usr/bin/env node
// The playground and the status page of a live tintype in Chromium.
//
//     tests/browser/run.mjs TINTYPE [--only TEST,…] [--screenshots FOLDER]
//     tests/browser/run.mjs --ready        exits with 0 if the packages and a browser are installed
//
// A test that fails is run once more, with a server and a browser of its own. Exits with 1 if it fails again, and with 2 if nothing
// can be run.

import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { find, startTintype, stopAll } from '../clients/lib/services.js';

const here = import.meta.dirname;
const { values: options, positionals } = parseArgs({
    allowPositionals: true,
    options: { only: { type: 'string' }, screenshots: { type: 'string' }, ready: { type: 'boolean' } },
});
const [binary] = positionals;

const giveUp = (message) => {
    process.stderr.write(`${message}\n`);
    process.exit(2);
};

for (const folder of ['axe-core', 'html-validate', 'playwright-core']) {
    if (!existsSync(path.join(here, 'node_modules', folder))) giveUp(`${folder} is not installed: tests/browser/install`);
}
const chromium = find(process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome');
if (!chromium) giveUp('no browser is installed (chromium, google-chrome); CHROMIUM may name one');
if (options.ready) process.exit(0);
if (!binary) giveUp('usage: tests/browser/run.mjs TINTYPE [--only TEST,…] [--screenshots FOLDER]');

// needs the packages
const { SETTINGS, Site, makeOriginals } = await import('./lib/site.js');
const names = options.only?.split(',') ?? ['tour', 'pointer', 'uploads', 'problems', 'hostile', 'status', 'accessibility', 'markup', 'screenshots'];
const place = mkdtempSync(path.join(os.tmpdir(), 'tintype-browser-'));
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stopAll().finally(() => process.exit(2)));

let failed = 0;
let sites = 0;

/** A server with originals and a cache of its own, and a browser. */
async function open() {
    const folder = path.join(place, String(++sites));
    mkdirSync(folder);
    const port = await startTintype(binary, folder, 'browser', SETTINGS, makeOriginals(folder));
    return Site.open(chromium, port, options.screenshots ?? path.join(folder, 'screenshots'));
}

/** Runs a test once: whether it passed. */
async function passes(site, name) {
    const { default: test } = await import(`./tests/${name}.js`);
    const start = performance.now();
    const seconds = () => `${((performance.now() - start) / 1000).toFixed(1)} s`;
    try {
        await test(site);
        site.check();
        process.stdout.write(`ok      ${name} (${seconds()})\n`);
        return true;
    } catch (error) {
        process.stdout.write(`FAILED  ${name} (${seconds()})\n${error.stack}\n`);
        await site.keepFailure(name);
        return false;
    } finally {
        await site.closePages();
    }
}

let site;
try {
    site = await open();
    for (const name of names) {
        if (await passes(site, name)) continue;
        // a fault of a page is there again, one of a browser that starved is not
        await site.close();
        site = await open();
        if (!(await passes(site, name))) failed += 1;
    }
} catch (error) {
    failed += 1;
    process.stdout.write(`${error.stack}\n`);
} finally {
    await site?.close();
    await stopAll();
}
if (failed === 0 && !options.screenshots) rmSync(place, { recursive: true });
else process.stdout.write(`kept: ${options.screenshots ?? place}\n`);
process.exit(failed ? 1 : 0);
