#!/bin/bash
# Does Flora install and run on arm64? A minimal Debian 12 for arm64, emulated, with the wheel and [headless] in it,
# on the processors of a Raspberry Pi 4 (without the instruction for dot products) and of a Raspberry Pi 5 (with it).
#
#   sudo tests/drills/arm64.sh [FOLDER]
#
# In:  this tree; FOLDER keeps the Debian and the wheels for the next time, without it they go to a temporary folder
#      and are removed. PYTHON names the Python that makes the wheels (python3), with pip, setuptools and packaging.
#      Needed: root, 3 GB, a network, and: apt install debootstrap qemu-user-static
# Out: for each processor the verdict of `flora inspect`, and the answers of `flora predict` and `flora run` on golden
#      frames compared with those in the model's card; the tests of the device side; the seconds of each step.
#      Exit code 0: all right.
#
# The seconds are those of an emulator, some ten times those of a board: they say nothing of a Raspberry Pi.
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd)
python=${PYTHON:-python3}
emulator=/usr/bin/qemu-aarch64-static
format=/proc/sys/fs/binfmt_misc
registered=flora-arm64 # our name for it there, so that nobody else's is taken away
release=bookworm
device_python=3.11 # that of the release
model=/flora/lib/python$device_python/site-packages/edge/models/flowers.tflite # as the device has it

# What the emulator and /proc/cpuinfo say of a processor. Without the latter the runtime would read that of this
# machine, of which it makes nothing: it crashes, or takes the wrong kernels.
declare -A part=([cortex-a72]=0xd08 [cortex-a76]=0xd0b)
declare -A features=([cortex-a72]='fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid')
features[cortex-a76]="${features[cortex-a72]} atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
cpu=cortex-a72

# The device side's tests, but for those that need a network, a display, a browser or hours under an emulator.
tests=(
  test_card test_classifier test_geometry test_golden test_verify test_smoothing test_frames test_source test_live
  test_outlets test_sightings test_roi test_overlay test_heatmap test_motion test_swap test_files test_metrics
  sinks/test_jsonl sinks/test_terminal sinks/test_clip sinks/test_systemd verbs/test_inspect verbs/test_predict
)

fail() {
  echo "arm64.sh: $*" >&2
  exit 1
}

# step NAME COMMAND...: run it, say how long it took.
step() {
  local name=$1 began
  shift
  began=$(date +%s)
  echo "--- $name"
  "$@"
  echo "--- $name: $(($(date +%s) - began)) s"
}

is_mounted() { mountpoint --quiet "$1"; }

# What was mounted and registered here goes again, whatever happened; the root only once nothing is mounted in it.
clean_up() {
  local place
  for place in "$root/proc/cpuinfo" "$root/proc" "$root/sys"; do
    if is_mounted "$place"; then umount "$place" || umount --lazy "$place"; fi
  done
  if [ -e "$format/$registered" ]; then echo -1 >"$format/$registered"; fi
  if [ -n "$temporary" ] && ! is_mounted "$root/proc" && ! is_mounted "$root/sys"; then
    rm -rf --one-file-system "$temporary"
  fi
}

# The kernel hands arm64 programs to the emulator. F: it is opened now, so that the root needs no copy of it.
register_emulator() {
  if ! is_mounted "$format"; then mount -t binfmt_misc binfmt_misc "$format"; fi
  if grep -qs '^enabled' "$format/qemu-aarch64" && grep -q '^flags:.*F' "$format/qemu-aarch64"; then return; fi
  if [ -e "$format/$registered" ]; then return; fi
  local magic='\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00'
  local mask='\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff'
  echo ":$registered:M::$magic:$mask:$emulator:F" >"$format/register"
}

make_root() {
  if [ -e "$root/made" ]; then return; fi
  rm -rf --one-file-system "$root"
  local log=$folder/debootstrap.log
  debootstrap --arch=arm64 --variant=minbase --include=python3,python3-venv "$release" "$root" >"$log" ||
    fail "debootstrap failed; the end of its log: $(tail -n 3 "$log")"
  touch "$root/made"
}

make_wheels() {
  rm -rf "$wheels"
  (cd "$repository" && "$python" -m tests.making.bundle --python "$device_python" --arch aarch64 \
    --extra headless --constraints .ci/constraints.txt --out "$wheels")
  # pytest and what it needs are of no architecture.
  "$python" -m pip download --quiet --dest "$wheels" --only-binary :all: --python-version "$device_python" \
    --implementation py --abi none --platform any 'pytest>=8,<10' 'pytest-timeout>=2.3,<3'
}

