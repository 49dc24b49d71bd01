// By pointer: the boundary and the focal point are dragged, and a file is dropped.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { TOKEN, settles, shownSize } from '../lib/site.js';

const file = path.join(import.meta.dirname, '../../../testdata/generated/rgb16.png');

async function drag(page, from, to) {
    await page.mouse.move(...from);
    await page.mouse.down();
    await page.mouse.move(...to, { steps: 5 });
    await page.mouse.up();
}

export default async function pointer(site) {
    const page = await site.page('/-/playground#/photos/chelsea.png?width=300&height=300&fit=cover&rotate=90&format=webp');
    await settles(page);
    // nothing moves once the list, the map and the markup are there
    await page.waitForFunction(() => document.querySelectorAll('#sheet .frame').length === 9 && document.getElementById('markup').textContent !== '');
    await page.waitForFunction(() => document.querySelector('.map img').naturalWidth > 0 && !document.querySelector('.crop').hidden);
    const view = await page.locator('#canvas').boundingBox();
    const [middle, height] = [view.x + view.width / 2, view.y + view.height / 2];
    await drag(page, [middle, height], [middle + view.width / 4, height]);
    assert.match(await page.getAttribute('#split', 'aria-valuetext'), /^7[456] % before/);

    await page.locator('.map').scrollIntoViewIfNeeded();
    const map = await page.locator('.map img').boundingBox();
    assert(map.height > map.width, 'the map is turned as the result is');
    await drag(page, [map.x + map.width / 2, map.y + map.height / 2], [map.x + map.width / 2, map.y + map.height * 0.1]);
    await page.waitForFunction(() => /position=0\.(49|5|51)x0\.(09|1|11)&/.test(document.getElementById('url').value));
    await settles(page);
    const [crop, whole] = await page.evaluate(() => ['.crop', '.map img'].map((part) => document.querySelector(part).getBoundingClientRect().toJSON()));
    assert(Math.abs(crop.y - whole.y) < 2, 'the crop is at the top');
    assert(Math.abs(crop.height / whole.height - 300 / 451) < 0.02, 'and has the height of its part');

    await page.evaluate((token) => (document.getElementById('token').value = token), TOKEN);
    const files = await page.evaluateHandle((bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([Uint8Array.from(bytes)], 'dropped.png', { type: 'image/png' }));
        return transfer;
    }, [...readFileSync(file)]);
    await page.dispatchEvent('#originals', 'drop', { dataTransfer: files });
    await page.waitForSelector('#upload-results .good');
    await page.waitForFunction(() => document.getElementById('name').textContent === 'photos/dropped.png');
    await settles(page);
    assert.deepEqual(await shownSize(page), await page.evaluate(async () => {
        const { width, height } = await createImageBitmap(await (await fetch(document.getElementById('url').value)).blob());
        return [width, height];
    }));
}
