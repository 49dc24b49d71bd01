"""Figures of the soak: what the processes hold, by minute, and a picture of it."""

import contextlib
import os
import pathlib

COLUMNS = [
    ("rss", "Resident memory, MB"),
    ("shmem", "Shared memory, MB"),
    ("fds", "Open files"),
    ("threads", "Threads"),
    ("disk", "Cache on disk, MB"),
    ("queue", "Renders waiting"),
    ("requests", "Requests a second"),
]


def processes(pids):
    """Sums over processes: resident memory (shared pages once), shared memory, open files, threads."""
    found = dict(rss=0.0, shmem=0.0, fds=0, threads=0)
    for pid in pids:
        # a worker may end meanwhile
        with contextlib.suppress(OSError):
            folder = pathlib.Path(f"/proc/{pid}")
            lines = (folder / "smaps_rollup").read_text().splitlines()[1:]
            sizes = {line.split(":")[0]: int(line.split()[1]) / 1024 for line in lines}
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            found["rss"] += sizes["Pss"]
            found["shmem"] += int(status["RssShmem"].split()[0]) / 1024
            found["threads"] += int(status["Threads"])
            found["fds"] += len(os.listdir(folder / "fd"))
    return found


def sample(server):
    metrics = server.metrics()
    found = processes(server.pids())
    found["disk"] = metrics["tintype_cache_bytes"] / 2**20
    found["queue"] = metrics["tintype_queue_length"]
    found["shmem"] += metrics.get("tintype_memfd_bytes", 0.0) / 2**20
    found["total"] = metrics["tintype_requests_total"]
    return found


def median(samples):
    """One row of several samples."""
    row = {}
    for name in samples[0]:
        row[name] = sorted(sample[name] for sample in samples)[len(samples) // 2]
    return row


def write_table(path, rows):
    names = [name for name, _ in COLUMNS]
    lines = ["\t".join(["minute", "server", *names])]
    for minute, server, row in rows:
        lines.append("\t".join([str(minute), server, *(f"{row[name]:.1f}" for name in names)]))
    path.write_text("\n".join(lines) + "\n")


def write_picture(path, rows, title):
    """A chart of each column over the minutes, a line for each server, as SVG."""
    servers = sorted({server for _, server, _ in rows})
    colours = dict(zip(servers, ("#2563a8", "#c2571a", "#3c8031")))
    width, height, left = 720, 96, 60
    parts = []
    for at, (name, label) in enumerate(COLUMNS):
        top = 48 + at * (height + 34)
        largest = max(max(row[name] for _, _, row in rows), 1.0)
        last = max(max(minute for minute, _, _ in rows), 1)
        parts.append(f'<text x="{left}" y="{top - 6}" font-weight="bold">{label}</text>')
        parts.append(f'<path d="M{left} {top}V{top + height}H{left + width}" fill="none" stroke="#888"/>')
        parts.append(f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">{largest:.0f}</text>')
        parts.append(f'<text x="{left - 6}" y="{top + height}" text-anchor="end">0</text>')
        for server in servers:
            points = " ".join(
                f"{left + minute / last * width:.1f},{top + height - row[name] / largest * height:.1f}"
                for minute, its, row in rows
                if its == server
            )
            parts.append(f'<polyline points="{points}" fill="none" stroke="{colours[server]}" stroke-width="1.5"/>')
    legend = "".join(
        f'<text x="{left + 480 + 110 * at}" y="20" fill="{colours[server]}">{server}</text>'
        for at, server in enumerate(servers)
    )
    total = 48 + len(COLUMNS) * (height + 34)
    path.write_text(
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {left + width + 20} {total}" '
        f'font-family="sans-serif" font-size="12"><title>{title}</title>'
        f'<rect width="100%" height="100%" fill="#fff"/><text x="{left}" y="20" font-size="14">{title}</text>'
        f"{legend}{''.join(parts)}</svg>\n"
    )
