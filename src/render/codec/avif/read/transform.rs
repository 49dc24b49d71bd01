//! What is done to a decoded picture before it is shown: `clap`, `irot` and
//! `imir` (ISO/IEC 23008-12, 6.5; 14496-12, 12.1.4).

use super::Crop;
use super::property::{CleanAperture, Property};

type Result<T> = std::result::Result<T, String>;

/// The transformative properties of an item, in MIAF's order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Transforms {
    pub(super) clap: Option<CleanAperture>,
    pub(super) rotation: u8,
    pub(super) mirror: Option<u8>,
}

impl Transforms {
    /// Collects `clap`, `irot` and `imir`. A mirroring that comes before the
    /// rotation is turned into one after it; a crop must come first.
    pub(super) fn new(properties: &[Property<'_>]) -> Result<Self> {
        let mut all = Self::default();
        let mut has_rotation = false;
        for property in properties {
            match *property {
                Property::CleanAperture(clap) => {
                    if all != Self::default() || has_rotation {
                        return Err("clap after another transform".into());
                    }
                    all.clap = Some(clap);
                }
                Property::Rotation(turns) if !has_rotation => {
                    has_rotation = true;
                    all.rotation = if all.mirror.is_some() { (4 - turns) % 4 } else { turns };
                }
                Property::Mirror(axis) if all.mirror.is_none() => all.mirror = Some(axis),
                Property::Rotation(_) | Property::Mirror(_) => {
                    return Err("more than one rotation or mirroring".into());
                }
                _ => {}
            }
        }
        Ok(all)
    }
}

/// The rectangle of a clean aperture (14496-12, 12.1.4.1), its corner rounded
/// down to whole pixels.
pub(super) fn crop_of(clap: &CleanAperture, width: u32, height: u32) -> Result<Crop> {
    let (left, width) = crop_span(clap.width, clap.horizontal, width)?;
    let (top, height) = crop_span(clap.height, clap.vertical, height)?;
    Ok((left, top, width, height))
}

/// One side of a clean aperture: where it starts and how long it is, in pixels.
fn crop_span(length: (u32, u32), offset: (i32, u32), whole: u32) -> Result<(u32, u32)> {
    let invalid = || "clap does not fit the picture".to_owned();
    let cropped = length.0.checked_div(length.1).filter(|&cropped| (1..=whole).contains(&cropped));
    let cropped = cropped.ok_or_else(invalid)?;
    let denominator = 2 * i128::from(offset.1);
    let numerator = 2 * i128::from(offset.0) + i128::from(whole - cropped) * i128::from(offset.1);
    if denominator == 0 {
        return Err(invalid());
    }
    let start = u32::try_from(numerator.div_euclid(denominator)).map_err(|_| invalid())?;
    if start > whole - cropped {
        return Err(invalid());
    }
    Ok((start, cropped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_aperture_is_placed_from_the_centre() {
        // 12 wide, 8 kept, centre moved 2 to the right: columns 4 to 11
        assert_eq!(crop_span((8, 1), (2, 1), 12), Ok((4, 8)));
        // half pixels round down
        assert_eq!(crop_span((3, 1), (0, 1), 10), Ok((3, 3)));
    }

    #[test]
    fn a_clean_aperture_beyond_the_picture_is_refused() {
        for (length, offset) in [((13, 1), (0, 1)), ((8, 1), (3, 1)), ((8, 0), (0, 1)), ((8, 1), (0, 0))] {
            assert!(crop_span(length, offset, 12).is_err(), "{length:?} {offset:?}");
        }
        assert!(crop_span((u32::MAX, 1), (i32::MIN, u32::MAX), u32::MAX).is_err());
    }

    #[test]
    fn a_mirroring_before_the_rotation_turns_into_one_after_it() {
        let first = Transforms::new(&[Property::Mirror(0), Property::Rotation(1)]);
        let last = Transforms::new(&[Property::Rotation(3), Property::Mirror(0)]);
        assert_eq!(first, last);
    }
}
