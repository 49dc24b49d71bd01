//! Frames on the socket: a kind, a length, so many bytes.

/// Bytes of a header.
pub(crate) const HEADER: usize = 5;

/// The kind of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// To the worker: which layers to lock down.
    Start = 1,
    /// From the worker: locked down, with the report.
    Ready = 2,
    /// To the worker: a job.
    Job = 3,
    /// To the worker: the job's result is not needed any more.
    Cancel = 4,
    /// From the worker: one of the job's results.
    Answer = 5,
    /// From the worker: the job has ended.
    Done = 6,
    /// To the worker: a job in the shared memory, at the span that is the body.
    SharedJob = 7,
    /// From the worker: one of the job's results in the shared memory, at the span that is the body.
    SharedAnswer = 8,
}

impl Kind {
    const ALL: [Kind; 8] = [
        Kind::Start,
        Kind::Ready,
        Kind::Job,
        Kind::Cancel,
        Kind::Answer,
        Kind::Done,
        Kind::SharedJob,
        Kind::SharedAnswer,
    ];

    fn of(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A header; `None` where the body is longer than 4 GiB.
pub(crate) fn encode(kind: Kind, length: usize) -> Option<[u8; HEADER]> {
    let [a, b, c, d] = u32::try_from(length).ok()?.to_le_bytes();
    Some([kind as u8, a, b, c, d])
}

/// The kind and the length of the body; `None` where there is no such kind.
pub(crate) fn decode([kind, a, b, c, d]: [u8; HEADER]) -> Option<(Kind, usize)> {
    Some((Kind::of(kind)?, u32::from_le_bytes([a, b, c, d]) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_survives_encoding() {
        for kind in Kind::ALL {
            for length in [0, 1, 0x1234_5678, u32::MAX as usize] {
                assert_eq!(decode(encode(kind, length).expect("four bytes are enough")), Some((kind, length)));
            }
        }
    }

    #[test]
    fn unknown_kinds_and_long_bodies_are_refused() {
        assert_eq!(decode([0, 1, 0, 0, 0]), None);
        assert_eq!(decode([9, 1, 0, 0, 0]), None);
        assert_eq!(encode(Kind::Job, u32::MAX as usize + 1), None);
    }
}
