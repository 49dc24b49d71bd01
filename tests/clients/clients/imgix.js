// @imgix/js-core, signed with the token of a source.

import ImgixClient from '@imgix/js-core';
import { IMGIX_TOKEN, candidates, fitted, tag } from '../lib/site.js';

export const dialect = 'imgix';

const coffee = 'photos/coffee.png';
const named = 'photos/a b é.png';
const client = new ImgixClient({ domain: 'signed.example.com', secureURLToken: IMGIX_TOKEN, useHTTPS: false });
const fit = (options) => fitted(coffee, options);

const fluid = client.buildSrcSet(coffee, { auto: 'format' }, { minWidth: 150, maxWidth: 1000, widthTolerance: 0.2 });
const fixed = client.buildSrcSet(coffee, { w: 100, h: 100, fit: 'crop', crop: 'left' }, { devicePixelRatios: [1, 2, 3] });

export const images = [
    { url: client.buildURL(coffee, { w: 300 }), ...fit({ width: 300 }), format: 'png' },
    { url: client.buildURL(coffee, { w: 300, h: 300, fit: 'crop', fm: 'webp', q: 60 }), width: 300, height: 300, format: 'webp' },
    { url: client.buildURL(coffee, { w: 300, h: 300, fit: 'fill', bg: 'f00' }), width: 300, height: 300, format: 'png' },
    { url: client.buildURL(coffee, { w: 1200, fit: 'max', auto: 'format,compress' }), width: 600, height: 400, format: 'auto' },
    { url: client.buildURL(named, { h: 100, fm: 'jpg' }), ...fitted(named, { height: 100 }), format: 'jpeg' },
    { url: client.buildURL(`https://www.example.com/${coffee}`, { w: 120 }), ...fit({ width: 120 }), format: 'png' },
    { url: client.buildURL(coffee), width: 600, height: 400, format: 'png' },
    // without `fit` imgix enlarges
    ...candidates(fluid).map(({ url, w }) => ({ url, ...fit({ width: w, enlarge: true }), format: 'auto' })),
    ...candidates(fixed).map(({ url, x }) => ({ url, width: 100 * x, height: 100 * x, format: 'png' })),
].map((image) => ({ dialect, ...image }));

export const markup = [
    ...images.slice(0, 7).map(({ url }) => tag('img', { src: url, alt: url })),
    tag('img', { srcset: fluid, sizes: '40vw', alt: 'fluid' }),
    tag('img', { srcset: fixed, width: 100, height: 100, alt: 'fixed' }),
];
