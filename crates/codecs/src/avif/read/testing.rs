//! A builder of AVIF files, box by box, with AV1 data of this project's encoder.

use super::container::Container;
use super::plane::find_alpha;
use super::{Decoded, Header, Result};
use crate::codec::Codec;
use crate::encode_input::{EncodeInput, PictureData};
use crate::samples::Samples;
use tintype_pixels::format::Format;
use tintype_pixels::geometry::Size;
use tintype_pixels::{Frame, Pixels};

pub(super) const RED: [u8; 3] = [200, 40, 30];
pub(super) const GREEN: [u8; 3] = [30, 160, 60];
pub(super) const BLUE: [u8; 3] = [30, 60, 200];

pub(super) fn boxed(kind: &[u8; 4], body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], kind, body].concat()
}

/// A box with version and flags.
pub(super) fn full(kind: &[u8; 4], version: u8, body: &[u8]) -> Vec<u8> {
    boxed(kind, &[&[version, 0, 0, 0], body].concat())
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_be_bytes()).collect()
}

pub(super) fn ispe(width: u32, height: u32) -> Vec<u8> {
    full(b"ispe", 0, &words(&[width, height]))
}

pub(super) fn nclx(codes: [u16; 3]) -> Vec<u8> {
    let codes = codes.map(u16::to_be_bytes).concat();
    boxed(b"colr", &[&b"nclx"[..], &codes, &[0x80]].concat())
}

pub(super) fn clap(values: [u32; 8]) -> Vec<u8> {
    boxed(b"clap", &words(&values))
}

