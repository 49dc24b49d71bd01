// Runs in the page, as text, and so uses nothing from outside of it.

/**
 * Waits for the page, scrolls through it so that lazy pictures are loaded, and says what came of it: every picture, what has
 * moved meanwhile, the layout shifts and the largest paint that the browser has recorded, and the bytes that were transferred.
 */
export async function inPage(url) {
    const until = async (condition, what) => {
        const end = performance.now() + 45_000;
        while (!condition()) {
            if (performance.now() > end) throw new Error(`${what} takes too long`);
            await new Promise((resolve) => setTimeout(resolve, 10));
        }
    };
    await until(() => location.href === url && document.readyState !== 'loading' && document.styleSheets.length > 0, 'the page');
    const images = [...document.images];
    const places = () => [...document.body.querySelectorAll('*')].map((element) => {
        const { left, top, width, height } = element.getBoundingClientRect();
        return [left + scrollX, top + scrollY, width, height].map(Math.round).join(' ');
    });
    const before = places();
    await until(() => document.readyState === 'complete', 'loading');

    const entries = (type) => {
        if (!PerformanceObserver.supportedEntryTypes.includes(type)) return null;
        const observer = new PerformanceObserver(() => {});
        observer.observe({ type, buffered: true });
        const recorded = observer.takeRecords();
        observer.disconnect();
        return recorded;
    };
    // the browser stops to record the largest paint when the page is scrolled
    await until(() => entries('largest-contentful-paint')?.length !== 0, 'the largest paint');
    const paint = entries('largest-contentful-paint')?.at(-1).startTime ?? null;
    for (let top = 0; top < document.documentElement.scrollHeight; top += innerHeight / 2) {
        scrollTo(0, top);
        await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));
        const seen = images.filter((image) => {
            const { top, bottom } = image.getBoundingClientRect();
            return bottom > 0 && top < innerHeight;
        });
        await until(() => seen.every((image) => image.complete), 'a picture');
    }
    await Promise.all(images.map((image) => image.decode().catch(() => {})));
    scrollTo(0, 0);
    await new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)));

    const after = places();
    const shifts = entries('layout-shift');
    const transfers = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    return {
        images: images.map((image) => ({ alt: image.alt, src: image.currentSrc, complete: image.complete, width: image.naturalWidth })),
        moved: before.filter((place, index) => place !== after[index]).length,
        scrolls: document.documentElement.scrollWidth > innerWidth,
        shift: shifts?.reduce((sum, { value }) => sum + value, 0) ?? null,
        paint,
        bytes: transfers.reduce((sum, { transferSize }) => sum + transferSize, 0),
    };
}
