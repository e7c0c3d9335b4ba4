#!/usr/bin/env bash
# demo.sh builds a real, unchanged Dockerfile twice through sutler, and shows what came from
# the store. "demo.sh clean" removes what a demo left behind.
#
# It uses the Docker engine that answers. Without one, as root on Debian or Ubuntu, it
# installs docker.io and runs it with folders and a socket of its own while the demo lasts.
# A base image that cannot be pulled is made with debootstrap, through sutler.
set -euo pipefail
cd "$(dirname "$0")/.."

work=${SUTLER_DEMO_DIR:-$PWD/demo/.work}
sutler=$PWD/bin/sutler
base=debian:bookworm-slim
say() { printf '\n== %s\n' "$*"; }
die() { echo "demo: $*" >&2; exit 1; }

export SUTLER_LISTEN=127.0.0.1:7885 SUTLER_SOCKET=$work/run/sutler.sock SUTLER_STORE_DIR=$work/cache SUTLER_STORE_STATE=$work/state SUTLER_STEPS=$work/steps
export SUTLER_STORE_MIN_FREE=1GiB

# install PACKAGE...: from the machine's own archive; remembered for "clean".
install() {
	[ "$(id -u)" = 0 ] || die "please install $* (apt-get install $*) and run make demo again"
	command -v apt-get >/dev/null || die "please install $* and run make demo again"
	local missing=() p
	for p in "$@"; do dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "installing ${missing[*]}"
	# The package would start an engine with this machine's default folders: the demo's own
	# one must be the only one.
	local policy=/usr/sbin/policy-rc.d
	[ -e $policy ] || { printf '#!/bin/sh\nexit 101\n' >$policy; chmod +x $policy; trap "rm -f $policy" RETURN; }
	apt-get update -qq
	dpkg-query -W -f '${binary:Package}\n' | sort >"$work/before"
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >"$work/apt.log" 2>&1 || die "apt-get failed, see $work/apt.log"
	dpkg-query -W -f '${binary:Package}\n' | sort | comm -13 "$work/before" - >>"$work/installed"
	rm "$work/before"
}

# builds CLIENT: this docker client can build with BuildKit.
builds() { "$1" buildx version >/dev/null 2>&1 || [ "$("$1" version --format '{{.Client.Version}}' 2>/dev/null | cut -d. -f1)" -lt 23 ] 2>/dev/null; }

# client sets docker to a client that can build, if there is one.
client() {
	local c
	for c in "$(command -v docker || true)" /usr/bin/docker; do
		if [ -n "$c" ] && [ -x "$c" ] && builds "$c"; then docker=$c; return; fi
	done
	return 1
}

engine() {
	if client && "$docker" version >/dev/null 2>&1; then
		say "using the Docker engine $("$docker" version --format '{{.Server.Version}}')"
		return
	fi
	install docker.io iptables iproute2 ca-certificates
	client || die "no docker client here can build: install docker-buildx"
	say "starting Docker $(dockerd --version | sed 's/.*version \([^,]*\).*/\1/') for the demo"
	mkdir -p "$work/docker"
	export DOCKER_HOST=unix://$work/docker.sock
	if ! "$docker" version >/dev/null 2>&1; then
		# What an engine changes and does not undo when it ends.
		iptables-save >"$work/iptables"
		cat /proc/sys/net/ipv4/ip_forward >"$work/ip_forward"
		ip link show docker0 >/dev/null 2>&1 || touch "$work/no-docker0"
		dockerd --data-root "$work/docker" --exec-root "$work/docker-exec" --pidfile "$work/docker.pid" --host "$DOCKER_HOST" >"$work/docker.log" 2>&1 &
		own_engine=$!
		for _ in $(seq 100); do "$docker" version >/dev/null 2>&1 && break; kill -0 $own_engine 2>/dev/null || break; sleep 0.2; done
	fi
	"$docker" version >/dev/null 2>&1 || { tail -5 "$work/docker.log" >&2; die "Docker does not start, see $work/docker.log"; }
}

base_image() {
	if "$docker" image inspect $base >/dev/null 2>&1; then return; fi
	say "pulling $base"
	if timeout 60 "$docker" pull -q $base 2>"$work/pull.log"; then return; fi
	say "it cannot be pulled here; making it with debootstrap, through sutler (about a minute)"
	[ "$(id -u)" = 0 ] || die "$base cannot be pulled and debootstrap needs root"
	install debootstrap
	local archive
	archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -m1 -E '/debian/?$' || true)
	"$sutler" exec -- debootstrap --variant=minbase bookworm "$work/root" ${archive:+"$archive"} >"$work/debootstrap.log" 2>&1 || die "debootstrap failed, see $work/debootstrap.log"
	tar -C "$work/root" --numeric-owner --exclude=./var/cache/apt/archives --exclude=./dev -c . | "$docker" import - $base >/dev/null
	rm -rf "$work/root"
	echo $base >>"$work/images"
}

finish() {
	"$sutler" down >/dev/null 2>&1 || true
	if [ -n "${own_engine:-}" ]; then
		kill "$own_engine" 2>/dev/null || true
		wait "$own_engine" 2>/dev/null || true
		iptables-restore <"$work/iptables" || true
		cat "$work/ip_forward" >/proc/sys/net/ipv4/ip_forward || true
		[ ! -e "$work/no-docker0" ] || ip link del docker0 2>/dev/null || true
		rm -f "$work/iptables" "$work/ip_forward" "$work/no-docker0"
	fi
}

clean() {
	[ -d "$work" ] || return 0
	if [ -s "$work/images" ] && command -v docker >/dev/null; then xargs -r docker image rm -f <"$work/images" >/dev/null 2>&1 || true; fi
	if [ -s "$work/installed" ]; then
		say "removing $(tr '\n' ' ' <"$work/installed")"
		xargs -r env DEBIAN_FRONTEND=noninteractive apt-get purge -y -qq <"$work/installed" >/dev/null
	fi
	rm -rf "$work"
}

build() {
	local receipt=$1
	# An image of that name that was there before is the user's.
	"$docker" image inspect sutler-demo >/dev/null 2>&1 || echo sutler-demo >>"$work/images"
	"$sutler" build --engine docker --strict --receipt "$receipt" --no-cache -t sutler-demo demo/app
}

# share FILE: how many percent of a receipt's bytes came from the store.
share() { sed -n 's/.*"\(fromStore\|bytes\)": *\([0-9]*\),*$/\1 \2/p' "$1" | awk '!seen[$1]++ {v[$1]=$2} END {printf "%d", v["bytes"] ? 100*v["fromStore"]/v["bytes"] : 0}'; }

if [ "${1:-}" = clean ]; then clean; exit; fi
[ -x "$sutler" ] || die "build sutler first: make build"
mkdir -p "$work/run"
chmod 700 "$work" "$work/run"
trap finish EXIT

engine
export PATH="$(dirname "$docker"):$PATH"
say "starting sutler"
# The engine itself stays as it is: base images are made here, not pulled.
"$sutler" up --only none
base_image
say "first build of demo/app/Dockerfile: everything is new"
build "$work/first.json"
say "second build, nothing taken from Docker's own cache: the packages come from the store"
build "$work/second.json"
percent=$(share "$work/second.json")
say "the second build took $percent % of its bytes from the store"
[ "$percent" -ge 95 ] || die "that is less than 95 %"
say "make demo-clean removes what this left here: $work, images, installed packages"
