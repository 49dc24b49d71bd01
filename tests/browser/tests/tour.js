// The whole tour by keyboard alone: nothing here uses a pointer.

import assert from 'node:assert/strict';
import { choose, copy, settles, shownSize, shows, tabTo, text, type } from '../lib/site.js';

export default async function tour(site) {
    const page = await site.page('/');
    assert.equal(new URL(page.url()).pathname, '/-/playground', 'GET / leads to the playground');
    await settles(page);

    await chooseOriginal(page);
    await moveBoundaryAndZoom(page);
    await setParameters(page);
    await moveFocalPoint(page);
    await compareFormats(page);
    await copyMarkup(page);
    await returnToState(page);
    await copyUrls(page);
}

async function chooseOriginal(page) {
    await tabTo(page, '.skip');
    await tabTo(page, '#search');
    await type(page, 'coffee');
    await page.waitForFunction(() => document.querySelectorAll('#sheet .frame').length === 2);
    await type(page, '');
    await page.waitForFunction(() => document.querySelectorAll('#sheet .frame').length === 9);
    await tabTo(page, '.crumb:first-child');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelector('.folder')?.textContent === 'generated/');
    await tabTo(page, '.folder:last-of-type');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.querySelectorAll('#sheet .frame').length === 9);
    await tabTo(page, '#sheet .frame');
    await page.keyboard.press('Home');
    // astronaut-progressive, astronaut, chelsea
    for (const key of ['ArrowRight', 'ArrowDown', 'ArrowUp', 'ArrowRight']) await page.keyboard.press(key);
    assert.equal(await page.evaluate(() => document.activeElement.dataset.path), 'photos/chelsea.png');
    await page.keyboard.press('Enter');
    const width = /width=\d+/.exec(await page.inputValue('#url'))[0];
    await shows(page, `/photos/chelsea.png?${width}&format=webp`);
    assert.equal(await page.evaluate(() => document.activeElement.getAttribute('aria-selected')), 'true');
    assert.match(await text(page, '#live'), /WEBP.*fewer bytes/s, 'the result is announced');
}

async function moveBoundaryAndZoom(page) {
    await tabTo(page, '#zoom button[data-zoom="2"]');
    await page.keyboard.press('Space');
    assert.equal(await page.getAttribute('#zoom button[data-zoom="2"]', 'aria-pressed'), 'true');
    await tabTo(page, '#view');
    await page.keyboard.press('+');
    assert.equal(await page.getAttribute('#zoom button[data-zoom="4"]', 'aria-pressed'), 'true');
    const before = await page.evaluate(() => document.getElementById('view').scrollTop);
    await page.keyboard.press('ArrowDown');
    await page.waitForFunction((top) => document.getElementById('view').scrollTop > top, before);
    await page.keyboard.press('0');
    assert.equal(await page.getAttribute('#zoom button[data-zoom="0"]', 'aria-pressed'), 'true');

    await tabTo(page, '#split');
    const clip = () => page.evaluate(() => document.getElementById('after').style.clipPath);
    const middle = await clip();
    for (let presses = 0; presses < 10; presses++) await page.keyboard.press('ArrowRight');
    assert.notEqual(await clip(), middle, 'the boundary moves');
    assert.equal(await page.getAttribute('#split', 'aria-valuetext'), '60 % before, 40 % after');
}

async function setParameters(page) {
    await tabTo(page, '#p-width');
    await type(page, '300');
    await shows(page, '/photos/chelsea.png?width=300&format=webp');
    assert.deepEqual(await shownSize(page), [300, 200]);
    await tabTo(page, '#p-height');
    await type(page, '300');
    await tabTo(page, '#p-fit');
    await choose(page, 'cover');
    await shows(page, '/photos/chelsea.png?width=300&height=300&fit=cover&format=webp');
    assert.deepEqual(await shownSize(page), [300, 300]);
    assert.match(await text(page, '#help'), /^fit: how the original fits/, 'the help is that of the focus');
    // a slider
    await tabTo(page, '[aria-label="quality, slider"]');
    await page.keyboard.press('ArrowLeft');
    await page.waitForFunction(() => /quality=\d+$/.test(document.getElementById('url').value));
    await settles(page);
    await tabTo(page, '#p-target');
    await type(page, '60');
    await shows(page, '/photos/chelsea.png?width=300&height=300&fit=cover&format=webp&target=60');
    // a switch
    await tabTo(page, '#p-greyscale');
    await page.keyboard.press('Space');
    await shows(page, '/photos/chelsea.png?width=300&height=300&fit=cover&format=webp&target=60&greyscale=true');
    await page.keyboard.press('Space');
    await shows(page, '/photos/chelsea.png?width=300&height=300&fit=cover&format=webp&target=60');
}

