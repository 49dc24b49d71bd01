// Firefox by the Marionette protocol, which Debian's package has as well: JSON texts over TCP, each after its length and a colon.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import path from 'node:path';
import { start, within } from '../clients/lib/services.js';

// a free port, which Firefox writes into its profile; no cache; no connections but those of the page
const PREFERENCES = {
    'marionette.port': 0,
    'app.update.disabledForTesting': true,
    'browser.cache.disk.enable': false,
    'browser.cache.memory.enable': false,
    'browser.region.network.url': '',
    'datareporting.policy.dataSubmissionEnabled': false,
    'dom.push.connection.enabled': false,
    'extensions.systemAddon.update.enabled': false,
    'network.captive-portal-service.enabled': false,
    'network.connectivity-service.enabled': false,
    'services.settings.server': 'data:,',
    'toolkit.telemetry.enabled': false,
};

export class Firefox {
    #child;
    #socket;
    #next = 1;
    #waiting = new Map();

    static async start(program, place) {
        const profile = path.join(place, 'firefox');
        mkdirSync(profile);
        const lines = Object.entries(PREFERENCES).map(([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`);
        writeFileSync(path.join(profile, 'user.js'), lines.join(''));
        const firefox = new Firefox();
        firefox.#child = start(program, ['--headless', '--marionette', '--no-remote', '--profile', profile, 'about:blank'], 'ignore');
        firefox.#socket = connect(await firefox.#port(profile), '127.0.0.1');
        firefox.#read();
        await firefox.#send('WebDriver:NewSession', { capabilities: { alwaysMatch: { pageLoadStrategy: 'none' } } });
        return firefox;
    }

    async #port(profile) {
        const file = path.join(profile, 'MarionetteActivePort');
        let ended = false;
        this.#child.ended.then(() => (ended = true));
        for (let tries = 0; tries < 600 && !ended; tries++) {
            const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
            if (text) return Number(text);
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
        throw new Error('firefox does not start');
    }

    #read() {
        let rest = Buffer.alloc(0);
        this.#socket.on('data', (chunk) => {
            rest = Buffer.concat([rest, chunk]);
            for (;;) {
                const colon = rest.indexOf(':');
                const end = colon + 1 + Number(rest.toString('latin1', 0, colon));
                if (colon < 0 || rest.length < end) return;
                const message = JSON.parse(rest.toString('utf8', colon + 1, end));
                rest = rest.subarray(end);
                // the first message says which protocol it is
                if (Array.isArray(message)) this.#receive(message);
            }
        });
        this.#socket.on('error', () => {});
        this.#socket.on('close', () => {
            for (const { reject } of this.#waiting.values()) reject(new Error('firefox has ended'));
        });
    }

    #receive([, id, error, result]) {
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error) waiting?.reject(new Error(error.message));
        else waiting?.resolve(result?.value);
    }

    #send(method, params = {}) {
        const id = this.#next++;
        const answer = new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
        const text = JSON.stringify([0, id, method, params]);
        this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
        return within(60_000, method, answer);
    }

    /** Opens a page and returns what a function says that runs in it, and a screenshot. */
    async measure(url, { width, height }, inPage) {
        await this.#send('WebDriver:SetWindowRect', { width, height });
        await this.#send('WebDriver:SetTimeouts', { script: 50_000 });
        await this.#send('WebDriver:Navigate', { url });
        const script = `const done = arguments[0]; (${inPage})(${JSON.stringify(url)}).then(done, (error) => done({ failure: String(error) }));`;
        const page = await this.#send('WebDriver:ExecuteAsyncScript', { script, args: [], newSandbox: false, sandbox: null });
        const screenshot = Buffer.from(await this.#send('WebDriver:TakeScreenshot', { full: true }), 'base64');
        return { page, screenshot, types: new Map() };
    }

    async close() {
        await this.#send('Marionette:Quit', { flags: ['eForceQuit'] }).catch(() => {});
        await within(10_000, 'firefox', this.#child.ended).catch(() => {});
    }
}
