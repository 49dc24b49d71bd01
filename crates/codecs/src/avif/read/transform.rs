//! The transforms of a decoded picture before it is shown: `clap`, `irot` and
//! `imir` (ISO/IEC 23008-12, 6.5; 14496-12, 12.1.4).

use super::Crop;
use super::property::{CleanAperture, Property};

/// The transformative properties of an item, in MIAF's order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Transforms {
    pub(super) clap: Option<CleanAperture>,
    pub(super) rotation: u8,
    pub(super) mirror: Option<u8>,
}

impl Transforms {
    /// Collects `clap`, `irot` and `imir`. As in libavif, the first of each counts, and
    /// `clap` precedes the others. Mirroring before the rotation is converted to mirroring
    /// after it.
    pub(super) fn new(properties: &[Property<'_>]) -> Self {
        let mut all = Self::default();
        let mut has_rotation = false;
        for property in properties {
            match *property {
                Property::CleanAperture(clap) => all.clap = all.clap.or(Some(clap)),
                Property::Rotation(turns) if !has_rotation => {
                    has_rotation = true;
                    all.rotation = if all.mirror.is_some() { (4 - turns) % 4 } else { turns };
                }
                Property::Mirror(axis) => all.mirror = all.mirror.or(Some(axis)),
                _ => {}
            }
        }
        all
    }
}

/// The rectangle of a clean aperture (14496-12, 12.1.4.1), its corner rounded
/// down to whole pixels. One that exceeds the picture is ignored, as by
/// browsers.
pub(super) fn crop_of(clap: &CleanAperture, width: u32, height: u32) -> Option<Crop> {
    let (left, width) = crop_span(clap.width, clap.horizontal, width)?;
    let (top, height) = crop_span(clap.height, clap.vertical, height)?;
    Some((left, top, width, height))
}

/// Start and length of a clean aperture along one side, in pixels.
fn crop_span(length: (u32, u32), offset: (i32, u32), whole: u32) -> Option<(u32, u32)> {
    let cropped = length.0.checked_div(length.1).filter(|&cropped| (1..=whole).contains(&cropped))?;
    let denominator = 2 * i128::from(offset.1);
    let numerator = 2 * i128::from(offset.0) + i128::from(whole - cropped) * i128::from(offset.1);
    if denominator == 0 {
        return None;
    }
    let start = u32::try_from(numerator.div_euclid(denominator)).ok()?;
    (start <= whole - cropped).then_some((start, cropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_aperture_is_placed_from_the_centre() {
        // 12 wide, 8 kept, centre moved 2 to the right: columns 4 to 11
        assert_eq!(crop_span((8, 1), (2, 1), 12), Some((4, 8)));
        // half pixels round down
        assert_eq!(crop_span((3, 1), (0, 1), 10), Some((3, 3)));
    }

    #[test]
    fn clean_aperture_beyond_the_picture_is_ignored() {
        for (length, offset) in [((13, 1), (0, 1)), ((8, 1), (3, 1)), ((8, 0), (0, 1)), ((8, 1), (0, 0))] {
            assert_eq!(crop_span(length, offset, 12), None, "{length:?} {offset:?}");
        }
        assert_eq!(crop_span((u32::MAX, 1), (i32::MIN, u32::MAX), u32::MAX), None);
    }

    #[test]
    fn mirroring_before_rotation_becomes_mirroring_after_it() {
        let first = Transforms::new(&[Property::Mirror(0), Property::Rotation(1)]);
        let last = Transforms::new(&[Property::Rotation(3), Property::Mirror(0)]);
        assert_eq!(first, last);
    }

    #[test]
    fn repeated_and_late_transforms_are_read_as_by_libavif() {
        let clap = CleanAperture { width: (8, 1), height: (8, 1), horizontal: (0, 1), vertical: (0, 1) };
        let other = CleanAperture { width: (4, 1), ..clap };
        let wanted = Transforms { clap: Some(clap), rotation: 1, mirror: Some(0) };
        let of = |properties: &[Property<'_>]| Transforms::new(properties);
        let (turn, mirror) = (Property::Rotation(1), Property::Mirror(0));
        assert_eq!(of(&[turn, mirror, Property::CleanAperture(clap)]), wanted);
        let clap = Property::CleanAperture(clap);
        assert_eq!(of(&[clap, Property::CleanAperture(other), turn, mirror, mirror, Property::Rotation(2)]), wanted);
        assert_eq!(of(&[clap, turn, mirror, Property::Mirror(1)]), wanted);
    }
}
