// The status page: complete without JavaScript, refreshed with it, and purges by its form.

import assert from 'node:assert/strict';
import { setTimeout } from 'node:timers/promises';
import { HOSTILE, TOKEN, tabTo, text, type } from '../lib/site.js';

const figure = (page, name) => page.evaluate((wanted) => {
    const terms = [...document.querySelectorAll('.facts dt')];
    return terms.find((term) => term.textContent === wanted)?.nextElementSibling.textContent;
}, name);

export default async function status(site) {
    await isComplete(site);
    await isRefreshed(site);
    await purges(site);
}

/** Something is rendered and something fails, and the page names both. */
async function isComplete(site) {
    for (const path of [`/hostile/${encodeURIComponent(HOSTILE)}?width=31&format=png`, '/photos/retina.jpg?width=777&format=png']) {
        assert.equal((await fetch(site.origin + path)).status, 200);
    }
    await fetch(`${site.origin}/hostile/text.jpg?width=${encodeURIComponent('<img src=x onerror=alert(5)>')}`);
    const page = await site.page('/-/status', { javaScriptEnabled: false });
    const rendered = await page.locator('main').innerText();
    for (const part of ['Requests', 'Hit ratio', 'Renders waiting', 'Cache on disk', 'photos/retina.jpg', `hostile/${HOSTILE}`, 'Invalid parameter']) {
        assert(rendered.includes(part), `${part} in ${rendered}`);
    }
    assert((await page.locator('svg').count()) >= 4, 'there are charts');
    assert.equal(await page.locator('[onerror], img').count(), 0);
}

async function isRefreshed(site) {
    const page = await site.page('/-/status');
    const before = await figure(page, 'Requests');
    await page.evaluate(() => (document.querySelector('h2').marked = true));
    await tabTo(page, 'input[name="path"]');
    await type(page, 'half a na');
    for (let number = 0; number < 3; number++) await fetch(`${site.origin}/photos/retina.jpg?width=777&format=png`);
    await page.waitForFunction((old) => [...document.querySelectorAll('.facts dt')].find((term) => term.textContent === 'Requests').nextElementSibling.textContent !== old, before);
    assert.equal(await page.inputValue('input[name="path"]'), 'half a na', 'a refresh leaves fields as they are');
    assert.equal(await page.evaluate(() => document.activeElement.name), 'path', 'and the focus');
    assert.equal(await page.evaluate(() => document.querySelector('h2').marked), true, 'elements stay');

    await tabTo(page, '.version button', 'Shift+Tab');
    await page.keyboard.press('Enter');
    assert.equal(await text(page, '.version button'), 'Continue');
    assert.match(await text(page, '.version [role="status"]'), /paused/);
    await page.keyboard.press('Enter');
    assert.equal(await text(page, '.version button'), 'Pause');
}

async function purges(site) {
    const path = '/photos/retina.jpg?width=777&format=png';
    const cache = async () => (await fetch(site.origin + path)).headers.get('cache-status');
    // a rendition is stored after its answer, as soon as the disk has it
    const isHit = async () => {
        for (let tries = 0; tries < 1200; tries++) {
            if (/hit/.test(await cache())) return;
            await setTimeout(50);
        }
        throw new Error(`${path} is never a hit`);
    };
    await isHit();
    const page = await site.page('/-/status');
    await tabTo(page, 'input[name="path"]');
    await type(page, 'photos/retina.jpg');
    await page.keyboard.press('Enter');
    const message = await page.textContent('main [role="status"]');
    assert.match(message, /^[1-9]\d* renditions? of photos\/retina\.jpg w/);
    assert.match(await cache(), /fwd=uri-miss/);
    const before = await figure(page, 'Requests');
    await page.waitForFunction((old) => [...document.querySelectorAll('.facts dt')].find((term) => term.textContent === 'Requests').nextElementSibling.textContent !== old, before);
    assert.equal(await page.textContent('main [role="status"]'), message, 'a refresh leaves the message');

    // without a page, and without saying where it comes from
    const body = new URLSearchParams({ path: 'photos/retina.jpg', token: TOKEN });
    assert.equal((await fetch(`${site.origin}/-/status`, { method: 'POST', body, headers: { authorization: `Bearer ${TOKEN}` } })).status, 403);
    await isHit();
}