pub(super) fn alpha_type() -> Vec<u8> {
    full(b"auxC", 0, b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0")
}

/// AV1 data of a picture of one colour.
pub(super) fn coded(width: u32, height: u32, rgb: [u8; 3]) -> Vec<u8> {
    encoded(width, height, &rgb).0
}

/// AV1 data of an alpha plane of one value, 254 at most.
pub(super) fn coded_alpha(width: u32, height: u32, alpha: u8) -> Vec<u8> {
    encoded(width, height, &[0, 0, 0, alpha]).1.expect("alpha")
}

fn encoded(width: u32, height: u32, pixel: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let pixels = Pixels::filled(Size::new(width, height), pixel);
    let picture = EncodeInput::new(PictureData::Frames(vec![Frame { pixels, delay: 0 }]), 95.0);
    primary_data(&crate::formats::of(Format::Avif).encode(&picture, &mut || true).expect("a picture"))
}

/// AV1 data of the primary item of a file, and of its alpha.
pub(super) fn primary_data(file: &[u8]) -> (Vec<u8>, Option<Vec<u8>>) {
    let container = Container::parse(file).expect("a container");
    let data = |id| container.data(container.item(id).expect("an item")).expect("its data").into_owned();
    let primary = container.primary.expect("a primary item");
    (data(primary), find_alpha(&container, primary).map(data))
}

/// An item of a file.
#[derive(Clone)]
pub(super) struct Item {
    pub(super) id: u16,
    pub(super) kind: [u8; 4],
    pub(super) data: Vec<u8>,
    /// Boxes, and whether they are essential.
    pub(super) properties: Vec<(Vec<u8>, bool)>,
    /// Construction method; where it is not 0, data is in `idat` all the same.
    pub(super) method: u16,
}

impl Item {
    pub(super) fn new(id: u16, kind: &[u8; 4], data: Vec<u8>) -> Self {
        Self { id, kind: *kind, data, properties: Vec::new(), method: 0 }
    }

    pub(super) fn av1(id: u16, data: Vec<u8>) -> Self {
        Self::new(id, b"av01", data)
    }

    /// A grid of columns and rows.
    pub(super) fn grid(id: u16, (columns, rows): (u8, u8), (width, height): (u16, u16)) -> Self {
        let data = [&[0, 0, rows - 1, columns - 1][..], &width.to_be_bytes(), &height.to_be_bytes()].concat();
        Self::new(id, b"grid", data)
    }

    pub(super) fn with(mut self, property: Vec<u8>) -> Self {
        self.properties.push((property, false));
        self
    }

    pub(super) fn essential(mut self, property: Vec<u8>) -> Self {
        self.properties.push((property, true));
        self
    }

    pub(super) fn method(self, method: u16) -> Self {
        Self { method, ..self }
    }
}

/// A track of a file, of 1000 ticks a second.
#[derive(Clone)]
pub(super) struct Track {
    pub(super) id: u32,
    pub(super) size: (u32, u32),
    pub(super) data: Vec<u8>,
    /// Lengths of the samples, and their durations in ticks.
    pub(super) samples: Vec<(u32, u32)>,
    pub(super) references: Vec<([u8; 4], u32)>,
    /// Boxes of the sample entry.
    pub(super) properties: Vec<Vec<u8>>,
    /// The type of the sample entry.
    pub(super) format: [u8; 4],
    /// Further boxes of the `trak` box, ahead of the others.
    pub(super) boxes: Vec<u8>,
    /// Whether offsets have 64 bits, sizes are common to all samples, and the track header is of version 1.
    pub(super) is_large: bool,
    /// How often the table of chunks has the chunk of all samples.
    pub(super) repeats: usize,
}

impl Track {
    pub(super) fn new(id: u32, size: (u32, u32), data: Vec<u8>) -> Self {
        let (references, properties) = (Vec::new(), Vec::new());
        let samples = vec![(data.len() as u32, 50)];
        let (format, boxes) = (*b"av01", Vec::new());
        Self { id, size, data, samples, references, properties, format, boxes, is_large: false, repeats: 1 }
    }

    /// Adds a sample.
    pub(super) fn then(mut self, data: &[u8], duration: u32) -> Self {
        self.data.extend_from_slice(data);
        self.samples.push((data.len() as u32, duration));
        self
    }

    pub(super) fn references(mut self, kind: &[u8; 4], to: u32) -> Self {
        self.references.push((*kind, to));
        self
    }

    pub(super) fn with(mut self, property: Vec<u8>) -> Self {
        self.properties.push(property);
        self
    }

    fn to_box(&self, offset: u32) -> Vec<u8> {
        let (width, height) = self.size;
        let rest = [0; 52];
        let size = words(&[width << 16, height << 16]);
        let header = if self.is_large {
            full(b"tkhd", 1, &[&[0; 16], &words(&[self.id, 0, 0, 9])[..], &rest, &size].concat())
        } else {
            full(b"tkhd", 0, &[&[0; 8], &words(&[self.id, 0, 9])[..], &rest, &size].concat())
        };
        let references = self.references.iter().map(|(kind, to)| boxed(kind, &to.to_be_bytes()));
        let references = boxed(b"tref", &references.collect::<Vec<_>>().concat());
        let entry = boxed(&self.format, &[&[0; 78][..], &self.properties.concat()].concat());
        let length = self.data.len() as u32;
        let count = self.samples.len() as u32;
        let lengths = self.samples.iter().map(|(length, _)| *length).collect::<Vec<_>>().repeat(self.repeats);
        let sizes = [0, lengths.len() as u32].into_iter().chain(lengths).collect::<Vec<_>>();
        let sizes = if self.is_large { words(&[length, 1]) } else { words(&sizes) };
        let durations = self.samples.iter().flat_map(|(_, duration)| [1, *duration]);
        let durations = full(b"stts", 0, &words(&[count].into_iter().chain(durations).collect::<Vec<_>>()));
        let offsets = match self.is_large {
            true => full(b"co64", 0, &words(&[1, 0, offset])),
            false => full(b"stco", 0, &words(&[&[self.repeats as u32][..], &vec![offset; self.repeats]].concat())),
        };
        let description = full(b"stsd", 0, &[&words(&[1]), &entry[..]].concat());
        let chunks = full(b"stsc", 0, &words(&[1, 1, count, 1]));
        let table = [description, full(b"stsz", 0, &sizes), chunks, offsets, durations];
        let header_of_media = full(b"mdhd", 0, &words(&[0, 0, 1000, 0, 0]));
        let media = boxed(b"mdia", &[header_of_media, boxed(b"minf", &boxed(b"stbl", &table.concat()))].concat());
        boxed(b"trak", &[&self.boxes[..], &header, &references, &media].concat())
    }
}

/// A file: `ftyp`, `mdat`, `meta` and `moov`.
#[derive(Clone)]
pub(super) struct File {
    pub(super) brand: [u8; 4],
    pub(super) items: Vec<Item>,
    /// Types of references, the item that refers and those that it refers to.
    pub(super) references: Vec<([u8; 4], u16, Vec<u16>)>,
    pub(super) primary: Option<u16>,
    pub(super) tracks: Vec<Track>,
    /// Further boxes of the `meta` box, behind the others.
    pub(super) meta_tail: Vec<u8>,
    pub(super) tail: Vec<u8>,
}

impl File {
    /// A file of items, the first of which is the primary one.
    pub(super) fn of_items(items: Vec<Item>) -> Self {
        let primary = items.first().map(|item| item.id);
        let (references, tracks) = (Vec::new(), Vec::new());
        Self { brand: *b"avif", items, references, primary, tracks, meta_tail: Vec::new(), tail: Vec::new() }
    }

    /// An image sequence without a `meta` box.
    pub(super) fn of_tracks(tracks: Vec<Track>) -> Self {
        Self { brand: *b"avis", tracks, ..Self::of_items(Vec::new()) }
    }

    pub(super) fn references(mut self, kind: &[u8; 4], from: u16, to: &[u16]) -> Self {
        self.references.push((*kind, from, to.to_vec()));
        self
    }

    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut file = boxed(b"ftyp", &[&self.brand[..], &[0; 4], b"avif", b"avis"].concat());
        let start = file.len() as u32 + 8;
        let (mut data, mut item_data) = (Vec::new(), Vec::new());
        let mut locations = vec![0x44, 0x00];
        locations.extend((self.items.len() as u16).to_be_bytes());
        for item in &self.items {
            let (to, base) = if item.method == 0 { (&mut data, start) } else { (&mut item_data, 0) };
            let offset = base + to.len() as u32;
            locations.extend([item.id, item.method, 0, 1].map(u16::to_be_bytes).concat());
            locations.extend(words(&[offset, item.data.len() as u32]));
            to.extend_from_slice(&item.data);
        }
        let mut offsets = Vec::new();
        for track in &self.tracks {
            offsets.push(start + data.len() as u32);
            data.extend_from_slice(&track.data);
        }
        file.extend(boxed(b"mdat", &data));
        if !self.items.is_empty() {
            file.extend(self.meta(&locations, &item_data));
        }
        let tracks = self.tracks.iter().zip(offsets).map(|(track, offset)| track.to_box(offset));
        let tracks = tracks.collect::<Vec<_>>().concat();
        if !tracks.is_empty() {
            file.extend(boxed(b"moov", &tracks));
        }
        file.extend_from_slice(&self.tail);
        file
    }

    fn meta(&self, locations: &[u8], item_data: &[u8]) -> Vec<u8> {
        let entry = |item: &Item| full(b"infe", 2, &[&item.id.to_be_bytes()[..], &[0, 0], &item.kind, &[0]].concat());
        let entries = self.items.iter().map(entry).collect::<Vec<_>>().concat();
        let mut properties = Vec::new();
        let mut associations = words(&[self.items.len() as u32]);
        let mut count = 0;
        for item in &self.items {
            associations.extend(item.id.to_be_bytes());
            associations.push(item.properties.len() as u8);
            for (property, is_essential) in &item.properties {
                properties.extend_from_slice(property);
                count += 1;
                associations.push(u8::from(*is_essential) << 7 | count);
            }
        }
        let properties = [boxed(b"ipco", &properties), full(b"ipma", 0, &associations)].concat();
        let reference = |(kind, from, to): &([u8; 4], u16, Vec<u16>)| {
            let numbers = [*from, to.len() as u16].into_iter().chain(to.iter().copied());
            boxed(kind, &numbers.flat_map(u16::to_be_bytes).collect::<Vec<_>>())
        };
        let references = self.references.iter().map(reference).collect::<Vec<_>>().concat();
        let mut boxes = full(b"hdlr", 0, &[&[0; 4], &b"pict"[..], &[0; 13]].concat());
        if let Some(primary) = self.primary {
            boxes.extend(full(b"pitm", 0, &primary.to_be_bytes()));
        }
        boxes.extend(full(b"iinf", 0, &[&(self.items.len() as u16).to_be_bytes()[..], &entries].concat()));
        boxes.extend(full(b"iloc", 1, locations));
        boxes.extend(boxed(b"iprp", &properties));
        boxes.extend(full(b"iref", 0, &references));
        boxes.extend(boxed(b"idat", item_data));
        boxes.extend_from_slice(&self.meta_tail);
        full(b"meta", 0, &boxes)
    }
}

