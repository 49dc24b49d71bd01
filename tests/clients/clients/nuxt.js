// @nuxt/image: its $img, with the providers of four dialects (weserv's cannot be imported outside of Nuxt). <NuxtImg> prints what getSizes returns.

import { pathToFileURL } from 'node:url';
import path from 'node:path';
import { IMGPROXY, candidates, fitted, tag } from '../lib/site.js';

// the package names no entry for use without Nuxt
const runtime = path.join(import.meta.dirname, '../node_modules/@nuxt/image/dist/runtime');
const load = (file) => import(pathToFileURL(path.join(runtime, file)).href);
const { createImage } = await load('image.js');

export const dialect = 'ipx';

const names = ['ipx', 'imgproxy', 'imgix', 'cloudflare'];
const defaults = {
    ipx: {},
    imgproxy: { baseURL: IMGPROXY.mount, key: IMGPROXY.key, salt: IMGPROXY.salt },
    imgix: { baseURL: 'http://imgix.example.com' },
    cloudflare: { baseURL: '/' },
};
const providers = Object.fromEntries(await Promise.all(names.map(async (name) => {
    const { default: setup } = await load(`providers/${name}.js`);
    return [name, { setup, defaults: defaults[name] }];
})));
const $img = createImage({
    providers, provider: 'ipx', presets: {}, alias: {}, domains: ['www.example.com'], densities: [1, 2],
    screens: { sm: 640, md: 768, lg: 1024 }, format: ['webp'], nuxt: { baseURL: '/' },
});

const coffee = '/photos/coffee.png';
const named = '/photos/a b é.png';
const fit = (options) => fitted('photos/coffee.png', options);
const provided = { imgproxy: 'imgproxy', imgix: 'imgix', cloudflare: 'cloudflare' };

export const images = [
    { url: $img(coffee, { width: 300 }), ...fit({ width: 300 }), format: 'png' },
    { url: $img(coffee, { width: 300, format: 'webp', quality: 60 }), ...fit({ width: 300 }), format: 'webp' },
    { url: $img(coffee, { width: 300, format: 'auto' }), ...fit({ width: 300 }), format: 'auto' },
    { url: $img(coffee, { width: 300, height: 100 }), width: 300, height: 100, format: 'png' },
    { url: $img(coffee, { width: 300, height: 100, fit: 'inside' }), width: 150, height: 100, format: 'png' },
    { url: $img(coffee, { width: 300, height: 100, fit: 'contain', background: 'white' }), width: 300, height: 100, format: 'png' },
    { url: $img(coffee, { width: 1200, height: 300 }), width: 600, height: 150, format: 'png' },
    { url: $img(coffee), width: 600, height: 400, format: 'png' },
    { url: $img(named, { width: 200, height: 200, position: 'right' }), width: 200, height: 200, format: 'png' },
    { url: $img(`https://www.example.com${coffee}`, { width: 120 }), ...fit({ width: 120 }), format: 'png' },
    ...Object.entries(provided).flatMap(([provider, dialect]) => [
        { dialect, url: $img(coffee, { width: 300, height: 200, fit: 'cover' }, { provider }), width: 300, height: 200, format: 'png' },
        { dialect, url: $img(coffee, { width: 200, format: 'webp', quality: 70 }, { provider }), ...fit({ width: 200 }), format: 'webp' },
    ]),
].map((image) => ({ dialect, ...image }));

const sizes = $img.getSizes(coffee, { sizes: '100vw sm:50vw md:400px', modifiers: { format: 'webp' } });
const pair = $img.getSizes(coffee, { modifiers: { width: 250, height: 250, format: 'webp' } });
images.push(
    ...candidates(sizes.srcset).map(({ url, w }) => ({ dialect, url, ...fit({ width: w }), format: 'webp' })),
    { dialect, url: candidates(pair.srcset)[0].url, width: 250, height: 250, format: 'webp' },
    // ipx keeps the box's ratio where the original is smaller
    { dialect, url: candidates(pair.srcset)[1].url, width: 400, height: 400, format: 'webp' },
);

export const markup = [
    ...images.slice(0, 16).map(({ url }) => tag('img', { src: url, alt: url })),
    tag('img', { ...sizes, alt: 'sizes' }),
    tag('img', { ...pair, width: 250, height: 250, alt: 'densities' }),
];
