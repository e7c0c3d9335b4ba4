package maven

import (
	"slices"
	"strings"
	"time"

	"sutler/internal/ecosystem"
)

// Name is the name of the ecosystem in keys, metrics and receipts.
const Name = "maven"

// Floors: how long a document counts as fresh whatever its origin says.
const (
	metadataFloor = 5 * time.Minute     // lists of versions, and all that changes with them
	settledFloor  = 30 * 24 * time.Hour // what is about files that never change
)

// Options say which private repositories there are. The zero value is good for the public ones.
type Options struct {
	// Hosts are further repositories: a host, or a host and the path that the repository
	// lies under ("nexus.example/repository/maven-public"), where * stands for one step.
	Hosts []string
}

// An Ecosystem translates the Maven repository layout. Create it with New.
type Ecosystem struct {
	repositories []repository
	hosts        []string
}

// A repository is a host and the steps of the path that lead to it; * is any step.
type repository struct {
	host string
	path []string
}

var _ ecosystem.Ecosystem = (*Ecosystem)(nil)

// New returns the ecosystem for the public repositories and those of o.
func New(o Options) *Ecosystem {
	e := &Ecosystem{}
	for _, address := range append(publicRepositories(), o.Hosts...) {
		host, path, _ := strings.Cut(address, "/")
		r := repository{host: strings.ToLower(host)}
		if path = strings.Trim(path, "/"); path != "" {
			r.path = strings.Split(path, "/")
		}
		e.repositories = append(e.repositories, r)
		if !slices.Contains(e.hosts, r.host) {
			e.hosts = append(e.hosts, r.host)
		}
	}
	return e
}

// publicRepositories are those that builds commonly name, Maven Central first. It is a
// table; a host that serves accounts or private content does not belong here.
func publicRepositories() []string {
	return []string{
		"repo.maven.apache.org/maven2",
		"repo1.maven.org/maven2",
		"maven-central.storage.googleapis.com/maven2",
		"maven-central.storage-download.googleapis.com/maven2",
		"central.sonatype.com/repository/*",
		"oss.sonatype.org/content/*/*",
		"s01.oss.sonatype.org/content/*/*",
		"repository.apache.org/content/*/*",
		"maven.google.com",
		"dl.google.com/dl/android/maven2",
		"plugins.gradle.org/m2",
		"repo.gradle.org/gradle/*",
		"jitpack.io",
		"repo.spring.io/*",
		"packages.confluent.io/maven",
		"repo.clojars.org",
		"repo.jenkins-ci.org/*",
		"repo.eclipse.org/content/*/*",
		"repository.jboss.org/nexus/content/*/*",
		"maven.repository.redhat.com/*",
		"maven.aliyun.com/repository/*",
	}
}

// settingsFile makes Maven fetch from the native endpoint. The mirror has the name of what
// it mirrors: Maven notes it beside each file, and would not use the file without sutler
// if it came from elsewhere. It takes the place of the
// settings that come with Maven, hence the second mirror, which is theirs: it keeps Maven
// from repositories over plain HTTP. The user's own settings count as ever, and go first.
const settingsFile = `<?xml version="1.0" encoding="UTF-8"?>
<settings xmlns="http://maven.apache.org/SETTINGS/1.0.0">
  <mirrors>
    <mirror>
      <id>central</id>
      <mirrorOf>central</mirrorOf>
      <url>{native}/maven/</url>
    </mirror>
    <mirror>
      <id>maven-default-http-blocker</id>
      <mirrorOf>external:http:*</mirrorOf>
      <url>http://0.0.0.0/</url>
      <blocked>true</blocked>
    </mirror>
  </mirrors>
</settings>
`

// Profile returns the facts that never change.
func (e *Ecosystem) Profile() ecosystem.Profile {
	return ecosystem.Profile{
		Name:   Name,
		Title:  "Maven repositories (Maven, Gradle, sbt)",
		Hosts:  slices.Clone(e.hosts),
		Mounts: []ecosystem.Mount{{Path: "/maven/", Origin: "https://" + publicRepositories()[0] + "/"}},
		Env: []ecosystem.Setting{
			{Name: "MAVEN_ARGS", Value: "-gs {dir}/maven-settings.xml"}, // read by Maven 3.9 and later
			{Name: "SUTLER_MAVEN_SETTINGS", Value: "{dir}/maven-settings.xml"},
		},
		Files:    []ecosystem.File{{Name: "maven-settings.xml", Content: settingsFile}},
		First:    "/maven/junit/junit/maven-metadata.xml",
		Verified: "artifacts by the SHA-256 or SHA-512 beside them or in a Gradle module file; a SHA-1 must match but verifies nothing; lists of versions by TLS",
		Clients:  []string{"Maven 3.8", "Gradle 4.4"},
		Unsupported: []string{
			"deploying is passed through, never stored",
			"signatures (.asc) are stored, but not verified",
			"Java reads neither the proxy variables nor a CA bundle in PEM: Maven 3.9 is led to the native endpoint by MAVEN_ARGS, older ones need -gs \"$SUTLER_MAVEN_SETTINGS\", Gradle needs the endpoint as a repository",
		},
	}
}
