// libthumbor 2.0.2, which is Python's: a list of what it printed. Where it can be imported, it must print the same now.

import { spawnSync } from 'node:child_process';
import { THUMBOR_KEY, fitted, tag } from '../lib/site.js';

export const dialect = 'thumbor';

const coffee = 'photos/coffee.png';

// the arguments of CryptoURL.generate, the URL, and the expected answer
const printed = [
    [{ width: 300, height: 200, image_url: coffee }, '/ufHyXelj0Q7XfJBw87lMkmqrhwo=/300x200/photos/coffee.png', { width: 300, height: 200 }],
    [{ width: 300, image_url: coffee }, '/tfBb_UcuXuToyCR90moGC6i1ny0=/300x0/photos/coffee.png', fitted(coffee, { width: 300 })],
    [{ width: 300, height: 100, fit_in: true, image_url: coffee }, '/ZQpsjL7XwhonwOFnpZuB1Kx_QDA=/fit-in/300x100/photos/coffee.png', { width: 150, height: 100 }],
    [{ width: 300, height: 300, fit_in: true, filters: ['fill(red)'], image_url: coffee }, '/VTplBCZivqLlK7-g_X6kF9sUoUw=/fit-in/300x300/filters:fill(red)/photos/coffee.png', { width: 300, height: 300 }],
    [{ width: 200, height: 200, smart: true, image_url: `https://www.example.com/${coffee}` }, '/1ELwcbZk5pdnU73IVVtvyi_CkU4=/200x200/smart/https://www.example.com/photos/coffee.png', { width: 200, height: 200 }],
    [{ width: 200, height: 200, halign: 'left', valign: 'top', filters: ['format(webp)', 'quality(60)'], image_url: 'photos/a%20b%20%C3%A9.png' }, '/xEtTK0fbOsnYqpK75mCmjgBLpns=/200x200/left/top/filters:format(webp):quality(60)/photos/a%20b%20%C3%A9.png', { width: 200, height: 200, format: 'webp' }],
    [{ width: 1200, height: 300, filters: ['no_upscale()'], image_url: coffee }, '/lbbqfQiNyAz-Sg1FFTrSj6CFKSk=/1200x300/filters:no_upscale()/photos/coffee.png', { width: 600, height: 300 }],
    [{ width: 200, height: 100, flip: true, image_url: coffee }, '/o2l0mzdN-T6zaF5Pd2wwvHofjOM=/-200x100/photos/coffee.png', { width: 200, height: 100 }],
    [{ crop: [[100, 50], [300, 150]], image_url: coffee }, '/tu0n3l0QGjy707kl7Mx-rEd4QiY=/100x50:300x150/photos/coffee.png', { width: 200, height: 100 }],
    [{ unsafe: true, width: 100, height: 100, image_url: coffee }, 'unsafe/100x100/photos/coffee.png', { width: 100, height: 100 }],
];

const program = `
import json, sys
from libthumbor import CryptoURL
urls = CryptoURL(key=sys.argv[1])
print(json.dumps([urls.generate(**arguments) for arguments in json.load(sys.stdin)]))
`;
const python = spawnSync('python3', ['-c', program, THUMBOR_KEY], { input: JSON.stringify(printed.map(([generate]) => generate)), encoding: 'utf8' });
export const note = python.status === 0 ? undefined : 'a fixed list, since Python has no libthumbor here';
if (python.status === 0) {
    for (const [index, url] of JSON.parse(python.stdout).entries()) {
        if (url !== printed[index][1]) throw new Error(`libthumbor prints ${url}, and the list has ${printed[index][1]}`);
    }
}

export const images = printed.map(([, url, expected]) => ({ dialect, url: `http://thumbor.example.com/${url.replace(/^\//, '')}`, format: 'png', ...expected }));

export const markup = images.map(({ url }) => tag('img', { src: url, alt: url }));
