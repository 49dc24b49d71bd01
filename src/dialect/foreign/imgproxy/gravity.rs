//! Gravities: the part of a picture that a crop keeps, or the place on a canvas, with a distance from it.

use crate::dialect::Error;
use crate::dialect::foreign::meaning::invalid;
use crate::dialect::foreign::values::{number, show};

/// The names of sides and corners with their native position.
const SIDES: [(&str, &str); 9] = [
    ("no", "top"),
    ("so", "bottom"),
    ("ea", "right"),
    ("we", "left"),
    ("noea", "top-right"),
    ("nowe", "top-left"),
    ("soea", "bottom-right"),
    ("sowe", "bottom-left"),
    ("ce", "center"),
];

/// The native position of a side or a corner.
pub(super) fn side(name: &str) -> Option<&'static str> {
    SIDES.iter().find(|(known, _)| *known == name).map(|&(_, native)| native)
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Gravity {
    anchor: Anchor,
    /// The offset from the place, or the focal point.
    x: f64,
    y: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Anchor {
    /// The native position of a side or a corner.
    Side(&'static str),
    Smart,
    Focus,
}

impl Default for Gravity {
    fn default() -> Gravity {
        Gravity { anchor: Anchor::Side("center"), x: 0.0, y: 0.0 }
    }
}

impl Gravity {
    /// Reads the arguments of a gravity that cuts something off; an empty one keeps what was before.
    pub(super) fn read(&mut self, option: &str, arguments: &[&str]) -> Result<(), Error> {
        match arguments {
            ["sm"] => *self = Gravity { anchor: Anchor::Smart, x: 0.0, y: 0.0 },
            ["sm", ..] => return Err(invalid(option, "sm", "sm has no offset")),
            ["fp", x, y] => {
                let share = |text: &str| number(text).filter(|share| (0.0..=1.0).contains(share));
                let wrong = || invalid(option, &arguments.join(":"), "fp with x and y from 0 to 1");
                *self =
                    Gravity { anchor: Anchor::Focus, x: share(x).ok_or_else(wrong)?, y: share(y).ok_or_else(wrong)? };
            }
            ["fp", ..] => return Err(invalid(option, &arguments.join(":"), "fp with x and y from 0 to 1")),
            [objects @ ("obj" | "objw"), ..] => {
                return Err(invalid(option, objects, "a side, a corner, fp or sm: objects are not recognised"));
            }
            _ => return self.read_side(option, arguments),
        }
        Ok(())
    }

    /// Reads the arguments of a gravity that places a picture on a canvas: a side or a corner, and offsets.
    pub(super) fn read_side(&mut self, option: &str, arguments: &[&str]) -> Result<(), Error> {
        let wrong = |text: &str| invalid(option, text, "no, so, ea, we, noea, nowe, soea, sowe or ce, and two offsets");
        if arguments.len() > 3 {
            return Err(wrong(&arguments.join(":")));
        }
        if let Some(name) = arguments.first().filter(|name| !name.is_empty()) {
            self.anchor = Anchor::Side(side(name).ok_or_else(|| wrong(name))?);
        }
        for (field, text) in [&mut self.x, &mut self.y].into_iter().zip(arguments.iter().skip(1)) {
            if !text.is_empty() {
                *field = number(text).ok_or_else(|| wrong(text))?;
            }
        }
        Ok(())
    }

    /// Whether the pixels decide.
    pub(super) fn is_smart(self) -> bool {
        self.anchor == Anchor::Smart
    }

    /// The native position.
    pub(super) fn position(self) -> String {
        match self.anchor {
            Anchor::Side(native) => native.into(),
            Anchor::Smart => "smart".into(),
            Anchor::Focus => format!("{}x{}", show(self.x), show(self.y)),
        }
    }

    /// The native offset; `None` where there is none.
    pub(super) fn offset(self) -> Option<[String; 2]> {
        let is_moved = matches!(self.anchor, Anchor::Side(_)) && (self.x != 0.0 || self.y != 0.0);
        is_moved.then(|| [show(self.x), show(self.y)])
    }
}
