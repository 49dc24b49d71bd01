#!/usr/bin/env bash
# Takes the disk away while tintype writes, as a power cut does, and looks at what it serves afterwards.
#
#   cargo build --release && sudo tests/power-loss.sh target/release/tintype [CYCLES] [ext4|xfs]...
#
# Needs root, loop devices, curl, Python, and of Debian's packages e2fsprogs and xfsprogs. Each cycle: a file system in a file,
# with the cache on it; renditions are asked for; after a random time the file system is shut down by its own ioctl,
# without its log being written (`xfs_io -x -c shutdown`, which ext4 knows too), so that all that was not synced is lost;
# the program is killed, the file system mounted again, and everything asked for once more. It counts
#   wrong   bodies that are not what a server makes whose disk nothing has happened to: must be 0
#   lost    renditions that had been said to be kept and were made anew, of how many
#   torn    files under final names that are not what their names say: never served, removed when they are asked for
#   strays  files in the staging folder after the start
set -euo pipefail

program=$(realpath "$1")
cycles=${2:-3}
systems=("${@:3}")
[ ${#systems[@]} -gt 0 ] || systems=(ext4 xfs)
originals=$(cd "$(dirname "${BASH_SOURCE[0]}")/../testdata" && pwd)

work=$(mktemp -d)
mount=$work/mount
mkdir "$mount" "$work/kept" "$work/again" "$work/right"
server= sound=
clean() {
    kill -KILL $server $sound 2>/dev/null || true
    umount "$mount" 2>/dev/null || true
    rm -rf "$work"
}
trap clean EXIT

# start CACHE: sets server and url
start() {
    : >"$work/log"
    # worker processes take most of the time of a start, and write nothing
    TINTYPE_CACHE_MIN_FREE=0 TINTYPE_CACHE_MEMORY=0 TINTYPE_SECURITY_ISOLATION=off \
        "$program" serve "$originals" --listen 127.0.0.1:0 --cache-dir "$1" 2>"$work/log" &
    server=$!
    for _ in $(seq 500); do
        url=$(sed -n 's/^listening on //p' "$work/log")
        [ -z "$url" ] || return 0
        sleep 0.01
    done
    echo "the server does not start:" >&2
    cat "$work/log" >&2
    exit 1
}

stop() {
    kill -KILL "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
    server=
}

# ask FOLDER FIRST COUNT: each rendition into a file of its number, its head beside it. Some versions of curl wait for ever for
# a transfer whose connection was refused.
ask() {
    local number
    for number in $(seq "$2" $(($2 + $3 - 1))); do
        printf 'url = "%sgenerated/rgb16.png?width=%d&quality=%d&format=webp"\n' \
            "$url" $((8 + number % 100)) $((1 + number / 100 % 100))
        printf 'output = "%s/%d"\ndump-header = "%s/%d.head"\nmax-time = 30\nnext\n' "$1" "$number" "$1" "$number"
    done | sed '$d' | timeout 60 curl --silent --parallel --parallel-max 4 --config - 2>/dev/null || true
}

# compare: of one cycle, how many answers were wrong, how many renditions were lost, of how many that were kept
compare() {
    python3 - "$work" <<'PYTHON'
import pathlib, re, sys

work = pathlib.Path(sys.argv[1])
cut = (work / "cut").stat().st_mtime_ns
wrong = lost = kept = 0


def head(folder, number):
    file = work / folder / f"{number}.head"
    return file.read_text(errors="replace").lower() if file.exists() else ""


def body(folder, number):
    file = work / folder / number
    return file.read_bytes() if file.exists() else b""


for file in (work / "right").iterdir():
    if file.suffix:
        continue
    number, right = file.name, file.read_bytes()
    if right != body("again", number):
        wrong += 1
    said, early = head("kept", number), body("kept", number)
    length = re.search(r"^content-length: (\d+)", said, re.M)
    # an answer that the kill cut short said nothing yet
    if not length or int(length[1]) != len(early):
        continue
    if (work / "kept" / f"{number}.head").stat().st_mtime_ns < cut and "stored" in said:
        kept += 1
        wrong += right != early
        lost += "tintype; hit" not in head("again", number)
print(wrong, lost, kept)
PYTHON
}

# the server that nothing happens to
start "$work/sound"
sound=$server sound_url=$url server=

for system in "${systems[@]}"; do
    wrong=0 lost=0 kept=0 torn=0 strays=0
    for cycle in $(seq "$cycles"); do
        rm -f "$work"/disk "$work"/{kept,again,right}/*
        truncate -s 400M "$work/disk"
        case $system in
        ext4) mkfs.ext4 -q -F "$work/disk" ;;
        xfs) mkfs.xfs -q -f "$work/disk" ;;
        esac
        mount -o loop "$work/disk" "$mount"
        start "$mount/cache"
        first=$((RANDOM % 9000))
        ask "$work/kept" $first 80 &
        asking=$!
        sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
        xfs_io -x -c shutdown "$mount"
        # answers up to here count
        : >"$work/cut"
        stop
        wait $asking || true
        umount "$mount"
        mount -o loop "$work/disk" "$mount"
        start "$mount/cache"
        strays=$((strays + $(find "$mount/cache/v2/staging" -type f | wc -l)))
        said=$("$program" cache verify --cache-dir "$mount/cache" 2>/dev/null || true)
        torn=$((torn + $(sed -n 's/.* sound, \([0-9]*\) damaged/\1/p' <<<"$said")))
        ask "$work/again" $first 80
        stop
        umount "$mount"
        url=$sound_url
        ask "$work/right" $first 80
        read -r more_wrong more_lost more_kept < <(compare)
        wrong=$((wrong + more_wrong)) lost=$((lost + more_lost)) kept=$((kept + more_kept))
    done
    echo "$system: $cycles power losses: $wrong wrong, $lost lost of $kept kept, $torn torn, $strays strays"
    [ "$wrong" = 0 ]
done
