// The playground: an original beside its rendition, with the URL, the markup and the reasons for it.
//
// The URL is the state: it stands in the address field and behind the page's `#`, and the controls are made from the
// server's table of parameters. Names, metadata and errors reach the page as text (`textContent`), never as HTML.

const API = '/-/playground';
const ACCEPT = 'image/avif,image/webp,image/apng,image/svg+xml,image/*;q=0.8,*/*;q=0.5';
const PAGE = 60;

const $ = (id) => document.getElementById(id);
const state = { path: '', params: new Map(), folder: '', search: '', zoom: 0 };
let settings = { parameters: [], dialects: [] };
let explained = null;

// --- the document

/** An element; `text` is its text, `on…` are listeners, everything else is an attribute. */
function element(name, { text, ...attributes } = {}, ...children) {
    const node = document.createElement(name);
    if (text !== undefined) node.textContent = text;
    for (const [key, value] of Object.entries(attributes)) {
        if (key.startsWith('on')) node.addEventListener(key.slice(2), value);
        else if (value === true) node.setAttribute(key, '');
        else if (value !== false && value !== undefined && value !== null) node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null && child !== undefined));
    return node;
}

const option = (value, text = value) => element('option', { value, text });

function announce(text) {
    $('live').textContent = text;
}

function debounce(milliseconds, action) {
    let timer;
    return (...args) => {
        clearTimeout(timer);
        timer = setTimeout(() => action(...args), milliseconds);
    };
}

// --- numbers for people

function bytes(count) {
    if (!Number.isFinite(count)) return '–';
    const units = ['B', 'kB', 'MB', 'GB'];
    let power = 0;
    while (count >= 999.5 && power < units.length - 1) {
        count /= 1000;
        power += 1;
    }
    return `${power === 0 || count >= 100 ? Math.round(count) : count.toPrecision(3)}\u00a0${units[power]}`;
}

const size = ({ width, height }) => `${width}\u00a0×\u00a0${height}`;
const percent = (share) => `${(100 * share).toFixed(Math.abs(share) < 0.1 ? 1 : 0)} %`;
const milliseconds = (time) => `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`;
const formatOf = (type = '') => type.replace(/^image\//, '').replace(/;.*/, '').replace('svg+xml', 'svg').toUpperCase() || '–';

// --- the server

class Problem extends Error {
    constructor(document) {
        super(document.title);
        this.document = document;
    }
}

/** The problem document of an answer, or its equivalent where the answer has none. */
async function problemOf(response) {
    const text = await response.text();
    try {
        return JSON.parse(text);
    } catch {
        return { title: `${response.status} ${response.statusText}`, detail: text.slice(0, 500), status: response.status };
    }
}

async function ask(path, query = {}, signal = undefined) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
    // a blank is %20: `+` is itself
    const parameters = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`).join('&');
    const response = await fetch(`${API}/${path}?${parameters}`, { signal, cache: 'no-store' });
    if (!response.ok) throw new Problem(await problemOf(response));
    return response.json();
}

/** Fetches an image and measures it. */
async function fetchImage(url, signal) {
    const start = performance.now();
    const response = await fetch(url, { signal, cache: 'no-store', headers: { accept: ACCEPT } });
    if (!response.ok) throw new Problem(await problemOf(response));
    const blob = await response.blob();
    return { blob, time: performance.now() - start, type: response.headers.get('content-type') ?? '', cache: response.headers.get('cache-status') ?? '' };
}

// --- URLs

const prefix = () => (settings.dialects.find(({ name }) => name === 'native')?.mount ?? '').replace(/\/$/, '');
const encodePath = (path) => path.split('/').map(encodeURIComponent).join('/');
const encodeValue = (value) => encodeURIComponent(value).replace(/%(2C|3A|40|2F)/g, decodeURIComponent);

/** The URL, with its parameters in the order of the table. */
function nativeUrl(path, params) {
    const place = ([name]) => settings.parameters.findIndex((parameter) => parameter.name === name) >>> 0;
    const query = [...params].sort((a, b) => place(a) - place(b)).map(([name, value]) => `${encodeURIComponent(name)}=${encodeValue(value)}`).join('&');
    return `${prefix()}/${encodePath(path)}${query && `?${query}`}`;
}

const currentUrl = () => nativeUrl(state.path, state.params);
const canonical = (name) => settings.parameters.find((parameter) => parameter.name === name || parameter.aliases.includes(name))?.name ?? name;

/** The path and the parameters of a native URL, or `null` if its path cannot be decoded. */
function parseUrl(text) {
    const [path, query = ''] = text.replace(/^[a-z]+:\/\/[^/]+/i, '').split(/\?(.*)/s);
    try {
        const below = path.startsWith(`${prefix()}/`) ? path.slice(prefix().length + 1) : path.replace(/^\//, '');
        return { path: decodeURIComponent(below), params: new Map([...new URLSearchParams(query)].map(([name, value]) => [canonical(name), value])) };
    } catch {
        return null;
    }
}

/** Goes to a URL of any dialect: the server says which native one is equal to it. */
async function goTo(text) {
    const path = text.trim().replace(/^[a-z]+:\/\/[^/]+/i, '').replace(/^(?!\/)/, '/');
    // templates have no mount: the server knows their paths
    const foreign = settings.dialects.some(({ name, mount }) => name !== 'native' && path.startsWith(mount));
    let native = path;
    if (foreign) {
        const answer = await ask('explain', { url: path }).catch((error) => showFailure(error));
        if (!answer) return;
        if (answer.dialect !== 'native') {
            if (!answer.urls?.native) return showProblem(answer.problem ?? { title: 'No native URL is equal to this one' });
            native = answer.urls.native;
        }
    }
    const parsed = parseUrl(native);
    if (parsed) open(parsed.path, parsed.params, true);
    else showProblem({ title: 'The path is not percent-encoded text', detail: native });
}

function open(path, params, push) {
    Object.assign(state, { path, params });
    writeHash(push);
    markSelected();
    changed();
}

function writeHash(push) {
    const hash = `#${currentUrl().slice(prefix().length)}`;
    if (hash !== location.hash) history[push ? 'pushState' : 'replaceState'](null, '', hash);
}

