//! How a caller hears of the stages of a render and stops it.

use serde::{Deserialize, Serialize};

use tintype_pixels::{Error, Result, Rows, Size};

/// A step of rendering, in order; each begins when the one before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// Reading the header, planning and decoding. For a moving picture the operations run between its frames. A picture
    /// whose rows are used as they come is resized here, too.
    Decode,
    /// The operations on pixels, resizing above all.
    Resize,
    /// Writing the result.
    Encode,
}

/// Hears of each stage as it begins and says whether to go on; `false` ends the rendering with [`Error::Cancelled`].
///
/// This is how a caller measures time and stops work that no client waits for, while rendering itself knows neither.
pub trait Progress {
    /// A stage begins.
    fn begin(&mut self, stage: Stage) -> bool;

    /// Whether to go on within a stage; asked often by encoders that can be stopped half-way.
    fn keep_going(&mut self) -> bool {
        true
    }

    /// How many threads the encoder may use, at least 1; asked once, right before it starts, where more than one make it
    /// faster. The result does not depend on it.
    fn threads(&mut self) -> u32 {
        1
    }
}

impl<F: FnMut(Stage) -> bool> Progress for F {
    fn begin(&mut self, stage: Stage) -> bool {
        self(stage)
    }
}

/// Says that a stage begins.
///
/// # Errors
/// [`Error::Cancelled`] where the caller stops.
pub(crate) fn begin(progress: &mut dyn Progress, stage: Stage) -> Result<()> {
    if progress.begin(stage) { Ok(()) } else { Err(Error::Cancelled) }
}

/// Rows that end with [`Error::Cancelled`] when the caller stops.
pub(crate) struct CancellableRows<'a> {
    pub(crate) rows: &'a mut dyn Rows,
    pub(crate) progress: &'a mut dyn Progress,
}

impl CancellableRows<'_> {
    fn check(&mut self) -> Result<()> {
        if self.progress.keep_going() { Ok(()) } else { Err(Error::Cancelled) }
    }
}

impl Rows for CancellableRows<'_> {
    fn size(&self) -> Size {
        self.rows.size()
    }

    fn channels(&self) -> usize {
        self.rows.channels()
    }

    fn read(&mut self, out: &mut [u8]) -> Result<()> {
        self.check()?;
        self.rows.read(out)
    }

    fn skip(&mut self, rows: u32) -> Result<()> {
        self.check()?;
        self.rows.skip(rows)
    }
}
