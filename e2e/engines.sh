#!/bin/bash
# engines.sh runs real build engines for the end-to-end tests, each in a network
# namespace, mount namespace and process namespace of its own, so that nothing
# of this machine's own engine is touched.
#
#   engines.sh up NAME         start docker20, docker28 or buildkitd (the first time: minutes)
#   engines.sh env NAME        print shell assignments for clients of the engine
#   engines.sh exec NAME CMD   run CMD with these variables inside the engine's network
#   engines.sh chroot NAME CMD run CMD in the engine's own file system and network
#   engines.sh root NAME       print the folder that is the engine's root
#   engines.sh restart NAME    stop the daemon and start it again; fails if it does not come back
#   engines.sh reset NAME      stop it and delete its images and layers
#   engines.sh tool NAME PACKAGE VERSION  build a Go program from the module proxy, print its path
#   engines.sh tree NAME SUITE PACKAGES  make a tree of a Debian release, print its path
#   engines.sh trees [DIR]     make all trees and programs; copy them to DIR, for a further set
#   engines.sh down [NAME]     stop it (all) and undo what was changed on this machine
#   engines.sh purge           down, and delete everything that was downloaded or built
#
# docker20 is Debian bookworm's docker.io (embedded BuildKit v0.8, no buildx),
# docker28 is sid's with buildx, buildkitd is built from the Go module proxy at
# the versions below and comes with buildx (a "remote" builder over docker28's
# client) and buildctl. Archive and keys are the machine's own: its apt sources
# and debian-archive-keyring, its `go env GOPROXY`.
#
# SUTLER_E2E_INSTANCE, a number from 1 to 9, with a SUTLER_E2E_DIR of its own, runs a
# further set of engines beside the first.
#
# Anything that must be reachable from a RUN step, such as sutler itself, has to
# be started by `exec`: only there the bridge address exists.
set -euo pipefail

BUILDKIT_VERSION=v0.33.0
BUILDX_VERSION=v0.37.2

cache=${SUTLER_E2E_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/sutler-e2e}
instance=${SUTLER_E2E_INSTANCE:-}
table=sutler_e2e$instance
prefix=10.$((213 + ${instance:-0}))
say() { echo "engines.sh: $*" >&2; }
die() { say "$@"; exit 1; }

# need NAME: settings of the engine NAME.
need() {
	name=$1
	tree=$cache/$name
	ns=sutler-e2e$instance-$name
	pidfile=$cache/run/$name.pid
	veth=se2e$instance
	case $name in
	docker20) suite=bookworm net=$prefix.20 packages=docker.io,iptables,nftables,ca-certificates,git ;;
	docker28) suite=sid net=$prefix.28 packages=docker.io,docker-cli,docker-buildx,docker-compose,iptables,nftables,ca-certificates,git ;;
	buildkitd) suite=sid net=$prefix.34 tree=$cache/docker28 packages= ;;
	*) die "no engine \"$name\"; there are docker20, docker28 and buildkitd" ;;
	esac
	veth+=${instance:+-}${net##*.}
}

archive() {
	local uri
	uri=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 2>/dev/null | grep -m1 -E '/debian/?$' || true)
	[ -n "$uri" ] || uri=$(sed -nE 's/^(URIs:|deb( \[[^]]*\])?) *([^ ]+).*/\3/p' /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null | grep -m1 -E '/debian/?$' || true)
	[ -n "$uri" ] || die "no Debian archive in this machine's apt sources"
	echo "$uri"
}