function readHash() {
    if (!location.hash.startsWith('#/')) return false;
    const parsed = parseUrl(prefix() + location.hash.slice(1));
    if (!parsed?.path) return false;
    Object.assign(state, parsed);
    return true;
}

function setParameter(name, value) {
    if (value === undefined || value === '') state.params.delete(name);
    else state.params.set(name, value);
    // the server refuses both
    const rivals = { quality: ['target', 'lossless'], target: ['quality', 'lossless'], lossless: ['quality', 'target'] }[name];
    if (rivals && state.params.has(name)) rivals.forEach((rival) => state.params.delete(rival));
    writeHash(false);
    changed();
}

// --- originals

let cursor = null;
let listing = 0;

async function list(append = false) {
    const turn = ++listing;
    const query = { folder: state.folder, search: state.search, after: append ? cursor : undefined, limit: PAGE };
    let answer;
    try {
        answer = await ask('originals', query);
    } catch (error) {
        if (turn !== listing) return;
        $('sheet-note').textContent = [error.document?.title ?? 'The server does not answer', error.document?.detail].filter(Boolean).join(': ');
        return;
    }
    if (turn !== listing) return;
    cursor = answer.next;
    showFolders(answer.folders ?? []);
    if (!append) $('sheet').replaceChildren();
    $('sheet').append(...answer.originals.map(thumbnail));
    const count = $('sheet').childElementCount;
    $('sheet').hidden = count === 0;
    $('more').hidden = !answer.next;
    if (answer.incomplete) $('sheet-note').textContent = 'There are too many names to look at all of them: enter a folder, or search for more of the name.';
    else $('sheet-note').textContent = count === 0 ? (state.search ? 'Nothing has such a name.' : 'No pictures here.') : '';
    markSelected();
    return answer;
}

function enter(folder) {
    state.folder = folder;
    list();
}

function showFolders(folders) {
    const parts = state.folder.split('/').filter(Boolean);
    const crumb = (text, folder, current) => element('button', { type: 'button', text, class: 'crumb', 'aria-current': current ? 'location' : undefined, onclick: () => enter(folder) });
    const crumbs = [crumb('all', '', parts.length === 0), ...parts.map((part, index) => crumb(part, `${parts.slice(0, index + 1).join('/')}/`, index === parts.length - 1))];
    const below = folders.map((name) => element('button', { type: 'button', text: `${name}/`, class: 'folder', onclick: () => enter(`${state.folder}${name}/`) }));
    $('folders').replaceChildren(element('div', { class: 'crumbs' }, ...crumbs), ...below);
}

/** The width of thumbnails: where only some widths are allowed, the next of them. */
function thumbnailWidth(width) {
    return [...(settings.widths ?? [])].sort((a, b) => a - b).find((allowed) => allowed >= width) ?? settings.widths?.at(-1) ?? width;
}

function thumbnail({ path, bytes: length }) {
    const image = element('img', { alt: '', loading: 'lazy', decoding: 'async', width: 120, height: 90 });
    const figure = element('div', { role: 'option', class: 'frame', tabindex: -1, 'aria-selected': 'false', title: `${path}, ${bytes(length)}` }, element('span', { class: 'print' }, image), element('span', { class: 'label', text: path.slice(path.lastIndexOf('/') + 1) }));
    figure.dataset.path = path;
    image.addEventListener('error', () => figure.classList.add('broken'), { once: true });
    image.src = nativeUrl(path, new Map([['width', thumbnailWidth(240)], ['aspect_ratio', '4:3'], ['format', 'auto'], ['animated', 'false']]));
    figure.addEventListener('click', () => choose(figure));
    return figure;
}

function choose(figure) {
    const kept = new Map([...state.params].filter(([name]) => !['rect', 'window', 'inset', 'position', 'offset'].includes(name)));
    open(figure.dataset.path, kept, true);
    figure.focus({ preventScroll: true });
}

function markSelected() {
    const frames = [...$('sheet').children];
    const selected = frames.find((frame) => frame.dataset.path === state.path);
    for (const frame of frames) {
        frame.setAttribute('aria-selected', String(frame === selected));
        frame.tabIndex = frame === (selected ?? frames[0]) ? 0 : -1;
    }
}

