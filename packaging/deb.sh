#!/usr/bin/env bash
# Debian packages of both programs for this machine, into dist/; cargo-deb must be there (`cargo install cargo-deb`).
#   packaging/deb.sh [--profile release|dev] [--out FOLDER]
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

give_up() {
    printf 'deb.sh: %s\n' "$1" >&2
    exit 1
}

profile=release out=$root/dist fast=""
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || give_up "$1 is no option with a value; the first lines of this script list them"
    case $1 in
        --profile) profile=$2 ;;
        --out) out=$2 ;;
        *) give_up "there is no such option: $1" ;;
    esac
    shift 2
done
case $profile in
    release) folder=release ;;
    dev) folder=debug fast=yes ;;
    *) give_up "the profile is release or dev, not $profile" ;;
esac
command -v cargo-deb >/dev/null || give_up "cargo-deb is missing: cargo install cargo-deb"
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root"

version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
grep -qF "sf-mcp (>= $version)" supervisor/Cargo.toml || give_up "sf-supervisor's package must depend on sf-mcp (>= $version)"
cargo build --locked --profile "$profile" --workspace --bins --example packaging
targets=$(cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
staged=$root/target/packaging
rm -rf "$staged"
mkdir -p "$staged/programs"
"$targets/$folder/examples/packaging" texts "$staged"
for program in sf-mcp sf-supervisor; do
    cp "$targets/$folder/$program" "$staged/programs/"
    # The release profile does that by itself.
    [ "$profile" = release ] || strip "$staged/programs/$program"
    cargo-deb --no-build --no-strip --package "$program" --output "$out" ${fast:+--fast}
done
