// unpic and @unpic/core: the properties of <Image> and <Source> of unpic's components, with five of its CDNs.

import { transformProps, transformSourceProps } from '@unpic/core';
import { transformUrl } from 'unpic';
import { candidates, fitted, tag } from '../lib/site.js';

export const dialect = 'ipx';

const path = 'photos/coffee.png';
// unpic's provider has the public service's address alone: sites replace it
const own = (value) => value?.replaceAll('https://wsrv.nl/', 'http://wsrv.example.com/');

// The size for a width and a height of the same ratio. `min` of imgix and ipx never enlarge.
const box = (cdn, { width, height }) => {
    const scale = cdn === 'cloudflare' || cdn === 'wsrv' ? 1 : Math.min(1, 600 / width);
    return { width: Math.round(width * scale), height: Math.round(height * scale) };
};

const cdns = {
    ipx: { src: `/${path}`, dialect: 'ipx', format: 'auto' },
    cloudflare: { src: `/${path}`, dialect: 'cloudflare', format: 'auto' },
    imgix: { src: `http://imgix.example.com/${path}`, dialect: 'imgix', format: 'auto' },
    wsrv: { src: `https://www.example.com/${path}`, dialect: 'wsrv', format: 'png' },
};

export const images = [];
export const markup = [];

for (const [cdn, { src, dialect, format }] of Object.entries(cdns)) {
    const common = { src, width: 300, height: 200, fallback: cdn, priority: true, alt: cdn };
    for (const layout of ['constrained', 'fixed']) {
        const props = transformProps({ ...common, layout, alt: `${cdn} ${layout}` });
        props.srcset = own(props.srcset);
        props.src = own(props.src);
        for (const { url, w } of candidates(props.srcset)) {
            images.push({ dialect, url, ...box(cdn, { width: w, height: Math.round(w / 1.5) }), format });
        }
        markup.push(tag('img', props));
    }
    // <picture> with a source for wide windows
    const source = transformSourceProps({ ...common, layout: 'constrained', type: 'image/webp', media: '(min-width: 500px)' });
    for (const { url, w } of candidates(own(source.srcset))) {
        images.push({ dialect, url, ...box(cdn, { width: w, height: Math.round(w / 1.5) }), format: 'webp' });
    }
    const inner = transformProps({ ...common, layout: 'constrained', alt: `${cdn} picture` });
    markup.push(`<picture>${tag('source', { ...source, srcset: own(source.srcset) })}${tag('img', { ...inner, src: own(inner.src), srcset: own(inner.srcset) })}</picture>`);
}

// unpic's provider for Next.js asks for any width; this one is in the default list
const next = transformUrl({ url: `/${path}`, width: 256, provider: 'nextjs' });
images.push({ dialect: 'next', url: String(next), ...fitted(path, { width: 256 }), format: 'auto' });
markup.push(tag('img', { src: next, alt: 'next' }));
