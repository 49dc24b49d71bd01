// Chromium by the DevTools protocol: a page at a size and density, a function that runs in it, and the type of each answer.

import { Browser } from '../clients/lib/services.js';

export class Chromium extends Browser {
    /** Opens a page and returns what a function says that runs in it, the media types of the answers, and a screenshot. */
    async measure(url, { width, height, density = 1, network }, inPage) {
        const { targetId } = await this.send('Target.createTarget', { url: 'about:blank' });
        const { sessionId } = await this.send('Target.attachToTarget', { targetId, flatten: true });
        const page = (method, params) => this.send(method, params, sessionId);
        const types = new Map();
        const forget = this.listen(({ method, params, sessionId: from }) => {
            if (from === sessionId && method === 'Network.responseReceived') types.set(params.response.url, params.response.mimeType);
        });
        try {
            await page('Network.enable');
            await page('Network.setCacheDisabled', { cacheDisabled: true });
            if (network) await page('Network.emulateNetworkConditions', { offline: false, ...network });
            await page('Page.enable');
            await page('Emulation.setDeviceMetricsOverride', { width, height, deviceScaleFactor: density, mobile: false });
            await page('Page.navigate', { url });
            const expression = `(${inPage})(${JSON.stringify(url)})`;
            const answer = await page('Runtime.evaluate', { expression, awaitPromise: true, returnByValue: true });
            if (answer.exceptionDetails) throw new Error(`${url}: ${JSON.stringify(answer.exceptionDetails)}`);
            const shot = await page('Page.captureScreenshot', { format: 'png', captureBeyondViewport: true });
            return { page: answer.result.value, types, screenshot: Buffer.from(shot.data, 'base64') };
        } finally {
            forget();
            await this.send('Target.closeTarget', { targetId }).catch(() => {});
        }
    }
}
