// @responsive-image/cdn: imgix's URLs as its components print them, a <source> for each format.

import { setConfig } from '@responsive-image/core';
import { imgix } from '@responsive-image/cdn';
import { fitted, tag } from '../lib/site.js';

export const dialect = 'imgix';

const path = 'photos/coffee.png';
setConfig('cdn', { imgix: { domain: 'imgix.example.com' } });
// the library knows HTTPS alone; these pages have no certificate
const url = (image, width, type) => image.imageUrlFor(width, type).replace('https:', 'http:');

const widths = [200, 400, 800];
const formats = imgix(path, { formats: ['webp', 'avif'], quality: 70 });
const negotiated = imgix(path);

export const images = [
    ...formats.imageTypes.flatMap((format) => widths.map((width) => ({ dialect, url: url(formats, width, format), ...fitted(path, { width }), format }))),
    ...widths.map((width) => ({ dialect, url: url(negotiated, width, 'auto'), ...fitted(path, { width }), format: 'auto' })),
    { dialect, url: url(formats, 400, 'jpeg'), ...fitted(path, { width: 400 }), format: 'jpeg' },
];

const srcset = (image, type) => widths.map((width) => `${url(image, width, type)} ${width}w`).join(', ');

export const markup = [
    `<picture>${[...formats.imageTypes].reverse().map((type) => tag('source', { srcset: srcset(formats, type), type: `image/${type}`, sizes: '40vw' })).join('')}${tag('img', { src: url(formats, 400, 'jpeg'), alt: 'formats' })}</picture>`,
    tag('img', { srcset: srcset(negotiated, 'auto'), sizes: '40vw', alt: 'negotiated' }),
];
