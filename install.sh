#!/bin/sh
# Puts sf-mcp on a Linux or macOS machine, for this user, without root.
#
#   sh install.sh                     the newest release, into ~/.local
#   sh install.sh --version 0.1.0     that release
#   sh install.sh --prefix DIR        into DIR/bin and DIR/share
#   sh install.sh --from-source       built here with Rust instead of downloaded
#   sh install.sh --base-url URL      from the folder of one release: https://…, file://…, or http://127.0.0.1:PORT/…
#                                     (or SF_MCP_BASE_URL)
#   sh install.sh --uninstall         take out what this script put there; with --prefix if that was given
#
# What is downloaded must have the SHA-256 that the release's list SHA256SUMS says. Running it again changes nothing when
# there is nothing to change.
set -eu

# A release fills this in: the address under which its `latest/download` and `download/vVERSION` are.
releases=

give_up() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

say() {
    printf '%s\n' "$1"
}

has() {
    command -v "$1" >/dev/null 2>&1
}

usage() {
    cat <<'END'
Puts sf-mcp on a Linux or macOS machine, for this user, without root.

  sh install.sh                     the newest release, into ~/.local
  sh install.sh --version 0.1.0     that release
  sh install.sh --prefix DIR        into DIR/bin and DIR/share
  sh install.sh --from-source       built here with Rust instead of downloaded
  sh install.sh --base-url URL      from the folder of one release: https://…, file://…, or http://127.0.0.1:PORT/…
                                    (or SF_MCP_BASE_URL)
  sh install.sh --uninstall         take out what this script put there; with --prefix if that was given
END
}

# --- What was asked.

read_arguments() {
    version='' prefix='' base_url=${SF_MCP_BASE_URL:-} from_source=no uninstall=no
    while [ $# -gt 0 ]; do
        case $1 in
            --version | --prefix | --base-url)
                [ -n "${2:-}" ] || give_up "$1 needs a value; \`sh install.sh --help\` shows how"
                case $1 in
                    --version) version=${2#v} ;;
                    --prefix) prefix=$2 ;;
                    --base-url) base_url=$2 ;;
                esac
                shift
                ;;
            --version=*) version=${1#*=} version=${version#v} ;;
            --prefix=*) prefix=${1#*=} ;;
            --base-url=*) base_url=${1#*=} ;;
            --from-source) from_source=yes ;;
            --uninstall) uninstall=yes ;;
            -h | --help)
                usage
                exit 0
                ;;
            *) give_up "there is no such option: $1; \`sh install.sh --help\` lists them" ;;
        esac
        shift
    done
    case $version in
        *[!0-9A-Za-z.+-]*) give_up "$version is no version; it is written like 0.1.0" ;;
    esac
}