/** Arrow keys in the sheet, as in a list box of several columns. */
function moveInSheet(event) {
    const frames = [...$('sheet').children];
    const at = frames.indexOf(document.activeElement);
    if (at < 0) return;
    const row = frames.filter((frame) => frame.offsetTop === frames[0].offsetTop).length;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + row, ArrowUp: at - row, Home: 0, End: frames.length - 1 }[event.key];
    if (event.key === 'Enter' || event.key === ' ') choose(frames[at]);
    else if (to === undefined) return;
    else frames[Math.max(0, Math.min(frames.length - 1, to))].focus();
    event.preventDefault();
}

// --- uploads

async function upload(files) {
    const token = $('token').value;
    for (const file of files) {
        const item = element('li', { text: `${file.name}: sending ${bytes(file.size)} …` });
        $('upload-results').append(item);
        const path = state.folder + file.name;
        const headers = { authorization: `Bearer ${token}`, 'content-type': file.type || 'application/octet-stream' };
        try {
            const response = await fetch(`/-/upload/${encodePath(path)}`, { method: 'PUT', headers, body: file });
            const problem = response.ok ? null : await problemOf(response);
            item.textContent = problem ? `${file.name}: ${[problem.title, problem.detail].filter(Boolean).join(': ')}` : `${file.name} is stored.`;
            item.className = problem ? 'bad' : 'good';
            if (response.ok) {
                await list();
                open(path, state.params, true);
            }
        } catch {
            item.textContent = `${file.name}: the connection was lost`;
            item.className = 'bad';
        }
    }
}

function watchUploads() {
    $('uploads').hidden = !settings.uploads;
    if (!settings.uploads) return;
    $('upload').addEventListener('submit', (event) => {
        event.preventDefault();
        upload([...$('files').files]);
    });
    const zone = $('originals');
    zone.addEventListener('dragover', (event) => {
        event.preventDefault();
        zone.classList.add('over');
    });
    zone.addEventListener('dragleave', () => zone.classList.remove('over'));
    zone.addEventListener('drop', (event) => {
        event.preventDefault();
        zone.classList.remove('over');
        $('uploads').open = true;
        upload([...event.dataTransfer.files]);
    });
}

// --- controls, made from the table of parameters

const OPEN = new Set(matchMedia('(max-width: 46rem)').matches ? ['size', 'format'] : ['size', 'crop', 'format', 'effects']);
const controls = new Map();

function makeControls() {
    const groups = new Map();
    for (const parameter of settings.parameters) groups.set(parameter.group, [...(groups.get(parameter.group) ?? []), parameter]);
    $('groups').replaceChildren(...[...groups].map(([group, parameters]) => {
        const body = element('div', { class: 'rows', role: 'group', 'aria-label': group }, ...parameters.map(makeRow));
        if (parameters.some(({ kind }) => kind === 'position')) body.prepend(makeMap());
        return element('details', { open: OPEN.has(group) }, element('summary', { text: group }), body);
    }));
}

function makeRow(parameter) {
    const id = `p-${parameter.name}`;
    const help = element('span', { id: `${id}-help`, class: 'hidden', text: helpOf(parameter) });
    const control = makeControl(parameter, id);
    controls.set(parameter.name, control);
    const row = element('div', { class: 'row' }, element('label', { for: id, text: parameter.name }), element('div', { class: 'field' }, ...control.nodes), help);
    control.nodes.find((node) => node.id === id).setAttribute('aria-describedby', help.id);
    const show = () => ($('help').textContent = help.textContent);
    row.addEventListener('focusin', show);
    row.addEventListener('pointerenter', show);
    control.row = row;
    return row;
}

function helpOf({ name, aliases, allowed, values, default: fallback, help }) {
    const range = allowed ?? (values.length > 0 ? values.join(', ') : '');
    const parts = [help, range, fallback ? `default: ${fallback}` : '', aliases.length > 0 ? `also ${aliases.join(', ')}` : ''];
    return `${name}: ${parts.filter(Boolean).join('. ').replaceAll('`', '')}.`;
}

function makeControl(parameter, id) {
    const { name, kind, min, max } = parameter;
    const set = (value) => setParameter(name, value);
    if (kind === 'switch') return makeSwitch(parameter, id, set);
    if (kind === 'choice') return makeChoice(parameter, id, set);
    if (kind === 'integer' && max - min < 12) return makeChoice({ ...parameter, values: numbers(min, max) }, id, set);
    if (kind === 'integer' || kind === 'decimal') return makeNumber(parameter, id, set);
    return kind === 'colour' ? makeColour(parameter, id, set) : makeText(parameter, id, set);
}

/** The integers from `min` to `max`, as texts. */
const numbers = (min, max) => Array.from({ length: max - min + 1 }, (_, index) => String(min + index));

function makeSwitch({ default: fallback }, id, set) {
    const isOn = fallback === 'true';
    const input = element('input', { id, type: 'checkbox' });
    input.addEventListener('change', () => set(input.checked === isOn ? undefined : String(input.checked)));
    return { nodes: [input], show: (value) => (input.checked = value === undefined ? isOn : ['', '1', 'true'].includes(value)) };
}

function makeChoice({ values, default: fallback }, id, set) {
    const select = element('select', { id }, option('', fallback ? `(${fallback.replace(/;.*/, '')})` : '–'), ...values.map((value) => option(value)));
    select.addEventListener('change', () => set(select.value));
    const show = (value = '') => {
        if (![...select.options].some((one) => one.value === value)) select.append(option(value));
        select.value = value;
    };
    return { nodes: [select], show };
}

