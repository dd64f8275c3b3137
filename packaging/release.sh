#!/usr/bin/env bash
# Finishes a release whose platforms build.sh packed into a folder: the install scripts, the source, the registry's entry,
# Homebrew's formula, and SHA256SUMS of all of it.
#   packaging/release.sh REPOSITORY [FOLDER]
# REPOSITORY is its address, such as https://github.com/OWNER/sf-mcp; releases are below REPOSITORY/releases.
set -euo pipefail
cd "$(dirname "$0")/.."

give_up() {
    printf 'release.sh: %s\n' "$1" >&2
    exit 1
}

[ $# -ge 1 ] || give_up "it is \`packaging/release.sh REPOSITORY [FOLDER]\`"
repository=${1%/} out=${2:-dist}
[[ $repository =~ ^https://[A-Za-z0-9./_-]+$ ]] || give_up "$repository is no address of a repository"
[ -d "$out" ] || give_up "$out is not there: packaging/build.sh fills it"
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
archives=("$out"/sf-mcp-"$version"-*.tar.gz)
[ -f "${archives[0]}" ] || give_up "$out has no archive of $version: packaging/build.sh makes one"

sha256() {
    if command -v sha256sum >/dev/null; then sha256sum "$@"; else shasum -a 256 "$@"; fi
}

sed "s|^releases=\$|releases=$repository/releases|" install.sh >"$out/install.sh"
grep -q "^releases=$repository/releases\$" "$out/install.sh" || give_up "install.sh has no line for the address"
sed "s|^\$Releases = ''\$|\$Releases = '$repository/releases'|" packaging/install.ps1 >"$out/install.ps1"
grep -q "^\$Releases = '$repository/releases'" "$out/install.ps1" || give_up "install.ps1 has no line for the address"
git archive --format=tar.gz --output "$out/sf-mcp-$version-source.tar.gz" HEAD
python3 packaging/registry/fill.py "$repository" "$version" "$out"
python3 packaging/homebrew/fill.py "$repository" "$version" "$out"

cd "$out"
rm -f SHA256SUMS
names=()
for name in *; do
    [ ! -f "$name" ] || names+=("$name")
done
sha256 "${names[@]}" >SHA256SUMS.part
mv SHA256SUMS.part SHA256SUMS
echo "$PWD: version $version, ${#names[@]} files"
