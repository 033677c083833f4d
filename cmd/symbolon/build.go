package main

import (
	"runtime"
	"runtime/debug"
)

// build is what the Go toolchain wrote into the binary.
type build struct {
	version, goVersion string
	revision, time     string
	modified           bool
}

func thisBuild() build {
	b := build{version: "(devel)", goVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.revision = s.Value
		case "vcs.time":
			b.time = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	return b
}

func (b build) commit() string {
	if b.revision == "" {
		return ""
	}
	out := " commit " + b.revision[:min(12, len(b.revision))]
	if b.modified {
		out += " (modified)"
	}
	return out + " of " + b.time
}
