package digest

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/pjbgf/sha1cd"
)

// What is read of a package without being hashed first is bounded, in bytes.
const (
	maxAPKSignatures = 128 << 10 // packed; clients read signatures of at most 64 KiB
	maxAPKControl    = 64 << 20  // unpacked; clients keep the scripts in it in memory
)

// errCollision means that bytes were made to collide in SHA-1.
var errCollision = errors.New("it is half of a SHA-1 collision")

// apkSHA1 returns the APK of a package.
func apkSHA1(r io.ReaderAt, size int64) (string, error) {
	control, err := apkControl(r, size)
	if err != nil {
		return "", err
	}
	return SafeSHA1(control)
}

// apkSHA256 returns the APK256 of a package.
func apkSHA256(r io.ReaderAt, size int64) (string, error) {
	control, err := apkControl(r, size)
	if err != nil {
		return "", err
	}
	d, _, err := Of(control)
	return d.Hex(), err
}

// SafeSHA1 returns the SHA-1 of all that r holds, in hexadecimal form, or an error if the
// bytes look like half of a collision that one of the known attacks makes.
func SafeSHA1(r io.Reader) (string, error) {
	h, ok := sha1cd.New().(sha1cd.CollisionResistantHash)
	if !ok {
		return "", errors.New("no detection of SHA-1 collisions")
	}
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	sum, collides := h.CollisionResistantSum(nil)
	if collides {
		return "", errCollision
	}
	return hex.EncodeToString(sum), nil
}

// apkControl splits a package of apk version 2 into its members, and returns the control
// member. Before it there are only signatures; after it, only what it states the SHA-256 of.
func apkControl(r io.ReaderAt, size int64) (*io.SectionReader, error) {
	for at := int64(0); ; {
		m, err := readAPKMember(r, at, size)
		if err != nil {
			return nil, err
		}
		if m.signatures {
			if at = m.end; at > maxAPKSignatures {
				return nil, fmt.Errorf("more than %d bytes of signatures", maxAPKSignatures)
			}
			continue
		}
		want, err := dataHash(m.info)
		if err != nil {
			return nil, err
		}
		got, _, err := Of(io.NewSectionReader(r, m.end, size-m.end))
		if err != nil {
			return nil, err
		}
		if got != want {
			return nil, fmt.Errorf("its data have %s, but it states %s of them", got, want)
		}
		return io.NewSectionReader(r, at, m.end-at), nil
	}
}

// An apkMember is a gzip member with files of its own.
type apkMember struct {
	end        int64  // where the next one starts
	signatures bool   // it holds nothing else
	info       []byte // .PKGINFO, if it is the control member
}

// readAPKMember reads the member that starts at a place. It is one of signatures, or the
// control member.
func readAPKMember(r io.ReaderAt, at, size int64) (m apkMember, err error) {
	files := 0
	m.end, err = TarMember(io.NewSectionReader(r, at, size-at), maxAPKControl, func(h *tar.Header, content io.Reader) error {
		files++
		signature := strings.HasPrefix(h.Name, ".SIGN.")
		m.signatures = m.signatures || files == 1 && signature
		switch {
		case h.Typeflag != tar.TypeReg || !strings.HasPrefix(h.Name, ".") || strings.Contains(h.Name, "/") || signature != m.signatures:
			return fmt.Errorf("%.80q is no file of a control or signature member", h.Name)
		case h.Name == ".PKGINFO" && m.info != nil:
			return errors.New("more than one .PKGINFO")
		case h.Name == ".PKGINFO":
			m.info, err = io.ReadAll(content)
			return err
		}
		return nil
	})
	m.end += at
	if err == nil && !m.signatures && m.info == nil {
		err = errors.New("no .PKGINFO")
	}
	return m, err
}

// TarMember visits the files of a tar archive in the gzip member that r starts with, and
// returns how long the member is. The archive may go on in the next member. Anything in the
// member that belongs to no file is an error, and so is more than limit bytes unpacked.
func TarMember(r io.Reader, limit int64, visit func(h *tar.Header, content io.Reader) error) (length int64, err error) {
	in := &byteCounter{r: bufio.NewReader(r)}
	z, err := gzip.NewReader(in)
	if err != nil {
		return 0, err
	}
	z.Multistream(false)
	unpacked := &io.LimitedReader{R: z, N: limit}
	for t := tar.NewReader(unpacked); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return 0, err
		}
		if err := visit(h, t); err != nil {
			return 0, err
		}
	}
	if err := onlyZeros(unpacked); err != nil {
		return 0, err
	}
	if unpacked.N <= 0 {
		return 0, fmt.Errorf("a member has more than %d bytes", limit)
	}
	return in.n, nil
}

// dataHash returns the digest that a .PKGINFO states of the data member.
func dataHash(info []byte) (d Digest, err error) {
	for line := range bytes.Lines(info) {
		value, ok := strings.CutPrefix(string(bytes.TrimRight(line, "\r\n")), "datahash = ")
		switch {
		case !ok:
		case d != "":
			return "", errors.New("more than one datahash")
		default:
			if d, err = New(SHA256, value); err != nil {
				return "", err
			}
		}
	}
	if d == "" {
		return "", errors.New("no datahash: a package of the first version of the format")
	}
	return d, nil
}

// onlyZeros reports an error unless r holds nothing but zeros, as a tar file ends.
func onlyZeros(r io.Reader) error {
	var buf [4 << 10]byte
	for {
		n, err := r.Read(buf[:])
		if len(bytes.TrimLeft(buf[:n], "\x00")) > 0 {
			return errors.New("bytes that belong to no file")
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// A byteCounter counts what is taken from it. It gives single bytes, so that a gzip reader
// takes no more than its member.
type byteCounter struct {
	r *bufio.Reader
	n int64
}

func (c *byteCounter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

func (c *byteCounter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}
