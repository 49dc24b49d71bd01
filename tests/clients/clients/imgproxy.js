// @imgproxy/imgproxy-node, which signs, and the options of @imgproxy/imgproxy-js-core beneath it.

import { createHmac } from 'node:crypto';
import { generateUrl } from '@imgproxy/imgproxy-js-core';
import { generateImageUrl } from '@imgproxy/imgproxy-node';
import { IMGPROXY, fitted, tag } from '../lib/site.js';

const { key, salt, mount } = IMGPROXY;
const coffee = 'photos/coffee.png';
const orient = 'generated/orient-6.jpg';

export const dialect = 'imgproxy';

const node = (url, options) => generateImageUrl({ endpoint: mount, url, options, key, salt });

/** The library for browsers does not sign: a server of the site's would. */
function core(url, options) {
    const path = generateUrl(url, options);
    const signature = createHmac('sha256', Buffer.from(key, 'hex')).update(Buffer.from(salt, 'hex')).update(path).digest('base64url');
    return `${mount}/${signature}${path}`;
}

export const images = [
    { url: node(`local:///${coffee}`, { resizing_type: 'fit', width: 300 }), ...fitted(coffee, { width: 300 }), format: 'png' },
    { url: node(`https://www.example.com/${coffee}`, { resize: { resizing_type: 'fill', width: 200, height: 200 } }), width: 200, height: 200, format: 'png' },
    { url: node(coffee, { width: 300, height: 300, dpr: 3 }), width: 600, height: 400, format: 'png' },
    { url: node(coffee, { resize: { resizing_type: 'fill', width: 500, height: 500 } }), width: 500, height: 400, format: 'png' },
    { url: node(coffee, { size: { width: 1200, height: 1200, enlarge: true } }), width: 1200, height: 800, format: 'png' },
    { url: node({ value: `local:///${coffee}`, displayAs: 'plain' }, { width: 240, format: 'webp' }), ...fitted(coffee, { width: 240 }), format: 'webp' },
    { url: node({ value: `local:///${coffee}`, displayAs: 'plain' }, { width: 240, quality: 60, format: 'avif' }), ...fitted(coffee, { width: 240 }), format: 'avif' },
    { url: node('local:///photos/a b é.png', { width: 200, height: 100, gravity: { type: 'no' }, resizing_type: 'fill', background: 'ffffff' }), width: 200, height: 100, format: 'png' },
    { url: node(orient, { width: 60 }), ...fitted(orient, { width: 60 }), format: 'jpeg' },
    { url: core({ value: `local:///${coffee}`, type: 'plain' }, { width: 150, blur: 2 }), ...fitted(coffee, { width: 150 }), format: 'png' },
    { url: core({ value: Buffer.from(`local:///${coffee}`).toString('base64url'), type: 'base64' }, { resizing_type: 'force', width: 100, height: 100 }), width: 100, height: 100, format: 'png' },
    { url: core({ value: `local:///${coffee}`, type: 'plain' }, { rotate: 90, width: 100 }), width: 100, height: 150, format: 'png' },
].map((image) => ({ dialect, ...image }));

export const markup = images.map(({ url }) => tag('img', { src: url, alt: url }));
