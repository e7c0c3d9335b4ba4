package digest_test

import (
	"bytes"
	"compress/flate"
	"crypto/sha1" //nolint:gosec // the format's own
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"sutler/internal/digest"
	"sutler/internal/ecosystem/apktest"
)

// TestAPK checks that the digest of a package is that of its control member, and that a
// file with anything in it that the control member does not answer for has none.
func TestAPK(t *testing.T) {
	key := apktest.NewKey(t, "test.rsa.pub")
	pkg := apktest.Package{Name: "tool", Version: "1.0-r0", Arch: "x86_64", Files: map[string]string{"usr/bin/tool": strings.Repeat("tool\n", 1000)}}
	data := pkg.Data(t)
	control := pkg.Control(t, data)
	signature := key.Sign(t, "RSA", control)
	second := key.Sign(t, "RSA256", control)
	stranger := apktest.Member(t, false, apktest.File{Name: ".SIGN.RSA.x", Content: "x"}, apktest.File{Name: "etc/passwd", Content: "root"})
	bomb := apktest.Member(t, false, apktest.File{Name: ".SIGN.RSA.x", Content: strings.Repeat("\x00", 100<<20)})
	info := func(text string) []byte {
		return apktest.Member(t, false, apktest.File{Name: ".PKGINFO", Content: text})
	}
	datahash := fmt.Sprintf("datahash = %x\n", sha256.Sum256(data))
	incompressible := strings.Builder{}
	for i := range 10_000 {
		fmt.Fprintf(&incompressible, "%x", sha256.Sum256(fmt.Append(nil, i)))
	}
	for _, tt := range []struct {
		name    string
		members [][]byte
		control []byte // nil if it must be refused
	}{
		{"signed", [][]byte{signature, control, data}, control},
		{"signed twice", [][]byte{second, signature, control, data}, control},
		{"signed by nobody", [][]byte{control, data}, control},
		{"other data", [][]byte{signature, control, apktest.Member(t, true, apktest.File{Name: "usr/bin/tool", Content: "evil"})}, nil},
		{"something after the data", [][]byte{signature, control, data, signature}, nil},
		{"truncated data", [][]byte{signature, control, data[:len(data)-1]}, nil},
		{"truncated control", [][]byte{signature, control[:len(control)-9]}, nil},
		{"no data", [][]byte{signature, control}, nil},
		{"signature only", [][]byte{signature}, nil},
		{"a file among the signatures", [][]byte{stranger, control, data}, nil},
		{"a signature that unpacks to much", [][]byte{bomb, control, data}, nil},
		{"many signatures", [][]byte{apktest.Member(t, false, apktest.File{Name: ".SIGN.RSA.x", Content: incompressible.String()}), control, data}, nil},
		{"something after the signature", [][]byte{apktest.Member(t, true, apktest.File{Name: ".SIGN.RSA.x", Content: "x"})[:20], control, data}, nil},
		{"no datahash", [][]byte{info("pkgname = tool\n"), data}, nil},
		{"two datahashes", [][]byte{info(datahash + "datahash = " + strings.Repeat("0", 64) + "\n"), data}, nil},
		{"no hexadecimal datahash", [][]byte{info("datahash = x\n"), data}, nil},
		{"two .PKGINFO", [][]byte{apktest.Member(t, false, apktest.File{Name: ".PKGINFO", Content: datahash}, apktest.File{Name: ".PKGINFO", Content: datahash}), data}, nil},
		{"a file in control", [][]byte{apktest.Member(t, false, apktest.File{Name: ".PKGINFO", Content: datahash}, apktest.File{Name: "etc/passwd", Content: "root"}), data}, nil},
		{"no .PKGINFO", [][]byte{apktest.Member(t, false, apktest.File{Name: ".post-install", Content: datahash}), data}, nil},
		{"no gzip", [][]byte{[]byte("<html>please log in</html>")}, nil},
		{"empty", nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := bytes.Join(tt.members, nil)
			got1, err1 := digest.Compute(digest.APK, bytes.NewReader(file), int64(len(file)))
			got2, err2 := digest.Compute(digest.APK256, bytes.NewReader(file), int64(len(file)))
			if tt.control == nil {
				if !errors.Is(err1, digest.ErrMismatch) || !errors.Is(err2, digest.ErrMismatch) {
					t.Errorf("Compute = %q, %v and %q, %v; want ErrMismatch", got1, err1, got2, err2)
				}
				return
			}
			want1 := digest.Digest(fmt.Sprintf("apk:%x", sha1.Sum(tt.control))) //nolint:gosec // as above
			want2 := digest.Digest(fmt.Sprintf("apk256:%x", sha256.Sum256(tt.control)))
			if got1 != want1 || got2 != want2 || err1 != nil || err2 != nil {
				t.Errorf("Compute = %q, %v and %q, %v; want %q and %q", got1, err1, got2, err2, want1, want2)
			}
			if !got1.Strong() || !got2.Strong() {
				t.Error("it is not strong")
			}
		})
	}
}

