// Uploads by keyboard: the server decides about the token and the file, and its words are shown.

import assert from 'node:assert/strict';
import path from 'node:path';
import { TOKEN, settles, shows, tabTo, text, type } from '../lib/site.js';

const testdata = path.join(import.meta.dirname, '../../../testdata');

async function send(page, file) {
    await tabTo(page, '#files');
    const chooser = page.waitForEvent('filechooser');
    await page.keyboard.press('Space');
    await (await chooser).setFiles(path.join(testdata, file));
    await tabTo(page, '#upload button');
    await page.keyboard.press('Enter');
}

const lastResult = (page, count) => page.waitForFunction((wanted) => document.querySelectorAll('#upload-results .good, #upload-results .bad').length === wanted, count);

export default async function uploads(site) {
    const page = await site.page('/-/playground#/photos/coffee.png?width=200&format=webp', { expected: [401, 415] });
    await settles(page);
    await tabTo(page, '#uploads summary');
    await page.keyboard.press('Enter');
    await tabTo(page, '#token');
    await type(page, 'not-the-token');
    await send(page, 'generated/rgb16.png');
    await lastResult(page, 1);
    assert.match(await text(page, '#upload-results'), /rgb16\.png: .*token/is);
    assert.equal(await page.getAttribute('#upload-results li:last-child', 'class'), 'bad');

    await tabTo(page, '#token', 'Shift+Tab');
    await type(page, TOKEN);
    await send(page, 'hostile/text.txt');
    await lastResult(page, 2);
    assert.equal(await page.getAttribute('#upload-results li:last-child', 'class'), 'bad');

    await tabTo(page, '#token', 'Shift+Tab');
    await send(page, 'generated/rgb16.png');
    await lastResult(page, 3);
    assert.match(await text(page, '#upload-results li:last-child'), /^rgb16\.png is stored/);
    await shows(page, '/photos/rgb16.png?width=200&format=webp');
    assert.equal(await page.evaluate(() => document.querySelector('[aria-selected="true"]').dataset.path), 'photos/rgb16.png');
    const kept = await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie, location.href]));
    assert(!kept.includes(TOKEN), 'the token stays in the memory of the page');
}
