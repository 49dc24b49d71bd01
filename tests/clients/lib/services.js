// The programs that a run starts: tintype, nginx or a proxy in its place, and a browser.

import { spawn } from 'node:child_process';
import { accessSync, constants, existsSync, readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { createServer } from 'node:net';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { HOSTS } from './site.js';

const children = [];

/** Starts a program that this run ends again. */
export function start(program, args, stdio) {
    // settings of the environment are not those of this run
    const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('TINTYPE_')));
    const child = spawn(program, args, { stdio, env });
    child.ended = new Promise((resolve) => {
        child.once('error', resolve);
        child.once('exit', resolve);
    });
    children.push(child);
    return child;
}

/** Ends the programs that were started, and only those. */
export async function stopAll() {
    for (const child of children.splice(0).reverse()) {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) continue;
        child.kill('SIGTERM');
        const late = setTimeout(() => child.kill('SIGKILL'), 5000);
        await child.ended;
        clearTimeout(late);
    }
}

/** The path of the first of these programs that `PATH` or the folders of administrators have. */
export function find(...names) {
    const folders = [...(process.env.PATH ?? '').split(':'), '/usr/sbin', '/usr/local/sbin'];
    for (const name of names.filter(Boolean)) {
        if (name.includes('/')) return name;
        for (const folder of folders.filter(Boolean)) {
            const file = path.join(folder, name);
            try {
                accessSync(file, constants.X_OK);
                return file;
            } catch {
                // the next one
            }
        }
    }
    return undefined;
}

export async function within(milliseconds, what, promise) {
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`${what}: no answer within ${milliseconds / 1000} s`)), milliseconds);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Starts tintype on a free port of the loopback interface and returns that port. */
export async function startTintype(binary, place, name, settings, root) {
    const file = path.join(place, `${name}.toml`);
    writeFileSync(file, settings);
    const args = ['serve', root, '--config', file, '--cache-dir', path.join(place, `cache-${name}`), '--listen', '127.0.0.1:0'];
    const child = start(binary, args, ['ignore', 'ignore', 'pipe']);
    const log = [];
    const listens = new Promise((resolve, reject) => {
        createInterface({ input: child.stderr }).on('line', (line) => {
            log.push(line);
            const port = /^listening on http:\/\/127\.0\.0\.1:(\d+)/.exec(line)?.[1];
            if (port) resolve(Number(port));
        });
        child.ended.then(() => reject(new Error(`${binary} does not start:\n${log.join('\n')}`)));
    });
    return within(120_000, 'tintype', listens);
}

async function freePort() {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address();
    await new Promise((resolve) => server.close(resolve));
    return port;
}

