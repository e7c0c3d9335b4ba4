package attach

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"sutler/internal/edit"
)

// A keeper is a tool that keeps what a reloaded file does not have, as docker does.
type keeper struct {
	*fake
	b    *bench
	list string // that it uses
	dies string // the process ends when it reads a file that holds this
}

func (k *keeper) Between(_ string, _, after []byte) []byte {
	via, _, err := edit.JSON(edit.Key{Path: []string{"list"}, Value: []string{}}).Apply(after)
	k.b.check(err)
	return via
}

func (k *keeper) Activate(ctx context.Context, n Need) ([]string, error) {
	text := k.b.text()
	if k.dies != "" && strings.Contains(text, k.dies) {
		panic(k)
	}
	var file struct{ List *[]string }
	if text != "" {
		k.b.check(json.Unmarshal([]byte(text), &file))
	}
	if file.List != nil {
		k.list = strings.Join(*file.List, " ")
	}
	return k.fake.Activate(ctx, n)
}

// TestForgetful checks that a tool which keeps old settings loses ours, also by a rollback
// and after a crash on the way.
func TestForgetful(t *testing.T) {
	for _, text := range []string{"{ \"debug\": true }", ""} {
		for _, way := range []string{"detach", "rollback", "crash", "crash and attach"} {
			b := setUp(t, text)
			k := &keeper{fake: sets("one", "list", "ours"), b: b}
			if way == "rollback" {
				k.plan.Proof = []string{"never"}
				if _, err := b.at.Attach(t.Context(), k, Wish{}); err == nil {
					t.Error("no error")
				}
			} else {
				if _, err := b.at.Attach(t.Context(), k, Wish{}); err != nil || k.list != "ours" {
					t.Errorf("%s: it uses %q %v", way, k.list, err)
				}
			}
			if strings.HasPrefix(way, "crash") {
				k.dies = "[]"
				func() {
					defer func() { _ = recover() }() // the end of the process
					_, _ = b.at.Detach(t.Context(), k)
				}()
				k.dies = ""
				if !strings.Contains(b.text(), "[]") {
					t.Errorf("%s: it died with %q", way, b.text())
				}
			}
			if way == "crash and attach" {
				if _, err := b.at.Attach(t.Context(), k, Wish{}); err != nil || k.list != "ours" {
					t.Errorf("%s: it uses %q %v", way, k.list, err)
				}
			}
			if way != "rollback" {
				if _, err := b.at.Detach(t.Context(), k); err != nil {
					t.Error(err)
				}
			}
			if k.list != "" {
				t.Errorf("%s: it still uses %s", way, k.list)
			}
			b.wants(text)
			b.gone()
		}
	}
}