// TestSafeSHA1 checks that half of the first published collision of SHA-1 is refused.
func TestSafeSHA1(t *testing.T) {
	if got, err := digest.SafeSHA1(strings.NewReader("abc")); got != "a9993e364706816aba3e25717850c26c9cd0d89d" || err != nil {
		t.Errorf("SafeSHA1(abc) = %q, %v", got, err)
	}
	half, err := hex.DecodeString(shattered)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := digest.SafeSHA1(bytes.NewReader(half)); err == nil {
		t.Errorf("SafeSHA1 of a collision = %q", got)
	}
}

// shattered is the start of one of the two colliding documents that M. Stevens and others
// published in 2017 (https://shattered.io): as far as the collision goes.
const shattered = "" +
	"255044462d312e330a25e2e3cfd30a0a0a312030206f626a0a3c3c2f57696474682032203020522f" +
	"4865696768742033203020522f547970652034203020522f537562747970652035203020522f4669" +
	"6c7465722036203020522f436f6c6f7253706163652037203020522f4c656e677468203820302052" +
	"2f42697473506572436f6d706f6e656e7420383e3e0a73747265616d0affd8fffe00245348412d31" +
	"20697320646561642121212121852fec092339759c39b1a1c63c4c97e1fffe017346dc9166b67e11" +
	"8f029ab621b2560ff9ca67cca8c7f85ba84c79030c2b3de218f86db3a90901d5df45c14f26fedfb3" +
	"dc38e96ac22fe7bd728f0e45bce046d23c570feb141398bb552ef5a0a82be331fea48037b8b5d71f" +
	"0e332edf93ac3500eb4ddc0decc1a864790c782c76215660dd309791d06bd0af3f98cda4bc4629b1"

// TestADB compares with what apk mkndx says of a package that apk mkpkg made.
func TestADB(t *testing.T) {
	file, err := base64.StdEncoding.DecodeString(packageADB)
	if err != nil {
		t.Fatal(err)
	}
	want := digest.Digest("adb:2273e2f93f6fbdbf74d1431cd33bea6d710b6609bae1074f6f474d21655ded20")
	got, err := digest.Compute(digest.ADB, bytes.NewReader(file), int64(len(file)))
	if got != want || err != nil || !got.Strong() {
		t.Errorf("Compute = %q, %v; want %q", got, err, want)
	}
	plain, err := io.ReadAll(flate.NewReader(bytes.NewReader(file[len("ADBd"):])))
	if err != nil {
		t.Fatal(err)
	}
	const signature, end = 532, 622 // the content of its signature, which the digest does not cover
	for i := range plain {
		plain[i] ^= 0x10
		got, err := digest.Compute(digest.ADB, bytes.NewReader(plain), int64(len(plain)))
		if covered := i < signature || i >= end; covered == (err == nil && got == want) || err != nil && !errors.Is(err, digest.ErrMismatch) {
			t.Errorf("with byte %d changed: %q, %v", i, got, err)
		}
		plain[i] ^= 0x10
	}
}

// packageADB is that package: two files, an empty one and a link, made with apk 3.0.6.
const packageADB = "" +
	"QURCZHN0cdIrSM5O52BiAIMfjAwPWEry83PYDPUMdIsM2CoszOLNTFiK8vNLWIDybxkZBKQZGBpAmBmihUGBgeEBc3JauoJvkO27" +
	"7BMHq+w0TAuCcnvzLl98e4v9qN2Uo3Ge0vsrmM2BagX9GbNB5ixBMocNyLcB0hlAc4ByAilAIx2AfNbU3IKSSoXHG444zfgjIzLr" +
	"95cTM/N3qqivc3ySMnuyz5KpM6UrgnaEMoD0T4DqZ4DqnwZyX2pJMsiNFUDxHRCzGS4AxUHuvQJyc2lxEUj+A1SMJSczL5uNYQHI" +
	"+yC1/5HcyA7yKCNDAw8jwo0gIVagmMIK9lxbjUtyTIzaCq++3/4ewrlMvdDEeYLqp6bHGY8NovYD1YHcyAF1IxdUvwVQLzvQDfpJ" +
	"mXkgd8gAzY6BmM9QwghxUw2QLzJrjvxnrUVRP5f0BD3MvnFnXRr3nmygGl6omUC6YQZQPcg9IgwQGhvgA9rLCqQNgOYCA+rBFyDu" +
	"AJoPsnsDkH4CxHEMDA4MLH8F7nt8KL06V447RPWUSeIDAzcmRYaND5ut1r5ddqfu1O1d8X3Sr4u7S2+lvPWfbr705RLZqmVOQCXX" +
	"Hn8++/NN9eRDrG9U1mQKbXvtuzRlxaxHuVEvNX4mtyV4AB0AdB8TOCgZGIBJhksMyAf5FySmrAgKCf3iDGAAAQA="