/// The header and the decoded picture.
pub(super) fn decode_file(file: &[u8]) -> Result<(Header, Decoded)> {
    let header = super::probe(file)?;
    let decoded = super::decode(file, &header)?;
    Ok((header, decoded))
}

/// The samples of a pixel in 8 bits.
pub(super) fn pixel(decoded: &Decoded, x: u32, y: u32) -> Vec<u8> {
    let channels = usize::from(decoded.channels);
    let start = (y * decoded.width + x) as usize * channels;
    match &decoded.samples {
        Samples::Eight(samples) => samples[start..start + channels].to_vec(),
        Samples::Sixteen(samples) => {
            samples[start..start + channels].iter().map(|sample| (sample >> 8) as u8).collect()
        }
    }
}

/// Asserts the colours of the four corners, in all channels, within the loss of coding.
pub(super) fn assert_corners(name: &str, file: &[u8], size: (u32, u32), corners: [&[u8]; 4]) {
    let (_, decoded) = decode_file(file).unwrap_or_else(|failure| panic!("{name}: {failure:?}"));
    assert_eq!((decoded.width, decoded.height), size, "{name}");
    let (right, bottom) = (size.0 - 1, size.1 - 1);
    for ((x, y), wanted) in [(0, 0), (right, 0), (0, bottom), (right, bottom)].into_iter().zip(corners) {
        let got = pixel(&decoded, x, y);
        let is_close = got.len() == wanted.len() && got.iter().zip(wanted).all(|(a, b)| a.abs_diff(*b) < 12);
        assert!(is_close, "{name}: {got:?} at {x}, {y} is not {wanted:?}");
    }
}

/// Asserts that the whole picture has one colour.
pub(super) fn assert_flat(name: &str, file: &[u8], size: (u32, u32), pixel: &[u8]) {
    assert_corners(name, file, size, [pixel; 4]);
}