# pretend CPU: from now on the device has this processor.
pretend() {
  local number
  cpu=$1
  for ((number = 0; number < $(nproc --all); number++)); do
    printf 'processor\t: %d\nFeatures\t: %s\n' "$number" "${features[$cpu]}"
    printf 'CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n'
    printf 'CPU part\t: %s\nCPU revision\t: 3\n\n' "${part[$cpu]}"
  done >"$folder/cpuinfo"
  if ! is_mounted "$root/proc/cpuinfo"; then mount --bind "$folder/cpuinfo" "$root/proc/cpuinfo"; fi
}

# device COMMAND...: run it in the emulated Debian, in the folder with the tests.
device() {
  chroot "$root" /usr/bin/env -i HOME=/root LANG=C.UTF-8 PATH=/flora/bin:/usr/bin:/bin QEMU_CPU="$cpu" \
    PYTHONDONTWRITEBYTECODE=1 sh -c 'cd /check && exec "$@"' sh "$@"
}

install_flora() {
  rm -rf "$root/flora" "$root/check" "$root/wheels"
  mkdir "$root/check" "$root/wheels"
  cp "$wheels"/*.whl "$root/wheels/"
  # Without the packages beside them: what is tested is the installed wheel.
  cp -r "$repository/tests" "$repository/pyproject.toml" "$root/check/"
  device python3 -m venv /flora
  device pip install --quiet --no-index --find-links /wheels 'flora-edge[headless]' pytest pytest-timeout
}

# Golden frames as photos, with the right answers beside them.
write_photos() {
  device python - <<'END'
import json
from pathlib import Path
import cv2
from edge import Classifier, golden
folder = Path("photos")
folder.mkdir()
answers = []
for number, case in enumerate(Classifier().card.golden):
    cv2.imwrite(str(folder / f"{number:02d}.png"), golden.frame(case))
    answers.append(max(case.answers, key=case.answers.get))
Path("answers.json").write_text(json.dumps(answers))
END
}

# compare FILE: the labels in its JSON lines, in order, with the right ones.
compare() {
  device python - "$1" <<'END'
import json
import sys
from pathlib import Path
lines = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
found = [line["label"] if "label" in line else line["top"][0]["label"] for line in lines if "event" not in line]
right = json.loads(Path("answers.json").read_text())
print(f"{sum(a == b for a, b in zip(found, right))} of {len(right)} golden frames get the answer in the card")
sys.exit(found != right)
END
}

predict() {
  device flora predict --json photos >"$root/check/predicted.jsonl"
  compare predicted.jsonl
}

run() {
  rm -f "$root/check/ran.jsonl"
  device flora run --source photos --smoothing-s 0 --jsonl ran.jsonl >"$root/check/run.log" 2>&1 ||
    fail "flora run: $(tail -n 3 "$root/check/run.log")"
  tail -n 3 "$root/check/run.log"
  compare ran.jsonl
}

run_tests() {
  local files=() name
  for name in "${tests[@]}"; do files+=("tests/edge/$name.py"); done
  # FFmpeg reads its variable when it is first used, which here is by a test that does not quieten it, as `flora` does.
  device env OPENCV_FFMPEG_LOGLEVEL=0 python -m pytest -q -p no:cacheprovider --timeout 900 \
    -m 'not (photos or device or legacy or display or browser or broker or stream)' "${files[@]}"
}

[ "$(id -u)" = 0 ] || fail 'must be run by root: it mounts and changes roots; try: sudo tests/drills/arm64.sh'
for program in debootstrap "$emulator"; do
  command -v "$program" >/dev/null || fail "$program is missing; try: apt install debootstrap qemu-user-static"
done

temporary=
if [ $# -eq 0 ]; then temporary=$(mktemp -d); fi
folder=${1:-$temporary}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
root=$folder/root
wheels=$folder/wheels
trap clean_up EXIT

step 'the emulator' register_emulator
step "Debian $release for arm64" make_root
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
pretend cortex-a72
step 'the wheels' make_wheels
step 'install' install_flora
echo "machine: $(device uname -m)"
step 'golden frames' write_photos
for processor in cortex-a76 cortex-a72; do
  pretend "$processor"
  step "flora inspect, $cpu" device flora inspect "$model"
  step "flora predict, $cpu" predict
  step "flora run, $cpu" run
done
step "tests, $cpu" run_tests
echo 'arm64: all right'
