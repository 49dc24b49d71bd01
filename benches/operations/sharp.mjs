// Operations of sharp on pixels in memory, for benches/operations/run.
// usage: node sharp.mjs FOLDER ppm ORIGINAL FILE | FOLDER measure ORIGINAL STEPS ROUNDS OVERLAY
import { writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { resolve } from 'node:path'

const [, , folder, command, original, ...rest] = process.argv
const sharp = createRequire(resolve(folder, 'package.json'))('sharp')
sharp.concurrency(1)
sharp.cache(false)

const { data, info } = await sharp(original).rotate().removeAlpha().raw().toBuffer({ resolveWithObject: true })
const { width, height } = info
const raw = { raw: { width, height, channels: 3 } }
const open = () => sharp(data, { ...raw, limitInputPixels: false })

if (command === 'ppm') {
  writeFileSync(rest[0], Buffer.concat([Buffer.from(`P6\n${width} ${height}\n255\n`), data]))
  console.log(JSON.stringify({ width, height }))
} else {
  const [steps, rounds, overlay] = rest
  const side = Math.round(Math.min(width * 0.25, height))
  const logo = await sharp(overlay).resize({ width: side }).png().toBuffer()
  const small = [Math.ceil(width / 16), Math.ceil(height / 16)]
  const known = {
    plain: () => open(),
    blur1: () => open().blur(1),
    blur2: () => open().blur(2),
    blur10: () => open().blur(10),
    sharpen: () => open().sharpen({ sigma: 0.7 }),
    pixelate: async () => {
      const blocks = await open().resize(...small, { fit: 'fill', kernel: 'cubic' }).raw().toBuffer()
      return sharp(blocks, { raw: { width: small[0], height: small[1], channels: 3 } })
        .resize(width, height, { fit: 'fill', kernel: 'nearest' })
    },
    brightness: () => open().linear(1.2, 0),
    contrast: () => open().linear(1.2, 127.5 - 1.2 * 127.5),
    saturation: () => open().modulate({ saturation: 1.5 }),
    gamma: () => open().gamma(1, 2),
    greyscale: () => open().greyscale().toColourspace('srgb'),
    tint: () => open().tint('#0050ff'),
    overlay: () => open().composite([{ input: logo, gravity: 'southeast' }]),
    repeated: () => open().composite([{ input: overlay, tile: true }])
  }
  const spent = async (step) => {
    const before = process.cpuUsage()
    await (await known[step]()).raw().toBuffer()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1]
  const names = ['plain', ...steps.split(',')]
  const times = Object.fromEntries(names.map((name) => [name, []]))
  for (let round = 0; round < Number(rounds); round++) {
    for (const name of names) times[name].push(await spent(name))
  }
  const plain = median(times.plain)
  const ms = Object.fromEntries(names.slice(1).map((name) => [name, median(times[name]) - plain]))
  console.log(JSON.stringify({ version: `sharp ${sharp.versions.sharp}, libvips ${sharp.versions.vips}`, ms }))
}
