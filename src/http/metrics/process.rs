//! Resources of the process, from `/proc`.
//!
//! Values that cannot be read are left out: `/proc` may be hidden from a service.

use rustix::process::{Resource, getrlimit};

use super::Text;

/// Memory, CPU time, file descriptors and threads.
pub(super) fn write(text: &mut Text) {
    let Ok(process) = procfs::process::Process::myself() else { return };
    if let Ok(stat) = process.stat() {
        let ticks = procfs::ticks_per_second() as f64;
        let spent = (stat.utime + stat.stime) as f64 / ticks;
        text.counter("process_cpu_seconds_total", "CPU time of the process.", spent);
        text.gauge("process_resident_memory_bytes", "Resident memory of the process.", stat.rss * procfs::page_size());
        text.gauge("process_virtual_memory_bytes", "Virtual memory of the process.", stat.vsize);
        text.gauge("process_threads", "Threads of the process.", stat.num_threads);
    }
    if let Ok(open) = process.fd_count() {
        text.gauge("process_open_fds", "Open file descriptors.", open);
    }
    if let Some(most) = getrlimit(Resource::Nofile).current {
        text.gauge("process_max_fds", "Open file descriptors at most.", most);
    }
}
