package disk

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"sutler/internal/blob"
	"sutler/internal/blob/blobtest"
	"sutler/internal/digest"
)

// victimEnv makes the test binary a process that fills the store it names until killed.
const victimEnv = "SUTLER_TEST_VICTIM"

func TestMain(m *testing.M) {
	if dir := os.Getenv(victimEnv); dir != "" {
		fmt.Fprintln(os.Stderr, victim(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// victim puts blobs by all ways and prints the digest of each that was stored. It only
// returns if something fails.
func victim(dir string) error {
	s, err := Open(dir, Options{SyncEvery: 10 * time.Millisecond})
	if err != nil {
		return err
	}
	for seed := rand.Uint64N(1 << 20); ; seed++ {
		b := blobtest.Bytes(1<<(seed%19), seed)
		if err := victimPut(s, b, seed%3); err != nil {
			return err
		}
		if _, err := fmt.Println(digest.OfBytes(b)); err != nil {
			return err
		}
	}
}

// victimPut stores b: way 0 copies, 1 moves, 2 admits.
func victimPut(s *Store, b []byte, way uint64) error {
	ctx := context.Background()
	d := digest.OfBytes(b)
	if way == 0 {
		return s.Put(ctx, d, bytes.NewReader(b), int64(len(b)))
	}
	f, err := s.Spool(ctx)
	if err != nil {
		return err
	}
	h := digest.NewHasher()
	if _, err := io.MultiWriter(f, h).Write(b); err != nil {
		return err
	}
	if way == 1 {
		err = s.Put(ctx, d, f, int64(len(b)))
	} else {
		_, err = s.Admit(ctx, f, h)
	}
	return errors.Join(err, f.Close())
}

// killed runs a victim on dir, kills it at a random time
// within that long after its first blob, and returns
// the digests it said were stored.
func killed(t *testing.T, dir string, within time.Duration) []digest.Digest {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), victimEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out := must(cmd.StdoutPipe())(t)
	ok(t, cmd.Start())
	lines := bufio.NewReader(out)
	first := must(lines.ReadString('\n'))(t)
	time.AfterFunc(rand.N(within), func() { _ = cmd.Process.Kill() }) // Wait tells
	rest := must(io.ReadAll(lines))(t)
	if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != -1 {
		t.Fatalf("victim ended with %v, want a kill", err)
	}
	var ds []digest.Digest
	all := first + string(rest)
	for line := range strings.Lines(all[:strings.LastIndexByte(all, '\n')+1]) {
		ds = append(ds, digest.Digest(strings.TrimSuffix(line, "\n")))
	}
	return ds
}

// rounds returns how many crashes to try: SUTLER_CRASH_ROUNDS, else 20.
func rounds(t *testing.T) int {
	if s := os.Getenv("SUTLER_CRASH_ROUNDS"); s != "" {
		return must(strconv.Atoi(s))(t)
	}
	return 20
}

// Whatever the time of a kill -9, blobs whose Put returned are there, and all are right.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	stored := 0
	for range rounds(t) {
		ds := killed(t, dir, 60*time.Millisecond)
		s := openAt(t, dir, Options{})
		for _, d := range ds {
			if got, err := read(t, s, d); err != nil {
				t.Errorf("%s: stored, but after the kill %v", d, err)
			} else if digest.OfBytes(got) != d {
				t.Errorf("%s: wrong bytes", d)
			}
		}
		stored += len(ds)
		for d, err := range s.All(t.Context()) {
			ok(t, err)
			if _, err := read(t, s, d); err != nil {
				t.Errorf("%s: %v", d, err)
			}
		}
		if left := must(s.readDir(tmpDir))(t); len(left) != 0 {
			t.Errorf("%d files left in tmp", len(left))
		}
		ok(t, s.Close())
	}
	t.Logf("%d blobs stored before kills", stored)
}

// read returns the bytes of d as a client gets them.
func read(t *testing.T, s *Store, d digest.Digest) ([]byte, error) {
	r, err := s.Open(t.Context(), d)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(r)
	return b, errors.Join(err, r.Close())
}

// After a power loss, what was synced is there and right, and what was not is right or
// reported as damaged or absent. The loss is played: each file that changed after the sync
// mark is cut, emptied, zeroed or removed.
func TestPowerLoss(t *testing.T) {
	damagedFiles, kept := 0, 0
	for range rounds(t) {
		dir := t.TempDir()
		killed(t, dir, 150*time.Millisecond)
		synced := syncedOf(t, dir)
		hurt := make(map[digest.Digest]bool)
		for name, d := range blobFiles(t, dir) {
			if identOf(must(os.Stat(name))(t)).changed > synced {
				loseUnsynced(t, name)
				hurt[d] = true
			} else {
				kept++
			}
		}
		damagedFiles += len(hurt)
		s := openAt(t, dir, Options{})
		for _, d := range blobFiles(t, dir) {
			got, err := read(t, s, d)
			switch {
			case err == nil && digest.OfBytes(got) == d:
			case err == nil:
				t.Errorf("%s: wrong bytes", d)
			case !hurt[d] || !errors.Is(err, blob.ErrCorrupt):
				t.Errorf("%s: %v; lost: %v", d, err, hurt[d])
			}
		}
		ok(t, s.Close())
	}
	t.Logf("%d unsynced files damaged, %d synced ones kept", damagedFiles, kept)
	if damagedFiles == 0 || kept == 0 {
		t.Error("all or nothing was damaged: half of it was not tested")
	}
}

// syncedOf returns the time of the sync mark in dir, 0 if there is none.
func syncedOf(t *testing.T, dir string) int64 {
	b, err := os.ReadFile(filepath.Join(dir, syncedName))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	ok(t, err)
	return must(decodeMark(b))(t).UnixNano()
}

// blobFiles returns the blob files in dir and what they should be.
func blobFiles(t *testing.T, dir string) map[string]digest.Digest {
	names := must(filepath.Glob(filepath.Join(dir, blobDir, "*", "*")))(t)
	m := make(map[string]digest.Digest)
	for _, n := range names {
		m[n] = digest.Digest(digest.SHA256 + ":" + filepath.Base(n))
	}
	return m
}

// loseUnsynced does to a file what a power loss may do to bytes that were not synced.
func loseUnsynced(t *testing.T, name string) {
	size := must(os.Stat(name))(t).Size()
	switch rand.N(4) {
	case 0:
		ok(t, os.Truncate(name, 0))
	case 1:
		ok(t, os.Truncate(name, rand.Int64N(size)))
	case 2:
		ok(t, os.WriteFile(name, make([]byte, size), 0o600))
	case 3:
		ok(t, os.Remove(name))
	}
}

// A machine drives a store and a model through the same steps.
type machine struct {
	t     *testing.T
	dir   string
	s     *Store
	named bool
	model map[int]bool // seeds of the blobs that must be there
	hurt  map[int]bool // seeds of the blobs that were damaged
}

// content returns the blob of a seed; every fifth is large.
func content(seed int) []byte {
	size := 10 + seed*100
	if seed%5 == 4 {
		size += whole
	}
	return blobtest.Bytes(size, uint64(seed))
}

// memoryDir returns a directory for many small stores, in memory if the machine has one
// there: on ext4, making files where others were just removed takes most of the time.
func memoryDir(t *testing.T) string {
	dir, err := os.MkdirTemp("/dev/shm", "sutler-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { ok(t, os.RemoveAll(dir)) })
	return dir
}

// Whatever the order of calls, crashes and damage, the store holds what it must and never
// delivers anything else.
func TestStateMachine(t *testing.T) {
	contents := make([][]byte, 10)
	for i := range contents {
		contents[i] = content(i)
	}
	base := memoryDir(t)
	rapid.Check(t, func(rt *rapid.T) {
		dir := must(os.MkdirTemp(base, ""))(t)
		m := &machine{t: t, dir: dir, model: map[int]bool{}, hurt: map[int]bool{}, named: rapid.Bool().Draw(rt, "named")}
		m.open(rt)
		seed := rapid.IntRange(0, len(contents)-1)
		rt.Repeat(map[string]func(*rapid.T){
			"put":    func(rt *rapid.T) { n := seed.Draw(rt, "n"); m.put(rt, n, contents[n]) },
			"get":    func(rt *rapid.T) { n := seed.Draw(rt, "n"); m.get(rt, n, contents[n]) },
			"delete": func(rt *rapid.T) { n := seed.Draw(rt, "n"); m.delete(rt, n, contents[n]) },
			"damage": func(rt *rapid.T) { n := seed.Draw(rt, "n"); m.damage(rt, n, contents[n]) },
			"crash":  func(rt *rapid.T) { m.s.syncer.halt(); m.s.closed.Store(true); m.fail(rt, m.s.release()); m.open(rt) },
			"close":  func(rt *rapid.T) { m.fail(rt, m.s.Close()); m.open(rt) },
			"sync":   func(rt *rapid.T) { m.fail(rt, m.s.Sync()) },
			"":       m.listed(contents),
		})
		m.fail(rt, m.s.Close())
	})
}

func (m *machine) fail(rt *rapid.T, err error) {
	if err != nil {
		rt.Fatal(err)
	}
}

func (m *machine) open(rt *rapid.T) {
	var err error
	m.s, err = Open(m.dir, Options{Marks: markShards, SyncEvery: time.Hour})
	m.fail(rt, err)
	m.s.whole = whole
	m.s.anonymous = m.s.anonymous && !m.named
}

func (m *machine) put(rt *rapid.T, n int, b []byte) {
	m.fail(rt, victimPut(m.s, b, rapid.Uint64Range(0, 2).Draw(rt, "way")))
	m.model[n] = true
	delete(m.hurt, n) // Put checks what is there; Admit replaces what is unmarked
}

func (m *machine) get(rt *rapid.T, n int, b []byte) {
	got, err := read(m.t, m.s, digest.OfBytes(b))
	switch {
	case !m.model[n]:
		if !errors.Is(err, blob.ErrNotFound) {
			rt.Fatalf("get %d = %v, want ErrNotFound", n, err)
		}
	case m.hurt[n]:
		if !errors.Is(err, blob.ErrCorrupt) {
			rt.Fatalf("get damaged %d = %v, want ErrCorrupt", n, err)
		}
		delete(m.model, n)
		delete(m.hurt, n)
	case err != nil || !bytes.Equal(got, b):
		rt.Fatalf("get %d = %d bytes, %v", n, len(got), err)
	}
}

func (m *machine) delete(rt *rapid.T, n int, b []byte) {
	m.fail(rt, m.s.Delete(m.t.Context(), digest.OfBytes(b)))
	delete(m.model, n)
	delete(m.hurt, n)
}

func (m *machine) damage(rt *rapid.T, n int, b []byte) {
	if !m.model[n] || m.hurt[n] {
		return
	}
	m.fail(rt, os.Truncate(fileOf(m.dir, digest.OfBytes(b)), int64(rapid.IntRange(0, len(b)-1).Draw(rt, "cut"))))
	m.hurt[n] = true
}

// listed returns the invariant: All yields the model.
func (m *machine) listed(contents [][]byte) func(*rapid.T) {
	return func(rt *rapid.T) {
		found := map[digest.Digest]bool{}
		for d, err := range m.s.All(m.t.Context()) {
			m.fail(rt, err)
			found[d] = true
		}
		for n, b := range contents {
			if d := digest.OfBytes(b); found[d] != m.model[n] {
				rt.Fatalf("blob %d: stored %v, want %v", n, found[d], m.model[n])
			}
		}
		if len(found) != len(m.model) {
			rt.Fatalf("%d blobs stored, want %d", len(found), len(m.model))
		}
	}
}
