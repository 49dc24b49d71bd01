// The pages, and the markup that the playground offers, are valid HTML; every picture of the markup is answered, as wide as it is
// said to be.

import assert from 'node:assert/strict';
import { HtmlValidate } from 'html-validate';
import { dimensions } from '../../clients/lib/dimensions.js';
import { HOSTILE, TOKEN } from '../lib/site.js';

const rules = { 'prefer-native-element': ['error', { exclude: ['listbox'] }] };
const page = new HtmlValidate({ extends: ['html-validate:standard', 'html-validate:a11y'], rules });
// a fragment has the alternative text that its author writes
const fragment = new HtmlValidate({ extends: ['html-validate:standard'] });

async function isValid(validator, html, where) {
    const { valid, results } = await validator.validateString(html);
    const messages = results.flatMap(({ messages: found }) => found.map(({ line, column, message, ruleId }) => `${where}:${line}:${column} ${message} (${ruleId})`));
    assert(valid, `${messages.join('\n')}\n${html}`);
}

const decoded = (attribute) => attribute.replaceAll('&amp;', '&').replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&quot;', '"').replaceAll('&#39;', "'");

/** The URLs of an attribute with their descriptors, as browsers split it; none of the URLs has a comma. */
const candidates = (srcset) => decoded(srcset).split(',').map((candidate) => candidate.trim().split(/\s+/));

async function isAnswered(site, html) {
    for (const [, name, value] of html.matchAll(/\s(srcset|src)="([^"]*)"/g)) {
        for (const [url, descriptor, ...rest] of name === 'srcset' ? candidates(value) : [[decoded(value)]]) {
            const answer = await fetch(site.origin + url);
            assert.equal(answer.status, 200, `${url} in ${html}`);
            assert.deepEqual(rest, [], html);
            const body = Buffer.from(await answer.arrayBuffer());
            if (answer.headers.get('content-type') === 'image/svg+xml' || !descriptor) continue;
            assert.match(descriptor, /^(\d+w|[\d.]+x)$/, html);
            if (descriptor.endsWith('w')) assert.equal(`${dimensions(body).width}w`, descriptor, url);
        }
    }
}

export default async function markup(site) {
    for (const path of ['/-/playground', '/-/status']) {
        const response = await fetch(site.origin + path, { headers: { authorization: `Bearer ${TOKEN}` } });
        await isValid(page, await response.text(), path);
    }
    for (const kind of ['srcset', 'picture']) {
        for (const layout of ['constrained', 'fixed', 'full']) {
            for (const path of ['photos/coffee.png', `hostile/${HOSTILE}`, 'generated/animated.gif', 'generated/svg.svg']) {
                const query = `path=${encodeURIComponent(path)}&kind=${kind}&layout=${layout}&width=400&lqip=true`;
                const response = await fetch(`${site.origin}/-/playground/markup?${query}`);
                assert.equal(response.status, 200, `${query}: ${await response.clone().text()}`);
                const { markup: html } = await response.json();
                await isValid(fragment, html, query);
                await isAnswered(site, html);
            }
        }
    }
}
