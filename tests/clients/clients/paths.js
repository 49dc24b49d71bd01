// Paths of nginx's image_filter and of OpenResty scripts. They have no library: templates, written as sites write them.

import { fitted, tag } from '../lib/site.js';

const coffee = 'photos/coffee.png';

export const dialect = 'paths';

export const images = [
    { url: `/resize/300x300/${coffee}`, ...fitted(coffee, { width: 300, height: 300 }), format: 'png' },
    { url: `/resize/300x-/${coffee}`, ...fitted(coffee, { width: 300 }), format: 'png' },
    { url: `/resize/-x100/${coffee}`, ...fitted(coffee, { height: 100 }), format: 'png' },
    { url: `/resize/4000x4000/${coffee}`, width: 600, height: 400, format: 'png' },
    { url: `/crop/500x500/${coffee}`, width: 500, height: 400, format: 'png' },
    { url: `/crop/100x100/photos/a%20b%20%C3%A9.png`, width: 100, height: 100, format: 'png' },
    { url: `/img/200x100/webp/${coffee}`, width: 200, height: 100, format: 'webp' },
    { url: `/img/200x100/auto/${coffee}`, width: 200, height: 100, format: 'auto' },
    { url: `/w240/${coffee}.webp`, ...fitted(coffee, { width: 240 }), format: 'webp' },
    { url: `/resize/100x100/generated/orient-6.jpg`, ...fitted('generated/orient-6.jpg', { width: 100, height: 100 }), format: 'jpeg' },
].map((image) => ({ dialect, ...image }));

export const markup = images.map(({ url }) => tag('img', { src: url, alt: url }));
