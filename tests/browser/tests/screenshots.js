// Pictures of both pages for people to look at; a page is never wider than its window.

import assert from 'node:assert/strict';
import path from 'node:path';
import { settles } from '../lib/site.js';

const WINDOWS = [[360, 780], [1280, 800], [3840, 2160]];

export default async function screenshots(site) {
    for (const [width, height] of WINDOWS) {
        for (const colorScheme of ['light', 'dark']) {
            for (const name of ['playground', 'status']) {
                const hash = name === 'playground' ? '#/photos/chelsea.png?width=400&height=300&fit=cover&position=0.4x0.3&format=avif' : '';
                const page = await site.page(`/-/${name}${hash}`, { width, height, colorScheme });
                if (hash) {
                    await settles(page);
                    await page.click('#compare');
                    await page.waitForSelector('#compare-table tbody tr');
                }
                await page.screenshot({ path: path.join(site.screenshots, `${name}-${width}-${colorScheme}.png`), fullPage: width === 360 });
                const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
                assert(overflow <= 0, `${name} at ${width}: ${overflow} pixels too wide`);
            }
        }
    }
}
