//! A worker process as its parent holds it: started with nothing but a socket and a pipe, ended and waited for in every case.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::{Pid, PidfdFlags, Resource, Rlimit};

use crate::death::{Death, Reason};
use crate::shared_memory::SharedMemory;
use crate::stderr::{Log, Stderr};

/// The program that is started as a worker.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its file.
    pub path: PathBuf,
    /// Its name in lists of processes.
    pub name: OsString,
    /// Its arguments.
    pub args: Vec<OsString>,
    /// Its whole environment. `RUST_BACKTRACE` must not be in it: a backtrace opens files, and hides the message of a panic.
    pub envs: Vec<(OsString, OsString)>,
}

impl Program {
    /// This program itself, even if its file was replaced since it was started.
    pub fn this(name: impl Into<OsString>, args: impl IntoIterator<Item = impl Into<OsString>>) -> Program {
        let args = args.into_iter().map(Into::into).collect();
        Program { path: "/proc/self/exe".into(), name: name.into(), args, envs: Vec::new() }
    }

    fn command(&self, socket: OwnedFd, memory: Stdio) -> Command {
        let mut command = Command::new(&self.path);
        command.arg0(&self.name).args(&self.args).env_clear().envs(self.envs.iter().map(|(name, value)| (name, value)));
        // out of the terminal's group: Ctrl+C is for the service, which lets its renders end
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::from(socket)).stdout(memory).stderr(Stdio::piped());
        command
    }
}

/// Why a worker cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The process cannot be started or looked at; Linux 5.3 is the oldest that can.
    #[error("cannot start a worker: {0}")]
    Io(#[from] io::Error),
    /// It died before it was ready.
    #[error("a worker died while it started: {0}")]
    Died(Death),
    /// It was not ready in time, and was killed.
    #[error("a worker was not ready in time: {0}")]
    Timeout(Death),
}

/// How long a process that closed its socket may take to end before it is killed.
const CLOSING: Duration = Duration::from_millis(500);

pub(crate) struct Process {
    child: Child,
    pid: Pid,
    pidfd: OwnedFd,
    pub(crate) socket: UnixStream,
    pub(crate) memory: SharedMemory,
    pub(crate) stderr: Stderr,
    /// Opened before the process hides itself from this user where `/proc` is mounted with `hidepid`.
    statm: File,
    /// The maximum of `RLIMIT_AS`, which it has from this process; `None` where there is none.
    max_address_space: Option<u64>,
}

impl Process {
    pub(crate) fn spawn(program: &Program, log: Log) -> io::Result<Process> {
        let (socket, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
        let socket = UnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let memory = SharedMemory::new()?;
        let mut child = program.command(theirs, memory.worker_end()?).spawn()?;
        match Process::watch(&mut child, log) {
            Ok((pid, pidfd, statm, stderr)) => {
                let max_address_space = rustix::process::getrlimit(Resource::As).maximum;
                Ok(Process { child, pid, pidfd, socket, memory, stderr, statm, max_address_space })
            }
            Err(error) => {
                // both fail only where the process has been waited for
                let _ = child.kill();
                let _ = child.wait();
                Err(error)
            }
        }
    }

    fn watch(child: &mut Child, log: Log) -> io::Result<(Pid, OwnedFd, File, Stderr)> {
        let pid = Pid::from_child(child);
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let statm = File::open(format!("/proc/{}/statm", child.id()))?;
        let pipe = child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?;
        Ok((pid, pidfd, statm, Stderr::new(pipe, child.id(), log)?))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Bytes of address space, and of memory that it shares with no file.
    pub(crate) fn memory_use(&self) -> io::Result<MemoryUse> {
        let mut text = [0; 128];
        let count = self.statm.read_at(&mut text, 0)?;
        let text = String::from_utf8_lossy(&text[..count]);
        let mut pages = text.split(' ').map_while(|number| number.parse::<u64>().ok());
        let mut next = || pages.next().ok_or(io::ErrorKind::InvalidData);
        let (size, resident, shared) = (next()?, next()?, next()?);
        let page = rustix::param::page_size() as u64;
        Ok(MemoryUse { address_space: size * page, private: resident.saturating_sub(shared) * page })
    }

    /// Bounds the address space; more is an allocation that fails.
    pub(crate) fn limit_memory(&self, bytes: u64) -> io::Result<()> {
        // the maximum stays what it was, so that the next job may have more
        let maximum = self.max_address_space;
        let limit = Rlimit { current: Some(maximum.map_or(bytes, |maximum| maximum.min(bytes))), maximum };
        rustix::process::prlimit(Some(self.pid), Resource::As, limit)?;
        Ok(())
    }

    /// Ends the process, if it has not ended already, and waits for it. `cause` is why it is killed; `None` where its socket
    /// is closed, so that it is dying by itself.
    pub(crate) fn end(&mut self, cause: Option<Reason>) -> Death {
        let cause = cause.or_else(|| (!self.ends_within(CLOSING)).then_some(Reason::Closed));
        // both fail only where the process has been waited for
        let _ = self.child.kill();
        let status = self.child.wait();
        let pid = self.pid();
        let message = self.stderr.end().to_owned();
        let reason = match (cause, status) {
            (Some(cause), _) => cause,
            (None, Ok(status)) => Reason::of(status, &message),
            (None, Err(_)) => Reason::Closed,
        };
        Death { pid, reason, message }
    }

    /// Whether it has ended within that time. A socket is closed a moment before its process can be waited for; or a moment
    /// after, where another thread is just starting a process, which has a copy of the socket until it is executed.
    pub(crate) fn ends_within(&self, time: Duration) -> bool {
        let mut polled = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let timeout = Timespec { tv_sec: 0, tv_nsec: time.subsec_nanos().into() };
        rustix::io::retry_on_intr(|| rustix::event::poll(&mut polled, Some(&timeout))).is_ok_and(|count| count > 0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl AsFd for Process {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryUse {
    pub(crate) address_space: u64,
    pub(crate) private: u64,
}
