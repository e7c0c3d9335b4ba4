package pty

import (
	"bufio"
	"io"
	"testing"
)

func TestOpen(t *testing.T) {
	keys, screen, err := Open()
	if err != nil {
		t.Skip(err)
	}
	defer keys.Close()
	defer screen.Close()
	if _, err := io.WriteString(screen, "shown\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(keys).ReadString('\n'); line != "shown\r\n" {
		t.Errorf("read %q, %v", line, err)
	}
}
