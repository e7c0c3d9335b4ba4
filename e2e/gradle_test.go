package e2e

import (
	"strings"
	"testing"

	"sutler/internal/ecosystem/maven"
)

// gradleFetch copies what a project depends on, a range of versions, a release and a
// snapshot, with an empty cache, and returns the folder it is in.
func gradleFetch(t *testing.T, d *daemon, repository string, options ...string) (string, result) {
	t.Helper()
	dir := t.TempDir()
	write(t, dir+"/gradle.properties", "org.gradle.jvmargs=-Xmx512m -XX:TieredStopAtLevel=1\n") // as its own: then it does without a second Java
	write(t, dir+"/settings.gradle", "rootProject.name = 'app'\n")
	write(t, dir+"/build.gradle", `repositories { maven { url '`+repository+`' } }
configurations { needed { resolutionStrategy.cacheChangingModulesFor 0, 'seconds' } }
dependencies { needed 'org.example:lib:[1,9)', 'org.apache.commons:commons-lang3:3.12.0', 'org.example:snap:1.0-SNAPSHOT' }
task fetch(type: Copy) { from configurations.needed; into 'out' }
`)
	return dir, d.run(dir, []string{"GRADLE_USER_HOME=" + dir + "/home", "GRADLE_OPTS=-Xmx512m -XX:TieredStopAtLevel=1 -Dorg.gradle.daemon=false " + strings.Join(options, " ")}, "gradle", "--quiet", "fetch")
}

// TestGradle resolves a project at the native endpoint and through the proxy: a jar changed on
// the way, cold, warm but for a new version and a new snapshot, and with the repository gone.
func TestGradle(t *testing.T) {
	need(t, "gradle", "keytool")
	o := mavenRepository(t)
	release := func(versions ...string) {
		list := ""
		for _, v := range versions {
			dir := "org/example/lib/" + v + "/lib-" + v
			o.files[dir+".pom"], o.files[dir+".jar"] = strings.Replace(pom("lib", v, ""), "<packaging>pom</packaging>", "", 1), jar(t, v)
			list += "<version>" + v + "</version>"
		}
		o.files["org/example/lib/maven-metadata.xml"] = "<metadata><groupId>org.example</groupId><artifactId>lib</artifactId><versioning><versions>" + list + "</versions></versioning></metadata>"
	}
	release("1.0", "1.1")
	o.snapshot(t, "20240102.030405", "1")
	d := start(t, o.settings(t)...)
	native, central := "http://"+d.addr+"/maven/", maven.New(maven.Options{}).Profile().Mounts[0].Origin
	want := func(what, version, repository string, options ...string) {
		t.Helper()
		dir, r := gradleFetch(t, d, repository, options...)
		if r.code != 0 || len(found(t, dir+"/out/lib-"+version+".jar")) != 1 || len(found(t, dir+"/out/*.jar")) != 3 {
			t.Errorf("%s: exit %d, want lib %s\n%s%s%v", what, r.code, version, r.out, r.err, found(t, dir+"/out/*"))
		}
	}
	const bad = "org/apache/commons/commons-lang3/3.12.0/commons-lang3-3.12.0.jar"
	o.set(func() { o.bad = bad })
	if dir, r := gradleFetch(t, d, native); r.code == 0 || len(found(t, dir+"/out/commons-lang3*")) != 0 {
		t.Errorf("Gradle took a jar that was changed: exit %d\n%s%s", r.code, r.out, r.err)
	}
	o.set(func() { o.bad = "" })
	want("cold, through the proxy", "1.1", central, intercepted(t, d)...)
	before := o.asked[bad]
	o.set(func() {
		release("1.0", "1.1", "2.0")
		o.snapshot(t, "20240103.030405", "2")
	})
	d.sutler("purge", "maven-metadata.xml")
	want("changed", "2.0", native)
	if o.asked["org/example/snap/1.0-SNAPSHOT/snap-1.0-20240103.030405-2.jar"] != 1 || o.asked[bad] != before {
		t.Errorf("the new snapshot was not fetched, or what is stored was: %v", o.asked)
	}
	d.stop()
	o.Close()
	d.set("UPSTREAM_OFFLINE=true")
	d.serve()
	want("offline", "2.0", native)
}
