// The site that all clients print URLs for: its originals, hosts and keys, and the sizes that are expected of it.

/** Originals by their path below the root; `from` is the file in testdata. */
export const ORIGINALS = {
    'photos/coffee.png': { from: 'photos/coffee.png', width: 600, height: 400 },
    'photos/chelsea.png': { from: 'photos/chelsea.png', width: 451, height: 300 },
    'photos/rocket.jpg': { from: 'photos/rocket.jpg', width: 640, height: 427 },
    'photos/a b é.png': { from: 'photos/chelsea.png', width: 451, height: 300 },
    'generated/alpha.png': { from: 'generated/alpha.png', width: 120, height: 80 },
    // EXIF orientation 6: stored as 80×120
    'generated/orient-6.jpg': { from: 'generated/orient-6.jpg', width: 120, height: 80 },
};

/** The site; nginx passes its paths on as they are. */
export const SITE = 'http://www.example.com';

/** Hosts of their own: nginx puts the mount in front of the path. The service behind them is `plain` or `signed`. */
export const HOSTS = {
    'www.example.com': { mount: '', service: 'plain' },
    'imgix.example.com': { mount: '/ix', service: 'plain' },
    'signed.example.com': { mount: '/ix', service: 'signed' },
    'thumbor.example.com': { mount: '/thumbor', service: 'plain' },
    'wsrv.example.com': { mount: '/wsrv', service: 'plain' },
};

export const IMGPROXY = { mount: '/imgproxy', key: '736563726574', salt: '68656c6c6f' };
export const THUMBOR_KEY = 'my-security-key';
export const IMGIX_TOKEN = 's3cr3t';

/** The settings of both services. */
export const SETTINGS = {
    plain: `
[dialects]
bases = ["https://www.example.com", "${SITE}"]
[dialects.imgproxy]
mount = "${IMGPROXY.mount}"
keys = ["${IMGPROXY.key}"]
salts = ["${IMGPROXY.salt}"]
[dialects.imgix]
mount = "/ix"
[dialects.thumbor]
mount = "/thumbor"
keys = ["${THUMBOR_KEY}"]
unsafe = true
[dialects.next]
mount = "/_next/image"
[dialects.ipx]
mount = "/_ipx"
[dialects.cloudflare]
mount = "/cdn-cgi/image"
[dialects.wsrv]
mount = "/wsrv"
[[dialects.paths]]
match = "/resize/{size}/{path}"
query = "fit=contain"
[[dialects.paths]]
match = "/crop/{size}/{path}"
query = "fit=cover&limit=sides"
[[dialects.paths]]
match = "/img/{width}x{height}/{format}/{path}"
query = "fit=cover"
[[dialects.paths]]
match = "/w{width}/{path}.webp"
query = "format=webp"
`,
    signed: `
[dialects]
bases = ["https://www.example.com"]
[dialects.imgix]
mount = "/ix"
token = "${IMGIX_TOKEN}"
`,
};

/** The size of an original that is fitted into a box; a missing side does not bound. Enlarges only if told. */
export function fitted(path, { width = Infinity, height = Infinity, enlarge = false }) {
    const original = ORIGINALS[path];
    const scale = Math.min(width / original.width, height / original.height, enlarge ? Infinity : 1);
    return { width: Math.round(original.width * scale), height: Math.round(original.height * scale) };
}

/** The candidates of a `srcset`: each has a `url` and a number for its `w` or `x`. */
export function candidates(srcset) {
    // URLs hold commas, so a candidate ends only at a comma behind its descriptor
    return [...srcset.matchAll(/\s*(\S+)\s+([\d.]+)([wx])\s*(?:,|$)/g)].map(([, url, number, unit]) => ({ url, [unit]: Number(number) }));
}

const escape = (value) => String(value).replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;');

/** An element with those of its attributes that have a value; React's names are taken too. */
export function tag(name, attributes) {
    const names = { srcSet: 'srcset', fetchPriority: 'fetchpriority', className: 'class' };
    const css = (style) => Object.entries(style).filter(([, value]) => value !== undefined).map(([key, value]) => `${key.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}:${value}`).join(';');
    const pairs = Object.entries(attributes)
        .filter(([, value]) => value !== undefined && value !== false)
        .map(([key, value]) => ` ${names[key] ?? key}="${escape(key === 'style' && typeof value === 'object' ? css(value) : value)}"`);
    return `<${name}${pairs.join('')}>`;
}