find_prefix() {
    if [ -z "$prefix" ]; then
        [ -n "${HOME:-}" ] || give_up "HOME is not set: say where to install with --prefix DIR"
        prefix=$HOME/.local
    fi
    case $prefix in
        /*) ;;
        *) prefix=$PWD/$prefix ;;
    esac
    prefix=${prefix%/}
    receipt=$prefix/share/sf-mcp/installed
}

# Root is not needed, and what root installs for a user that user cannot mend.
refuse_sudo() {
    if [ "$(id -u)" = 0 ] && [ -n "${SUDO_USER:-}" ] && [ "$SUDO_USER" != root ]; then
        give_up "run it as $SUDO_USER, without sudo: it needs no root. For all users of a machine there are packages"
    fi
}

# --- This machine.

# The builds that could run here, the best first. Which of them runs is tried before it is installed.
find_platforms() {
    os=$(uname -s) machine=$(uname -m)
    case $machine in
        x86_64 | amd64) machine=x64 ;;
        aarch64 | arm64) machine=arm64 ;;
        *) give_up "there is no build for this processor ($machine); with Rust, \`sh install.sh --from-source\` makes one" ;;
    esac
    case $os in
        Linux)
            platforms="linux-$machine linux-$machine-musl"
            has_glibc || platforms="linux-$machine-musl linux-$machine"
            ;;
        Darwin) platforms=darwin-universal ;;
        *) give_up "there is no build for this system ($os); with Rust, \`sh install.sh --from-source\` makes one. On Windows use install.ps1" ;;
    esac
}

has_glibc() {
    [ -e /lib64/ld-linux-x86-64.so.2 ] || [ -e /lib/ld-linux-aarch64.so.1 ]
}

sha256() {
    if has sha256sum; then
        sha256sum <"$1" | cut -d ' ' -f 1
    elif has shasum; then
        shasum -a 256 <"$1" | cut -d ' ' -f 1
    elif has openssl; then
        openssl dgst -sha256 -r <"$1" | cut -d ' ' -f 1
    else
        give_up "nothing here can check a SHA-256: install sha256sum, shasum or openssl"
    fi
}

# --- Downloads.

find_base_url() {
    if [ -z "$base_url" ]; then
        [ -n "$releases" ] ||
            give_up "this copy does not know where releases are: give --base-url URL, or --from-source to build it here"
        base_url=$releases/latest/download
        [ -z "$version" ] || base_url=$releases/download/v$version
    fi
    base_url=${base_url%/}
    case $base_url in
        file:///*) ;;
        *[[:space:]@]*) give_up "$base_url is no address that releases come from" ;;
        https://*) ;;
        http://127.0.0.1 | http://127.0.0.1[:/]* | http://localhost | http://localhost[:/]* | "http://[::1]"*) ;;
        http://*) give_up "plain http is for this machine only (127.0.0.1): what comes over it could be anybody's. Use https" ;;
        *) give_up "$base_url is no address: it begins with https:// or file:///" ;;
    esac
}

# download NAME: into the scratch folder, whole or not at all.
download() {
    case $base_url in
        file:///*)
            cp "${base_url#file://}/$1" "$scratch/$1.part" 2>"$scratch/problem" || return 1
            ;;
        *)
            fetch "$base_url/$1" "$scratch/$1.part" 2>"$scratch/problem" || return 1
            ;;
    esac
    mv "$scratch/$1.part" "$scratch/$1"
}

# A redirect away from https would undo it.
fetch() {
    only=https
    case $1 in http://*) only=http ;; esac
    if has curl; then
        curl --proto "=$only" --fail --silent --show-error --location --connect-timeout 20 --retry 2 --output "$2" "$1"
    elif has wget; then
        # BusyBox knows no --https-only; the checksum list is what counts there. GNU's says with --quiet not even what failed.
        if ! wget --help 2>&1 | grep -q -e --https-only; then
            wget -q -O "$2" "$1"
        elif [ $only = https ]; then
            wget --https-only --no-verbose --tries 3 --timeout 20 --output-document "$2" "$1"
        else
            wget --no-verbose --tries 3 --timeout 20 --output-document "$2" "$1"
        fi
    else
        echo "neither curl nor wget is here: install one of them" >&2
        return 1
    fi
}

# What went wrong in the tool's own words, as a sentence; nothing when it said nothing.
problem() {
    # wget says the address first, on a line of its own.
    said=$(sed '/^http.*:$/d; s/^curl: ([0-9]*) //; s/^cp: //; s/^wget: //' "$scratch/problem" 2>/dev/null | head -n 1 | cut -c 1-300)
    [ -z "$said" ] || printf '%s. ' "${said%.}"
}

# The archive that the list has for the first platform with one: its name, sum and version.
choose_archive() {
    archive=
    for platform in $1; do
        line=$(grep -E "^[0-9a-f]{64}  sf-mcp-[0-9A-Za-z.+-]+-$platform\.tar\.gz\$" "$scratch/SHA256SUMS" | head -n 1) || true
        [ -n "$line" ] || continue
        sum=${line%% *} archive=${line#*  }
        offered=${archive#sf-mcp-} offered=${offered%-"$platform".tar.gz}
        return 0
    done
    return 1
}

download_archive() {
    say "Downloading $archive"
    download "$archive" || give_up "$base_url/$archive could not be downloaded: $(problem)Nothing was changed"
    found=$(sha256 "$scratch/$archive")
    [ "$found" = "$sum" ] || give_up "$archive is not what the release says: its SHA-256 is $found and should be $sum.
It was broken on the way, or replaced. Nothing was changed; try again, and if it stays so, tell whoever publishes it"
}

unpack() {
    rm -rf "$scratch/unpacked"
    mkdir "$scratch/unpacked"
    tar -xzf "$scratch/$archive" -C "$scratch/unpacked" 2>"$scratch/problem" ||
        give_up "$archive cannot be unpacked: $(problem)Is there room in ${TMPDIR:-/tmp}? Nothing was changed"
}

# --- Installing: all of it is in place under other names before any of it gets its own. The receipt says what was
# installed: a SHA-256 and a name each, and first those of the archive.

version_of() {
    "$1" --version 2>/dev/null | sed -n '1s/^sf-mcp //p'
}

install_files() {
    from=$1
    mkdir -p "$prefix/bin" "$prefix/share/sf-mcp" 2>"$scratch/problem" ||
        give_up "nothing can be written in $prefix: $(problem)Choose another folder with --prefix DIR"
    printf '%s archive\n' "$2" >"$scratch/receipt"
    place "$from/sf-mcp" bin/sf-mcp 755
    for page in "$from"/man/sf-mcp*.1; do
        [ ! -f "$page" ] || place "$page" "share/man/man1/${page##*/}" 644
    done
    [ ! -f "$from/completions/sf-mcp.bash" ] ||
        place "$from/completions/sf-mcp.bash" share/bash-completion/completions/sf-mcp 644
    [ ! -f "$from/completions/_sf-mcp" ] || place "$from/completions/_sf-mcp" share/zsh/site-functions/_sf-mcp 644
    [ ! -f "$from/completions/sf-mcp.fish" ] ||
        place "$from/completions/sf-mcp.fish" share/fish/vendor_completions.d/sf-mcp.fish 644
    cp "$scratch/receipt" "$receipt.new" 2>"$scratch/problem" || give_up "$(no_room)"

    cp "$receipt" "$scratch/former" 2>/dev/null || : >"$scratch/former"
    installed_files "$scratch/receipt" | while read -r name; do
        mv -f "$prefix/$name.new" "$prefix/$name" || give_up "$prefix/$name could not be replaced"
    done
    mv -f "$receipt.new" "$receipt"
    installed_files "$scratch/former" | while read -r name; do
        grep -q " $name\$" "$receipt" || rm -f "$prefix/$name"
    done
}

