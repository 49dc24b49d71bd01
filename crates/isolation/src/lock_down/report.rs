//! Which layers of the lock-down hold, as the worker tells its parent before the first job.

use std::fmt;

/// Whether Landlock holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Landlock {
    /// It was not asked for.
    Off,
    /// The kernel has none (before 5.13, or not enabled at boot), or a filter of system calls forbids it.
    Unsupported,
    /// All rights that this version of its interface knows are denied.
    Enforced {
        /// The version: 4 has TCP, 6 signals and abstract sockets.
        abi: u8,
    },
}

/// Whether system calls are filtered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seccomp {
    /// It was not asked for.
    Off,
    /// The kernel has none, an outer filter of system calls forbids it, or there is no list for this architecture.
    Unsupported,
    /// Forbidden calls are made, and logged by the kernel (audit, `dmesg`): to find those that are missing in the list.
    Log,
    /// A forbidden call kills the process.
    Kill,
}

impl Seccomp {
    pub(super) fn encode(self) -> u8 {
        match self {
            Seccomp::Off => 0,
            Seccomp::Unsupported => 1,
            Seccomp::Log => 2,
            Seccomp::Kill => 3,
        }
    }

    pub(super) fn decode(byte: u8) -> Option<Seccomp> {
        let all = [Seccomp::Off, Seccomp::Unsupported, Seccomp::Log, Seccomp::Kill];
        all.into_iter().find(|seccomp| seccomp.encode() == byte)
    }
}

/// The layers that hold in a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// Files, TCP, signals.
    pub landlock: Landlock,
    /// System calls.
    pub seccomp: Seccomp,
    /// Descriptors beyond the standard three that the parent passed on by mistake. The filter of system calls, where there is
    /// one, lets none of them be used.
    pub inherited: u32,
    /// Whether the kernel was told to kill workers first when memory is short.
    pub is_oom_preferred: bool,
}

/// Bytes of an encoded report.
const LENGTH: usize = 8;

impl Report {
    /// Whether untrusted files can be decoded in it: system calls are filtered, or files cannot be opened.
    pub fn is_isolated(&self) -> bool {
        self.seccomp == Seccomp::Kill || matches!(self.landlock, Landlock::Enforced { .. })
    }

    pub(crate) fn encode(&self) -> [u8; LENGTH] {
        let (status, abi) = match self.landlock {
            Landlock::Off => (0, 0),
            Landlock::Unsupported => (1, 0),
            Landlock::Enforced { abi } => (2, abi),
        };
        let [a, b, c, d] = self.inherited.to_le_bytes();
        [status, abi, self.seccomp.encode(), u8::from(self.is_oom_preferred), a, b, c, d]
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Report> {
        let &[status, abi, seccomp, is_oom_preferred, a, b, c, d] = bytes else { return None };
        let landlock = match status {
            0 => Landlock::Off,
            1 => Landlock::Unsupported,
            2 => Landlock::Enforced { abi },
            _ => return None,
        };
        let inherited = u32::from_le_bytes([a, b, c, d]);
        Some(Report {
            landlock,
            seccomp: Seccomp::decode(seccomp)?,
            inherited,
            is_oom_preferred: is_oom_preferred == 1,
        })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seccomp {
            Seccomp::Off => write!(f, "seccomp off")?,
            Seccomp::Unsupported => write!(f, "seccomp not supported")?,
            Seccomp::Log => write!(f, "seccomp logs")?,
            Seccomp::Kill => write!(f, "seccomp")?,
        }
        match self.landlock {
            Landlock::Off => write!(f, ", Landlock off"),
            Landlock::Unsupported => write!(f, ", Landlock not supported"),
            Landlock::Enforced { abi } => write!(f, ", Landlock ABI {abi}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn report_survives_encoding() {
        for landlock in [Landlock::Off, Landlock::Unsupported, Landlock::Enforced { abi: 7 }] {
            for seccomp in [Seccomp::Off, Seccomp::Unsupported, Seccomp::Log, Seccomp::Kill] {
                let report = Report { landlock, seccomp, inherited: 70_000, is_oom_preferred: true };
                assert_eq!(Report::decode(&report.encode()), Some(report));
            }
        }
    }

    #[test]
    fn malformed_reports_are_refused() {
        assert_eq!(Report::decode(&[]), None);
        assert_eq!(Report::decode(&[3, 0, 3, 0, 0, 0, 0, 0]), None);
        assert_eq!(Report::decode(&[2, 7, 9, 0, 0, 0, 0, 0]), None);
    }

    #[test]
    fn report_without_any_layer_is_not_isolated() {
        let none =
            Report { landlock: Landlock::Unsupported, seccomp: Seccomp::Log, inherited: 0, is_oom_preferred: true };
        assert!(!none.is_isolated());
        assert!(Report { seccomp: Seccomp::Kill, ..none }.is_isolated());
        assert!(Report { landlock: Landlock::Enforced { abi: 1 }, ..none }.is_isolated());
    }
}
