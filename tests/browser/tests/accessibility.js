// axe-core finds nothing on either page, light and dark, wide and narrow, in the states that a visitor sees.

import assert from 'node:assert/strict';
import axe from 'axe-core';
import { settles } from '../lib/site.js';

async function audit(page, where) {
    await page.evaluate(axe.source);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document));
    const found = violations.map(({ id, help, nodes }) => `${where}: ${id} (${help}): ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('\n  ')}`);
    assert.deepEqual(found, []);
    assert(passes.length > 20, `${where}: axe has looked`);
}

export default async function accessibility(site) {
    for (const colorScheme of ['light', 'dark']) {
        for (const width of [360, 1280]) {
            const where = `${width} ${colorScheme}`;
            const page = await site.page('/-/playground#/photos/coffee.png?width=400&aspect_ratio=1:1&format=webp', { width, colorScheme, expected: [400] });
            await settles(page);
            await page.waitForFunction(() => document.getElementById('markup').textContent !== '' && document.getElementById('reasons').childElementCount > 0);
            await audit(page, `playground ${where}`);
            await page.evaluate(() => document.querySelectorAll('details').forEach((details) => (details.open = true)));
            await page.click('#compare');
            await page.waitForSelector('#compare-table tbody tr');
            await page.click('#zoom button[data-zoom="4"]');
            await audit(page, `playground, all of it, ${where}`);
            await page.fill('#url', '/photos/coffee.png?fit=covr');
            await page.press('#url', 'Enter');
            await page.waitForSelector('#problem:not([hidden])');
            await audit(page, `a problem, ${where}`);
            const status = await site.page('/-/status', { width, colorScheme });
            await audit(status, `status ${where}`);
        }
    }
}
