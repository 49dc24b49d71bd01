// What is refused is explained in the server's words, and suggestions are buttons.

import assert from 'node:assert/strict';
import { settles, shows, tabTo, text, type } from '../lib/site.js';

export default async function problems(site) {
    const page = await site.page('/-/playground#/photos/coffee.png?width=200&fit=covr', { expected: [400, 404, 415, 422] });
    await settles(page);
    const server = await (await fetch(`${site.origin}/photos/coffee.png?width=200&fit=covr`)).json();
    assert.equal(await text(page, '#problem h3'), `400 ${server.title}`);
    assert.match(await text(page, '#problem li'), new RegExp(`fit=covr.*${server.invalid_params[0].allowed}`));
    await tabTo(page, '#problem button');
    await page.keyboard.press('Enter');
    await shows(page, '/photos/coffee.png?width=200&fit=cover');
    assert.equal(await page.isVisible('#problem'), false);

    for (const path of ['/photos/missing.jpg?width=100', '/hostile/text.jpg?width=100']) {
        await tabTo(page, '#url');
        await type(page, path);
        await page.keyboard.press('Enter');
        await shows(page, path);
        const { title, detail } = await (await fetch(site.origin + path)).json();
        assert((await text(page, '#problem')).includes(title), title);
        assert((await text(page, '#problem')).includes(detail), detail);
        assert((await text(page, '#live')).includes(title), 'the problem is announced');
    }
    // the one before it is shown again
    await tabTo(page, '#url');
    await type(page, '/hostile/truncated.jpg?width=100');
    await page.keyboard.press('Enter');
    await shows(page, '/hostile/truncated.jpg?width=100');
    assert.equal(await page.isVisible('#problem'), false);
    assert.match(await text(page, '#fact-answer'), /damaged/);
}
