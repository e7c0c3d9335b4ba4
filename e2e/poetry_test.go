package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
)

// describe answers /pypi/{project}/{version}/json as the public index does. It is called with
// the lock held.
func (x *pythonIndex) describe(w http.ResponseWriter, r *http.Request) {
	type object = map[string]any
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/") // public, pypi, project, version, json
	if len(parts) != 5 {
		http.NotFound(w, r)
		return
	}
	name := strings.ReplaceAll(parts[2], "-", "_") + "-" + parts[3] + "-py3-none-any.whl"
	b, ok := x.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	requires := []string{}
	for line := range strings.Lines(string(x.files[name+".metadata"])) {
		if v, ok := strings.CutPrefix(line, "Requires-Dist: "); ok {
			requires = append(requires, strings.TrimSpace(v))
		}
	}
	sum := sha256Of(b)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(object{ // whoever is gone does not read it
		"info": object{"name": parts[2], "version": parts[3], "summary": "", "requires_dist": requires, "requires_python": ">=3.1", "yanked": x.yanked[name]},
		"urls": []object{{
			"filename": name, "packagetype": "bdist_wheel", "digests": object{"sha256": sum}, "size": len(b), "yanked": x.yanked[name],
			"url": fmt.Sprintf("https://%s/packages/%s/%s/%s/%s", filesHost(), sum[:2], sum[2:4], sum[4:], name),
		}},
	})
}

// poetryInstall installs the project's dependencies with an empty cache and an environment of
// its own, in a folder that is new but for a lock file, if one is given. It returns the folder.
func poetryInstall(t *testing.T, d *daemon, source, lock string, through ...string) (string, result) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/pyproject.toml", "[project]\nname = \"app\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"appkit>=1\"]\n[tool.poetry]\npackage-mode = false\n"+source)
	if lock != "" {
		write(t, dir+"/poetry.lock", lock)
	}
	env := []string{"POETRY_CACHE_DIR=" + dir + "/cache", "POETRY_CONFIG_DIR=" + dir + "/config", "POETRY_VIRTUALENVS_IN_PROJECT=true", "POETRY_KEYRING_ENABLED=false",
		"POETRY_REQUESTS_MAX_RETRIES=0", "PYTHONDONTWRITEBYTECODE=1"}
	command := append(append([]string{}, through...), inSid(t, "poetry", "install", "--no-interaction", "--no-ansi")...)
	return dir, d.run(dir, env, command[0], command[1:]...)
}

// TestPoetry installs with poetry, which asks the public index for descriptions of versions
// besides pages: a wheel changed on the way, cold, warm, with its lock file, with a new
// version, from the native endpoint, and with the index gone.
func TestPoetry(t *testing.T) {
	x := newPythonIndex(t)
	d := start(t, x.settings(t)...)
	through := []string{binary, "exec", "--"}
	const wheel = "lib_kit-1.0-py3-none-any.whl"
	x.set(func() { x.wrong[wheel] = true })
	if _, r := poetryInstall(t, d, "", "", through...); r.code == 0 || d.last().Failed == 0 {
		t.Errorf("poetry took a wheel that was changed: exit %d\n%s%s\n%+v", r.code, r.out, r.err, d.last())
	}
	x.set(func() { x.wrong[wheel] = false })
	want := func(what, module, version, source, lock string, through ...string) string {
		t.Helper()
		dir, r := poetryInstall(t, d, source, lock, through...)
		if at := found(t, dir+"/.venv/lib/python3*/site-packages/"+module+"-"+version+".dist-info"); r.code != 0 || len(at) != 1 {
			t.Errorf("%s: exit %d, want %s %s\n%s%s%+v", what, r.code, module, version, r.out, r.err, d.last())
		}
		b, err := os.ReadFile(dir + "/poetry.lock")
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	lock := want("cold", "appkit", "2.0", "", "", through...) // 2.1 is yanked
	if s := d.last(); s.Failed > 0 || s.Unvouched > 0 || s.Tunnelled > 0 || s.Verified < 3 {
		t.Errorf("cold: %+v", s)
	}
	if strings.Contains(lock, d.addr) || !strings.Contains(lock, "sha256:") {
		t.Errorf("lock file:\n%s", lock)
	}
	before := x.requests()
	want("warm", "lib_kit", "1.0", "", "", through...)
	d.last().allFromStore(t, 1)
	want("with a lock file", "appkit", "2.0", "", lock, through...)
	d.last().allFromStore(t, 1)
	if n := x.requests() - before; n != 0 {
		t.Errorf("warm, the index was asked %d times", n)
	}
	native := "[[tool.poetry.source]]\nname = \"near\"\nurl = \"http://" + d.addr + "/pypi/simple/\"\npriority = \"primary\"\n"
	want("at the endpoint", "appkit", "2.0", native, "") // there it reads metadata files in place of descriptions
	x.wheel("lib_kit", "1.1", "")
	d.sutler("purge", "/simple/lib-kit/")
	want("changed", "lib_kit", "1.1", "", "", through...)
	d.stop()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", "lib_kit", "1.1", "", "", through...)
	d.last().allFromStore(t, 1)
}