installed_files() {
    sed -n '2,$s/^[0-9a-f]* //p' "$1"
}

# place FROM NAME MODE: as NAME.new; running programs keep the file they were started from.
place() {
    mkdir -p "$prefix/${2%/*}" 2>"$scratch/problem" || give_up "$(no_room)"
    printf '%s %s\n' "$(sha256 "$1")" "$2" >>"$scratch/receipt"
    cp "$1" "$prefix/$2.new" 2>"$scratch/problem" || give_up "$(no_room)"
    chmod "$3" "$prefix/$2.new"
    cmp -s "$1" "$prefix/$2.new" || give_up "$(no_room)"
}

no_room() {
    printf '%s' "nothing more can be written in $prefix: $(problem)What was installed before is as it was"
}

# Whether all that came from the archive with that SHA-256 is there, unchanged.
is_whole() {
    [ "$(sed -n '1s/ archive$//p' "$receipt" 2>/dev/null)" = "$1" ] || return 1
    sed 1d "$receipt" >"$scratch/known"
    while read -r known name; do
        [ -f "$prefix/$name" ] || return 1
        [ "$(sha256 "$prefix/$name")" = "$known" ] || return 1
    done <"$scratch/known"
}

clean_up() {
    if [ -f "${scratch:-}/receipt" ]; then
        installed_files "$scratch/receipt" | while read -r name; do
            rm -f "$prefix/$name.new"
        done
        rm -f "$receipt.new"
    fi
    [ -z "${scratch:-}" ] || rm -rf "$scratch"
}

report() {
    say "sf-mcp $1 is in $prefix/bin/sf-mcp${2:+; it replaced $2}."
    other=$(command -v sf-mcp 2>/dev/null) || other=
    case ":$PATH:" in
        *":$prefix/bin:"*)
            [ -z "$other" ] || [ "$other" = "$prefix/bin/sf-mcp" ] ||
                say "Another one comes first on your PATH: $other"
            ;;
        *)
            if [ "$prefix" = "${HOME:-}/.local" ] && grep -q '\.local/bin' "$HOME/.profile" 2>/dev/null; then
                say "Your shell does not look there yet; it does when you have logged in again. In this terminal type:"
            else
                say "Your shell does not look there yet. Type this line, and add it to ~/.profile (zsh: ~/.zprofile) for later logins:"
            fi
            say "  export PATH=\"$prefix/bin:\$PATH\""
            ;;
    esac
    say "Next: sf-mcp demo, then sf-mcp login and sf-mcp install."
    say "To undo: sh install.sh --uninstall$undo_prefix (sf-mcp uninstall and sf-mcp logout first take it out of your AI clients)."
}