/** Starts nginx with a server for each host, and returns its port. `ports` are those of tintype. */
export async function startNginx(nginx, place, ports) {
    const port = await freePort();
    const servers = Object.entries(HOSTS).map(([host, { mount, service }]) => `
    server {
        listen 127.0.0.1:${port};
        server_name ${host};
        merge_slashes off;
        location /pages/ { root "${place}"; }
        location / { proxy_pass http://127.0.0.1:${ports[service]}${mount && `${mount}$request_uri`}; }
    }`);
    writeFileSync(path.join(place, 'nginx.conf'), `
daemon off;
master_process off;
pid "${place}/nginx.pid";
error_log "${place}/nginx.log" info;
events { worker_connections 256; }
http {
    access_log off;
    types { text/html html; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `    ${name}_temp_path "${place}/nginx-${name}";`).join('\n')}
${servers.join('\n')}
}
`);
    const args = ['-e', `${place}/nginx.log`, '-p', place, '-c', `${place}/nginx.conf`];
    const child = start(nginx, args, 'ignore');
    let ended = false;
    child.ended.then(() => (ended = true));
    // nginx writes its process id once it listens
    for (let tries = 0; tries < 300; tries++) {
        if (ended) break;
        if (existsSync(`${place}/nginx.pid`) && readFileSync(`${place}/nginx.pid`).length > 0) return port;
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${nginx} does not start:\n${existsSync(`${place}/nginx.log`) ? readFileSync(`${place}/nginx.log`, 'utf8') : ''}`);
}

/** The same hosts by a proxy within this process, for machines without nginx. */
export async function startProxy(place, ports) {
    const server = http.createServer((request, response) => {
        const host = HOSTS[(request.headers.host ?? '').split(':')[0]];
        if (!host) return response.writeHead(421).end();
        if (request.url.startsWith('/pages/') && !request.url.includes('..')) {
            const file = path.join(place, request.url);
            if (!existsSync(file)) return response.writeHead(404).end();
            return response.writeHead(200, { 'content-type': 'text/html' }).end(readFileSync(file));
        }
        const options = { host: '127.0.0.1', port: ports[host.service], path: host.mount + request.url, method: request.method, headers: request.headers };
        const upstream = http.request(options, (answer) => {
            response.writeHead(answer.statusCode, answer.rawHeaders);
            answer.pipe(response);
        });
        upstream.once('error', () => response.destroy());
        request.pipe(upstream);
    });
    server.listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    server.unref();
    return server.address().port;
}

/** A browser, by the DevTools protocol over a pipe: JSON texts that each end with a zero byte. */
export class Browser {
    #child;
    #next = 1;
    #waiting = new Map();
    #listeners = new Set();

    constructor(program, place, port) {
        const args = [
            '--headless=new', '--no-sandbox', '--disable-gpu', '--hide-scrollbars', '--no-first-run', '--remote-debugging-pipe',
            `--user-data-dir=${path.join(place, 'browser')}`,
            '--disable-background-networking', '--disable-component-update', '--disable-dev-shm-usage',
            '--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable',
            `--host-resolver-rules=MAP *.example.com 127.0.0.1:${port}, MAP * ~NOTFOUND`,
            'about:blank',
        ];
        this.#child = start(program, args, ['ignore', 'ignore', 'ignore', 'pipe', 'pipe']);
        let rest = Buffer.alloc(0);
        this.#child.stdio[4].on('data', (chunk) => {
            rest = Buffer.concat([rest, chunk]);
            for (let end = rest.indexOf(0); end >= 0; end = rest.indexOf(0)) {
                const message = JSON.parse(rest.toString('utf8', 0, end));
                rest = rest.subarray(end + 1);
                this.#receive(message);
            }
        });
        this.#child.stdio[3].on('error', () => {});
        this.#child.ended.then(() => {
            for (const { reject } of this.#waiting.values()) reject(new Error('the browser has ended'));
        });
    }

    #receive(message) {
        const waiting = this.#waiting.get(message.id);
        if (waiting) {
            this.#waiting.delete(message.id);
            if (message.error) waiting.reject(new Error(message.error.message));
            else waiting.resolve(message.result);
        } else {
            for (const listener of this.#listeners) listener(message);
        }
    }

    send(method, params = {}, sessionId = undefined) {
        const id = this.#next++;
        const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
        this.#child.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
        return within(60_000, method, answer);
    }

    /** Calls a function with every event; the returned one ends that. */
    listen(listener) {
        this.#listeners.add(listener);
        return () => this.#listeners.delete(listener);
    }

    /** Closes the browser, which ends its own processes in order. */
    async close() {
        await this.send('Browser.close').catch(() => {});
        await within(5000, 'the browser', this.#child.ended).catch(() => {});
    }

    /**
     * Opens a page and waits until all its images are there or have failed. Returns what the page says about them, the
     * response to each URL, and a screenshot.
     */
    async open(url, scale) {
        const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
        const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
        const page = (method, params) => this.send(method, params, sessionId);
        const responses = new Map();
        const failures = [];
        const requests = new Map();
        const accepts = new Map();
        const listener = ({ method, params, sessionId: from }) => {
            if (from !== sessionId) return;
            if (method === 'Network.requestWillBeSent') requests.set(params.requestId, params.request.url);
            // as it is sent, with the headers that the network service adds
            if (method === 'Network.requestWillBeSentExtraInfo') accepts.set(params.requestId, Object.entries(params.headers).find(([name]) => name.toLowerCase() === 'accept')?.[1]);
            if (method === 'Network.responseReceived') {
                const { url, status, mimeType, headers } = params.response;
                responses.set(url, { status, mimeType, headers, id: params.requestId });
            }
            if (method === 'Network.loadingFailed') failures.push(`${requests.get(params.requestId)}: ${params.errorText}`);
        };
        this.#listeners.add(listener);
        try {
            await page('Network.enable');
            await page('Network.setCacheDisabled', { cacheDisabled: false });
            await page('Page.enable');
            await page('Emulation.setDeviceMetricsOverride', { width: 1000, height: 700, deviceScaleFactor: scale, mobile: false });
            await page('Page.navigate', { url });
            const expression = `(${inPage})()`;
            const answer = await page('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
            if (answer.exceptionDetails) throw new Error(`${url}: ${JSON.stringify(answer.exceptionDetails)}`);
            const shot = await page('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
            for (const response of responses.values()) response.accept = accepts.get(response.id);
            return { images: answer.result.value, responses, failures, screenshot: Buffer.from(shot.data, 'base64') };
        } finally {
            this.#listeners.delete(listener);
            await this.send('Target.closeTarget', { targetId }).catch(() => {});
        }
    }
}

/** Runs in the page: every image with the size of its file, which `naturalWidth` divides by the density of a `srcset`. */
async function inPage() {
    if (document.readyState !== 'complete' || location.href === 'about:blank') {
        await new Promise((resolve) => addEventListener('load', resolve, { once: true }));
    }
    const images = [...document.images];
    return Promise.all(images.map(async (image) => {
        image.loading = 'eager';
        await image.decode().catch(() => {});
        const file = new Image();
        file.src = image.currentSrc;
        await file.decode().catch(() => {});
        return {
            alt: image.alt,
            complete: image.complete,
            currentSrc: image.currentSrc,
            natural: [image.naturalWidth, image.naturalHeight],
            file: [file.naturalWidth, file.naturalHeight],
        };
    }));
}
