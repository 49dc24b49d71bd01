//! The fonts that text in SVGs is drawn with: found once a process, and loaded before a worker can open no more files.

pub use tintype_codecs::svg::FontFiles;

/// The digest of the installed fonts; 0 where none were looked for.
pub fn digest() -> u64 {
    tintype_codecs::svg::installed().map_or(0, FontFiles::digest)
}

/// Loads the installed fonts of a worker process, which may end when a file is truncated: they are mapped into its memory, which
/// all workers share. Other processes load them with their first SVG. Builds without SVG load none.
pub fn load_mapped() {
    #[cfg(feature = "svg")]
    tintype_codecs::svg::load_fonts(tintype_codecs::svg::FontMemory::Mapped);
}
