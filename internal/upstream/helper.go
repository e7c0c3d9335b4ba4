package upstream

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/docker/docker-credential-helpers/client"
)

// helperLifetime is how long what a credential helper said is used before it is asked again:
// helpers of clouds hand out passwords that last for some hours.
const helperLifetime = 5 * time.Minute

// A keeper is a program that keeps a credential: docker-credential-NAME. Safe for
// concurrent use.
type keeper struct {
	name, server string

	mu       sync.Mutex
	user     string
	password Secret
	until    time.Time
}

// validName reports whether a helper's name from a file is part of a program's name only.
func validName(name string) bool {
	return name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == ""
}

// program returns the function that runs a helper.
func program(name string) client.ProgramFunc {
	return client.NewShellProgramFunc("docker-credential-" + name)
}

// get returns what the program keeps. Errors do not show what it said.
func (k *keeper) get() (user string, password Secret, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.until) {
		return k.user, k.password, nil
	}
	c, err := client.Get(program(k.name), k.server)
	if err != nil {
		return "", "", fmt.Errorf("docker-credential-%s has no credential for %s", k.name, k.server)
	}
	k.user, k.password, k.until = c.Username, Secret(c.Secret), time.Now().Add(helperLifetime)
	return k.user, k.password, nil
}

// resolve returns c with the user and password that its helper keeps.
func (c Credential) resolve() (Credential, error) {
	if c.keeper == nil {
		return c, nil
	}
	user, password, err := c.keeper.get()
	c.User, c.Password = user, password
	return c, err
}
