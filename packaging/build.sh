#!/usr/bin/env bash
# Builds both programs for one platform and packs what a release has of it into dist/:
#   sf-mcp-VERSION-PLATFORM.tar.gz           what install.sh installs
#   sf-supervisor-VERSION-PLATFORM.tar.gz    the service with the sf-mcp it starts and its systemd units (Linux)
#   service-fusion-VERSION-PLATFORM.mcpb     the one-click extension
#   packaging/build.sh [--target TRIPLE] [--profile release|dev] [--out FOLDER] [--program FILE]
# TRIPLE is this machine's by default; universal-apple-darwin joins both kinds of Mac. --program packs an sf-mcp that was
# built elsewhere for TRIPLE: so Windows' is packed, where the hosting service does not run. release.sh makes the rest.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)

give_up() {
    printf 'build.sh: %s\n' "$1" >&2
    exit 1
}

target='' profile=release out=$root/dist program=''
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || give_up "$1 is no option with a value; the first lines of this script list them"
    case $1 in
        --target) target=$2 ;;
        --profile) profile=$2 ;;
        --out) out=$2 ;;
        --program) program=$2 ;;
        *) give_up "there is no such option: $1" ;;
    esac
    shift 2
done
case $profile in
    release) folder=release ;;
    dev) folder=debug ;;
    *) give_up "the profile is release or dev, not $profile" ;;
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$root"

host=$(rustc -vV | sed -n 's/^host: //p')
target=${target:-$host}
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
targets=$(cargo metadata --locked --no-deps --format-version 1 |
    python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
# For pack.py alone: in the environment of a build it has C libraries compiled anew with each commit.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 0)}

case $target in
    x86_64-unknown-linux-gnu) platform=linux-x64 ;;
    aarch64-unknown-linux-gnu) platform=linux-arm64 ;;
    x86_64-unknown-linux-musl) platform=linux-x64-musl ;;
    aarch64-unknown-linux-musl) platform=linux-arm64-musl ;;
    universal-apple-darwin) platform=darwin-universal ;;
    x86_64-apple-darwin) platform=darwin-x64 ;;
    aarch64-apple-darwin) platform=darwin-arm64 ;;
    x86_64-pc-windows-msvc) platform=win32-x64 ;;
    aarch64-pc-windows-msvc) platform=win32-arm64 ;;
    *) give_up "no name for the platform $target: add it here, to install.sh and to binaries.rs" ;;
esac
suffix=
[[ $platform != win32-* ]] || suffix=.exe

# The host's own build stays where `cargo build` puts it. All of the workspace at once: each choice of packages has features
# of its own, and all dependencies would be built anew for it.
build_for() {
    local where=()
    [ "$1" = "$host" ] || where=(--target "$1")
    cargo build --locked --profile "$profile" --workspace --bins "${where[@]+"${where[@]}"}"
    built=$targets/$([ "$1" = "$host" ] || echo "$1/")$folder
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/programs"
programs=(sf-mcp sf-supervisor)
if [ -n "$program" ]; then
    programs=(sf-mcp)
    cp "$program" "$scratch/programs/sf-mcp$suffix"
elif [ "$target" = universal-apple-darwin ]; then
    for half in aarch64 x86_64; do
        build_for $half-apple-darwin
        for name in "${programs[@]}"; do
            cp "$built/$name" "$scratch/$name-$half"
        done
    done
    for name in "${programs[@]}"; do
        lipo -create -output "$scratch/programs/$name" "$scratch/$name-aarch64" "$scratch/$name-x86_64"
    done
else
    build_for "$target"
    for name in "${programs[@]}"; do
        cp "$built/$name$suffix" "$scratch/programs/"
    done
fi

# The release profile does that by itself.
if [ "$profile" = dev ]; then
    strip "$scratch/programs/"*
fi

cargo build --locked --profile "$profile" --workspace --bins --example packaging
make() {
    "$targets/$folder/examples/packaging" "$@"
}

make texts "$scratch/texts"

# lay_out PROGRAM: its archive's folder, with what belongs to that program alone.
lay_out() {
    local to=$scratch/$1
    mkdir -p "$to/man" "$to/completions"
    install -m 755 "$scratch/programs/$1$suffix" "$to/"
    cp LICENSE CHANGELOG.md "$to/"
    cp "$scratch/texts/man/$1"*.1 "$to/man/"
    cp "$scratch/texts/completions/"*"$1"* "$to/completions/"
}

lay_out sf-mcp
SOURCE_DATE_EPOCH=$epoch python3 packaging/pack.py "$out/sf-mcp-$version-$platform.tar.gz" "$scratch/sf-mcp"
if [[ $platform == linux-* && -z $program ]]; then
    lay_out sf-supervisor
    install -m 755 "$scratch/programs/sf-mcp" "$scratch/sf-supervisor/"
    cp supervisor/README.md "$scratch/sf-supervisor/"
    cp -R packaging/systemd "$scratch/sf-supervisor/"
    [ ! -d packaging/nginx ] || cp -R packaging/nginx "$scratch/sf-supervisor/"
    SOURCE_DATE_EPOCH=$epoch python3 packaging/pack.py "$out/sf-supervisor-$version-$platform.tar.gz" "$scratch/sf-supervisor"
fi
# No desktop client runs where there is no glibc.
if [[ $platform != *-musl ]]; then
    make extension "${platform%%-*}" "$scratch/programs/sf-mcp$suffix" "$out/service-fusion-$version-$platform.mcpb"
fi
printf '%s\n' "$out"/*"-$version-$platform".*
