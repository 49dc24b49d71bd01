//! Boxes of the ISO base media file format (ISO/IEC 14496-12, 4.2) and a
//! checked cursor over their bodies.

type Result<T> = std::result::Result<T, String>;

/// A box type, item type, brand or reference type.
pub(crate) type FourCc = [u8; 4];

/// A big-endian cursor over a box body; every read is checked.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(count).ok_or("a box is truncated")?;
        self.0 = rest;
        Ok(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or("a box is truncated")?;
        self.0 = rest;
        Ok(*head)
    }

    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64> {
        Ok(u64::from_be_bytes(self.array()?))
    }

    pub(crate) fn four_cc(&mut self) -> Result<FourCc> {
        self.array()
    }

    /// An integer that the box stores in 0, 4 or 8 bytes (`iloc`).
    pub(crate) fn sized(&mut self, bytes: u8) -> Result<u64> {
        match bytes {
            0 => Ok(0),
            4 => Ok(self.u32()?.into()),
            8 => self.u64(),
            _ => Err(format!("iloc field of {bytes} bytes")),
        }
    }

    /// An item id or count: 16 bits in old box versions, 32 in new ones.
    pub(crate) fn narrow_or_wide(&mut self, wide: bool) -> Result<u32> {
        if wide { self.u32() } else { Ok(self.u16()?.into()) }
    }

    /// Version and flags of a full box (14496-12, 4.2.2).
    pub(crate) fn version_and_flags(&mut self) -> Result<(u8, u32)> {
        let word = self.u32()?;
        Ok(((word >> 24) as u8, word & 0x00ff_ffff))
    }
}

/// One box (14496-12, 4.2).
pub(crate) struct BoxRef<'a> {
    pub(crate) kind: FourCc,
    pub(crate) body: Reader<'a>,
}

/// An iterator over the boxes of a box body.
pub(crate) struct Boxes<'a>(Reader<'a>);

impl<'a> Boxes<'a> {
    pub(crate) fn new(body: Reader<'a>) -> Self {
        Self(body)
    }

    fn read_box(&mut self) -> Result<BoxRef<'a>> {
        let cursor = &mut self.0;
        let size = cursor.u32()?;
        let kind = cursor.four_cc()?;
        let body = match size {
            0 => cursor.take(cursor.0.len())?,
            1 => {
                let size = cursor.u64()?;
                cursor.take(body_length(size, 16)?)?
            }
            size => cursor.take(body_length(size.into(), 8)?)?,
        };
        Ok(BoxRef { kind, body: Reader::new(body) })
    }
}

fn body_length(size: u64, header: u64) -> Result<usize> {
    size.checked_sub(header).and_then(|length| usize::try_from(length).ok()).ok_or_else(|| format!("box size {size}"))
}

impl<'a> Iterator for Boxes<'a> {
    type Item = Result<BoxRef<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let read = self.read_box();
        if read.is_err() {
            self.0 = Reader::new(&[]);
        }
        Some(read)
    }
}

/// The bodies of the children of a type, up to the first invalid box.
pub(crate) fn children<'a>(body: Reader<'a>, kind: &FourCc) -> impl Iterator<Item = Reader<'a>> {
    Boxes::new(body).map_while(Result::ok).filter(move |found| found.kind == *kind).map(|found| found.body)
}
