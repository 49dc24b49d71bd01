//! Decoding the strips or tiles of a page to rows.
//!
//! Samples of all depths are converted in 16 bits, row by row, and reduced to 8 at the end where the file has no more: 257 times a byte,
//! shifted right by 8, is that byte.

use std::borrow::Cow;

use super::compression;
use super::convert::{Converter, Plane, Sample};
use super::jpeg;
use super::page::Page;
use super::{Failure, Samples};

/// Decodes the page.
pub(super) fn decode(page: &Page<'_>) -> Result<Samples, Failure> {
    let channels = page.channels();
    let count = page.width as usize * page.height as usize * channels;
    if page.is_deep() {
        let mut samples = vec![0u16; count];
        fill(page, &mut samples)?;
        return Ok(Samples::Sixteen(samples));
    }
    let mut samples = vec![0u8; count];
    fill(page, &mut samples)?;
    Ok(Samples::Eight(samples))
}

/// Decodes all rows.
fn fill<S: Sample>(page: &Page<'_>, out: &mut [S]) -> Result<(), Failure> {
    let mut rows = PageRows::new(page)?;
    out.chunks_exact_mut(page.width as usize * page.channels()).try_for_each(|row| rows.read_row(row))
}

/// Decodes the rows of a page in order.
pub(crate) struct PageRows<'a, 'b> {
    page: &'b Page<'a>,
    jpeg: Option<jpeg::Reader>,
    converter: Converter<'a, 'b>,
    /// The planes of each strip or tile that contains the next row, from left to right.
    band: Vec<Vec<Plane<'a>>>,
    /// The next row.
    next: u32,
}

impl<'a, 'b> PageRows<'a, 'b> {
    /// Starts at the top row.
    pub(crate) fn new(page: &'b Page<'a>) -> Result<PageRows<'a, 'b>, Failure> {
        page.check_segments()?;
        let jpeg = if page.compression.is_jpeg() { Some(jpeg::Reader::new()?) } else { None };
        Ok(PageRows { page, jpeg, converter: Converter::new(page), band: Vec::new(), next: 0 })
    }

    /// Width and height in pixels, as stored.
    pub(crate) fn size(&self) -> (u32, u32) {
        (self.page.width, self.page.height)
    }

    /// Samples of a decoded pixel.
    pub(crate) fn channels(&self) -> usize {
        self.page.channels()
    }

    /// Decodes the next rows, as many as fit into `out`.
    pub(crate) fn read_rows(&mut self, out: &mut [u8]) -> Result<(), Failure> {
        out.chunks_exact_mut(self.page.width as usize * self.page.channels()).try_for_each(|row| self.read_row(row))
    }

    /// Decompresses the next rows without converting them, so that damage is found.
    pub(crate) fn skip_rows(&mut self, rows: u32) -> Result<(), Failure> {
        for _ in 0..rows {
            self.load()?;
            self.next += 1;
        }
        Ok(())
    }

    /// Decompresses the remaining rows, so that damage is found.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        self.skip_rows(self.page.height - self.next)
    }

    fn read_row<S: Sample>(&mut self, row: &mut [S]) -> Result<(), Failure> {
        self.load()?;
        let y = self.next % self.page.grid.rows;
        for (part, planes) in row.chunks_mut(self.page.grid.width as usize * self.page.channels()).zip(&self.band) {
            self.converter.convert(planes, y as usize, part);
        }
        self.next += 1;
        Ok(())
    }

    /// Decompresses the strips or tiles with the next row, where it is their first.
    fn load(&mut self) -> Result<(), Failure> {
        let (page, grid) = (self.page, self.page.grid);
        if self.next >= page.height {
            return Err(Failure::malformed("it has fewer rows than ImageLength"));
        }
        if !self.next.is_multiple_of(grid.rows) {
            return Ok(());
        }
        let down = self.next / grid.rows;
        // frees the memory of the last band first
        self.band.clear();
        for across in 0..grid.across {
            let left = across * grid.width;
            let visible = (grid.width.min(page.width - left), page.rows_at(down).min(page.height - self.next));
            let decoded = page.planes().into_iter().map(|plane| match &mut self.jpeg {
                Some(reader) => jpeg_plane(page, reader, (plane, down, across), visible),
                None => plain_plane(page, (plane, down, across)),
            });
            self.band.push(decoded.collect::<Result<_, _>>()?);
        }
        Ok(())
    }
}

fn plain_plane<'a>(page: &Page<'a>, (plane, down, across): (u16, u32, u32)) -> Result<Plane<'a>, Failure> {
    let input = page.segment(plane, down, across)?;
    let data = compression::decompress(page, input, page.rows_at(down))?;
    Ok(Plane { data, stride: page.stride() as usize })
}

fn jpeg_plane<'a>(
    page: &Page<'a>, reader: &mut jpeg::Reader, (plane, down, across): (u16, u32, u32), visible: (u32, u32),
) -> Result<Plane<'a>, Failure> {
    let input = match page.old_jpeg.interchange {
        Some(stream) => stream,
        None => page.segment(plane, down, across)?,
    };
    let stream = reader.decode(page, input, page.rows_at(down))?;
    // a stream at the edge may have only the visible pixels, or a whole strip
    if stream.width < visible.0 || stream.height < visible.1 {
        let (width, height) = (stream.width, stream.height);
        return Err(Failure::malformed(format!("a JPEG stream has only {width}x{height} pixels")));
    }
    let stride = stream.width as usize * page.interleaved_samples();
    Ok(Plane { data: Cow::Owned(stream.samples), stride })
}
