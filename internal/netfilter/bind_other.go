//go:build !linux

package netfilter

import "os/exec"

// bind does nothing: there is no nft here.
func bind(*exec.Cmd) (release func()) { return func() {} }