# bootstrap SUITE DIR PACKAGES
bootstrap() {
	[ ! -d "$2" ] || { complete "$2" "$3"; return; }
	local uri
	command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
	uri=$(archive)
	say "making $2 from Debian $1"
	rm -rf "$2.part"
	debootstrap --variant=minbase ${3:+--include="$3"} "$1" "$2.part" "$uri" >"$2.log" 2>&1 || die "debootstrap failed, see $2.log"
	rm -rf "$2.part"/var/cache/apt/archives/*.deb
	mv "$2.part" "$2"
}

# complete DIR PACKAGES: a tree of an earlier time gets what was not asked for then. Its
# own index may have expired, which debootstrap does not mind either.
complete() {
	local p missing=()
	for p in ${2//,/ }; do chroot "$1" dpkg -s "$p" >/dev/null 2>&1 || missing+=("$p"); done
	[ ${#missing[@]} -gt 0 ] || return 0
	say "adding ${missing[*]} to $1"
	cat /etc/resolv.conf >"$1/etc/resolv.conf"
	mkdir -p "$1/var/cache/apt/archives/partial"
	chroot "$1" sh -ec 'apt-get -o Acquire::Check-Valid-Until=false update; apt-get -y --no-install-recommends install "$@"; apt-get clean' \
		sh "${missing[@]}" >>"$1.log" 2>&1 </dev/null 9>&- || die "apt-get failed, see $1.log"
}

# tool NAME PACKAGE VERSION: a Go program built into the cache. It is built from a
# module of our own, as these modules exclude versions, which `go install` refuses.
tool() {
	local at=$cache/bin/$1-$3 src=$cache/src/$1-$3
	[ -x "$at" ] || {
		say "building $2@$3"
		mkdir -p "$src"
		(
			cd "$src"
			export GOFLAGS=-mod=mod CGO_ENABLED=0 GOWORK=off
			[ -e go.mod ] || go mod init e2e
			go get "$2@$3"
			nice go build -p 2 -trimpath -ldflags="-s -w" -o "$at.new" "$2"
		) >"$cache/run/$1.log" 2>&1 || die "cannot build $2@$3, see $cache/run/$1.log"
		mv "$at.new" "$at"
	}
	echo "$at"
}

base_image() {
	local at=$cache/base.tar
	[ -s "$at" ] || {
		bootstrap bookworm "$cache/base" ""
		tar -C "$cache/base" --numeric-owner --exclude='./var/lib/apt/lists/*' --exclude='./var/cache/*' --exclude='./dev/*' -cf "$at.part" .
		mv "$at.part" "$at"
	}
	echo "$at"
}

# network: a namespace behind its own veth pair; one nft table of ours does the NAT.
network() {
	[ ! -e "/run/netns/$ns" ] || return 0
	local out mtu
	out=$(ip -o route get 198.51.100.1 2>/dev/null | sed -nE 's/.* dev ([^ ]+).*/\1/p')
	mtu=$(cat "/sys/class/net/${out:-lo}/mtu")
	[ "$mtu" -le 1500 ] || mtu=1500
	ip netns add "$ns"
	ip link add "$veth" mtu "$mtu" type veth peer name eth0 netns "$ns" mtu "$mtu"
	ip addr add "$net.1/24" dev "$veth"
	ip link set "$veth" up
	ip -n "$ns" link set lo up
	ip -n "$ns" addr add "$net.2/24" dev eth0
	ip -n "$ns" link set eth0 up
	ip -n "$ns" route add default via "$net.1"
	[ -e "$cache/run/ip_forward" ] || cat /proc/sys/net/ipv4/ip_forward >"$cache/run/ip_forward"
	echo 1 >/proc/sys/net/ipv4/ip_forward
	nft list table ip $table >/dev/null 2>&1 || nft -f - <<-NFT
		table ip $table {
			chain post { type nat hook postrouting priority srcnat; ip saddr $prefix.0.0/16 ip daddr != $prefix.0.0/16 masquerade; }
		}
	NFT
}

running() { [ -s "$pidfile" ] && kill -0 "$(cat "$pidfile")" 2>/dev/null; }

# launch CMD...: in the tree, in the engine's namespaces, in the background.
# The outer process's death ends all others, whatever they are. The tree becomes the
# root of its mount namespace: with a dockerd that is merely in a chroot, docker exec
# leads past the container into this machine.
launch() {
	local extra=
	[ "$name" != buildkitd ] || extra="mkdir -p $tree/var/lib/buildkit $tree/opt; mount --bind $cache/bin $tree/opt;"
	setsid nsenter --net="/run/netns/$ns" unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
		sh -c "cd $tree; mount --bind $tree $tree; cd $tree
			mount -t proc proc proc; mount --rbind /sys sys; mount --rbind /dev dev; mount -t tmpfs tmpfs tmp
			$extra
			cat /etc/resolv.conf > etc/resolv.conf
			hostname $name
			mkdir -p .old; pivot_root . .old
			exec chroot . sh -c 'umount -l /.old; rmdir /.old; exec \"\$@\"' sh \"\$@\"" sh "$@" >"$cache/run/$name.log" 2>&1 </dev/null 9>&- &
	echo $! >"$pidfile"
}