async function moveFocalPoint(page) {
    await tabTo(page, '.point', 'Shift+Tab');
    const cropAt = () => page.evaluate(() => document.querySelector('.crop').getBoundingClientRect().left);
    await page.waitForFunction(() => !document.querySelector('.crop').hidden);
    const middle = await cropAt();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Shift+ArrowRight');
    await page.keyboard.press('ArrowUp');
    await shows(page, '/photos/chelsea.png?width=300&height=300&fit=cover&position=0.62x0.48&format=webp&target=60');
    assert.match(await page.getAttribute('.point', 'aria-label'), /62 % from the left, 48 % from the top/);
    assert(await cropAt() > middle, 'the crop follows the focal point');
    assert.deepEqual(await shownSize(page), [300, 300]);
}

async function compareFormats(page) {
    await tabTo(page, '#compare');
    await page.keyboard.press('Enter');
    await page.waitForSelector('#compare-table tbody tr:nth-child(4)');
    const rows = await page.evaluate(() => [...document.querySelectorAll('#compare-table tbody tr')].map((row) => [...row.children].map((cell) => cell.textContent)));
    assert.deepEqual(rows.map(([format]) => format).sort(), ['avif', 'jpeg', 'png', 'webp']);
    for (const [format, size, time, score] of rows) {
        assert.match(size, /^[\d.]+\s[k]?B$/, format);
        assert.match(time, /^[\d.]+\sms(cached)?$/, format);
        assert(format === 'png' ? Number(score) > 95 : Number(score) > 40 && Number(score) <= 100, `${format}: ${score}`);
    }
    await tabTo(page, '[aria-label="Use avif"]');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.getElementById('fact-after').textContent.startsWith('AVIF'));
    await settles(page);
}

async function copyMarkup(page) {
    await tabTo(page, '[data-copy="markup"]');
    assert.match(await copy(page, '[data-copy="markup"]'), /^<img\s[^>]*srcset=/s);
    assert.equal(await text(page, '#live'), 'Copied', 'the copy is announced');
    for (const [kind, start] of [['picture', /^<picture>/], ['CSS image-set', /image-set\(/], ['curl', /^curl /]]) {
        await tabTo(page, '#markup-kind', 'Shift+Tab');
        await choose(page, kind);
        await page.waitForFunction((source) => new RegExp(source).test(document.getElementById('markup').textContent), start.source);
        await tabTo(page, '[data-copy="markup"]', 'Shift+Tab');
        assert.match(await copy(page, '[data-copy="markup"]'), start);
        await tabTo(page, '#markup-kind');
    }
    assert.match(await text(page, '#urls .note'), /^Without words for all of it: imgproxy, ipx/, 'they have no target');
    await tabTo(page, '.panels summary');
    await page.keyboard.press('Enter');
    const explained = JSON.parse(await text(page, '#json'));
    assert.equal(explained.dialect, 'native');
    assert.match(await text(page, '#reasons'), /avif/i, 'the reasons name the format');
}

async function returnToState(page) {
    const url = await page.inputValue('#url');
    await page.reload();
    await shows(page, url);
    assert.equal(await page.inputValue('#p-width'), '300');
    await tabTo(page, '#url');
    await type(page, '/ipx/w_120/photos/coffee.png');
    await page.keyboard.press('Enter');
    await page.waitForFunction(() => document.getElementById('url').value.startsWith('/photos/coffee.png?'));
    await settles(page);
    assert.deepEqual(await shownSize(page), [120, 80], 'a URL of another system is read');
    await page.goBack();
    await shows(page, url);
    await tabTo(page, '#reset');
    await page.keyboard.press('Enter');
    await shows(page, '/photos/chelsea.png');
    assert.equal(await text(page, '#before-note'), 'Before: the original.');
}

async function copyUrls(page) {
    await tabTo(page, '#p-width');
    await type(page, '200');
    await shows(page, '/photos/chelsea.png?width=200');
    for (const [dialect, url] of [['native', /^\/photos\/chelsea\.png\?width=200$/], ['imgproxy', /^\/imgproxy\/.*\/photos\/chelsea\.png$/], ['ipx', /^\/ipx\/w_200.*\/photos\/chelsea\.png$/]]) {
        await tabTo(page, `[data-copy="url-${dialect}"]`);
        const copied = await copy(page, `[data-copy="url-${dialect}"]`);
        assert.match(copied, url);
        const answers = await page.evaluate(async (addresses) => {
            const files = await Promise.all(addresses.map(async (address) => new Uint8Array(await (await fetch(address)).arrayBuffer()).join()));
            return files[0] === files[1];
        }, [copied, '/photos/chelsea.png?width=200']);
        assert(answers, `${dialect}: the same file`);
    }
}