function makeText({ name, values, default: fallback }, id, set) {
    const list = values.length > 0 ? element('datalist', { id: `${id}-values` }, ...values.map((value) => option(value))) : null;
    const input = element('input', { id, type: 'text', spellcheck: 'false', autocomplete: 'off', list: list?.id, placeholder: (fallback ?? '').replaceAll('`', '') });
    const commit = () => input.value.trim() !== (state.params.get(name) ?? '') && set(input.value.trim());
    input.addEventListener('input', debounce(400, commit));
    input.addEventListener('change', commit);
    return { nodes: [input, list].filter(Boolean), show: (value = '') => document.activeElement !== input && (input.value = value) };
}

function makeColour(parameter, id, set) {
    const text = makeText(parameter, id, set);
    const picker = element('input', { type: 'color', 'aria-label': `Pick ${parameter.name}` });
    picker.addEventListener('input', debounce(150, () => set(picker.value.slice(1))));
    const show = (value = '') => {
        text.show(value);
        if (/^[0-9a-f]{6}$/i.test(value)) picker.value = `#${value}`;
    };
    return { nodes: [...text.nodes, picker], show };
}

/** A slider and a field for one number. */
function makeNumber(parameter, id, set) {
    const { name, default: fallback } = parameter;
    const text = makeText(parameter, id, set);
    const scale = scaleOf(parameter);
    const range = element('input', { type: 'range', min: 0, max: 1000, step: 5, 'aria-label': `${name}, slider` });
    const commit = debounce(120, set);
    range.addEventListener('input', () => {
        const value = scale.value(range.value / 1000);
        text.nodes[0].value = value;
        range.setAttribute('aria-valuetext', value);
        commit(value === fallback || (range.value === '0' && !Number.isFinite(Number(fallback ?? NaN))) ? undefined : value);
    });
    const show = (value) => {
        text.show(value);
        const number = Number(value ?? fallback ?? NaN);
        range.value = 1000 * scale.place(Number.isFinite(number) ? number : scale.rest());
        range.setAttribute('aria-valuetext', value ?? fallback ?? 'not given');
    };
    return { nodes: [range, ...text.nodes], show };
}

/**
 * Places numbers on a slider. A factor whose default lies far below its maximum has the default in the middle; wide ranges
 * have small numbers further apart than large ones.
 */
function scaleOf({ name, kind, min: low, max, default: fallback }) {
    const high = () => (name === 'width' || name === 'height' ? original()?.[name] : undefined) ?? max;
    const middle = Number(fallback ?? NaN);
    const isFactor = Number.isFinite(middle) && middle > low && max / middle >= 4;
    const isWide = !isFactor && max > 0 && (max - low) / Math.max(low, 1) > 100;
    const round = (value) => (kind === 'integer' || value >= 20 || low >= 1 ? String(Math.round(value)) : String(Number(value.toFixed(2))));
    const value = (share) => {
        if (isFactor) return share <= 0.5 ? low + (middle - low) * share * 2 : middle * (max / middle) ** (share * 2 - 1);
        return low + (high() - low) * (isWide ? share ** 2 : share);
    };
    const place = (number) => {
        if (isFactor) return number <= middle ? (number - low) / (middle - low) / 2 : 0.5 + Math.log(number / middle) / Math.log(max / middle) / 2;
        const share = Math.max(0, Math.min(1, (number - low) / (high() - low || 1)));
        return isWide ? Math.sqrt(share) : share;
    };
    const rest = () => (name === 'width' || name === 'height' ? high() : low);
    return { value: (share) => round(value(share)), place, rest };
}

function showControls() {
    for (const [name, control] of controls) {
        const value = state.params.get(name);
        control.show(value);
        control.row.classList.toggle('set', value !== undefined);
    }
    showMap();
}

// --- the focal point, on a picture of the whole original

const PLACES = { center: [0.5, 0.5], top: [0.5, 0], right: [1, 0.5], bottom: [0.5, 1], left: [0, 0.5], 'top-left': [0, 0], 'top-right': [1, 0], 'bottom-left': [0, 1], 'bottom-right': [1, 1] };
let map;

function makeMap() {
    const image = element('img', { alt: '' });
    const crop = element('span', { class: 'crop', 'aria-hidden': 'true' });
    const point = element('button', { type: 'button', class: 'point', 'aria-describedby': 'map-hint' });
    const frame = element('div', { class: 'map' }, image, crop, point);
    const hint = element('p', { id: 'map-hint', class: 'note', text: 'Drag the focal point, or move it with the arrow keys.' });
    const square = element('button', { type: 'button', class: 'quiet', text: 'Crop to a square', onclick: () => setParameter('aspect_ratio', state.params.get('aspect_ratio') === '1:1' ? '' : '1:1') });
    image.addEventListener('load', showMap);
    map = { frame, image, crop, point, square, path: undefined };
    const drag = (event) => {
        const box = image.getBoundingClientRect();
        moveFocus((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    };
    frame.addEventListener('pointerdown', (event) => {
        event.preventDefault();
        frame.setPointerCapture(event.pointerId);
        point.focus();
        drag(event);
    });
    frame.addEventListener('pointermove', (event) => frame.hasPointerCapture(event.pointerId) && drag(event));
    point.addEventListener('keydown', (event) => {
        const step = event.shiftKey ? 0.1 : 0.02;
        const by = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] }[event.key];
        if (!by) return;
        event.preventDefault();
        const [x, y] = focus();
        moveFocus(x + by[0], y + by[1]);
    });
    return element('div', { class: 'focus' }, frame, hint, square);
}

