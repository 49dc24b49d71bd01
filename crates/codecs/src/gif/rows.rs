//! The first frame of a GIF as rows of the logical screen.

use super::frames::IndexedFrame;
use tintype_pixels::Rows;
use tintype_pixels::error::Result;
use tintype_pixels::geometry::Size;

/// RGB or RGBA rows of the logical screen; RGBA is transparent outside of the frame, RGB black.
pub(super) struct FrameRows {
    frame: IndexedFrame,
    size: Size,
    channels: usize,
    /// The next row of the screen.
    row: u32,
}

impl FrameRows {
    /// `size` is that of the logical screen, `channels` 3 or 4.
    pub(super) fn new(frame: IndexedFrame, size: Size, channels: usize) -> FrameRows {
        FrameRows { frame, size, channels, row: 0 }
    }
}

impl Rows for FrameRows {
    fn size(&self) -> Size {
        self.size
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        let IndexedFrame { area, indices, colours, .. } = &self.frame;
        let width = area.size.width as usize;
        let (left, visible) = (area.left as usize, width.min(self.size.width.saturating_sub(area.left) as usize));
        for line in out.chunks_exact_mut(self.size.width as usize * self.channels) {
            let row = self.row.checked_sub(area.top).filter(|&row| row < area.size.height);
            self.row += 1;
            if row.is_none() || visible < self.size.width as usize {
                line.fill(0);
            }
            let Some(row) = row.filter(|_| visible > 0) else { continue };
            let indices = &indices[row as usize * width..][..visible];
            let line = &mut line[left * self.channels..];
            match self.channels {
                3 => {
                    for (pixel, &index) in line.as_chunks_mut::<3>().0.iter_mut().zip(indices) {
                        let [red, green, blue, _] = colours[usize::from(index)];
                        *pixel = [red, green, blue];
                    }
                }
                _ => {
                    for (pixel, &index) in line.as_chunks_mut::<4>().0.iter_mut().zip(indices) {
                        *pixel = match colours[usize::from(index)] {
                            [.., 0] => [0; 4],
                            colour => colour,
                        };
                    }
                }
            }
        }
        Ok(())
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.row += rows;
        Ok(())
    }
}
