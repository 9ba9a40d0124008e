#!/bin/sh
# kernel.sh SUITE FOLDER: Debian's cloud kernel of SUITE (bookworm, bookworm-backports, ...), unpacked, as
#   FOLDER/release              its `uname -r`
#   FOLDER/vmlinuz              the image
#   FOLDER/lib/modules/RELEASE  the modules, with depmod's indexes
# The archive is the one this machine's own sources name; apt's own state is left as it is.
set -eu
suite=$1 folder=$2

archive=$(apt-get indextargets --format '$(REPO_URI) $(ORIGIN) $(LABEL)' 'Identifier: Packages' |
    awk '$2 == "Debian" && $3 == "Debian" { print $1; exit }')
[ -n "$archive" ] || { echo "no source of apt is Debian's archive (or apt-get update never ran)" >&2; exit 1; }

mkdir -p "${folder%/*}"
work=$(mktemp -d "$folder.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
mkdir -p "$work/apt/lists/partial" "$work/apt/cache/archives/partial" "$work/deb" "$work/root" "$work/out/lib/modules"
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $archive $suite main" > "$work/apt/sources.list"

apt() {
    program=$1
    shift
    "$program" -qq -o Dir::Etc::sourcelist="$work/apt/sources.list" -o Dir::Etc::sourceparts=/dev/null \
        -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" \
        -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false -o APT::Sandbox::User=root "$@"
}
apt apt-get update

# The image and, since 7.x, the packages that hold its files.
packages=$(apt apt-cache depends --recurse --important linux-image-cloud-amd64 |
    grep -E '^linux-(image|base|binary|modules)-[0-9]' | sort -u)
cd "$work/deb"
apt apt-get download $packages
for deb in *.deb; do dpkg-deb -x "$deb" "$work/root"; done

image=$(find "$work/root" -name 'vmlinuz*' -type f)
modules=$(find "$work/root" -path '*/lib/modules/*' -prune -type d)
release=${modules##*/}
mv "$image" "$work/out/vmlinuz"
mv "$modules" "$work/out/lib/modules/"
depmod -b "$work/out" "$release"
echo "$release" > "$work/out/release"
rm -rf "$folder"
mv "$work/out" "$folder"
