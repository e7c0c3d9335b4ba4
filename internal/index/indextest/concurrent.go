package indextest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sutler/internal/digest"
	"sutler/internal/index"
)

// version returns the n-th version of one entry: every field that can tell follows from n.
func version(n int64) index.Entry {
	e := full()
	e.Size = n
	e.Blob = digest.OfBytes(fmt.Append(nil, n))
	e.Version = fmt.Sprint(n)
	e.Evidence.Note = strings.Repeat(fmt.Sprint(n%10), int(n%3)*3000) // rows of changing length
	return e
}

// whole returns an error if e is no version.
func whole(e index.Entry) error {
	if d := cmp.Diff(version(e.Size), e); d != "" {
		return fmt.Errorf("entry is a mixture (-want +got):\n%s", d)
	}
	return nil
}

func wholeReads(t *testing.T, x index.Index) {
	mustPut(t, x, version(0))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for last := int64(0); ; {
				select {
				case <-stop:
					return
				default:
				}
				e, err := x.Entry(t.Context(), full().Key)
				if err == nil {
					err = whole(e)
				}
				if err != nil || e.Size < last {
					t.Errorf("version %d after %d: %v", e.Size, last, err)
					return
				}
				last = e.Size
			}
		})
	}
	for n := range int64(200) {
		mustPut(t, x, version(n))
		wantEntry(t, x, version(n)) // a put that has returned is seen by the next read
	}
	close(stop)
	wg.Wait()
}

func wholePuts(t *testing.T, x index.Index) {
	docs := func(n int) (all []index.Entry) {
		for i := range 8 {
			all = append(all, document("apt", debian, fmt.Sprint(i), epoch().Add(time.Duration(n))))
		}
		return all
	}
	mustPut(t, x, docs(0)...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			all, err := x.Vouchers(t.Context(), "apt", debian)
			if err != nil || len(all) != 8 || !all[0].Stored.Equal(all[7].Stored) {
				t.Errorf("Vouchers = %d entries of several puts, %v", len(all), err)
				return
			}
		}
	})
	for n := range 200 {
		mustPut(t, x, docs(n)...)
	}
	close(stop)
	wg.Wait()
}

func writers(t *testing.T, x index.Index) {
	const each = 50
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range each {
				e := Entry(fmt.Sprint("eco", w), i)
				if err := x.Put(t.Context(), e); err != nil {
					t.Errorf("Put: %v", err)
				}
				if err := x.Touch(t.Context(), e.Key, e.Checked, time.Minute); err != nil {
					t.Errorf("Touch: %v", err)
				}
				if i%2 == 1 {
					if err := x.Delete(t.Context(), e.Key); err != nil {
						t.Errorf("Delete: %v", err)
					}
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for e, err := range x.All(t.Context()) {
		if err != nil || e.Lifetime != time.Minute {
			t.Errorf("entry %s has lifetime %v, %v; want one minute", e.Key, e.Lifetime, err)
		}
		n++
	}
	if n != 8*each/2 {
		t.Errorf("%d entries, want %d", n, 8*each/2)
	}
}
