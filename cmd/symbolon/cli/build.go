package cli

import (
	"runtime"
	"runtime/debug"
)

// Build is the build information in the binary.
type Build struct {
	Version, GoVersion string
	Revision, time     string
	modified           bool
}

// ThisBuild is the build of the running program.
func ThisBuild() Build {
	b := Build{Version: "(devel)", GoVersion: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if info.Main.Version != "" {
		b.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.time":
			b.time = s.Value
		case "vcs.modified":
			b.modified = s.Value == "true"
		}
	}
	return b
}

// Commit is the commit for a version line, or empty if it is not known.
func (b Build) Commit() string {
	if b.Revision == "" {
		return ""
	}
	out := " commit " + b.Revision[:min(12, len(b.Revision))]
	if b.modified {
		out += " (modified)"
	}
	return out + " of " + b.time
}
