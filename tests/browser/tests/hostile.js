// Names, profiles and errors are text, never HTML.

import assert from 'node:assert/strict';
import { HOSTILE, settles, tabTo, text, type } from '../lib/site.js';

export default async function hostile(site) {
    const page = await site.page('/-/playground#/hostile/truncated.jpg', { expected: [400, 404, 415, 422] });
    await settles(page);
    const frame = `#sheet [data-path="hostile/${HOSTILE}"]`;
    await page.waitForSelector(frame);
    assert.equal(await text(page, `${frame} .label`), HOSTILE);
    await page.click(frame);
    await page.waitForFunction((name) => document.getElementById('name').textContent.endsWith(name), HOSTILE);
    await settles(page);
    assert.equal(await page.evaluate(() => document.getElementById('after').naturalWidth > 0), true, 'it is shown');
    assert((await text(page, '#markup')).length > 0);

    await page.click('#sheet [data-path="hostile/profile.jpg"]');
    await page.waitForFunction(() => document.getElementById('json').textContent.includes('<img src=x onerror>'));

    for (const wrong of [`/hostile/${HOSTILE}.jpg`, '/hostile/profile.jpg?width=<img src=x onerror=alert(2)>', '/hostile/profile.jpg?<img src=x onerror=alert(3)>=1&fit=<svg onload=alert(4)>']) {
        await tabTo(page, '#url');
        await type(page, wrong);
        await page.keyboard.press('Enter');
        await page.waitForFunction((value) => document.getElementById('url').value !== value, wrong);
        await settles(page);
        await page.waitForSelector('#problem:not([hidden])');
    }
    const injected = await page.evaluate(() => document.querySelectorAll('[onerror], [onload], img[src="x"], svg').length);
    assert.equal(injected, 0);
}
