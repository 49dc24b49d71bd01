// next/image of Next.js: the properties of <Image>, with the settings that Next.js has without next.config.js.

import { createRequire } from 'node:module';
import { ORIGINALS, candidates, fitted, tag } from '../lib/site.js';

// in development the loader checks `remotePatterns` as well, with a library that is not installed here
process.env.NODE_ENV = 'production';
const require = createRequire(import.meta.url);
const { getImgProps } = require('next/dist/shared/lib/get-img-props');
const { default: defaultLoader } = require('next/dist/shared/lib/image-loader');
const { imageConfigDefault } = require('next/dist/shared/lib/image-config');

export const dialect = 'next';

// as the component <Image> does it
const allSizes = [...imageConfigDefault.deviceSizes, ...imageConfigDefault.imageSizes].sort((a, b) => a - b);
const imgConf = { ...imageConfigDefault, allSizes };

const components = Object.keys(ORIGINALS).flatMap((path) => {
    const { width, height } = fitted(path, { width: 300 });
    // a browser would otherwise wait until the image is in sight
    const common = { src: `/${path}`, alt: path, loading: 'eager' };
    return [
        { path, props: { ...common, width, height } },
        { path, props: { ...common, fill: true, sizes: '40vw', quality: 75 } },
    ];
}).map(({ path, props }) => ({ path, props: getImgProps(props, { defaultLoader, imgConf }).props }));

// drawings become whichever lossless format is smallest
const format = (path) => (path === 'generated/alpha.png' ? 'any' : 'auto');
const expected = ({ path, url }) => ({ dialect, url, ...fitted(path, { width: Number(new URL(url, 'http://n').searchParams.get('w')) }), format: format(path) });
const urls = components.flatMap(({ path, props }) => [props.src, ...candidates(props.srcSet).map(({ url }) => url)].map((url) => ({ path, url })));
urls.push({ path: 'photos/coffee.png', url: defaultLoader({ config: imgConf, src: 'https://www.example.com/photos/coffee.png', width: 640, quality: 75 }) });

export const images = [...new Map(urls.map((one) => [one.url, expected(one)])).values()];

export const markup = components.map(({ props }) => {
    // `fill` is positioned in a box of the page's
    const image = tag('img', props);
    return props.sizes ? `<div style="position:relative;display:inline-block;width:40vw;height:200px">${image}</div>` : image;
});
