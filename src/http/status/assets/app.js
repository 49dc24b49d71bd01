// Keeps the status page up to date. The page is complete without this script: it fetches the page again, and takes the texts
// and the drawings of the new one over, element by element.

const SECONDS = 5;

/** Attributes of drawings; everything else stays. */
const DRAWN = new Set(['d', 'points', 'x', 'x1', 'x2', 'y', 'y1', 'y2', 'cx', 'cy', 'width', 'height', 'transform', 'aria-label', 'aria-hidden', 'class', 'datetime', 'value', 'max']);

/** Elements that the reader works with. */
const KEPT = 'form, button, script';

/** Nodes that count: those of a message, which only one answer has, and blanks between elements do not. */
const counted = (parent) => [...parent.childNodes].filter((node) => (node.nodeType === Node.ELEMENT_NODE ? !node.matches('[data-kept]') : node.data?.trim()));

/** Takes over the content of `next`, keeping the elements of `now` where they are the same ones. */
function takeOver(now, next) {
    if (now.matches(KEPT)) return;
    for (const { name, value } of next.attributes) {
        if (DRAWN.has(name) && now.getAttribute(name) !== value) now.setAttribute(name, value);
    }
    const [old, fresh] = [counted(now), counted(next)];
    if (old.length === fresh.length && old.every((node, index) => node.nodeName === fresh[index].nodeName)) {
        old.forEach((node, index) => takeOverNode(node, fresh[index]));
    } else if (!now.querySelector(KEPT)) {
        // rows have come or gone
        now.replaceChildren(...[...next.childNodes].map((child) => document.importNode(child, true)));
    }
}

function takeOverNode(now, next) {
    if (now.nodeType === Node.ELEMENT_NODE) takeOver(now, next);
    else if (now.data !== next.data) now.data = next.data;
}

async function refresh() {
    const response = await fetch(location.pathname, { cache: 'no-store', signal: AbortSignal.timeout(SECONDS * 1000) });
    if (!response.ok) throw new Error(`${response.status} ${response.statusText}`);
    const next = new DOMParser().parseFromString(await response.text(), 'text/html');
    // elements of the new page are only ever read, and scripts in it do not run
    takeOver(document.querySelector('main'), next.querySelector('main'));
}

/** A switch that stops the refresh, for readers whom moving figures disturb. */
function addSwitch() {
    const button = document.createElement('button');
    const state = document.createElement('span');
    button.type = 'button';
    state.setAttribute('role', 'status');
    const show = () => {
        button.textContent = timer ? 'Pause' : 'Continue';
        state.textContent = timer ? ` · refreshed every ${SECONDS} s` : ' · paused';
    };
    button.addEventListener('click', () => {
        clearInterval(timer);
        timer = timer ? null : setInterval(tick, SECONDS * 1000);
        show();
    });
    show();
    document.querySelector('.version').append(state, button);
    return (text) => (state.textContent = text);
}

async function tick() {
    if (document.hidden) return;
    try {
        await refresh();
        if (failed) say(` · refreshed every ${SECONDS} s`);
        failed = false;
    } catch (error) {
        failed = true;
        say(` · not refreshed: ${error.message}`);
    }
}

let failed = false;
let timer = setInterval(tick, SECONDS * 1000);
const say = addSwitch();