await() {
	for _ in $(seq 150); do
		if "$@" >/dev/null 2>&1; then return; fi
		running || { tail -20 "$cache/run/$name.log" >&2; die "$name did not start, see $cache/run/$name.log"; }
		sleep 0.2
	done
	tail -20 "$cache/run/$name.log" >&2
	die "$name does not answer, see $cache/run/$name.log"
}

# client PROGRAM AT: a wrapper that runs a program of another Debian release with
# that release's own loader and libraries.
client() {
	local loader
	loader=$(echo "$tree"/lib64/ld-linux-*.so.2 "$tree"/lib/ld-linux-*.so.1 | tr ' ' '\n' | grep -m1 -v '\*')
	mkdir -p "$(dirname "$2")"
	printf '#!/bin/sh\nexec %s --library-path %s --argv0 "$0" %s "$@"\n' "$loader" \
		"$(echo "$tree"/usr/lib/*-linux-gnu)" "$tree/$1" >"$2.new"
	chmod +x "$2.new"
	mv "$2.new" "$2"
}

clients() {
	local at=$cache/clients/$name
	mkdir -p "$at/bin" "$at/config/cli-plugins"
	[ -e "$at/config/config.json" ] || echo '{}' >"$at/config/config.json"
	client usr/bin/docker "$at/bin/docker"
	case $name in
	docker28)
		client usr/libexec/docker/cli-plugins/docker-buildx "$at/config/cli-plugins/docker-buildx"
		client usr/libexec/docker/cli-plugins/docker-compose "$at/config/cli-plugins/docker-compose"
		;;
	buildkitd)
		ln -sfn "$(tool buildx github.com/docker/buildx/cmd/buildx $BUILDX_VERSION)" "$at/config/cli-plugins/docker-buildx"
		ln -sfn "$(tool buildctl github.com/moby/buildkit/cmd/buildctl $BUILDKIT_VERSION)" "$at/bin/buildctl"
		;;
	esac
}

start_docker() {
	rm -f "$tree/run/docker.sock" "$tree/run/docker.pid" "$tree/run/docker/containerd/containerd.pid"
	launch dockerd -H unix:///run/docker.sock --data-root /var/lib/docker --exec-root /run/docker --pidfile /run/docker.pid \
		--mtu "$(cat "/sys/class/net/$veth/mtu")"
	await in_env docker version
}

start_buildkitd() {
	rm -f "$tree/run/buildkit.sock"
	launch "/opt/buildkitd-$BUILDKIT_VERSION" --addr unix:///run/buildkit.sock --root /var/lib/buildkit --oci-worker-net=host
	9>&- await test -S "$tree/run/buildkit.sock"
	9>&- await in_env buildctl debug workers
}

restart() {
	need "$1"
	[ -e "/run/netns/$ns" ] || die "$name is not up"
	exec 9>"$cache/run/lock"
	flock 9
	halt
	if [ "$name" = buildkitd ]; then start_buildkitd; else start_docker; fi
}

up() {
	need "$1"
	[ "$(id -u)" = 0 ] || die "only root can start an engine"
	mkdir -p "$cache/run" "$cache/bin"
	exec 9>"$cache/run/lock"
	flock 9
	bootstrap "$suite" "$tree" "$packages"
	if [ "$name" = buildkitd ]; then
		tool buildkitd github.com/moby/buildkit/cmd/buildkitd $BUILDKIT_VERSION >/dev/null
	fi
	clients
	network
	if ! running; then
		if [ "$name" != buildkitd ]; then
			start_docker
		else
			start_buildkitd
			in_env docker buildx inspect sutler-e2e >/dev/null 2>&1 ||
				in_env docker buildx create --name sutler-e2e --driver remote "unix://$tree/run/buildkit.sock" --use >/dev/null
		fi
	fi
	if [ "$name" != buildkitd ] && ! in_env docker image inspect debian:bookworm-slim >/dev/null 2>&1; then
		in_env docker import -c 'CMD ["bash"]' -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
			"$(base_image)" debian:bookworm-slim >/dev/null
	fi
	say "$name runs; clients: eval \"\$($0 env $name)\""
}

variables() {
	local at=$cache/clients/$name
	echo "PATH=$at/bin:$PATH"
	echo "DOCKER_CONFIG=$at/config"
	echo "SUTLER_E2E_NETNS=$ns"
	if [ "$name" = buildkitd ]; then
		echo "BUILDKIT_HOST=unix://$tree/run/buildkit.sock"
		echo "BUILDX_BUILDER=sutler-e2e"
		return
	fi
	echo "DOCKER_HOST=unix://$tree/run/docker.sock"
	[ "$name" != docker20 ] || echo "DOCKER_BUILDKIT=1"
}

