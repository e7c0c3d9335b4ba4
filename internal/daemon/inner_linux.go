package daemon

import (
	"bytes"
	"encoding/binary"
	"syscall"
)

// What the kernel says of a link, besides what package syscall names.
const (
	linkInfo = 18 // IFLA_LINKINFO
	infoKind = 1  // IFLA_INFO_KIND, inside
)

// innerBridges returns the indexes of the bridges that lead to nothing outside this machine:
// only containers and virtual machines are on them, whatever they are called. It is empty if
// the kernel does not say.
func innerBridges() []int {
	data, err := syscall.NetlinkRIB(syscall.RTM_GETLINK, syscall.AF_UNSPEC)
	if err != nil {
		return nil
	}
	messages, err := syscall.ParseNetlinkMessage(data)
	if err != nil {
		return nil
	}
	var found []int
	outer := map[int]bool{} // bridges with a port that is no end of a container or machine
	for _, m := range messages {
		if m.Header.Type != syscall.RTM_NEWLINK || len(m.Data) < syscall.SizeofIfInfomsg {
			continue
		}
		index := int(binary.NativeEndian.Uint32(m.Data[4:])) // of the struct ifinfomsg
		master, kind := link(&m)
		if kind == "bridge" {
			found = append(found, index)
		}
		if master != 0 && kind != "veth" && kind != "tun" {
			outer[master] = true
		}
	}
	var inner []int
	for _, index := range found {
		if !outer[index] {
			inner = append(inner, index)
		}
	}
	return inner
}

// link returns which bridge a link is a port of, 0 if none, and what made it: "veth",
// "bridge"; "" for a device.
func link(m *syscall.NetlinkMessage) (master int, kind string) {
	attributes, err := syscall.ParseNetlinkRouteAttr(m)
	if err != nil {
		return 0, ""
	}
	for _, a := range attributes {
		switch {
		case a.Attr.Type == syscall.IFLA_MASTER && len(a.Value) >= 4:
			master = int(binary.NativeEndian.Uint32(a.Value))
		case a.Attr.Type == linkInfo:
			for v := a.Value; len(v) >= 4; {
				n := int(binary.NativeEndian.Uint16(v))
				if n < 4 || n > len(v) {
					break
				}
				if binary.NativeEndian.Uint16(v[2:]) == infoKind {
					kind = string(bytes.TrimRight(v[4:n], "\x00"))
				}
				v = v[min(len(v), (n+3)&^3):]
			}
		}
	}
	return master, kind
}
