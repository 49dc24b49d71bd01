// Format and size of an image, read from its bytes.

const ascii = (bytes, from, to) => bytes.toString('latin1', from, to);

export function dimensions(bytes) {
    if (ascii(bytes, 1, 4) === 'PNG') {
        return { format: 'png', width: bytes.readUInt32BE(16), height: bytes.readUInt32BE(20) };
    }
    if (ascii(bytes, 0, 3) === 'GIF') {
        return { format: 'gif', width: bytes.readUInt16LE(6), height: bytes.readUInt16LE(8) };
    }
    if (ascii(bytes, 0, 4) === 'RIFF' && ascii(bytes, 8, 12) === 'WEBP') {
        return { format: 'webp', ...webp(bytes) };
    }
    if (ascii(bytes, 4, 12) === 'ftypavif' || ascii(bytes, 4, 12) === 'ftypavis') {
        // the first item property of spatial extents; a grid's tiles come later
        const at = bytes.indexOf('ispe');
        return { format: 'avif', width: bytes.readUInt32BE(at + 8), height: bytes.readUInt32BE(at + 12) };
    }
    if (bytes.readUInt16BE(0) === 0xffd8) {
        return { format: 'jpeg', ...jpeg(bytes) };
    }
    throw new Error(`not an image: ${JSON.stringify(ascii(bytes, 0, 80))}`);
}

function webp(bytes) {
    switch (ascii(bytes, 12, 16)) {
        case 'VP8X':
            return { width: 1 + bytes.readUIntLE(24, 3), height: 1 + bytes.readUIntLE(27, 3) };
        case 'VP8L': {
            const bits = bytes.readUInt32LE(21);
            return { width: 1 + (bits & 0x3fff), height: 1 + ((bits >>> 14) & 0x3fff) };
        }
        default:
            return { width: bytes.readUInt16LE(26) & 0x3fff, height: bytes.readUInt16LE(28) & 0x3fff };
    }
}

function jpeg(bytes) {
    for (let at = 2; at + 9 < bytes.length; ) {
        const marker = bytes[at + 1];
        // SOF0 to SOF15 without DHT, JPG and DAC
        if (marker >= 0xc0 && marker <= 0xcf && ![0xc4, 0xc8, 0xcc].includes(marker)) {
            return { height: bytes.readUInt16BE(at + 5), width: bytes.readUInt16BE(at + 7) };
        }
        at += 2 + bytes.readUInt16BE(at + 2);
    }
    throw new Error('a JPEG without a frame header');
}