function focus() {
    const text = state.params.get('position') ?? 'center';
    const point = /^([\d.]+)x([\d.]+)$/.exec(text);
    if (point) return [Number(point[1]), Number(point[2])];
    return PLACES[text] ?? [0.5, 0.5];
}

function moveFocus(x, y) {
    const inside = (value) => Number(Math.max(0, Math.min(1, value)).toFixed(2));
    state.params.set('position', `${inside(x)}x${inside(y)}`);
    showMap();
    refocus();
}
const refocus = debounce(120, () => setParameter('position', state.params.get('position')));

function showMap() {
    if (!map) return;
    const turned = [...state.params].filter(([name]) => ['orient', 'rotate', 'flip'].includes(name));
    const key = nativeUrl(state.path, new Map([['width', thumbnailWidth(480)], ['format', 'auto'], ['animated', 'false'], ...turned]));
    if (original()?.format && map.path !== key) {
        map.path = key;
        map.image.src = key;
    }
    const [x, y] = focus();
    map.point.style.setProperty('--x', `${100 * x}%`);
    map.point.style.setProperty('--y', `${100 * y}%`);
    map.point.setAttribute('aria-label', `Focal point: ${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top`);
    map.square.textContent = state.params.get('aspect_ratio') === '1:1' ? 'Without the square crop' : 'Crop to a square';
    const crop = explained?.plan?.crop;
    const { naturalWidth, naturalHeight } = map.image;
    map.crop.hidden = !crop || !original()?.width || naturalWidth === 0;
    if (map.crop.hidden) return;
    // the crop is one of the picture as it is turned
    const isTurned = naturalWidth > naturalHeight !== original().width > original().height;
    const [width, height] = isTurned ? [original().height, original().width] : [original().width, original().height];
    const share = { left: crop.x / width, top: crop.y / height, width: crop.width / width, height: crop.height / height };
    for (const [side, value] of Object.entries(share)) map.crop.style.setProperty(side, `${100 * value}%`);
}

// --- the picture

let turn = new AbortController();
let boundary = 0.5;
let shown = { before: undefined, natural: { width: 0, height: 0 } };

/** The original's facts, with the sides as it is shown (upright). */
function original() {
    return explained?.original ?? null;
}

/** Effects that move pixels or add some. */
const TURNS = new Set(['rotate', 'flip', 'padding', 'canvas']);

/**
 * The URL of the picture before: the same part at the same size, without loss and effects; the original itself where nothing
 * changes its size.
 */
function beforeUrl() {
    const groups = new Map(settings.parameters.map(({ name, group }) => [name, group]));
    const kept = new Map([...state.params].filter(([name]) => TURNS.has(name) || ['size', 'crop'].includes(groups.get(name))));
    if (kept.size === 0) return nativeUrl(state.path, kept);
    return nativeUrl(state.path, kept.set('format', original()?.animated ? 'original' : 'png'));
}

const changed = () => {
    $('url').value = currentUrl();
    $('open').href = currentUrl();
    $('name').textContent = state.path;
    showControls();
    $('stage').classList.add('busy');
    turn.abort();
    refresh();
};

const refresh = debounce(60, async () => {
    turn.abort();
    turn = new AbortController();
    const { signal } = turn;
    const url = currentUrl();
    const explanation = explain(url, signal);
    try {
        const result = await fetchImage(url, signal);
        await explanation;
        // it is in the cache by now, and known to be whole
        await explain(url, signal);
        await showResult(result, signal);
    } catch (error) {
        await explanation;
        if (!signal.aborted) showFailure(error);
    }
    if (!signal.aborted) $('stage').classList.remove('busy');
});

async function explain(url, signal) {
    try {
        explained = await ask('explain', { url, accept: ACCEPT }, signal);
    } catch (error) {
        if (signal.aborted) return;
        explained = null;
        $('json').textContent = JSON.stringify(error.document ?? { title: error.message }, null, 2);
    }
    if (signal.aborted) return;
    showControls();
    showReasons();
    showUrls();
    showMarkup();
}

/** Gives an image a blob and waits until it is decoded; the former blob is released. */
async function showBlob(image, blob) {
    const former = image.src;
    image.src = URL.createObjectURL(blob);
    if (former.startsWith('blob:')) URL.revokeObjectURL(former);
    await image.decode().catch(() => {});
}

async function showResult(result, signal) {
    const isText = !result.type.startsWith('image/');
    $('text').hidden = !isText;
    $('canvas').hidden = isText;
    $('stage').classList.toggle('is-text', isText);
    hideProblem();
    if (isText) {
        const text = await result.blob.text();
        $('text').textContent = result.type.includes('json') ? JSON.stringify(JSON.parse(text), null, 2) : text;
        shown.natural = { width: 0, height: 0 };
    } else {
        await showBlob($('after'), result.blob);
        if (signal.aborted) return;
        shown.natural = { width: $('after').naturalWidth, height: $('after').naturalHeight };
        layOut();
    }
    showFacts(result, isText);
    if (!isText) await showBefore(signal);
}