in_env() { # the lock must not pass to children that outlive us
	mapfile -t vars < <(variables)
	nsenter --net="/run/netns/$ns" env "${vars[@]}" "$@" 9>&-
}

halt() { # the daemon, not its network
	local pid child
	if running; then
		pid=$(cat "$pidfile")
		child=$(ps -o pid= --ppid "$pid" | head -1 | tr -d ' ') || true # it may be ending by itself
		kill -TERM "${child:-$pid}" 2>/dev/null || true
		for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
		kill -KILL "$pid" 2>/dev/null || true
	fi
	rm -f "$pidfile"
}

stop() {
	need "$1"
	halt
	ip netns del "$ns" 2>/dev/null || true
	ip link del "$veth" 2>/dev/null || true
}

down() {
	local one
	for one in ${1:-docker20 docker28 buildkitd}; do stop "$one"; done
	if ! compgen -G "/run/netns/sutler-e2e$instance-*" >/dev/null; then
		nft delete table ip $table 2>/dev/null || true
		[ ! -e "$cache/run/ip_forward" ] || cat "$cache/run/ip_forward" >/proc/sys/net/ipv4/ip_forward
		rm -f "$cache/run/ip_forward"
		# Empty groups stay behind. Another engine of this machine would use the same ones.
		pgrep -x dockerd >/dev/null || pgrep -x buildkitd >/dev/null ||
			find /sys/fs/cgroup -depth -type d \( -path '*/docker*' -o -path '*/buildkit*' \) -exec rmdir {} + 2>/dev/null || true
	fi
}

# trees [DIR]: what takes long, before any engine runs.
trees() {
	local one
	mkdir -p "$cache/run" "$cache/bin"
	exec 9>"$cache/run/lock"
	flock 9
	for one in docker20 docker28 buildkitd; do
		need "$one"
		bootstrap "$suite" "$tree" "$packages"
	done
	base_image >/dev/null
	tool buildkitd github.com/moby/buildkit/cmd/buildkitd $BUILDKIT_VERSION >/dev/null
	tool buildx github.com/docker/buildx/cmd/buildx $BUILDX_VERSION >/dev/null
	tool buildctl github.com/moby/buildkit/cmd/buildctl $BUILDKIT_VERSION >/dev/null
	[ -n "${1:-}" ] || return 0
	mkdir -p "$1"
	for one in docker20 docker28; do
		[ ! -d "$1/$one" ] || continue
		rm -rf "$1/$one.part"
		mkdir "$1/$one.part"
		tar -C "$cache/$one" --numeric-owner --exclude=./var/lib/docker --exclude=./var/lib/buildkit --exclude=./run/* -cf - . | tar -C "$1/$one.part" -xpf -
		mv "$1/$one.part" "$1/$one"
	done
	cp -a "$cache/base.tar" "$cache/bin" "$1/"
}

case ${1:-} in
trees) trees "${2:-}" ;;
up) up "${2:?which engine?}" ;;
env) need "${2:?which engine?}"; variables | sed -E "s/^([^=]+)=(.*)/export \1='\2'/" ;;
exec) need "${2:?which engine?}"; shift 2; in_env "$@" ;;
chroot) need "${2:?which engine?}"; shift 2; nsenter --all --target="$(ps -o pid= --ppid "$(cat "$pidfile")" | head -1 | tr -d ' ')" "$@" ;;
root) need "${2:?which engine?}"; echo "$tree" ;;
tool)
	mkdir -p "$cache/run" "$cache/bin"
	exec 9>"$cache/run/tools.lock"
	flock 9
	tool "${2:?which program?}" "${3:?which package?}" "${4:?which version?}"
	;;
tree)
	mkdir -p "$cache/run"
	exec 9>"$cache/run/tools.lock"
	flock 9
	bootstrap "${3:?which suite?}" "$cache/${2:?which tree?}" "${4:?which packages?}" 9>&-
	echo "$cache/$2"
	;;
restart) restart "${2:?which engine?}" ;;
reset)
	stop "${2:?which engine?}"
	case $name in buildkitd) rm -rf "$tree/var/lib/buildkit" ;; *) rm -rf "$tree/var/lib/docker" ;; esac
	;;
down) down "${2:-}" ;;
purge) down; rm -rf "$cache" ;;
*) sed -n '2,/^set /s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
