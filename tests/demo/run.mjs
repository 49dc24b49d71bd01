#!/usr/bin/env node
// The demo in Chromium and Firefox: no broken picture, no layout shift, and fewer bytes than the same page with originals.
//
//     tests/demo/run.mjs PORT [--screenshots FOLDER] [--only chromium|firefox] [--slow]      of a running `make demo`
//     tests/demo/run.mjs --ready        exits with 0 if both browsers are installed
//
// --slow gives Chromium the network of Lighthouse's mobile reports: 1.6 Mbit/s and 150 ms. Exits with 1 if anything is wrong and with 2 if it cannot be run. Nothing but Node and the browsers is needed.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { find, stopAll } from '../clients/lib/services.js';
import { Chromium } from './chromium.js';
import { Firefox } from './firefox.js';
import { inPage } from './page.js';

const { values: options, positionals: [port] } = parseArgs({
    allowPositionals: true,
    options: { ready: { type: 'boolean' }, screenshots: { type: 'string' }, only: { type: 'string' }, slow: { type: 'boolean' } },
});
const giveUp = (message) => {
    process.stderr.write(`${message}\n`);
    process.exit(2);
};
const programs = {
    chromium: find(process.env.CHROMIUM, 'chromium', 'chromium-browser', 'google-chrome'),
    firefox: find(process.env.FIREFOX, 'firefox-esr', 'firefox'),
};
for (const [name, program] of Object.entries(programs)) if (!program) giveUp(`${name} is not installed`);
if (options.ready) process.exit(0);
if (!port) giveUp('usage: tests/demo/run.mjs PORT [--screenshots FOLDER] [--only chromium|firefox] [--slow]');

const SCREENS = {
    chromium: [{ width: 1280, height: 800 }, { width: 360, height: 740, density: 2 }],
    firefox: [{ width: 1280, height: 800 }],
};
if (options.slow) for (const screen of SCREENS.chromium) screen.network = { latency: 150, downloadThroughput: 200_000, uploadThroughput: 93_750 };
// Chromium resolves this name to the demo, and no other name at all
const SITES = { chromium: 'http://demo.example.com', firefox: `http://127.0.0.1:${port}` };
const kilobytes = (bytes) => `${Math.round(bytes / 1000)} kB`;

/** What is wrong with a page that was measured. */
function faults({ page, types }, name) {
    if (page.failure) return [page.failure];
    const found = page.images.filter(({ complete, width }) => !complete || width === 0).map(({ alt }) => `${alt}: broken`);
    if (page.moved > 0) found.push(`${page.moved} elements have moved`);
    if (page.scrolls) found.push('wider than the screen');
    if (page.shift) found.push(`a layout shift of ${page.shift}`);
    if (name !== 'originals.html') {
        const others = page.images.filter(({ src }) => types.size > 0 && types.get(src) !== 'image/avif');
        found.push(...others.map(({ alt, src }) => `${alt}: ${types.get(src)} in place of AVIF`));
    }
    return found;
}

const place = mkdtempSync(path.join(os.tmpdir(), 'tintype-demo-'));
const screenshots = options.screenshots ?? path.join(place, 'screenshots');
mkdirSync(screenshots, { recursive: true });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => stopAll().finally(() => process.exit(2)));
let failed = false;

/** Opens both pages at a size of the screen, the demo twice: its cache is filled by the first time. */
async function compare(name, browser, screen) {
    const sums = {};
    for (const [file, label] of [['', 'the first time'], ['', 'again'], ['originals.html', 'originals']]) {
        const measured = await browser.measure(`${SITES[name]}/${file}`, screen, inPage);
        writeFileSync(path.join(screenshots, `${name}-${screen.width}-${file ? 'originals' : 'demo'}.png`), measured.screenshot);
        const wrong = faults(measured, file);
        const { images, shift, paint, bytes } = measured.page;
        sums[label] = { bytes, alts: images?.map(({ alt }) => alt).join() };
        const figures = [`${images?.length} pictures`, kilobytes(bytes), `CLS ${shift ?? '–'}`, `LCP ${paint ? `${Math.round(paint)} ms` : '–'}`];
        process.stdout.write(`${name.padEnd(8)} ${String(screen.width).padStart(5)}  ${label.padEnd(14)} ${figures.join(', ')}\n`);
        for (const fault of wrong) process.stdout.write(`    ${fault}\n`);
        failed ||= wrong.length > 0;
    }
    const [demo, originals] = [sums.again, sums.originals];
    if (demo.alts !== originals.alts) process.stdout.write('    the pages differ in their pictures\n');
    if (!(demo.bytes * 4 < originals.bytes)) process.stdout.write('    more than a quarter of the bytes of the originals\n');
    failed ||= demo.alts !== originals.alts || !(demo.bytes * 4 < originals.bytes);
}

try {
    for (const [name, program] of Object.entries(programs)) {
        if (options.only && options.only !== name) continue;
        const browser = name === 'chromium' ? new Chromium(program, place, port) : await Firefox.start(program, place);
        for (const screen of SCREENS[name]) await compare(name, browser, screen);
        await browser.close();
    }
} catch (error) {
    failed = true;
    process.stderr.write(`${error.stack}\n`);
} finally {
    await stopAll();
    if (failed) process.stdout.write(`screenshots: ${screenshots}\n`);
    else rmSync(place, { recursive: true, force: true, maxRetries: 5 });
}
process.exit(failed ? 1 : 0);