async function showBefore(signal) {
    const url = beforeUrl();
    $('before-note').textContent = url.includes('?') ? 'Before: the same part at the same size, without loss and effects.' : 'Before: the original.';
    if (shown.before === url) return;
    try {
        const { blob } = await fetchImage(url, signal);
        await showBlob($('before'), blob);
        shown.before = url;
        $('stage').classList.remove('alone');
    } catch (error) {
        if (signal.aborted) return;
        shown.before = undefined;
        $('stage').classList.add('alone');
        $('before-note').textContent = `Before: ${error.document?.title ?? 'the connection was lost'}.`;
    }
}

function showFacts({ blob, time, type, cache }, isText) {
    const source = original();
    const saved = source?.bytes ? 1 - blob.size / source.bytes : undefined;
    $('fact-before').textContent = source ? [formatOf(source.format ?? ''), source.width ? size(source) : null, bytes(source.bytes)].filter(Boolean).join(' · ') : '–';
    $('fact-after').textContent = [formatOf(type), isText ? null : size(shown.natural), bytes(blob.size)].filter(Boolean).join(' · ');
    $('fact-saved').textContent = saved === undefined || isText ? '–' : saved < 0 ? `${percent(-saved)} more bytes` : `${percent(saved)} fewer bytes`;
    $('fact-answer').textContent = `${milliseconds(time)} · ${cache.replace(/^tintype; */, '').replace('fwd=uri-miss', 'rendered').replace('detail=', '').replaceAll('; ', ', ') || 'no cache'}`;
    $('after').alt = `${state.path}, as ${$('fact-after').textContent}`;
    announce(`${$('fact-after').textContent}, ${$('fact-saved').textContent}, ${milliseconds(time)}`);
}

function showFailure(error) {
    if (error.name === 'AbortError') return;
    showProblem(error.document ?? { title: 'The server does not answer', detail: error.message });
    for (const id of ['fact-after', 'fact-saved', 'fact-answer']) $(id).textContent = '–';
}

function hideProblem() {
    $('problem').hidden = true;
    $('problem').replaceChildren();
    $('stage').classList.remove('failed');
    markInvalid([]);
}

/** Marks the fields of these parameters as wrong, and no others. */
function markInvalid(names) {
    const wrong = new Set(names.map(canonical));
    for (const [name, { row }] of controls) {
        const field = row.querySelector(`#p-${name}`);
        if (wrong.has(name)) field.setAttribute('aria-invalid', 'true');
        else field.removeAttribute('aria-invalid');
    }
}

