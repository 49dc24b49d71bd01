// The pages, and the markup that the playground offers, are valid HTML.

import assert from 'node:assert/strict';
import { HtmlValidate } from 'html-validate';
import { TOKEN } from '../lib/site.js';

const rules = { 'prefer-native-element': ['error', { exclude: ['listbox'] }] };
const page = new HtmlValidate({ extends: ['html-validate:standard', 'html-validate:a11y'], rules });
// a fragment has the alternative text that its author writes
const fragment = new HtmlValidate({ extends: ['html-validate:standard'] });

async function isValid(validator, html, where) {
    const { valid, results } = await validator.validateString(html);
    const messages = results.flatMap(({ messages: found }) => found.map(({ line, column, message, ruleId }) => `${where}:${line}:${column} ${message} (${ruleId})`));
    assert(valid, `${messages.join('\n')}\n${html}`);
}

export default async function markup(site) {
    for (const path of ['/-/playground', '/-/status']) {
        const response = await fetch(site.origin + path, { headers: { authorization: `Bearer ${TOKEN}` } });
        await isValid(page, await response.text(), path);
    }
    for (const kind of ['srcset', 'picture']) {
        for (const layout of ['constrained', 'fixed', 'full']) {
            for (const path of ['photos/coffee.png', 'hostile/<img src=x onerror=alert(1)>.png', 'generated/animated.gif', 'generated/svg.svg']) {
                const query = `path=${encodeURIComponent(path)}&kind=${kind}&layout=${layout}&width=400&lqip=true`;
                const response = await fetch(`${site.origin}/-/playground/markup?${query}`);
                assert.equal(response.status, 200, `${query}: ${await response.clone().text()}`);
                await isValid(fragment, (await response.json()).markup, query);
            }
        }
    }
}
