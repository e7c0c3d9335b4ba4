package e2e

import (
	"os"
	"strings"
	"testing"
)

// sidPackages are the clients that only the newest Debian release has.
const sidPackages = "ca-certificates,dnf5,python3-huggingface-hub,python3-poetry,bundler,python3-pip"

// inSid returns a command that runs another in a tree of Debian's newest release, with this
// machine's network and its temporary files, in the same folder. SUTLER_E2E_SID=no skips the
// test, with CI=true too: that release is broken at times.
func inSid(t *testing.T, command ...string) []string {
	t.Helper()
	need(t, "debootstrap", "unshare")
	if os.Getenv("SUTLER_E2E_SID") == "no" {
		t.Skip("SUTLER_E2E_SID is no")
	}
	if os.Getuid() != 0 {
		lacks(t, "only root can run clients of another release")
	}
	root := strings.TrimSpace(output(t, "./engines.sh", "tree", "sid-clients", "sid", sidPackages))
	const enter = `set -e; at=$PWD; mount --rbind /tmp "$0/tmp"; mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"
exec chroot "$0" env -C "$at" "$@"`
	return append([]string{"unshare", "--mount", "--propagation", "private", "sh", "-c", enter, root}, command...)
}
