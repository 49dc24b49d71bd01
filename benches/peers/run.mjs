// CPU time of tintype, as a service, and of sharp, as a library, for the same renditions of the same photograph, in turn
// and in one run. Sharp's costs of being a service are left out, tintype's are in.
//
//   cargo build --release && cd benches/peers && npm install && node run.mjs [ORIGINAL] [ROUNDS]
import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';

const here = dirname(fileURLToPath(import.meta.url));
const original = process.argv[2] ?? join(here, '../../testdata/photos/large-12mp.jpg');
const rounds = Number(process.argv[3] ?? 3);
const EACH = 8; // renditions of a kind in a round, each one column wider than the one before
const TICK = 10; // milliseconds in a clock tick of /proc

const work = mkdtempSync(join(tmpdir(), 'tintype-peers-'));
cpSync(original, join(work, basename(original)));
const server = spawn(join(here, '../../target/release/tintype'),
  ['serve', work, '--listen', '127.0.0.1:0', '--cache-dir', join(tmpdir(), basename(work) + '-cache')],
  { env: { ...process.env, RUST_LOG: 'warn' }, stdio: ['ignore', 'ignore', 'pipe'] });
const address = await new Promise((found) => {
  let text = '';
  server.stderr.on('data', (data) => {
    text += data;
    const line = /listening on (http:\S+)\//.exec(text);
    if (line) found(line[1]);
  });
});

const kinds = [
  ['webp', 640, {}], ['webp', 640, { effort: 2 }], ['webp', 1280, {}], ['webp', 1280, { effort: 2 }],
  ['jpeg', 640, {}], ['jpeg', 1280, {}], ['avif', 640, { effort: 0 }], ['avif', 640, {}],
];
let width = 0; // makes every rendition of the run a new one
const results = new Map(kinds.map((kind) => [kind, []]));
for (let round = 0; round < rounds; round++) {
  for (const kind of kinds) {
    const [format, base, options] = kind;
    const ours = await measure(serverCpu, async (column) => {
      const answer = await fetch(`${address}/${basename(original)}?width=${column}&format=${format}`);
      if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
      return (await answer.arrayBuffer()).byteLength;
    }, base);
    // the numbers that look like tintype's default quality of 80, by its own table
    const quality = { webp: 84, jpeg: 80, avif: 62 }[format];
    const theirs = await measure(ownCpu, async (column) => {
      return (await sharp(original).rotate().resize({ width: column }).toFormat(format, { quality, ...options }).toBuffer()).length;
    }, base);
    results.get(kind).push([ours, theirs]);
  }
}
console.log('rendition            tintype ms   sharp ms   ratio   bytes ratio   (CPU, medians of ' + rounds + ' rounds)');
for (const [[format, base, options], pairs] of results) {
  const median = (pick) => pairs.map(pick).sort((a, b) => a - b)[Math.floor(pairs.length / 2)];
  const name = `${format} ${base}${options.effort === undefined ? '' : ` effort ${options.effort}`}`;
  console.log(name.padEnd(20), median((p) => p[0].cpu).toFixed(1).padStart(10), median((p) => p[1].cpu).toFixed(1).padStart(10),
    median((p) => p[0].cpu / p[1].cpu).toFixed(2).padStart(7), median((p) => p[0].bytes / p[1].bytes).toFixed(2).padStart(12));
}
server.kill();
rmSync(work, { recursive: true });

async function measure(clock, make, base) {
  await make(base - 50 - ++width % 40 - width);
  const before = clock();
  let bytes = 0;
  for (let i = 0; i < EACH; i++) bytes += await make(base + ++width);
  return { cpu: (clock() - before) / EACH, bytes: bytes / EACH };
}

function serverCpu() {
  const fields = readFileSync(`/proc/${server.pid}/stat`, 'utf8').split(') ')[1].split(' ');
  return (Number(fields[11]) + Number(fields[12])) * TICK;
}

function ownCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
