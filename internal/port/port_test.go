package port_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/symbolon-id/symbolon/internal/port"
)

const many = 300

// TestMain also runs as another process that chooses ports. It keeps them until its input
// ends.
func TestMain(m *testing.M) {
	if os.Getenv("SYMBOLON_PORT_TEST") == "" {
		os.Exit(m.Run())
	}
	for range many {
		p, err := port.Free()
		if err != nil {
			panic(err)
		}
		_, _ = fmt.Println(p)
	}
	_, _ = fmt.Println("all")
	_, _ = os.Stdin.Read(make([]byte, 1))
}

// TestFree checks that several processes never choose the same port, and that each port
// can be listened on.
func TestFree(t *testing.T) {
	seen := map[string]bool{}
	for range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SYMBOLON_PORT_TEST=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = in.Close(); _ = cmd.Wait() })
		for lines := bufio.NewScanner(out); lines.Scan() && lines.Text() != "all"; {
			if seen[lines.Text()] {
				t.Errorf("port %s was chosen twice", lines.Text())
			}
			seen[lines.Text()] = true
		}
	}
	if len(seen) != 4*many {
		t.Errorf("%d ports", len(seen))
	}
	for p := range seen {
		l, err := net.Listen("tcp", "127.0.0.1:"+strings.TrimSpace(p))
		if err != nil {
			t.Fatal(err)
		}
		_ = l.Close()
	}
}
