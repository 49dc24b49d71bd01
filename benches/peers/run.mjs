// CPU time, bytes and quality of tintype, as a service, and of sharp, as a library, for the same renditions of the same
// photographs, in turn and in one run. The cost of a service around sharp is left out, tintype's own costs are in.
//
//   cargo build --release && cd benches/peers && npm install && node run.mjs [--rounds N] [ORIGINAL]...
//
// Quality is measured where `ssimulacra2_rs` can be found (`cargo install ssimulacra2_rs --no-default-features`), against
// the fully decoded original reduced once with Lanczos3. `--q webp=70` asks tintype for another quality than the one that
// looks like sharp's default number, by its own scale; `--binary FILE` runs another build.
import { spawn, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import sharp from 'sharp';

const here = dirname(fileURLToPath(import.meta.url));
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string', default: '3' }, q: { type: 'string', multiple: true, default: [] },
    binary: { type: 'string', default: join(here, '../../target/release/tintype') }, kinds: { type: 'string' } },
});
const originals = positionals.length ? positionals : [join(here, '../../testdata/photos/large-12mp.jpg')];
const rounds = Number(values.rounds);
const EACH = 4; // renditions of a kind in a round, each one column wider than the one before
const TICK = 10; // milliseconds in a clock tick of /proc

// sharp's number, and tintype's that looks like it
const qualities = { webp: [80, 70], jpeg: [80, 80], avif: [50, 50], png: [undefined, undefined] };
for (const said of values.q) qualities[said.split('=')[0]][1] = Number(said.split('=')[1]);
const widths = [320, 640, 1280];
const kinds = [
  ['webp', {}], ['webp', { effort: 2 }], ['jpeg', {}], ['avif', { effort: 0 }], ['avif', {}], ['png', {}],
].filter(([format]) => !values.kinds || values.kinds.split(',').includes(format));

const work = mkdtempSync(join(tmpdir(), 'tintype-peers-'));
const names = originals.map((original, number) => {
  const name = `${number}${extname(original)}`;
  cpSync(original, join(work, name));
  return name;
});
// results are not kept, so that every request is a render; and renditions of one original that are asked for at about the same
// time share no decoding, which would not be the same work
const server = spawn(values.binary, ['serve', work, '--listen', '127.0.0.1:0', '--cache-dir', `${work}-cache`, '--cache-size', '4KiB'],
  { env: { ...process.env, RUST_LOG: 'warn', TINTYPE_LIMITS_DECODE_CACHE: '0', TINTYPE_CACHE_MEMORY: '0' }, stdio: ['ignore', 'ignore', 'pipe'] });
const address = await new Promise((found) => {
  let text = '';
  server.stderr.on('data', (data) => {
    text += data;
    const line = /listening on (http:\S+)\//.exec(text);
    if (line) found(line[1]);
  });
  server.on('exit', () => { console.error(text); process.exit(1); });
});
const scores = spawnSync('ssimulacra2_rs', ['--version']).status === 0;
sharp.cache(false);
sharp.concurrency(1);

const rows = [];
for (const [format, options] of kinds) {
  for (const base of widths) {
    const pairs = [];
    for (let round = 0; round < rounds; round++) {
      for (const name of names) {
        const [theirQ, ourQ] = qualities[format];
        const ours = await measure(serverCpu, base, async (width) => {
          const q = ourQ ? `&q=${ourQ}` : '';
          const answer = await fetch(`${address}/${name}?width=${width}&format=${format}${q}`);
          if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
          return Buffer.from(await answer.arrayBuffer());
        });
        const theirs = await measure(ownCpu, base, (width) => sharp(join(work, name)).rotate().resize({ width })
          .toFormat(format, { quality: theirQ, ...options }).toBuffer());
        const looks = round === 0 && scores ? [await score(name, ours.last), await score(name, theirs.last)] : undefined;
        pairs.push({ ours, theirs, looks });
      }
    }
    rows.push({ name: `${format} ${base}${options.effort === undefined ? '' : ` effort ${options.effort}`}`, pairs });
  }
}
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const geometric = (list) => Math.exp(list.reduce((sum, value) => sum + Math.log(value), 0) / list.length);
const mean = (list) => list.reduce((sum, value) => sum + value, 0) / list.length;
console.log(`${names.length} originals, ${rounds} rounds of ${EACH} renditions; CPU ms: medians; ratios: geometric means`);
console.log('| rendition | tintype ms | sharp ms | CPU | worst | bytes | SSIMULACRA2 |\n|---|---|---|---|---|---|---|');
for (const { name, pairs } of rows) {
  // of one original, the median over the rounds
  const each = names.map((_, at) => median(pairs.filter((_, index) => index % names.length === at).map((p) => p.ours.cpu / p.theirs.cpu)));
  const looks = pairs.filter((p) => p.looks);
  console.log(`| ${name} | ${median(pairs.map((p) => p.ours.cpu)).toFixed(0)} | ${median(pairs.map((p) => p.theirs.cpu)).toFixed(0)} | ${geometric(each).toFixed(2)} | ${Math.max(...each).toFixed(2)} | ${geometric(pairs.map((p) => p.ours.bytes / p.theirs.bytes)).toFixed(2)} | ${looks.length ? `${mean(looks.map((p) => p.looks[0])).toFixed(1)} : ${mean(looks.map((p) => p.looks[1])).toFixed(1)}` : ''} |`);
}
server.removeAllListeners('exit');
server.kill();
rmSync(work, { recursive: true });
rmSync(`${work}-cache`, { recursive: true, force: true });

async function measure(clock, base, make) {
  await make(base - 1);
  const before = clock();
  let bytes = 0;
  let last;
  for (let i = 0; i < EACH; i++) {
    last = await make(base + i);
    bytes += last.length;
  }
  return { cpu: (clock() - before) / EACH, bytes: bytes / EACH, last };
}

async function score(name, body) {
  const { data, info } = await sharp(body).toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const made = join(work, '.made.png');
  await sharp(data, { raw: info }).png({ compressionLevel: 1 }).toFile(made);
  const full = await sharp(join(work, name)).rotate().toColourspace('srgb').removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const reference = join(work, '.reference.png');
  await sharp(full.data, { raw: full.info }).resize({ width: info.width, height: info.height, fit: 'fill' }).png({ compressionLevel: 1 }).toFile(reference);
  const text = spawnSync('ssimulacra2_rs', ['image', reference, made]).stdout.toString();
  return Number(text.trim().split(/[\s:]+/).at(-1));
}

// of the server and its worker processes, those that have ended included
function serverCpu() {
  let sum = 0;
  for (const pid of [server.pid, ...spawnSync('pgrep', ['-P', String(server.pid)]).stdout.toString().split('\n').filter(Boolean)]) {
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
    sum += fields.slice(11, 15).reduce((all, ticks) => all + Number(ticks), 0) * TICK;
  }
  return sum;
}

function ownCpu() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