/** The server's own words, and its suggestions as buttons. */
function showProblem(problem) {
    const wrong = (problem.invalid_params ?? []).map(({ name, value, allowed, did_you_mean: suggestion }) => {
        const item = element('li', {}, element('code', { text: `${name}=${value ?? ''}` }), ` ${(allowed ?? '').replaceAll('`', '')} `);
        if (suggestion) item.append(element('button', { type: 'button', text: `Use ${suggestion}`, onclick: () => correct(name, value, suggestion) }));
        return item;
    });
    const parts = [element('h3', { text: problem.status ? `${problem.status} ${problem.title}` : problem.title })];
    if (wrong.length > 0) parts.push(element('ul', {}, ...wrong));
    else if (problem.detail) parts.push(element('p', { text: problem.detail }));
    $('problem').replaceChildren(...parts);
    $('problem').hidden = false;
    $('stage').classList.add('failed');
    markInvalid((problem.invalid_params ?? []).map(({ name }) => name));
    announce([problem.title, problem.detail].filter(Boolean).join(': '));
}

/** A suggestion replaces the value, or the name where the value is said to be fine. */
function correct(name, value, suggestion) {
    const isName = settings.parameters.some((parameter) => parameter.name === suggestion || parameter.aliases.includes(suggestion)) && canonical(name) === name && !controls.has(name);
    if (isName) state.params.delete(name);
    setParameter(isName ? canonical(suggestion) : canonical(name), isName ? value : suggestion);
}

// --- zoom and boundary

const ZOOMS = [[0, 'Fit'], [1, '100 %'], [2, '200 %'], [4, '400 %'], [8, '800 %']];

function makeZoom() {
    $('canvas').append(element('img', { id: 'before', alt: '' }), element('img', { id: 'after', alt: '' }));
    $('zoom').replaceChildren(...ZOOMS.map(([zoom, text]) => element('button', { type: 'button', text, 'data-zoom': zoom, onclick: () => setZoom(zoom) })));
    $('view').addEventListener('keydown', (event) => {
        const at = ZOOMS.findIndex(([zoom]) => zoom === state.zoom);
        const to = { '+': at + 1, '=': at + 1, '-': at - 1, 0: 0 }[event.key];
        if (to === undefined || event.ctrlKey || event.metaKey) return;
        event.preventDefault();
        setZoom(ZOOMS[Math.max(0, Math.min(ZOOMS.length - 1, to))][0]);
    });
    $('view').addEventListener('scroll', placeBoundary);
    new ResizeObserver(layOut).observe($('view'));
    setZoom(0);
}

function setZoom(zoom) {
    const view = $('view');
    const middle = [(view.scrollLeft + view.clientWidth / 2) / (view.scrollWidth || 1), (view.scrollTop + view.clientHeight / 2) / (view.scrollHeight || 1)];
    state.zoom = zoom;
    for (const button of $('zoom').children) button.setAttribute('aria-pressed', String(Number(button.dataset.zoom) === zoom));
    layOut();
    view.scrollTo(middle[0] * view.scrollWidth - view.clientWidth / 2, middle[1] * view.scrollHeight - view.clientHeight / 2);
}

/** Sizes the picture: at 100 % a pixel of it is one of the screen; fitted, one of CSS at most. */
function layOut() {
    const { width, height } = shown.natural;
    if (width === 0) return;
    const pixel = 1 / devicePixelRatio;
    const view = $('view');
    const fit = Math.min(1, view.clientWidth / width, view.clientHeight / height);
    const scale = state.zoom === 0 ? fit : state.zoom * pixel;
    $('canvas').style.setProperty('width', `${width * scale}px`);
    $('canvas').style.setProperty('height', `${height * scale}px`);
    $('canvas').classList.toggle('magnified', state.zoom > 1);
    placeBoundary();
}

/** The boundary is a place in the view; the picture is cut where it lies. */
function placeBoundary() {
    const view = $('view').getBoundingClientRect();
    const canvas = $('canvas').getBoundingClientRect();
    const left = Math.max(view.left, canvas.left);
    const right = Math.min(view.right, canvas.right);
    const at = left + boundary * (right - left);
    $('divider').style.setProperty('left', `${at - view.left}px`);
    $('after').style.setProperty('clip-path', `inset(0 0 0 ${at - canvas.left}px)`);
    $('before').style.setProperty('clip-path', `inset(0 ${canvas.right - at}px 0 0)`);
    $('split').value = 100 * boundary;
    $('split').setAttribute('aria-valuetext', `${Math.round(100 * boundary)} % before, ${Math.round(100 - 100 * boundary)} % after`);
}

function watchBoundary() {
    $('split').addEventListener('input', () => {
        boundary = $('split').value / 100;
        placeBoundary();
    });
    const divider = $('divider');
    divider.addEventListener('pointerdown', (event) => {
        event.preventDefault();
        divider.setPointerCapture(event.pointerId);
    });
    divider.addEventListener('pointermove', (event) => {
        if (!divider.hasPointerCapture(event.pointerId)) return;
        const view = $('view').getBoundingClientRect();
        const canvas = $('canvas').getBoundingClientRect();
        const left = Math.max(view.left, canvas.left);
        const width = Math.min(view.right, canvas.right) - left;
        boundary = Math.max(0, Math.min(1, (event.clientX - left) / width));
        placeBoundary();
    });
}

// --- formats, markup, URLs, reasons

async function compare() {
    $('compare').disabled = true;
    $('compare-note').textContent = 'Rendering and scoring …';
    const url = nativeUrl(state.path, new Map([...state.params].filter(([name]) => name !== 'format')));
    try {
        const rows = await ask('compare', { url, formats: 'avif,webp,jpeg,png' });
        $('compare-table').replaceChildren(comparison(rows));
        $('compare-note').textContent = `${state.path}: SSIMULACRA2 against the lossless picture of the same size. 90 is hardly distinguishable, 70 good.`;
    } catch (error) {
        $('compare-table').replaceChildren();
        $('compare-note').textContent = [error.document?.title ?? 'The server does not answer', error.document?.detail].filter(Boolean).join(': ');
    }
    $('compare').disabled = false;
}

function comparison(rows) {
    const largest = Math.max(...rows.map((row) => row.bytes ?? 0), 1);
    const smallest = Math.min(...rows.map((row) => row.bytes ?? Infinity));
    const body = rows.map((row) => {
        const use = element('button', { type: 'button', class: 'quiet', text: 'Use', 'aria-label': `Use ${row.format}`, onclick: () => setParameter('format', row.format) });
        const head = element('th', { scope: 'row', text: row.format });
        if (row.problem) return element('tr', {}, head, element('td', { colspan: 4, text: [row.problem.title, row.problem.detail].filter(Boolean).join(': ') }));
        const bar = element('span', { class: 'bar', 'aria-hidden': 'true' });
        bar.style.setProperty('width', `${Math.max(1, (100 * row.bytes) / largest)}%`);
        return element('tr', { class: row.bytes === smallest ? 'best' : undefined }, head, element('td', {}, element('span', { class: 'number', text: bytes(row.bytes) }), bar), element('td', {}, element('span', { class: 'number', text: Number.isFinite(row.milliseconds) ? milliseconds(row.milliseconds) : '–' }), row.cached ? element('span', { class: 'why', text: 'cached' }) : null), element('td', { text: Number.isFinite(row.score) ? row.score.toFixed(1) : '–' }), element('td', {}, use));
    });
    const columns = ['Format', 'Bytes', 'Time', 'SSIMULACRA2'].map((text) => element('th', { scope: 'col', text }));
    return element('table', {}, element('caption', { class: 'hidden', text: 'Formats compared' }), element('thead', {}, element('tr', {}, ...columns, element('td'))), element('tbody', {}, ...body));
}

const showMarkup = debounce(150, async () => {
    if (!state.path) return;
    const kind = $('markup-kind').value;
    const query = { path: state.path, kind, layout: $('markup-layout').value, sizes: $('markup-sizes').value, lqip: $('markup-lqip').checked ? 'true' : undefined };
    for (const [name, value] of state.params) query[name] = query[name] ?? value;
    const { signal } = turn;
    try {
        $('markup').textContent = (await ask('markup', query, signal)).markup;
    } catch (error) {
        if (!signal.aborted) $('markup').textContent = [error.document?.title ?? error.message, error.document?.detail].filter(Boolean).join(': ');
    }
});

function showUrls() {
    const entries = Object.entries(explained?.urls ?? {}).filter(([, url]) => typeof url === 'string');
    $('urls').replaceChildren(...entries.map(([dialect, url]) => {
        const code = element('code', { text: url, id: `url-${dialect}` });
        const copy = element('button', { type: 'button', class: 'quiet', text: 'Copy', 'aria-label': `Copy the URL of ${dialect}`, 'data-copy': code.id });
        return element('li', {}, element('span', { class: 'dialect', text: dialect }), code, copy);
    }));
    const others = settings.dialects.map(({ name }) => name).filter((name) => !entries.some(([dialect]) => dialect === name));
    const note = settings.dialects.length <= 1 ? 'URLs of other systems are shown here where they are mounted: [dialects] in the settings.' : `Without words for all of it: ${others.join(', ')}.`;
    if (settings.dialects.length <= 1 || others.length > 0) $('urls').append(element('li', { class: 'note', text: note }));
}

function showReasons() {
    const { steps = [], estimate, cache, format } = explained ?? {};
    const rows = steps.map(({ step, result, why }) => [step, result, why]);
    const has = (name) => rows.some(([step]) => step === name);
    if (format?.chosen && !has('format')) rows.push(['format', format.chosen, (format.why ?? []).join('; ')]);
    if (estimate && !has('estimate')) rows.push(['estimate', `${bytes(estimate.memory_bytes)} of memory, ${milliseconds(estimate.time_ms)}`, estimate.class]);
    if (cache && !has('cache')) rows.push(['cache', cache.state, cache.bytes ? bytes(cache.bytes) : '']);
    if (cache?.key) rows.push(['key', cache.key, '']);
    const text = (value) => (value === null || value === undefined ? '' : typeof value === 'object' ? JSON.stringify(value) : String(value));
    $('reasons').replaceChildren(...rows.map(([step, result, why]) => element('div', {}, element('dt', { text: text(step) }), element('dd', {}, element('span', { class: 'outcome', text: text(result) }), why ? element('span', { class: 'why', text: text(why) }) : null))));
    if (explained) $('json').textContent = JSON.stringify(explained, null, 2);
}

// --- copying

async function copy(button) {
    const source = $(button.dataset.copy);
    const text = source.value === undefined ? source.textContent : new URL(source.value, location.href).href;
    const done = await writeClipboard(text).then(() => 'Copied', () => 'Not allowed');
    const label = button.dataset.label ?? button.textContent;
    button.dataset.label = label;
    button.textContent = done;
    announce(done);
    setTimeout(() => (button.textContent = label), 1500);
}

/** Pages that are neither on this machine nor encrypted have no `navigator.clipboard`. */
async function writeClipboard(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const field = element('textarea', { class: 'hidden', 'aria-hidden': 'true' });
    field.value = text;
    document.body.append(field);
    field.select();
    const copied = document.execCommand('copy');
    field.remove();
    if (!copied) throw new Error('not copied');
}

// --- the beginning

function watch() {
    $('address').addEventListener('submit', (event) => {
        event.preventDefault();
        goTo($('url').value);
    });
    document.addEventListener('click', (event) => {
        const button = event.target.closest('[data-copy]');
        if (button) copy(button);
    });
    document.querySelector('.skip').addEventListener('click', (event) => {
        event.preventDefault();
        $('result').focus();
    });
    $('search').addEventListener('input', debounce(250, () => {
        state.search = $('search').value.trim();
        list();
    }));
    $('sheet').addEventListener('keydown', moveInSheet);
    $('more').addEventListener('click', async () => {
        const first = $('sheet').childElementCount;
        await list(true);
        $('sheet').children[first]?.focus();
    });
    $('reset').addEventListener('click', () => open(state.path, new Map(), true));
    $('compare').addEventListener('click', compare);
    $('markup-options').addEventListener('input', showMarkup);
    const revisit = () => readHash() && (markSelected(), changed());
    addEventListener('popstate', revisit);
    addEventListener('hashchange', revisit);
}

async function start() {
    try {
        settings = { ...settings, ...(await ask('settings')) };
    } catch (error) {
        return showFailure(error);
    }
    $('version').textContent = settings.version ?? '';
    makeControls();
    makeZoom();
    watch();
    watchBoundary();
    watchUploads();
    const isNamed = readHash();
    state.folder = state.path.includes('/') ? state.path.slice(0, state.path.lastIndexOf('/') + 1) : '';
    if (isNamed) changed();
    let answer = await list();
    // the top often has no pictures of its own
    for (let depth = 0; !isNamed && depth < 4 && answer?.originals.length === 0 && answer.folders.length > 0; depth++) {
        state.folder += `${answer.folders.find((name) => /photo|image|picture|media/i.test(name)) ?? answer.folders[0]}/`;
        answer = await list();
    }
    if (!isNamed && answer?.originals.length > 0) open(answer.originals[0].path, new Map([['width', '800'], ['format', 'webp']]), false);
    if (!state.path) showControls();
}

start();
