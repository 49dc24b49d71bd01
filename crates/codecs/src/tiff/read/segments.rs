//! Strips and tiles: their sizes, and where they are in the file.

use super::Failure;
use super::grid::Grid;
use super::page::Page;
use super::tags::Compression;

impl<'a> Page<'a> {
    /// Rows of the strips or tiles with the vertical index `down`.
    pub(super) fn rows_at(&self, down: u32) -> u32 {
        let Grid { tiled, rows, .. } = self.grid;
        if tiled { rows } else { rows.min(self.height - down * rows) }
    }

    /// Bytes of a decompressed row of a strip or tile; with subsampled YCbCr, of a row of data units (§21).
    pub(super) fn stride(&self) -> u64 {
        let width = u64::from(self.grid.width);
        if self.is_subsampled() {
            let (across, down) = self.ycbcr.subsampling;
            return width.div_ceil(across.into()) * u64::from(across * down + 2);
        }
        (width * u64::from(self.bits)).saturating_mul(self.interleaved_samples() as u64).div_ceil(8)
    }

    /// Bytes of a decompressed strip or tile of `rows` rows.
    pub(super) fn segment_bytes(&self, rows: u32) -> u64 {
        let rows = if self.is_subsampled() { rows.div_ceil(self.ycbcr.subsampling.1) } else { rows };
        self.stride().saturating_mul(rows.into())
    }

    /// The most columns and rows of the JPEG stream of a strip or tile. Some writers fill the last MCUs, which have up to
    /// 32 pixels a side.
    pub(super) fn max_stream_size(&self) -> (u32, u32) {
        (self.grid.width.next_multiple_of(32), self.grid.rows.next_multiple_of(32))
    }

    /// An upper bound of the memory that decoding takes, in bytes.
    pub(super) fn decoded_bytes(&self) -> u64 {
        let pixels = u64::from(self.width) * u64::from(self.height);
        let picture = pixels.saturating_mul(self.channels() as u64 * if self.is_deep() { 2 } else { 1 });
        picture.saturating_add(self.working_bytes())
    }

    /// The same without the decoded picture.
    pub(super) fn working_bytes(&self) -> u64 {
        let segments_across = self.planes().len() as u64 * u64::from(self.grid.across);
        let segment = self.segment_bytes(self.grid.rows).saturating_mul(segments_across);
        let segment = match self.compression {
            // read in place
            Compression::None if !self.lsb_first => 0,
            // two rows as lists of at most two changing elements a pixel, which grow by doubling
            _ if self.compression.is_fax() => segment.saturating_add(32 * u64::from(self.grid.width)),
            // streams as large as they may be; progressive JPEG keeps its coefficients, 16 bits each
            Compression::Jpeg | Compression::OldJpeg => {
                let (columns, rows) = self.max_stream_size();
                let samples = (u64::from(columns) * u64::from(rows)).saturating_mul(self.interleaved_samples() as u64);
                samples.saturating_mul(segments_across).saturating_mul(3)
            }
            _ => segment,
        };
        let row = u64::from(self.width).saturating_mul(2 * u64::from(self.samples));
        // JPEG streams are assembled, and bits reversed, in a copy
        let input = if self.compression == Compression::None { 0 } else { self.file.bytes.len() as u64 };
        segment.saturating_add(row).saturating_add(input).saturating_add(1 << 20)
    }

    /// Checks that every strip or tile begins in the file, and uncompressed ones end there. Called before pixels are allocated.
    pub(super) fn check_segments(&self) -> Result<(), Failure> {
        if self.old_jpeg.interchange.is_some() {
            return Ok(());
        }
        for plane in self.planes() {
            for down in 0..self.grid.down {
                for across in 0..self.grid.across {
                    self.segment_range(plane, down, across)?;
                }
            }
        }
        Ok(())
    }

    /// The compressed bytes of a strip or tile.
    ///
    /// # Errors
    /// [`Failure::Limit`] where strips share too many bytes.
    pub(super) fn segment(&self, plane: u16, down: u32, across: u32) -> Result<&'a [u8], Failure> {
        let range = self.segment_range(plane, down, across)?;
        // every stream is decoded with the tables of the page in front
        let tables = self.jpeg_tables.filter(|_| self.compression.is_jpeg()).map_or(0, <[u8]>::len);
        let left = self.input_left.get().checked_sub(range.len() as u64 + tables as u64);
        self.input_left.set(left.ok_or_else(|| Failure::Limit("its strips share too much data".into()))?);
        Ok(&self.file.bytes[range])
    }

    /// The most compressed bytes that all strips together may have. Strips overlap only where small ones of one colour are shared.
    pub(super) fn max_input(&self) -> u64 {
        let Grid { across, down, .. } = self.grid;
        let segments = (u64::from(across) * u64::from(down)).saturating_mul(self.planes().len() as u64);
        let raw = segments.saturating_mul(self.segment_bytes(self.grid.rows));
        (2 * self.file.bytes.len() as u64).saturating_add(raw.saturating_mul(8)).saturating_add(1 << 20)
    }

    fn segment_range(&self, plane: u16, down: u32, across: u32) -> Result<std::ops::Range<usize>, Failure> {
        let grid = self.grid;
        let before = usize::from(plane).saturating_mul(grid.down as usize).saturating_add(down as usize);
        let index = before.saturating_mul(grid.across as usize).saturating_add(across as usize);
        let outside = || Failure::malformed(format!("its strip or tile {index} lies outside of the file"));
        let length = self.file.bytes.len();
        let start = self.offsets.and_then(|offsets| offsets.get(index)).ok_or_else(outside)?;
        let start = usize::try_from(start).ok().filter(|&start| 0 < start && start < length).ok_or_else(outside)?;
        let needed = usize::try_from(self.segment_bytes(self.rows_at(down))).unwrap_or(usize::MAX);
        if self.compression == Compression::None {
            // the byte count is not needed, and often wrong
            let end = start.checked_add(needed).filter(|&end| end <= length).ok_or_else(outside)?;
            return Ok(start..end);
        }
        let counted = self.counts.and_then(|counts| counts.get(index)).filter(|&count| count > 0);
        let counted = counted.map_or(length - start, |count| usize::try_from(count).unwrap_or(usize::MAX));
        if counted > length - start {
            return Err(outside());
        }
        // compressed data are hardly longer than raw ones; JPEG has tables, and maybe profiles
        let slack = if self.compression.is_jpeg() { 4 << 20 } else { 64 << 10 };
        let most = counted.min(needed.saturating_mul(8).saturating_add(slack));
        Ok(start..start + most)
    }
}
