//! What the process takes of the machine, as Linux tells it.
//!
//! Whatever cannot be read, for `/proc` may be hidden from a service, is left out.

use rustix::process::{Resource, getrlimit};

use super::Text;

/// Memory, CPU time, file descriptors and threads.
pub(super) fn write(text: &mut Text) {
    let Ok(process) = procfs::process::Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        let spent = (stat.utime + stat.stime) as f64 / ticks;
        text.counter("process_cpu_seconds_total", "CPU time of the process.", spent);
        text.gauge(
            "process_resident_memory_bytes",
            "Memory of the process that is in RAM.",
            stat.rss * procfs::page_size(),
        );
        text.gauge("process_virtual_memory_bytes", "Addresses that the process has taken.", stat.vsize);
        text.gauge("process_threads", "Threads of the process.", stat.num_threads);
    }
    if let Ok(open) = process.fd_count() {
        text.gauge("process_open_fds", "File descriptors that are open.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.gauge("process_max_fds", "The most file descriptors that may be open.", most);
    }
}