install_release() {
    find_base_url
    find_platforms
    download SHA256SUMS || give_up "the list of what is in the release could not be downloaded from $base_url: $(problem)Nothing was changed"
    choose_archive "$platforms" || give_up "the release at $base_url has no build for this machine ($platforms)"
    [ -z "$version" ] || [ "$version" = "$offered" ] || give_up "the release at $base_url is $offered, not $version"
    if [ "$before" = "$offered" ] && is_whole "$sum"; then
        say "sf-mcp $offered is installed already, whole and unchanged; nothing was done."
        return
    fi
    for candidate in $platforms; do
        choose_archive "$candidate" || continue
        download_archive
        unpack
        if [ "$(version_of "$scratch/unpacked/sf-mcp")" = "$offered" ]; then
            install_files "$scratch/unpacked" "$sum"
            report "$offered" "$before"
            return
        fi
        say "$archive does not run on this machine."
    done
    give_up "no build of the release runs on this machine; with Rust, \`sh install.sh --from-source\` makes one. Nothing was changed"
}

# --- From source: this checkout, else the release's source.

install_from_source() {
    has cargo || give_up "building needs Rust: install it from https://rustup.rs"
    source=
    case $0 in
        */*) source=${0%/*} ;;
        *.sh) source=. ;;
    esac
    if ! [ -f "$source/Cargo.toml" ] || ! grep -q '^name = "sf-mcp"$' "$source/Cargo.toml"; then
        find_base_url
        download SHA256SUMS || give_up "the list of what is in the release could not be downloaded from $base_url: $(problem)"
        choose_archive source || give_up "the release at $base_url has no source"
        [ -z "$version" ] || [ "$version" = "$offered" ] || give_up "the release at $base_url is $offered, not $version"
        download_archive
        unpack
        source=$scratch/unpacked
    elif [ -n "$version" ]; then
        give_up "this checkout is built as it is: leave out --version, or check out the version"
    fi
    source=$(cd "$source" && pwd)
    target=${CARGO_TARGET_DIR:-$source/target}
    say "Building sf-mcp; that takes some minutes"
    (cd "$source" && cargo build --release --locked --bin sf-mcp) || give_up "it could not be built. Nothing was changed"
    mkdir -p "$scratch/built/completions"
    cp "$target/release/sf-mcp" "$scratch/built/sf-mcp"
    "$scratch/built/sf-mcp" completions bash >"$scratch/built/completions/sf-mcp.bash"
    "$scratch/built/sf-mcp" completions zsh >"$scratch/built/completions/_sf-mcp"
    "$scratch/built/sf-mcp" completions fish >"$scratch/built/completions/sf-mcp.fish"
    install_files "$scratch/built" source
    report "$(version_of "$prefix/bin/sf-mcp")" "$before"
}

# --- Taking it out again: what the receipt names and nothing else.

take_out() {
    if [ ! -f "$receipt" ]; then
        say "This script has installed nothing in $prefix, so nothing was removed.$(hint_elsewhere)"
        return
    fi
    installed_files "$receipt" | while read -r name; do
        case $name in
            bin/sf-mcp | share/man/man1/*.1 | share/bash-completion/completions/sf-mcp | share/zsh/site-functions/_sf-mcp | share/fish/vendor_completions.d/sf-mcp.fish) ;;
            *) give_up "$receipt names a file that this script does not install: $name" ;;
        esac
        rm -f "$prefix/$name" || give_up "$prefix/$name could not be removed"
        say "Removed $prefix/$name"
    done
    rm -f "$receipt"
    # Only folders that are empty now go.
    (cd "$prefix" && rmdir share/sf-mcp share/man/man1 share/man share/bash-completion/completions share/bash-completion \
        share/zsh/site-functions share/zsh share/fish/vendor_completions.d share/fish share bin 2>/dev/null) || true
    say "Your sign-in and settings were left alone."
}

hint_elsewhere() {
    other=$(command -v sf-mcp 2>/dev/null) || return 0
    printf ' There is an sf-mcp at %s.' "$other"
}

main() {
    read_arguments "$@"
    find_prefix
    refuse_sudo
    undo_prefix=
    [ "$prefix" = "${HOME:-}/.local" ] || undo_prefix=" --prefix '$prefix'"
    if [ $uninstall = yes ]; then
        take_out
        return
    fi
    scratch=
    trap clean_up EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    scratch=$(mktemp -d "${TMPDIR:-/tmp}/sf-mcp-install.XXXXXX") || give_up "no scratch folder can be made in ${TMPDIR:-/tmp}"
    before=
    if [ -x "$prefix/bin/sf-mcp" ]; then
        before=$(version_of "$prefix/bin/sf-mcp")
        before=${before:-one that does not run}
    fi
    if [ $from_source = yes ]; then
        install_from_source
    else
        install_release
    fi
}

# The last line starts it: half of this file does nothing.
main "$@"
